"""How a rig handles a driver that stands still, and rogue nodes that publish commands.

Each fault is caused while the left arm moves, and measured by the stamps of what its driver and
motion then report.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from xlvla.guard import HEADROOM
from xlvla.ros import convert, topics
from xlvla.ros.clock import Clock
from xlvla.ros.convert import SECOND
from xlvla_cli.bench.ros.graph_faults import (
    BRAKES_RAD,
    RESTS_S,
    GraphFault,
    Log,
    after,
    not_reported,
)
from xlvla_cli.bench.ros.rogue_node import RogueNode
from xlvla_cli.bench.ros.swinging_arm import StatusLine, SwingingArm
from xlvla_cli.ros.session import Session

MARGIN_S = 0.3
"""What may pass beside the time that is promised: messages on their way, on a machine that is busy.
"""

REPORTED_WITHIN_S = 4.0
"""How long to wait for a report on rogue nodes, which are looked for once a second."""

STILL_RAD = 0.01
"""An arm that has gone no further has not moved."""

NOISE_RAD = 5e-4
"""What measured angles of an arm at rest differ by."""

TRIES = 3

SILENT = "silent joint states, step on return"
WRITER = "second writer"
STOPPED = "stop, then a stranger"

SILENT_S = 2.0
RETURNS_S = 0.4
AHEAD_S = 0.035
ROGUE_RAD_S = 1.0
"""How far ahead of the clock a rogue node's commands are stamped, and how fast they lead away."""


def of_drivers(session: Session, domain: int, log: Log) -> dict[str, Callable[[], GraphFault]]:
    """Faults of a rig whose devices have drivers, by name, each to be called; `log` has what its
    nodes print.
    """
    arm = SwingingArm(session, "left", Clock())
    return {
        SILENT: lambda: silent_joint_states(arm),
        WRITER: lambda: _undisturbed(arm, lambda: second_writer(arm, domain, log)),
        STOPPED: lambda: _undisturbed(arm, lambda: stop_then_stranger(arm, domain)),
    }


def _undisturbed(arm: SwingingArm, cause: Callable[[], GraphFault]) -> GraphFault:
    """What became of a fault that leaves the device alone; anew where a machine that was too busy
    to answer for the device lost it meanwhile.
    """
    for _ in range(TRIES - 1):
        outcome = cause()
        if arm.first_line("lost: ", "driver") is None:
            return outcome
    return cause()


def silent_joint_states(arm: SwingingArm) -> GraphFault:
    """The driver of an arm in motion is stopped for two seconds."""
    arm.begin()
    arm.driver.kill(signal.SIGSTOP)
    try:
        arm.watch(SILENT_S)
    finally:
        arm.driver.kill(signal.SIGCONT)
    last = arm.reports[-1]
    reported = arm.first_line("joint states are older", "motion")
    arm.watch(RETURNS_S)  # its first reports may be of before
    back = len(arm.reports)
    arm.watch(RESTS_S)
    step_rad, allowed_rad = _largest_step(arm, back)
    reported_s = after(reported, last.stamp_ns)
    moved_rad = arm.moved(last.position)
    if step_rad > allowed_rad:
        wrong = f"the arm leaps by {step_rad:.4f} rad"
    elif moved_rad > BRAKES_RAD:
        wrong = f"the arm is {moved_rad:.3f} rad from where it was"
    elif back == len(arm.reports):
        wrong = "the driver did not return"
    else:
        wrong = not_reported(reported_s, arm.rig.motion.stale_s + MARGIN_S)
    line = reported.line if reported else ""
    return GraphFault(SILENT, line, reported_s, step_rad, allowed_rad, wrong)


