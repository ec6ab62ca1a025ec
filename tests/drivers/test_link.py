"""Link, guard and driver against emulated devices that are unplugged and broken."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from xlvla import catalog, rig_file
from xlvla.errors import RigError, XlvlaError
from xlvla.guard import Guard, part_guard
from xlvla.types import PARTS, SIDES
from xlvla_cli.bench.rehearsal import Rehearsal
from xlvla_drivers import registry
from xlvla_drivers.calibration import Calibration, command_limits
from xlvla_drivers.link import FIRST_PAUSE_S, Link

pytestmark = pytest.mark.usefixtures("hastened")

PATIENCE_S = 15.0
RATE_HZ = 100.0


def emulated(hand="ability", **device):
    """A rig of one emulated side."""
    left = {
        "arm": {"type": "xarm7", "device": {"emulated": True}},
        "hand": {"type": hand, "device": {"emulated": True, **device}},
    }
    return rig_file.from_document(
        {"name": "test", "sides": {"left": left}, "policy": None, "sim": None}, "test"
    )


class Desk:
    """An emulated hand, its link, and somebody who steps it."""

    def __init__(self, rig):
        configured = registry.configured(rig, "left", "hand")
        self.emulator = registry.emulator(configured)
        self.reported = []
        device = configured.device
        driver = registry.open_device(configured)
        calibration = Calibration(driver.joints, device.calibration)
        limits = command_limits(rig, "left", "hand", calibration)
        self.guard = part_guard(rig, "left", "hand", limits, rate_hz=RATE_HZ)
        self.link = Link(
            driver,
            self.guard,
            calibration,
            on_change=lambda: self.reported.append(self.link.status),
        )

    def step(self):
        self.link.step()
        time.sleep(0.002)

    def until(self, true):
        give_up = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < give_up, self.link.status
            self.step()

    def ask(self, position):
        now_s = time.time()
        self.link.offer(dict(zip(self.guard.joints, position, strict=True)), now_s, now_s)

    def go(self, position):
        """Commands until the device is there."""
        while np.abs(self.emulator.position - position).max() > 0.02:
            self.ask(self.guard.held + np.clip(position - self.guard.held, -0.05, 0.05))
            self.step()


@pytest.fixture
def desk(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "ADDRESS", str(tmp_path / "{side}_{driver}"))
    made = Desk(emulated())
    made.emulator.start()
    yield made
    made.link.close()
    made.emulator.stop()


def test_a_connected_device_is_held_where_it_was_measured(desk):
    desk.until(lambda: desk.link.sent)
    assert desk.link.status.level == "ok" and not desk.guard.following
    assert np.abs(np.array(list(desk.link.sent.values())) - desk.emulator.position).max() < 0.01


def test_an_unplugged_device_is_reported_and_sent_nothing_and_when_it_is_back_only_a_near_command_moves_it(
    desk,
):
    desk.until(lambda: desk.link.sent)
    bent = np.clip(np.full(6, 0.6), desk.guard.limits.lower, desk.guard.limits.upper)
    desk.go(bent)
    desk.emulator.inject("unplug")
    desk.until(lambda: desk.link.status.level == "fault")
    assert desk.link.condition == "lost" and not desk.link.sent and "gone" in desk.link.status.line
    desk.emulator.plant.place(0.5 * bent)  # somebody moves the fingers meanwhile
    desk.emulator.inject("unplug", False)
    desk.until(lambda: desk.link.sent)
    assert np.abs(np.array(list(desk.link.sent.values())) - 0.5 * bent).max() < 0.02
    with pytest.raises(XlvlaError, match="the first command must be within"):
        desk.ask(bent)
    assert desk.link.status.level == "warning"
    desk.go(bent)
    assert desk.link.status.level == "ok"
    assert [standing.level for standing in desk.reported].count("ok") >= 3


class Interrupted(Calibration):
    """The process stands still once, after a target was made and before it is sent."""

    pause_s = 0.0

    def device(self, joint):
        time.sleep(self.pause_s)
        self.pause_s = 0.0
        return super().device(joint)


def test_a_target_from_before_a_standstill_of_the_process_is_not_sent_after_it(desk):
    desk.until(lambda: desk.link.sent)
    calibration = Interrupted(desk.link.device.joints, {})
    desk.link.calibration = calibration
    far = np.clip(np.full(6, 0.9), desk.guard.limits.lower, desk.guard.limits.upper)
    began = desk.guard.held
    desk.until(
        lambda: (
            desk.ask(desk.guard.held + np.clip(far - desk.guard.held, -0.05, 0.05))
            or np.abs(desk.guard.held - began).max() > 0.2
        )
    )
    assert not desk.guard.at_rest
    last = dict(desk.link.sent)
    calibration.pause_s = desk.guard.stale_s + 0.1
    desk.step()
    assert not desk.link.sent
    desk.until(lambda: desk.link.sent and desk.guard.at_rest)
    held = np.array(list(desk.link.sent.values()))
    assert np.abs(held - np.array(list(last.values()))).max() < 0.02


class InterruptedGuard(Guard):
    """The process stands still once, before a target is made."""

    pause_s = 0.0

    def target(self):
        time.sleep(self.pause_s)
        self.pause_s = 0.0
        return super().target()


def test_after_a_standstill_before_a_target_was_made_a_device_is_held_where_it_is_found(desk):
    desk.until(lambda: desk.link.sent)
    configured = desk.guard
    guard = InterruptedGuard(
        configured.joints,
        configured.limits,
        acceleration=np.full(6, 10.0),
        stale_s=configured.stale_s,
        rate_hz=RATE_HZ,
    )
    guard.anchor(configured.held)
    desk.link.guard = desk.guard = guard
    desk.step()
    assert desk.link.sent
    elsewhere = guard.held + 0.2
    guard.pause_s = guard.stale_s + 0.1
    desk.emulator.plant.place(elsewhere)
    desk.step()
    assert not desk.link.sent
    assert guard.paused
    desk.until(lambda: desk.link.sent)
    assert desk.link.counts["pauses"] == 1
    sent = np.array(list(desk.link.sent.values()))
    assert np.abs(sent - desk.emulator.position).max() < 0.02


def test_attempts_to_connect_become_rarer(desk):
    desk.emulator.inject("unplug")
    times = []

    def attempted():
        times.extend([time.monotonic()] * (desk.link.counts["attempts"] - len(times)))
        return len(times) == 5

    desk.until(attempted)
    assert (np.diff(times) > 0.95 * FIRST_PAUSE_S * 2.0 ** np.arange(4)).all()


def test_a_device_that_is_not_there_cannot_recover(desk):
    desk.emulator.inject("unplug")
    asked = desk.link.recover()
    desk.step()
    with pytest.raises(XlvlaError, match="not connected"):
        asked.result(timeout=0)


def test_a_device_that_moves_is_not_recovered_and_one_that_rests_is_held_where_it_is(desk):
    desk.until(lambda: desk.link.sent)
    bent = np.clip(np.full(6, 0.6), desk.guard.limits.lower, desk.guard.limits.upper)
    desk.until(
        lambda: (
            desk.ask(desk.guard.held + np.clip(bent - desk.guard.held, -0.05, 0.05))
            or not desk.guard.at_rest
        )
    )
    asked = desk.link.recover()
    desk.until(asked.done)
    with pytest.raises(XlvlaError, match="it moves: stop it first"):
        asked.result()
    desk.guard.stop("a test")
    desk.until(lambda: desk.guard.at_rest)
    asked = desk.link.recover()
    desk.until(asked.done)
    assert asked.result() == "nothing to clear"
    desk.until(lambda: desk.link.sent)
    assert np.abs(desk.guard.held - desk.emulator.position).max() < 0.05


def test_a_calibrated_device_goes_where_the_joint_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "ADDRESS", str(tmp_path / "{side}_{driver}"))
    desk = Desk(emulated(calibration={"index_q1": {"sign": -1.0, "offset": 1.5}}))
    desk.emulator.start()
    desk.until(lambda: desk.link.sent)
    index = desk.guard.joints.index("left_hand_index_q1")
    assert abs(desk.link.state.position[index] - 1.5) < 0.01
    give_up = time.monotonic() + PATIENCE_S
    while abs(desk.emulator.position[index] - 0.5) > 0.02:
        assert time.monotonic() < give_up
        target = desk.guard.held.copy()
        target[index] += np.clip(1.0 - target[index], -0.05, 0.05)
        desk.ask(target)
        desk.step()
    desk.until(lambda: abs(desk.link.state.position[index] - 1.0) < 0.02)
    desk.link.close()
    desk.emulator.stop()


DEVICES = [
    (hand.driver, "hand", hand.name)
    for hand in catalog.hands().values()
    if hand.driver in registry.emulators()
]
DEVICES += [
    (arm.driver, "arm", arm.name)
    for arm in catalog.arms().values()
    if arm.driver in registry.emulators()
]


def every_device(turn: int):
    """Every device as part and kind, for one of three tests: `make test` runs each device in one of
    them, and each of them with some devices.
    """
    return pytest.mark.parametrize(
        ("part", "kind"),
        [
            pytest.param(part, kind, id=driver, marks=() if k % 3 == turn else pytest.mark.long)
            for k, (driver, part, kind) in enumerate(DEVICES)
        ],
    )


def rehearsed(part, kind):
    """A rehearsal of one device."""
    left = {"arm": {"type": "xarm7"}, "hand": {"type": "ability"}}
    left[part]["type"] = kind
    for entry in left.values():
        entry["device"] = {"emulated": True, "rate_hz": RATE_HZ}
    return Rehearsal(
        rig_file.from_document(
            {"name": "test", "sides": {"left": left}, "policy": None, "sim": None}, "test"
        ),
        "left",
        part,
    )


@every_device(0)
def test_every_device_survives_being_unplugged_while_it_moves(part, kind, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "ADDRESS", str(tmp_path / "{side}_{driver}"))
    with rehearsed(part, kind) as rehearsal:
        outcome = rehearsal.run("unplug")
    assert (
        outcome.detected_s is not None
        and outcome.detected_s < 1.0
        and outcome.reported.startswith("lost")
    )
    assert outcome.recovered_s is not None and outcome.recovery == "reconnected by itself"
    assert (
        outcome.largest_step_rad <= outcome.allowed_step_rad + 0.01
    )  # and the device's resolution
    assert outcome.return_step_rad < 0.05


@every_device(1)
def test_a_driver_that_ends_in_motion_leaves_every_device_at_rest(
    part, kind, monkeypatch, tmp_path
):
    monkeypatch.setattr(registry, "ADDRESS", str(tmp_path / "{side}_{driver}"))
    with rehearsed(part, kind) as rehearsal:
        assert rehearsal.followed_after() is not None
        guard = rehearsal.guard
        give_up = time.monotonic() + PATIENCE_S
        before = guard.held.copy()
        speed = 0.0
        while speed < 0.3:
            assert time.monotonic() < give_up
            rehearsal.go_on(0.05)
            speed = np.abs(guard.held - before).max() / 0.05
            before = guard.held.copy()
        assert all(rehearsal.link.rest(1 / RATE_HZ))
        assert guard.at_rest and guard.stopped
        rehearsal.link.close()
        position = rehearsal.emulator.position.copy()
        time.sleep(0.1)
        assert np.abs(rehearsal.emulator.position - position).max() < 0.01


STANDSTILLS = """
import os, pathlib, signal, sys, time
def family(pid):
    found = " ".join(thread.joinpath("children").read_text() for thread in
    pathlib.Path(f"/proc/{pid}/task").iterdir())
    return [pid, *(other for child in map(int, found.split()) if child != os.getpid() for other in
    family(child))]
