"""What a rig makes of a driver that stands still and of strangers who command.

Each fault is caused while the left arm moves, and measured by the stamps of what its driver and
motion then say.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import numpy as np

from xlvla.guard import HEADROOM
from xlvla.ros import convert, topics
from xlvla.ros.clock import Clock
from xlvla.ros.convert import SECOND
from xlvla_cli.bench.ros.arm_in_motion import ArmInMotion, StatusLine
from xlvla_cli.bench.ros.graph_faults import (
    BRAKES_RAD,
    RESTS_S,
    GraphFault,
    Log,
    after,
    not_reported,
)
from xlvla_cli.bench.ros.rogue_node import RogueNode
from xlvla_cli.ros.session import Session

MARGIN_S = 0.3
"""What may pass beside the time that is promised: messages on their way, on a machine that is busy.
"""

REPORTED_WITHIN_S = 4.0
"""How long to wait for a word on strangers, who are looked for once a second."""

STILL_RAD = 0.01
"""An arm that has gone no further has not moved."""

NOISE_RAD = 5e-4
"""What measured angles of an arm at rest differ by."""

SILENT = "silent joint states, step on return"
WRITER = "second writer"
STOPPED = "stop, then a stranger"

SILENT_S = 2.0
RETURNS_S = 0.4
AHEAD_S = 0.035
STRANGER_RAD_S = 1.0
"""How far ahead of the clock a stranger's commands are stamped, and how fast they lead away."""


def of_drivers(session: Session, domain: int, log: Log) -> dict[str, Callable[[], GraphFault]]:
    """What can be done to a rig whose devices have drivers, and whose nodes are listened to."""
    arm = ArmInMotion(session, "left", Clock())
    return {
        SILENT: lambda: silent_joint_states(arm),
        WRITER: lambda: second_writer(arm, domain, log),
        STOPPED: lambda: stop_then_stranger(arm, domain),
    }


def silent_joint_states(arm: ArmInMotion) -> GraphFault:
    """The driver of an arm in motion is stopped for two seconds."""
    arm.begin()
    arm.driver.kill(signal.SIGSTOP)
    try:
        arm.watch(SILENT_S)
    finally:
        arm.driver.kill(signal.SIGCONT)
    last = arm.reports[-1]
    reported = arm.first_line("joint states are older", "motion")
    arm.watch(RETURNS_S)  # what it says first may be of before
    back = len(arm.reports)
    arm.watch(RESTS_S)
    step_rad, allowed_rad = _largest_step(arm, back)
    reported_s = after(reported, last.stamp_ns)
    wrong = not_reported(reported_s, arm.rig.motion.stale_s + MARGIN_S)
    if step_rad > allowed_rad:
        wrong = f"the arm leaps by {step_rad:.4f} rad"
    elif arm.moved(last.position) > BRAKES_RAD:
        wrong = f"the arm is {arm.moved(last.position):.3f} rad from where it was"
    elif back == len(arm.reports):
        wrong = "the driver did not return"
    return GraphFault(
        SILENT, reported.line if reported else "", reported_s, step_rad, allowed_rad, wrong
    )


def _largest_step(arm: ArmInMotion, first: int) -> tuple[float, float]:
    """The largest step between two reports from number `first` on, beside what an arm at rest may
    do in the same time [rad].
    """
    limit = HEADROOM * arm.rig.acceleration(arm.side, "arm")
    worst = (0.0, np.inf)
    for one, other in zip(arm.reports[first:], arm.reports[first + 1 :], strict=False):
        step = np.abs(other.position - one.position)
        passed_s = (other.stamp_ns - one.stamp_ns) / SECOND
        allowed = limit * passed_s**2 + NOISE_RAD
        joint = int(np.argmax(step - allowed))
        worst = max(
            worst, (float(step[joint]), float(allowed[joint])), key=lambda pair: pair[0] - pair[1]
        )
    return worst


def second_writer(arm: ArmInMotion, domain: int, log: Log) -> GraphFault:
    """A stranger commands an arm that motion moves, so that its commands look newer."""
    arm.begin()
    began_ns = time.time_ns()  # that it is there counts, even while it is silent
    before = arm.pose
    with RogueNode(topics.command(arm.side, "arm"), domain) as rogue:
        lead = _leading_away(arm, rogue)

        def reports() -> list[StatusLine | None]:
            return [
                log.first_line(who, RogueNode.NAME, began_ns)
                for who in (arm.driver.spec.name, "motion")
            ]

        arm.wait(lambda: all(reports()), REPORTED_WITHIN_S, lead)
        arm.watch(RESTS_S, lead)
    driver, motion = reports()
    reported_s = max((after(word, began_ns) or 0.0 for word in (driver, motion)), default=0.0)
    moved_rad = arm.moved(before, slice(0, 1))
    wrong = "" if driver else "the driver does not say who"
    wrong = wrong if motion else "motion does not say who"
    wrong = (
        f"the arm follows the stranger by {moved_rad:.3f} rad" if moved_rad > STILL_RAD else wrong
    )
    line = "; ".join(f"{word.who}: {word.line}" for word in (driver, motion) if word)
    return GraphFault(
        WRITER, line, reported_s if driver and motion else None, moved_rad, STILL_RAD, wrong
    )


def stop_then_stranger(arm: ArmInMotion, domain: int) -> GraphFault:
    """A stranger commands an arm that was stopped."""
    arm.begin()
    began_ns = time.time_ns()
    arm.session.operator.call(topics.ESTOP)
    arm.wait(
        lambda: arm.first_line("stopped by", "driver", began_ns) is not None, REPORTED_WITHIN_S
    )
    arm.watch(RESTS_S)
    reported = arm.first_line("stopped by", "driver", began_ns)
    before = arm.pose
    with RogueNode(topics.command(arm.side, "arm"), domain) as rogue:
        lead = _leading_away(arm, rogue)
        moved_rad = 0.0

        def watch() -> None:
            nonlocal moved_rad
            lead()
            moved_rad = max(moved_rad, arm.moved(before))

        arm.watch(SILENT_S, watch)
    arm.session.operator.call(topics.MOTION_RESET)
    reported_s = after(reported, began_ns)
    wrong = (
        f"the arm moves by {moved_rad:.3f} rad"
        if moved_rad > STILL_RAD
        else not_reported(reported_s, MARGIN_S)
    )
    return GraphFault(
        STOPPED, reported.line if reported else "", reported_s, moved_rad, STILL_RAD, wrong
    )


def _leading_away(arm: ArmInMotion, rogue: RogueNode) -> Callable[[], None]:
    """Commands one joint, which chunks do not move, away from where it is now, one command at every
    call.
    """
    message = convert.JointMessage(arm.names)
    start = arm.pose.copy()
    began_s = time.monotonic()

    def lead() -> None:
        pose = start.copy()
        pose[0] += STRANGER_RAD_S * (time.monotonic() - began_s)
        rogue.say(message.fill(time.time_ns() + round(AHEAD_S * SECOND), pose))

    return lead
