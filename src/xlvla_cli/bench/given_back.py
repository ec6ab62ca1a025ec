"""How the arms of a humanoid are given back when what drives them stops: what was sent last, and
the weight of commands over time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xlvla.errors import XlvlaError
from xlvla.guard import Refused, part_guard
from xlvla.rig import Rig
from xlvla_cli.bench.rehearsal import Swing
from xlvla_drivers import registry
from xlvla_drivers.arms.g1 import RETURN_S, Options, socket_path
from xlvla_drivers.calibration import Calibration, command_limits
from xlvla_drivers.link import Link

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

START_S = 60.0
MOVING_S = 1.2
"""For a driver to take the arms over; and how long it moves one before anything happens."""

SETTLES_S = 1.0
GIVE_UP_S = 30.0
"""How long is watched beyond ramps; and at most, until arms are given back that have to be."""

MISSED = 4
"""So many commands may be missed between two that come: this machine has other work."""

SPEED_RAD_S = 1.5
"""The fastest that an arm may move which is held or given back: swinging, it is slower."""


@dataclass
class GivenBack:
    """What became of an arm that was moving.

    Args:
        cause: what happened.
        weight, stiffness: of the last command; the stiffness the mean of the arm's [Nm/rad].
        silent_s: since the last command, when it was over.
        commands: that came from the cause on.
        steepest: largest change of the weight from one command to the next.
        curve: weights over time from the cause on [s].
        moved_rad, fastest_rad_s: arms and waist, from the cause on.
        wrong: what is not as it should be, '' where nothing is.
    """

    cause: str
    weight: float = 0.0
    stiffness: float = 0.0
    silent_s: float = 0.0
    commands: int = 0
    steepest: float = 0.0
    curve: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    moved_rad: float = 0.0
    fastest_rad_s: float = 0.0
    wrong: str = ""


@dataclass(frozen=True)
class Cause:
    """Something that happens to a driven robot.

    Args:
        act: makes it happen.
        lasts_s: how long is watched, beside ramps.
        weight: of the last command as it should be.
        undo: ends it.
    """

    act: Callable[[DrivenArm], None]
    lasts_s: float
    weight: float
    undo: Callable[[DrivenArm], None] = lambda arm: None


class DrivenArm:
    """An emulated arm, and the process that drives it; a context manager."""

    def __init__(self, rig: Rig):
        self.rig = rig
        configured = registry.configured(rig, "left", "arm")
        self.address = configured.address
        self.options: Options = configured.options
        # What it was commanded is told by an emulated G1 alone.
        self.emulator: Any = registry.emulator(configured)
        # Neither ROS nor DDS is in this process, and none of its threads holds a lock meanwhile.
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self.process = context.Process(target=_drive, args=(rig, theirs), daemon=True)

    def __enter__(self) -> DrivenArm:
        self.emulator.start()
        self.process.start()
        if not self._line.poll(START_S):
            self.__exit__()
            raise XlvlaError(f"the arm at {self.address} is not taken over")
        time.sleep(MOVING_S)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.is_alive():
            self.tell("end")
        self.process.join(START_S)
        self.emulator.stop()

    def tell(self, order: str) -> None:
        """`stop` latches a stop of the driver's, `end` ends it."""
        with contextlib.suppress(OSError):
            self._line.send(order)

    def kill_server(self, how: signal.Signals) -> None:
        """Signals the process that commands the robot."""
        os.kill(int(socket_path(self.address).with_suffix(".lock").read_text()), how)


def _drive(rig: Rig, line: Connection) -> None:
    """Swings the left arm of a rig until it is told to end."""
    configured = registry.configured(rig, "left", "arm")
    driver = registry.open_device(configured)
    calibration = Calibration(driver.joints, configured.device.calibration)
    limits = command_limits(rig, "left", "arm", calibration)
    rate_hz = configured.device.rate_hz
    guard = part_guard(rig, "left", "arm", limits, rate_hz=rate_hz)
    link = Link(driver, guard, calibration)
    swing = Swing(guard)
    said = False
    while True:
        if line.poll():
            if line.recv() == "end":
                break
            guard.stop("the bench", time.time_ns())
        now_s = time.time()
        command = swing.command(now_s)
        if command is not None and link.condition == "up":
            with contextlib.suppress(Refused):
                link.offer(command, now_s, now_s)
        link.step()
        if link.condition == "up" and not said:
            line.send("driven")
            said = True
        time.sleep(1 / rate_hz)
    for _ in link.rest(1 / rate_hz):
        pass
    link.close()


def _suffers(fault: str, seconds: float) -> Callable[[DrivenArm], None]:
    def act(arm: DrivenArm) -> None:
        arm.emulator.inject(fault)
        time.sleep(seconds)
        arm.emulator.inject(fault, False)

    return act


def _begins(fault: str) -> Callable[[DrivenArm], None]:
    return lambda arm: arm.emulator.inject(fault)


def _ends(fault: str) -> Callable[[DrivenArm], None]:
    return lambda arm: arm.emulator.inject(fault, False)


CAUSES: dict[str, Cause] = {
    "unplugged for 0.3 s": Cause(_suffers("unplug", 0.3), 2.0, 1.0),
    "silent for 2 s": Cause(_suffers("unplug", 2.0), 4.0, 1.0),
    "wrong CRC for 1 s": Cause(_suffers("garbled", 1.0), 4.0, 1.0),
    "other mode_machine": Cause(_begins("other_mode"), 0.0, 0.0, _ends("other_mode")),
    "stop on the remote": Cause(_begins("remote_stop"), 0.0, 0.0, _ends("remote_stop")),
    "e-stop": Cause(lambda arm: arm.tell("stop"), 0.0, 1.0),
    "driver ends": Cause(lambda arm: arm.tell("end"), 0.0, 0.0),
    "driver killed": Cause(lambda arm: arm.process.kill(), RETURN_S, 0.0),
    "server told to end": Cause(lambda arm: arm.kill_server(signal.SIGTERM), 4.0, 1.0),
    "server killed": Cause(lambda arm: arm.kill_server(signal.SIGKILL), 4.0, 1.0),
}
"""What happens while an arm swings. A driver that goes on finds its robot again, and takes it up;
an e-stop holds the arms.
"""


def given_back(rig: Rig, causes: Iterator[str] | None = None) -> Iterator[GivenBack]:
    """Tries every cause, or these, on the left arm of a rig with a G1's driver."""
    for name in causes or CAUSES:
        with DrivenArm(rig) as arm:
            yield _tried(name, CAUSES[name], arm)


def _tried(name: str, cause: Cause, arm: DrivenArm) -> GivenBack:
    arm.emulator.watch()
    cause.act(arm)
    time.sleep(cause.lasts_s + arm.options.ramp_s + SETTLES_S)
    give_up_s = time.monotonic() + GIVE_UP_S
    while arm.emulator.witnessed["weight"] != cause.weight and time.monotonic() < give_up_s:
        time.sleep(SETTLES_S)
    witnessed: dict[str, Any] = arm.emulator.witnessed
    cause.undo(arm)
    row = GivenBack(cause=name, **witnessed)
    allowed = MISSED / (arm.options.ramp_s * arm.options.rate_hz)
    if row.weight != cause.weight:
        row.wrong = f"the last weight is {row.weight:.2f}, not {cause.weight:.2f}"
    elif row.steepest > allowed:
        row.wrong = f"the weight leaps by {row.steepest:.3f}, {allowed:.3f} is a ramp"
    elif row.fastest_rad_s > SPEED_RAD_S:
        row.wrong = f"it moves at {row.fastest_rad_s:.2f} rad/s"
    return row
