"""Episodes done again: from a bag and from a data set, through motion, in the world they came
from.
"""

from __future__ import annotations

import functools
import re
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")
pytest.importorskip("rosbags")

import typer
from rclpy.serialization import serialize_message
from typer.testing import CliRunner

from xlvla import rig_file
from xlvla.device import DeviceConfig
from xlvla.errors import XlvlaError
from xlvla.rig import Station
from xlvla.ros import convert, topics
from xlvla.ros.command_session import CommandMessage, Origin, new_session
from xlvla.ros.wiring import type_name
from xlvla.run import own_domain
from xlvla.types import CHUNK_HZ, PARTS
from xlvla_cli import replay as command
from xlvla_data.bag.card import EpisodeCard
from xlvla_data.bag.definitions import described
from xlvla_data.bag.layout import Qos
from xlvla_data.bag.writer import BagWriter
from xlvla_data.commanded_motion import performance

DOMAIN = 1 + (own_domain() + 11) % 100
SECONDS = 2.0
SEED = 4


@functools.cache
def rig():
    return rig_file.with_choices(
        rig_file.load("bimanual"), policy="none", hands={"left": "inspire"}
    )


def path(side, t):
    """Where an episode had a side: a little off home, the elbow and the fingers moving."""
    start = np.array(list(rig().start(side).values()))
    moves = np.zeros(len(start))
    moves[[3, -2, -1]] = 0.2
    return start + moves * (1 - np.cos(1.5 * t)) + np.where(np.arange(len(start)) == 1, 0.1, 0.0)


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    """A bag with commands and joint states at 100 Hz, as a recorder writes it."""
    folder = tmp_path_factory.mktemp("session") / "episode_000002"
    own = rig()
    said = [
        topic(side, part)
        for side, part in own.parts
        for topic in (topics.command, topics.joint_states)
    ]
    writer = BagWriter(
        folder,
        [described(topic.name, type_name(topic), Qos(1, True, False)) for topic in said],
        "jazzy",
    )
    states = {key: convert.JointMessage(own.joint_names(*key)) for key in own.parts}
    commands = {key: CommandMessage(own.joint_names(*key)) for key in own.parts}
    origin = Origin(new_session(), 10**9)
    for number in range(int(SECONDS * 100)):
        ns = 10**9 + number * 10**7
        for side, part in own.parts:
            split = len(own.joint_names(side, "arm"))
            pose = (
                path(side, number / 100)[:split]
                if part == "arm"
                else path(side, number / 100)[split:]
            )
            measured = states[side, part].fill(ns, pose, pose, pose)
            writer.add(topics.joint_states(side, part).name, serialize_message(measured), ns, ns)
            command = commands[side, part].fill(ns, pose, origin)
            if side == "right":  # as recorded before commands had fields for their origin
                command = states[side, part].fill(ns, pose)
                command.header.frame_id = "0123abcd/episode 3"
            writer.add(topics.command(side, part).name, serialize_message(command), ns, ns)
    writer.flush()
    writer.close()
    joints = {
        side: {part: list(own.joint_names(side, part)) for part in PARTS} for side in own.sides
    }
    hands = {side: station.hand.type for side, station in own.sides.items()}
    facts = {
        "rates_hz": {},
        "rig": own.document(),
        "rig_hash": "",
        "codec": "",
        "simulated": True,
        "seed": SEED,
        "success": True,
    }
    EpisodeCard(
        "episode_000002", "stopped", "push_cans", "Push the cans.", hands, joints, **facts
    ).write(folder)
    return folder


def test_an_episode_is_read_as_frames(episode):
    played = performance(str(episode))
    assert played.frames == pytest.approx(SECONDS * CHUNK_HZ, abs=1)
    assert played.seed == SEED and played.apart("left", rig().joint_names("left", "arm")) < 1e-9
    for side in ("left", "right"):
        wanted = np.stack([path(side, k / CHUNK_HZ) for k in range(played.frames)])
        assert np.abs(played.commanded[side] - wanted).max() < 1e-6


def test_an_episode_of_a_data_set_is_read_as_frames(tmp_path):
    pytest.importorskip("av")
    from xlvla_data.episode import Episode, EpisodeInfo
    from xlvla_data.store import Store

    own = rig()
    frames = 25
    joints = {
        side: {part: list(own.joint_names(side, part)) for part in PARTS} for side in own.sides
    }
    whole = {side: np.stack([path(side, k / 10) for k in range(frames)]) for side in own.sides}
    split = {side: len(own.joint_names(side, "arm")) for side in own.sides}
    columns = {
        side: {"arm": rows[:, : split[side]], "hand": rows[:, split[side] :]}
        for side, rows in whole.items()
    }
    hands = {side: station.hand.type for side, station in own.sides.items()}
    info = EpisodeInfo(
        "push_cans", "Push the cans.", hands, joints, rate_hz=10, seed=SEED, success=True, codec=""
    )
    pictures = {"front": [np.full((48, 64, 3), 7 * k, np.uint8) for k in range(frames)]}
    latent = {side: np.zeros((frames, 32), np.float32) for side in own.sides}
    root = Store(tmp_path).add(Episode(info, pictures, columns, columns, latent))
    played = performance(f"{root}#0")
    played.refuse_unless_of(own)
    assert (played.seed, played.instruction, played.frames) == (SEED, "Push the cans.", 2 * frames)
    for side in own.sides:
        assert (
            np.abs(played.commanded[side][10][played.ordered(side, own)] - path(side, 0.5)).max()
            < 1e-5
        )
    with pytest.raises(XlvlaError, match="has episodes 0 to 0, not '3'"):
        performance(f"{root}#3")


def test_another_hand_is_refused_in_one_line(episode):
    with pytest.raises(
        XlvlaError,
        match="episode_000002 is of left inspire, right xhand, rig 'bimanual' has left xhand, "
        "right xhand",
    ):
        performance(str(episode)).refuse_unless_of(rig_file.load("bimanual"))


def test_what_is_no_episode_is_refused(tmp_path):
    with pytest.raises(XlvlaError, match="is no recorded episode"):
        performance(str(tmp_path))


def test_hardware_moves_only_for_somebody_who_said_so():
    emulated = rig_file.load("bimanual_emulated")
    device = DeviceConfig(address="10.0.0.1")
    sides = {
        side: Station(replace(station.arm, device=device), replace(station.hand, device=device))
        for side, station in emulated.sides.items()
    }
    command.refuse_unless_meant(emulated, engage=False, attach=False)
    with pytest.raises(XlvlaError, match="moves only with --engage"):
        command.refuse_unless_meant(replace(emulated, sides=sides), engage=False, attach=False)


def test_an_episode_is_done_again_through_motion(episode):
    app = typer.Typer()
    app.command()(command.replay)
    began = time.monotonic()
    told = CliRunner().invoke(app, [str(episode), "--domain", str(DOMAIN)])
    assert told.exit_code == 0, told.output
    assert time.monotonic() - began > SECONDS + 1
    found = re.findall(r"(left|right) (arm|hand) +([\d.]+) rad from its commands", told.output)
    assert {(side, part) for side, part, _ in found} == {
        (side, part) for side in ("left", "right") for part in PARTS
    }, told.output
    assert all(float(rms) < 0.1 for _, part, rms in found if part == "arm"), told.output
    assert "the task:" in told.output