def _largest_step(arm: SwingingArm, first: int) -> tuple[float, float]:
    """The largest step between two reports from number `first` on, beside what an arm at rest may
    do in the same time [rad].
    """
    limit = HEADROOM * arm.rig.acceleration(arm.side, "arm")
    worst_step = 0.0
    worst_allowed = np.inf
    for report, following in pairwise(arm.reports[first:]):
        step = np.abs(following.position - report.position)
        passed_s = (following.stamp_ns - report.stamp_ns) / SECOND
        allowed = limit * passed_s**2 + NOISE_RAD
        joint = int(np.argmax(step - allowed))
        if step[joint] - allowed[joint] > worst_step - worst_allowed:
            worst_step = float(step[joint])
            worst_allowed = float(allowed[joint])
    return worst_step, worst_allowed


def second_writer(arm: SwingingArm, domain: int, log: Log) -> GraphFault:
    """A rogue node commands an arm that motion moves, so that its commands look newer."""
    arm.begin()
    began_ns = time.time_ns()  # that it is there counts, even while it is silent
    before = arm.pose
    driver_name = arm.driver.spec.name

    def driver_line() -> StatusLine | None:
        return log.first_line(driver_name, RogueNode.NAME, began_ns)

    def motion_line() -> StatusLine | None:
        return log.first_line("motion", RogueNode.NAME, began_ns)

    command = topics.command(arm.side, "arm")
    with RogueNode(command, domain, arm.listeners(command)) as rogue:
        lead = _leading_away(arm, rogue)
        arm.wait(lambda: bool(driver_line() and motion_line()), REPORTED_WITHIN_S, lead)
        arm.watch(RESTS_S, lead)
    driver = driver_line()
    motion = motion_line()
    reported_s = None
    if driver and motion:
        reported_s = (max(driver.sent_ns, motion.sent_ns) - began_ns) / SECOND
    moved_rad = arm.moved(before, slice(0, 1))
    if moved_rad > STILL_RAD:
        wrong = f"the arm follows the stranger by {moved_rad:.3f} rad"
    elif not motion:
        wrong = "motion does not name the node"
    elif not driver:
        wrong = "the driver does not name the node"
    else:
        wrong = ""
    line = "; ".join(f"{line.who}: {line.line}" for line in (driver, motion) if line)
    return GraphFault(WRITER, line, reported_s, moved_rad, STILL_RAD, wrong)


def stop_then_stranger(arm: SwingingArm, domain: int) -> GraphFault:
    """A rogue node commands an arm that was stopped."""
    arm.session.operator.prepare(topics.ESTOP)  # or its discovery, up to 0.4 s, counts as motion's
    arm.begin()
    began_ns = time.time_ns()
    arm.session.operator.call(topics.ESTOP)

    def stopped_line() -> StatusLine | None:
        return arm.first_line("stopped by", "driver", began_ns)

    arm.wait(lambda: stopped_line() is not None, REPORTED_WITHIN_S)
    arm.watch(RESTS_S)
    reported = stopped_line()
    before = arm.pose
    moved_rad = 0.0
    command = topics.command(arm.side, "arm")
    with RogueNode(command, domain, arm.listeners(command)) as rogue:
        lead = _leading_away(arm, rogue)

        def lead_and_watch() -> None:
            nonlocal moved_rad
            lead()
            moved_rad = max(moved_rad, arm.moved(before))

        arm.watch(SILENT_S, lead_and_watch)
    arm.session.operator.call(topics.MOTION_RESET)
    reported_s = after(reported, began_ns)
    if moved_rad > STILL_RAD:
        wrong = f"the arm moves by {moved_rad:.3f} rad"
    else:
        wrong = not_reported(reported_s, MARGIN_S)
    line = reported.line if reported else ""
    return GraphFault(STOPPED, line, reported_s, moved_rad, STILL_RAD, wrong)


def _leading_away(arm: SwingingArm, rogue: RogueNode) -> Callable[[], None]:
    """Commands one joint, which chunks do not move, away from where it is now, one command at every
    call.
    """
    message = convert.JointMessage(arm.names)
    start = arm.pose.copy()
    began_s = time.monotonic()

    def lead() -> None:
        pose = start.copy()
        pose[0] += ROGUE_RAD_S * (time.monotonic() - began_s)
        rogue.publish(message.fill(time.time_ns() + round(AHEAD_S * SECOND), pose))

    return lead