for _ in range(2):
    stopped = family(int(sys.argv[1]))
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(0.2)
    for pid in reversed(stopped):
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.4)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says who is whose child")
@every_device(2)
def test_a_machine_that_stands_still_for_a_moment_loses_no_device(
    part, kind, monkeypatch, tmp_path
):
    monkeypatch.setattr(registry, "ADDRESS", str(tmp_path / "{side}_{driver}"))
    with rehearsed(part, kind) as rehearsal:
        assert rehearsal.followed_after() is not None
        freezer = subprocess.Popen([sys.executable, "-c", STANDSTILLS, str(os.getpid())])
        while freezer.poll() is None:
            rehearsal.go_on(0.1)
        assert freezer.returncode == 0
        assert rehearsal.link.counts["losses"] == 0
        assert rehearsal.followed_after() is not None


@pytest.mark.parametrize(
    ("device", "line"),
    [
        ({"options": {"baudrate": 1}}, "did you mean 'baud'"),
        (
            {"options": {"baud": "fast"}},
            "sides.left.hand.device.options.baud: expected a whole number",
        ),
    ],
)
def test_what_a_driver_does_not_understand_is_told_before_anything_starts(device, line):
    faults = registry.faults(emulated(**device))
    assert len(faults) == 1 and line in faults[0]


