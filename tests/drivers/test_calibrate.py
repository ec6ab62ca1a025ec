"""Calibration: what a person's marks say of a device, and how a rig's file learns it."""

from __future__ import annotations

import os
import re
import time

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from xlvla import catalog, rig_file
from xlvla.arms.xarm7 import ARM
from xlvla.device import JointCalibration
from xlvla.errors import XlvlaError
from xlvla_cli import calibrate
from xlvla_cli.rig_edit import save, with_calibration
from xlvla_drivers.arms.dynamixel import Driver, Options
from xlvla_drivers.calibration import Calibration
from xlvla_drivers.emulators.dynamixel import Emulator
from xlvla_drivers.walkthrough import Walk, fit, marks

pytestmark = pytest.mark.usefixtures("hastened")

QUARTER = np.pi / 2
app = typer.Typer()
app.callback()(lambda: None)
calibrate.register(app)
WIRED = {  # how this leader arm was built: the angle of each joint from that of its servo
    "joint1": JointCalibration(1, 3 * QUARTER),
    "joint2": JointCalibration(-1, np.pi),
    "joint3": JointCalibration(1, QUARTER),
    "joint4": JointCalibration(1, 0.1),
    "joint5": JointCalibration(-1, -QUARTER),
    "joint6": JointCalibration(-1, 0.0),
    "joint7": JointCalibration(1, -0.2),
}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_fit_finds_sign_offset_and_scale(sign):
    device = np.array([0.3, 1.7])
    made = fit(sign * device + 0.4, device.tolist())
    assert made.calibration == JointCalibration(sign, 0.4) and made.residual < 1e-9
    scaled = fit(sign * 0.5 * device - 1, device.tolist(), scaled=True)
    assert scaled.calibration == JointCalibration(sign, -1, 0.5)


def test_an_offset_snaps_to_quarter_turns_and_the_residual_tells_how_far_it_was():
    made = fit([0.0, QUARTER], [-QUARTER + 0.03, 0.05], snap=QUARTER)
    assert made.calibration.offset == pytest.approx(QUARTER, abs=1e-5)
    assert made.residual == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(
    ("device", "complaint"),
    [((0.0, 0.05), "moved by 2.9 deg only"), ((0.0, 0.5), "0.32 times what was asked")],
)
def test_readings_that_contradict_the_marks_are_not_believed(device, complaint):
    with pytest.raises(XlvlaError, match=complaint):
        fit([0.0, QUARTER], device)


def test_marks_are_angles_a_person_can_find():
    assert [mark.angle for mark in marks(0.0, 1.74)] == [0.0, 1.74]
    assert [mark.angle for mark in marks(-1.74, 0.0)] == [0.0, -1.74]
    assert [mark.angle for mark in marks(-6.28, 6.28)] == [0.0, QUARTER]
    assert [mark.angle for mark in marks(0.2, 1.0)] == [0.2, 1.0]
    assert marks(-0.19, 3.9)[1].angle == QUARTER


class Person:
    """Reads what is asked, and moves the arm's joint there with a hand that is a degree off."""

    def __init__(self, arm, address):
        self._arm = arm
        self._address = address
        self._wired = Calibration(ARM.joints, WIRED)
        self._pose = np.zeros(7)
        self._rng = np.random.default_rng(0)
        self.clumsy = ["joint2"]  # where the wrong joint is moved first
        self.stumbles = "joint5"  # where the cable comes out
        self.heard = []

    def ask(self, question):
        if question.startswith("Mend that"):
            self._arm.inject("unplug", on=False)
            while not os.path.exists(self._address):
                time.sleep(0.01)
            return ""
        found = re.match(r"(\w+): bring it to (-?[\d.]+) deg", question)
        assert found, question
        name = found[1]
        degrees = float(found[2])
        if degrees and name in self.clumsy:
            self.clumsy.remove(name)
            name = "joint7"
        self._pose[ARM.joints.index(name)] = np.radians(degrees + self._rng.uniform(-1, 1))
        self._arm.plant.place(self._wired.device(self._pose))
        if name == self.stumbles:
            self.stumbles = ""
            self._arm.inject("unplug")
        return ""


def test_a_walk_finds_how_an_arm_was_built(tmp_path):
    options = Options(baud=1_000_000)
    arm = Emulator(str(tmp_path / "leader"), "right", options)
    arm.start()
    driver = Driver(str(tmp_path / "leader"), "right", options)
    driver.connect()
    person = Person(arm, tmp_path / "leader")
    walk = Walk(driver, person.ask, person.heard.append)
    fits = [
        walk.joint(k, marks(low, high))
        for k, (low, high) in enumerate(zip(ARM.limits.lower, ARM.limits.upper, strict=True))
    ]
    driver.disconnect()
    arm.stop()
    for made, wired in zip(fits, WIRED.values(), strict=True):
        turns = (made.calibration.offset - wired.offset) / (2 * np.pi)
        assert made.calibration.sign == wired.sign and made.calibration.scale == 1
        assert turns == pytest.approx(round(turns), abs=np.radians(1.5) / (2 * np.pi))
        assert made.residual < np.radians(1.5)
    assert "  joint2: joint7 moved instead: check cables and ids. Once more." in person.heard
    assert any("leader is gone" in line for line in person.heard)


