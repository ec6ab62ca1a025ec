"""`xlvla check` says before anything starts what the policy's weights ask of a rig."""

from __future__ import annotations

import copy

import pytest
import yaml

from xlvla import catalog, rig_file
from xlvla.types import SIDES
from xlvla_cli.check import installation_faults

BIMANUAL = yaml.safe_load(catalog.rigs()["bimanual"].read_text())


def faults(**changes) -> list[str]:
    document = {**copy.deepcopy(BIMANUAL), **changes}
    return installation_faults(rig_file.from_document(document, "test"))


def test_the_shipped_weights_fit_the_shipped_rig():
    assert faults() == []


def test_a_rig_without_a_camera_that_the_policy_looks_through_is_refused():
    (fault,) = faults(cameras={})
    assert fault.startswith("policy: this policy looks through front; the cameras of rig")
    renamed = {"wrist": BIMANUAL["cameras"]["front"]}
    assert "are wrist" in faults(cameras=renamed)[0]
    assert faults(cameras={}, policy=None) == []


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_arm_with_one_hand_is_told_which_weights_it_needs(side):
    sides = {side: BIMANUAL["sides"][side]}
    (fault,) = faults(sides=sides)
    assert fault.startswith("policy: this policy drives left and right; rig 'bimanual' has")
    assert faults(sides=sides, policy=None) == []


@pytest.mark.parametrize("arm", ["ur5e", "fr3"])
def test_an_arm_that_was_never_trained_on_is_told_before_anything_starts(arm):
    sides = {
        side: {"arm": {"type": arm}, "hand": BIMANUAL["sides"][side]["hand"]} for side in SIDES
    }
    (fault,) = faults(sides=sides)
    assert "act on joints of left arm xarm7; the left arm of rig 'bimanual' is" in fault
    assert f"'{arm}': train on demonstrations with it" in fault
    assert faults(sides=sides, policy=None) == []


def test_a_policy_that_is_no_file_of_weights_is_one_line(tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"nothing")
    (fault,) = faults(policy={**BIMANUAL["policy"], "checkpoint": str(path)})
    assert "mine.safetensors is not a safetensors file" in fault
