"""The operator's own hand: what a tracker gets wrong is fitted from touches and taken out for every
source, and nothing else changes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xlvla import catalog, human, operator_hand, rig_file
from xlvla.codec import Codec
from xlvla.errors import RigError, XlvlaError
from xlvla.kinematics import Kinematics
from xlvla.operator_hand import AS_TRACKED, OPPOSING, OperatorHand, fit, gap_m, load, save
from xlvla.types import FINGERS, SIDES
from xlvla_drivers import registry
from xlvla_drivers.teleop.fingers import fingers
from xlvla_policy.latent.human_people import people, touches

EARLY, LATE = slice(0, 30), slice(30, 60)
RELAXED = np.array([0.7, 0.7, 0.1, 0.1, *[0.0, 0.3, 0.4, 0.25] * 4])
WRONG = OperatorHand(
    np.array([0.93, 1.06, 0.9, 1.1, 0.97]),
    np.array([[4.0, -6, 3], [0, 0, 0], [9, 0, 0], [0, 0, 2]]) / 1000,
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(operator_hand.FOLDER, str(tmp_path / "operators"))


@pytest.fixture(scope="module")
def rounds():
    """Two rounds of touches of two people, in other poses, as their trackers show them."""
    generator = torch.Generator().manual_seed(7)
    made = []
    for somebody in people(2):
        shown = touches(somebody, generator)
        made.append(tuple({f: shown[f][part] for f in shown} for part in (EARLY, LATE)))
    return made


def mean_gap(hand, kept, side="right"):
    return np.mean([gap_m(hand, side, finger, kept[finger]) for finger in OPPOSING])


def test_tips_that_touch_come_together_on_touches_that_were_not_fitted(rounds):
    for fitted, kept in rounds:
        hand = fit("right", fitted)
        assert mean_gap(hand, kept) < 0.7 * mean_gap(AS_TRACKED, kept)


def test_fingers_whose_lengths_a_tracker_has_wrong_get_their_own(rounds):
    """The thumb's and the index finger's: what a touch says of the others is shared with tips."""
    somebody = people(2)[1]
    lengths = fit("right", rounds[1][0]).lengths
    true = (somebody.own.bones.sum(-1) / somebody.shown.bones.sum(-1)).numpy()
    assert np.abs(lengths - true)[:2].max() < np.abs(1 - true)[:2].max()


def test_one_calibration_serves_both_hands(rounds):
    fitted, kept = rounds[0]
    mirrored = {finger: seen * human.MIRROR for finger, seen in fitted.items()}
    left, right = fit("left", mirrored), fit("right", fitted)
    np.testing.assert_allclose(left.offsets, right.offsets, atol=1e-9)
    points = kept["ring"][0]
    np.testing.assert_allclose(
        right.corrected("left", points * human.MIRROR),
        right.corrected("right", points) * human.MIRROR,
        atol=1e-9,
    )


def test_what_was_not_calibrated_is_shown_as_it_is_tracked():
    points = human.keypoints("left", RELAXED)
    np.testing.assert_allclose(
        AS_TRACKED.corrected("left", points),
        human.normalised("right", points * human.MIRROR) * human.MIRROR,
        atol=1e-12,
    )


def test_fingers_that_are_far_from_the_thumb_keep_their_places_but_for_their_lengths():
    flat = human.keypoints("right", np.array([0.0, 1.2, 0, 0, *[0.0] * 16]))
    lengths = OperatorHand(WRONG.lengths, AS_TRACKED.offsets)
    np.testing.assert_allclose(
        WRONG.corrected("right", flat), lengths.corrected("right", flat), atol=1e-4
    )


def test_a_finger_that_closes_never_opens_whatever_the_offset():
    offset = operator_hand.LARGEST_OFFSET_M * np.array([0.0, 0.6, 0.8])
    hand = OperatorHand(np.ones(5), np.array([offset] * 4))
    points = np.repeat(human.normalised("right", human.keypoints("right", RELAXED))[None], 200, 0)
    path = np.linspace(3.0, -1.0, 200)
    points[:, human.TIPS["index"]] = points[:, human.TIPS["thumb"]] + path[:, None] * offset
    shown = hand.corrected("right", points)
    line = shown[:, human.TIPS["index"]] - shown[:, human.TIPS["thumb"]]
    assert (np.diff(line @ offset) < 0).all()


def apart(follows, kept):
    """Mean distance [m] of an Ability hand's tips while its operator's touch."""
    entry = catalog.hand("ability")
    links = entry.tip_links("right")
    kinematics = Kinematics(entry.urdf_model("right"), entry.joint_names("right"))
    found = []
    for finger in ("index", "middle"):
        for points in kept[finger]:
            frames = kinematics.fk(follows.joints(points), list(links.values()))
            line = frames[links["thumb"]] - frames[links[finger]]
            found.append(np.linalg.norm(line[:3, 3]))
    return np.mean(found)


def test_a_robot_closes_where_its_operator_does(rounds):
    codec = Codec.load()
    ability = catalog.hand("ability")
    before = after = 0.0
    for fitted, kept in rounds:
        before += apart(fingers("codec", ability, "right", codec), kept)
        after += apart(fingers("codec", ability, "right", codec, fit("right", fitted)), kept)
    assert after < 0.8 * before


def test_every_method_is_shown_the_calibrated_hand():
    pytest.importorskip("dex_retargeting.retargeting_config")
    codec = Codec.load()
    ability = catalog.hand("ability")
    points = human.keypoints("right", RELAXED)
    shown = fingers("dex", ability, "right", codec).joints(WRONG.corrected("right", points))
    follows = fingers("dex", ability, "right", codec, WRONG)
    np.testing.assert_allclose(follows.joints(points), shown, atol=1e-4)
    assert np.isfinite(follows.latent).all()


def test_what_is_no_touch_is_one_line(rounds):
    fitted, _ = rounds[0]
    open_hand = np.repeat(human.keypoints("right", RELAXED)[None], 40, 0)
    far = np.repeat(human.keypoints("right", np.array([0.0, 1.2, 0, 0, *[0.0] * 16]))[None], 40, 0)
    for seen, line in (
        (fitted["ring"][:3], "ring finger: the right hand was seen 3 times, not 15"),
        (far, "ring finger were .* mm apart for the tracker, at most 50 mm"),
        (np.concatenate([fitted["ring"][:16], fitted["ring"][:2] + 0, open_hand]), "ring finger"),
    ):
        with pytest.raises(XlvlaError, match=line):
            fit("right", {**fitted, "ring": seen})
    with pytest.raises(XlvlaError, match=r"little finger: .* seen 0 times"):
        fit("right", {finger: fitted[finger] for finger in OPPOSING[:3]})


def test_a_calibration_is_kept_by_its_name():
    save("anna", WRONG)
    found = load("anna")
    np.testing.assert_allclose(found.lengths, WRONG.lengths)
    np.testing.assert_allclose(found.offsets, WRONG.offsets, atol=1e-5)
    save("anna", AS_TRACKED)
    assert (load("anna").lengths == 1).all() and operator_hand.known() == ["anna"]


def written(thumb="1", index="[0, 0, 0]"):
    """The text of a calibration."""
    lengths = f"{{thumb: {thumb}, index: 1, middle: 1, ring: 1, little: 1}}"
    others = ", ".join(f"{finger}: [0, 0, 0]" for finger in OPPOSING[1:])
    return f"lengths: {lengths}\noffsets_mm: {{index: {index}, {others}}}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lengths: {thumb: 1}", "is damaged"),
        ("[]", "is damaged"),
        (written(index="[0, 0]"), "is damaged"),
        (written(thumb="2"), "is no hand"),
        (written(thumb=".nan"), "is no hand"),
        (written(index="[0, 0, 90]"), "is no hand"),
    ],
)
def test_a_damaged_calibration_is_one_line(text, line):
    path = save("anna", AS_TRACKED)
    path.write_text(text)
    with pytest.raises(XlvlaError, match=line) as refused:
        load("anna")
    assert "\n" not in str(refused.value)


def test_a_name_that_is_no_files_and_one_that_nobody_has_are_refused():
    save("anna", AS_TRACKED)
    with pytest.raises(XlvlaError, match=r"did you mean 'anna'.*xlvla calibrate operator ana"):
        load("ana")
    with pytest.raises(XlvlaError, match="a name is one to"):
        save("../anna", AS_TRACKED)


def faults(source, name):
    document = rig_file.load("teleop_topics").document()
    document["teleop"] |= {"source": source, "operator": name, "options": {}}
    try:
        return registry.faults(rig_file.from_document(document, "test"))
    except RigError as error:
        return error.faults


def test_a_rig_names_an_operator_who_is_known_and_whose_hand_is_seen():
    save("anna", AS_TRACKED)
    assert not faults("topics", "anna")
    (line,) = faults("topics", "bert")
    assert line.startswith("teleop.operator: unknown operator 'bert': known are anna")
    (line,) = faults("keyboard", "anna")
    assert "the source 'keyboard' sees no hand of the operator's" in line
    chosen = rig_file.with_choices(rig_file.load("teleop_topics"), operator="anna")
    assert chosen.teleop is not None and chosen.teleop.operator == "anna"
    with pytest.raises(XlvlaError, match="operator chosen, but this rig has nothing to apply it"):
        rig_file.with_choices(rig_file.load("bimanual"), operator="anna")


class Pupil(threading.Thread):
    """Somebody whose tracker speaks ROS, and who does what they hear."""

    def __init__(self, domain, clumsy=0):
        from xlvla.ros import participant, topics

        super().__init__(daemon=True)
        self._node = participant.node_of_its_own("tracker", domain)
        topic = topics.tracked_keypoints("right")
        self._publisher = self._node.create_publisher(topic.type, topic.name, topic.qos)
        self._touches = touches(people(1)[0], torch.Generator().manual_seed(11))
        self._finger = None
        self._clumsy = clumsy
        self._ended = threading.Event()

    def hear(self, line):
        found = re.search(r"touch thumb and (\w+) finger", line)
        if found:
            self._finger = found[1]
            self._clumsy -= 1

    def run(self):
        from xlvla.ros import geometry

        number = 0
        while not self._ended.wait(1 / 60):
            number += 1
            points = human.keypoints("right", np.array([0.0, 1.2, 0, 0, *[0.0] * 16]))
            if self._finger and self._clumsy < 0:
                seen = self._touches[self._finger]
                points = seen[number % len(seen)]
            self._publisher.publish(geometry.cloud(points, time.time_ns(), "wrist"))

    def stop(self):
        from xlvla.ros import participant

        self._ended.set()
        self.join()
        participant.leave(self._node)


@pytest.fixture
def pupil(request):
    pytest.importorskip("rclpy")
    made = Pupil(int(os.environ["ROS_DOMAIN_ID"]), getattr(request, "param", 0))
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("pupil", [1], indirect=True)
def test_a_walk_asks_again_for_a_touch_that_was_none(pupil):
    from xlvla_cli.calibrate.operator import walk
    from xlvla_cli.ros.tracked_hand import tracked_hand

    said = []

    def say(sound, line):
        said.append(line)
        pupil.hear(line)

    with tracked_hand(rig_file.load("teleop_topics"), "right", None) as tracker:
        fitted, kept = walk(tracker, "right", say, hold_s=0.8)
    assert list(fitted) == list(kept) == list(OPPOSING) == list(FINGERS[1:])
    assert len([line for line in said if "mm apart" in line]) == 1
    hand = fit("right", fitted)
    assert mean_gap(hand, kept) < mean_gap(AS_TRACKED, kept)


@pytest.mark.long  # half a minute, as for a person
def test_the_command_stores_what_it_measured_and_tells_what_it_is_worth(pupil):
    command = [
        sys.executable,
        "-m",
        "xlvla",
        "calibrate",
        "operator",
        "anna",
        "--rig",
        "teleop_topics",
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    said = []
    for line in process.stdout:
        said.append(line)
        pupil.hear(line)
    text = "".join(said)
    assert process.wait() == 0, text
    before, after = map(float, re.search(r"mean\s+([\d.]+)\s+([\d.]+)", text).groups())
    assert after < 0.5 * before
    assert load("anna").lengths.shape == (5,) and "--operator anna" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["../anna", "--rig", "teleop_topics"], "a name is one to"),
        (["anna", "--rig", "bimanual"], "rig 'bimanual' has no `teleop` section"),
        (["anna", "--rig", "teleop_keyboard"], "sees no hand of the operator's"),
        (["anna", "--rig", "teleop_topics", "--side", "top"], "unknown side 'top'"),
    ],
)
def test_what_cannot_be_calibrated_is_one_line(arguments, line):
    import typer
    from typer.testing import CliRunner

    from xlvla_cli import calibrate

    app = typer.Typer()
    app.callback()(lambda: None)
    calibrate.register(app)
    run = CliRunner().invoke(app, ["calibrate", "operator", *arguments])
    assert isinstance(run.exception, XlvlaError) and line in str(run.exception)


@pytest.mark.parametrize("side", SIDES)
def test_teleoperation_uses_the_calibration_of_the_operator_it_is_given(side, monkeypatch):
    """The node's own loop: what it makes of keypoints is what the calibrated hand would be."""
    pytest.importorskip("rclpy")
    from xlvla.ros import participant
    from xlvla.ros.clock import Clock
    from xlvla.ros.node import RigNode
    from xlvla_drivers.ros.teleop_loop import TeleopLoop

    save("anna", WRONG)
    rig = rig_file.with_choices(rig_file.load("teleop_topics"), operator="anna")
    participant.join()
    node = RigNode("teleop")
    try:
        node.rig = rig
        node.clock = Clock()
        loop = TeleopLoop(node, rig.teleop)
        follows = loop._sides[side].follower.fingers
        points = human.keypoints(side, RELAXED)
        plain = fingers("codec", rig.hand(side), side, Codec.load())
        np.testing.assert_allclose(
            follows.joints(points), plain.joints(WRONG.corrected(side, points)), atol=1e-4
        )
        assert np.abs(follows.joints(points) - plain.joints(points)).max() > 1e-3
    finally:
        node.destroy_node()
        import rclpy

        rclpy.shutdown()


@pytest.mark.long
def test_the_bench_has_a_row_with_and_one_without_the_calibration_of_every_person(tmp_path):
    from xlvla_cli.bench.fingers import calibrated

    rows = list(calibrated("ability", "left", ("codec",), 4, None, 2))
    assert [(row.person, row.calibrated) for row in rows] == [
        (0, False),
        (0, True),
        (1, False),
        (1, True),
    ]
    for before, after in (rows[:2], rows[2:]):
        assert after.tracked_mm < 0.6 * before.tracked_mm
    assert sum(row.touching_mm for row in rows[1::2]) < sum(row.touching_mm for row in rows[::2])