@pytest.mark.parametrize(
    "hand", [hand.name for hand in catalog.hands().values() if hand.driver in registry.emulators()]
)
def test_the_emulated_rig_takes_any_hand_that_has_an_emulator(hand):
    rig = rig_file.with_choices(
        rig_file.load("bimanual_emulated"), hands={"left": hand, "right": hand}
    )
    assert registry.faults(rig) == []
    assert [
        registry.open_device(registry.configured(rig, *key)).joints
        for key in rig.parts
        if key[1] == "hand"
    ] == [rig.hand(side).joint_names(side) for side in rig.sides]


def test_an_unknown_driver_is_told_when_the_rig_is_read():
    with pytest.raises(RigError, match=r"unknown driver 'abilty'.* did you mean 'ability'"):
        emulated(driver="abilty")


def test_emulated_devices_of_different_domains_do_not_meet_nor_those_of_different_hands(
    monkeypatch,
):
    addresses = {}
    names = [
        name for part in PARTS for name in catalog.drivers(part) if registry.has_emulator(name)
    ]
    for domain in ("3", "4"):
        monkeypatch.setenv("ROS_DOMAIN_ID", domain)
        addresses[domain] = [
            registry.emulated_address(name, side) for name in names for side in ("left", "right")
        ]
    assert not set(addresses["3"]) & set(addresses["4"])
    hands = []
    for name in catalog.drivers("hand"):
        module = registry.driver("hand", name)
        for side in SIDES:
            address = registry.emulated_address(name, side)
            # Hands may share an address and have something of their own behind it.
            claim = getattr(module, "claim", None)
            hands.append(claim(address, side, module.Options()) if claim else address)
    assert len(set(hands)) == len(hands)