ENTRIES = {"index_q1": JointCalibration(-1, 0.125), "ring_q1": JointCalibration(1, -4e-05, 0.97)}
FORMS = {
    "block": "hand:\n      type: ability  # left\n      device:\n        address: /dev/ttyUSB0  # "
    "by the door\n        rate_hz: 200\n",
    "last line": "hand:\n      type: ability\n      device:\n        address: /dev/ttyUSB0",
    "flow": "hand: {type: ability, device: {address: /dev/ttyUSB0, options: {baud: 921600}}}  # "
    "left\n",
    "old flow": "hand:\n      type: ability\n      device: {address: a, calibration: {thumb_q1: "
    "{sign: -1}}, rate_hz: 100}\n",
    "old block": (
        "hand:\n      type: ability\n      device:\n        calibration:\n          # by hand\n    "
        "      thumb_q1: {sign: -1}\n"
        "        # then\n        address: a\n"
    ),
    "old empty": "hand:\n      type: ability\n      device:\n        calibration: {}\n        "
    "address: a\n",
}
HEAD = (
    "# A rig of ours\nname: ours\nsides:\n  left:\n    arm: {type: xarm7, device: {address: "
    "192.168.1.1}}\n    "
)


@pytest.mark.parametrize("form", FORMS)
def test_a_rigs_file_learns_a_calibration_and_keeps_the_rest_as_it_is(form, tmp_path):
    before = HEAD + FORMS[form]
    after = with_calibration(before, "left", "hand", ENTRIES)
    expected = yaml.safe_load(before)
    expected["sides"]["left"]["hand"]["device"]["calibration"] = {
        "index_q1": {"sign": -1, "offset": 0.125},
        "ring_q1": {"sign": 1, "offset": -4e-05, "scale": 0.97},
    }
    assert yaml.safe_load(after) == expected
    assert [line.partition("#")[2] for line in after.splitlines() if "#" in line] == [
        line.partition("#")[2] for line in before.splitlines() if "#" in line
    ]
    assert with_calibration(after, "left", "hand", ENTRIES) == after


def test_a_section_that_two_parts_share_is_not_touched():
    shared = (
        HEAD
        + "hand: {type: ability, device: &d {address: a}}\n  right:\n    arm: {type: xarm7}\n    "
        "hand: {type: ability, device: *d}\n"
    )
    with pytest.raises(XlvlaError, match="anchors, aliases"):
        with_calibration(shared, "left", "hand", ENTRIES)


def test_a_file_is_replaced_at_once_and_the_old_one_kept(tmp_path):
    path = tmp_path / "rig.yaml"
    assert save(path, "old") is None
    kept = save(path, "new")
    assert path.read_text() == "new" and kept is not None and kept.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def xlvla(*arguments, typed):
    """What the command prints, and what it ends with."""
    run = CliRunner().invoke(app, ["calibrate", "device", *arguments], input=typed)
    return run.output, run.exception


@pytest.fixture
def rig(tmp_path):
    path = tmp_path / "ours.yaml"
    text = catalog.rigs()["bimanual_emulated"].read_text()
    path.write_text(
        "# ours\n"
        + text.replace("{emulated: true}", f"{{emulated: true, address: {tmp_path}/device}}")
    )
    return path


def test_the_command_leads_through_an_emulated_hand_and_writes_the_rig(rig, tmp_path):
    typed = "\n" + "+15\n" * 6 + "+9.69\n" + "\n" + "y\n"
    _, ended = xlvla(str(rig), "--side", "left", "--joint", "index_q1", typed=typed)
    assert ended is None
    device = rig_file.load(rig).device("left", "hand")
    assert device is not None and set(device.calibration) == {"index_q1"}
    assert (
        device.calibration["index_q1"].sign == 1
        and abs(device.calibration["index_q1"].offset) < 0.02
    )
    assert rig.read_text().startswith("# ours\n") and len(list(tmp_path.glob("*.bak"))) == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "stopped"),
        ("\n\nq\n", "Once more"),
        ("s\n", "is skipped"),
        ("+90\nq\n", "at most 15 deg"),
    ],
)
def test_a_walk_that_is_broken_off_or_makes_no_sense_writes_nothing(rig, tmp_path, typed, said):
    before = rig.read_text()
    output, _ = xlvla(str(rig), "--side", "left", "--joint", "index_q1", typed=typed)
    assert said in output and "nothing is written" in output
    assert rig.read_text() == before and not list(tmp_path.glob("*.bak"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["bimanual"], "has no device at sides.right.hand"),
        (["bimanual_emulated", "--side", "middle"], "unknown part 'middle hand'"),
        (["bimanual_emulated", "--side", "left", "--joint", "index"], "did you mean 'index_q1'"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, ended = xlvla(*arguments, typed="")
    assert isinstance(ended, XlvlaError) and complaint in str(ended) and "\n" not in str(ended)
