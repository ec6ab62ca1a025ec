"""A hand is one file and two URDFs: with a hand that nobody has met, every test of hands passes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import made_up_hand
import rows_of_new_hands
from xlvla import catalog
from xlvla.codec import Codec

TESTS = Path(__file__).parent

OF_HANDS = (
    "words/test_catalog.py",
    "test_kinematics.py",
    "codec/test_api.py",
    "codec/test_fingertips.py",
    "codec/test_wild_hands.py::test_every_hand_of_the_catalogue_is_sound",
)
"""Tests of every hand of the catalogue, and of every hand that the codec knows."""

OF_HANDS_AT_WORK = (
    "codec/test_contact.py",
    "motion/test_distance_guard.py",
    "sim/test_world.py",
    "test_cli.py",
    "words/test_rig_files.py",
)


@pytest.fixture(scope="module")
def with_a_new_hand(tmp_path_factory):
    """The environment of a lab that has added a hand."""
    folder = tmp_path_factory.mktemp("hands")
    made_up_hand.write(folder)
    return {**os.environ, "XLVLA_HANDS": str(folder)}


def test_the_made_up_hand_is_new_to_catalogue_and_codec(with_a_new_hand):
    assert made_up_hand.NAME not in (*catalog.hands(), *Codec.load().hands)
    listed = subprocess.run(
        [sys.executable, "-m", "xlvla", "list"],
        env=with_a_new_hand,
        capture_output=True,
        text=True,
    )
    assert made_up_hand.NAME in listed.stdout, listed.stderr


@pytest.mark.parametrize(
    "modules",
    [OF_HANDS, pytest.param(OF_HANDS_AT_WORK, marks=pytest.mark.long)],
    ids=["described", "at work"],
)
def test_a_new_hand_breaks_no_test(with_a_new_hand, modules):
    command = [sys.executable, "-m", "pytest", "-x", "-m", "not long", "-p", "no:cacheprovider"]
    command += ["-p", rows_of_new_hands.__name__]
    environment = {name: with_a_new_hand[name] for name in with_a_new_hand if "XDIST" not in name}
    environment["PYTHONPATH"] = str(TESTS)
    done = subprocess.run(
        [*command, *(str(TESTS / module) for module in modules)],
        cwd=TESTS.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
