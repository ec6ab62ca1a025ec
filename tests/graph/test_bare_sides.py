"""An arm without a hand beside a hand on a bench: driven, recorded, converted and read back."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("rclpy")
pytest.importorskip("mcap")

from recording_desk import Desk

import xlvla_cli
from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.recording import RecorderConfig
from xlvla.ros import geometry, topics
from xlvla.ros.reader import Reader
from xlvla.run import interruptible, own_domain
from xlvla.teleop import TeleopConfig
from xlvla_cli.commands import register_all
from xlvla_cli.ros.session import Session
from xlvla_data import store
from xlvla_data.bag.reader import Bag
from xlvla_data.commanded_motion import performance
from xlvla_drivers.teleop.closing import closed

RIG = """
name: bare
sides:
  left:
    arm: {type: xarm7, xyz: [0, 0.4, 0], home: {joint4: 0.6}, device: {emulated: true}}
    hand: {type: none}
  right:
    arm: {type: none, xyz: [0, -0.6, 0.3]}
    hand: {type: ability, device: {emulated: true, rate_hz: 100}}
policy: {type: wave}
sim: null
"""

MOVED_RAD = 0.08
MOVES = {"left": "left_arm_joint4", "right": "right_hand_index_q1"}
"""The joint of each side that is moved."""

FOLLOWS = {"left": "left_arm_joint2", "right": "right_hand_index_q1"}
"""Those that follow a wrist that sinks, and fingers that close."""

WAVE = """
import numpy as np
from xlvla.policy import Chunk

MOVED_RAD = 0.08
MOVES = {"left": ("arm", 3), "right": ("hand", 2)}

class Wave:
    # Moves one joint of each side by so much, from where the side was seen first.
    frames, rate_hz = 20, 20.0
    goals = {}

    def predict(self, observation):
        positions = {}
        for side, parts in observation.executed.items():
            positions[side] = {}
            for part, rows in parts.items():
                goal = self.goals.setdefault((side, part), self.goal(side, part, rows[-1]))
                way = np.linspace(0, 1, self.frames)[:, None]
                positions[side][part] = rows[-1] + way * (goal - rows[-1])
        return Chunk(observation.stamp_ns, self.rate_hz, positions, {})

    def goal(self, side, part, here):
        moved_part, joint = MOVES[side]
        return here + MOVED_RAD * ((part == moved_part) & (np.arange(len(here)) == joint))

def load(rig, *, threads=1):
    return Wave()
"""
"""A policy of one's own."""

app = typer.Typer()
register_all(xlvla_cli.__name__, xlvla_cli.__path__, app)


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bare")
    (folder / "bare.yaml").write_text(RIG)
    (folder / "wave.py").write_text(WAVE)
    recorder = RecorderConfig(
        folder=str(folder / "recordings"), task="wave", instruction="Wave.", least_free_gb=1e-6
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLVLA_POLICIES", str(folder))
        yield replace(rig_file.load(folder / "bare.yaml"), recorder=recorder)


class _Person:
    """Somebody whose left wrist and right fingers are tracked; once they begin, the wrist sinks and
    rises and the fingers close and open.
    """

    def __init__(self, node):
        self._publishers = {
            topic: node.create_publisher(topic.type, topic.name, topic.qos)
            for topic in (topics.tracked_wrist("left"), topics.tracked_keypoints("right"))
        }
        self._began_s = math.inf

    def begin(self):
        self._began_s = time.monotonic()

    def show(self) -> bool:
        share = (1 - math.cos(math.pi / 2 * max(time.monotonic() - self._began_s, 0.0))) / 2
        pose = np.eye(4)
        pose[2, 3] = -0.15 * share
        ns = time.time_ns()
        wrist, fingers = self._publishers.values()
        wrist.publish(geometry.pose(pose, ns, "operator"))
        fingers.publish(geometry.cloud(closed("right", share), ns, "wrist"))
        return True


@pytest.mark.long
def test_an_operator_drives_an_arm_alone_by_the_wrist_and_a_hand_alone_by_the_fingers(rig):
    by_hand = replace(rig, policy=None, recorder=None, teleop=TeleopConfig("topics"))
    with interruptible(), Session(by_hand, domain=own_domain()) as session:
        operator = session.operator
        desk = Desk(operator, by_hand, session.supervisor.check)
        person = _Person(operator.node)
        watched = [_Watched(operator.node, by_hand, side, joint) for side, joint in FOLLOWS.items()]
        desk.until(lambda: all(joint.moved() is not None for joint in watched), "no states")
        desk.until(lambda: _engages(operator), "it is not engaged")
        status = Reader(operator.node, topics.TELEOP_STATUS)
        desk.until(lambda: person.show() and _both_tracked(status.newest()), "it is not tracked")
        desk.until(lambda: _clutches(operator, person), "the clutch does not close")
        person.begin()

        def followed() -> bool:
            """Whether both sides moved. On a machine that stands still for a moment the clutch
            opens, as it must, and a person closes it again.
            """
            person.show()
            if _one_let_go(status.newest()):
                _clutches(operator, person)
            return all(joint.moved() > MOVED_RAD for joint in watched)

        desk.until(followed, "it does not follow")


def _both_tracked(message) -> bool:
    if message is None:
        return False
    return all(side["tracked"] for side in json.loads(message.data)["sides"].values())


def _clutches(operator, person) -> bool:
    """Teleoperation refuses until it has heard that motion is engaged and where the robot is."""
    try:
        answer = operator.call(topics.TELEOP_CLUTCH, person.show, data=True)
    except XlvlaError:
        return False
    return answer == "left and right follow"


def _one_let_go(message) -> bool:
    """Whether a clutch is open of sides that are all tracked."""
    if not _both_tracked(message):
        return False
    return not all(side["clutched"] for side in json.loads(message.data)["sides"].values())


def _engages(operator) -> bool:
    """Motion refuses until every driver has reported."""
    try:
        operator.call(topics.ENGAGE, data=True)
    except XlvlaError:
        return False
    return True


class _Watched:
    """How far the joint of a side that is moved is from where it was seen first [rad]."""

    def __init__(self, node, rig, side, joint):
        part = "arm" if "arm" in joint else "hand"
        self._joint = rig.joint_names(side, part).index(joint)
        self._states = Reader(node, topics.joint_states(side, part))
        self._first = None
        self._moved = None

    def moved(self):
        if (message := self._states.newest()) is not None:
            position = message.position[self._joint]
            self._first = position if self._first is None else self._first
            self._moved = abs(position - self._first)
        return self._moved


@pytest.fixture(scope="module")
def recording(rig) -> Path:
    """An episode in which one joint of each side moves."""
    with interruptible(), Session(rig, domain=own_domain()) as session:
        desk = Desk(session.operator, rig, session.supervisor.check)
        desk.until(lambda: desk.status, "the recorder says nothing")
        session.operator.call(topics.RECORDER_START)
        desk.until(lambda: desk.status.get("state") == "recording", "it does not record")
        node = session.operator.node
        watched = [_Watched(node, rig, side, joint) for side, joint in MOVES.items()]
        desk.until(lambda: all(joint.moved() is not None for joint in watched), "no states")
        desk.until(lambda: _engages(session.operator), "it is not engaged")
        folder = Path(desk.status["folder"])
        desk.until(
            lambda: all((joint.moved() or 0.0) > 0.9 * MOVED_RAD for joint in watched),
            "it does not move",
        )
        ends = time.monotonic() + 1.0
        desk.until(lambda: time.monotonic() > ends, "")
        session.operator.call(topics.RECORDER_STOP)
        desk.until(lambda: desk.status.get("state") == "stopped", "it does not stop")
    return folder


def test_only_what_is_there_has_topics_and_it_moves(recording, rig):
    bag = Bag(recording)
    absent = {name for name in bag.topics if name.startswith(("/left/hand", "/right/arm"))}
    assert not absent
    (first, *_) = bag.messages(["/joint_states"])
    assert set(first.content.name) == {name for key in rig.parts for name in rig.joint_names(*key)}
    (description, *_) = bag.messages(["/robot_description"])
    assert "right_hand_mount" in description.content.data
    played = performance(str(recording))
    played.refuse_unless_of(rig)
    for side, joint in MOVES.items():
        column = played.joints[side].index(joint)
        assert np.ptp(played.measured[side][:, column]) == pytest.approx(MOVED_RAD, abs=0.03)


def test_it_becomes_a_data_set_that_is_read_back(recording, rig, tmp_path):
    sets = tmp_path / "sets"
    command = ["data", "convert", str(recording.parent), "--to", str(sets), "--red"]
    converted = CliRunner().invoke(app, command)
    assert converted.exit_code == 0, converted.output
    (stored,) = store.find(sets)
    episode = stored.read()
    assert dict(episode.info.hands) == {"left": "none", "right": "ability"}
    shapes = {
        side: (own["arm"].shape[1], own["hand"].shape[1]) for side, own in episode.action.items()
    }
    assert shapes == {"left": (7, 0), "right": (0, 6)}
    assert set(episode.latent) == {"right"}
    for words in (["check"], ["show"], ["stats"]):
        shown = CliRunner().invoke(app, ["data", *words, str(sets)])
        assert shown.exit_code == 0, shown.output
    merged = CliRunner().invoke(app, ["data", "merge", str(sets), "--to", str(tmp_path / "all")])
    assert merged.exit_code == 0, merged.output
    performance(f"{stored.data.root}#0").refuse_unless_of(rig)
