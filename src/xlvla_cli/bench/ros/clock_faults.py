"""What a simulated rig makes of a stranger who tells another time."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from rosgraph_msgs.msg import Clock as ClockMessage

from xlvla.ros import convert, topics
from xlvla.ros.clock import SimClock
from xlvla.ros.convert import SECOND
from xlvla_cli.bench.ros.arm_in_motion import EVERY_S, PATIENCE_S, ArmInMotion, StatusLine
from xlvla_cli.bench.ros.graph_faults import BRAKES_RAD, RESTS_S, GraphFault, Log, after
from xlvla_cli.bench.ros.rogue_node import RogueNode
from xlvla_cli.ros.session import Session

LEAPS_S = (-0.3, -5.0, 5.0)
LEAP_LASTS_S = 0.8
"""A stranger says its time at every look for so long, more often than the simulation does, and so
is heard beside it.
"""


def of_the_clock(session: Session, domain: int, log: Log) -> dict[str, Callable[[], GraphFault]]:
    """What can be done to the clock of a simulated rig whose nodes are listened to."""
    assert session.rig.sim is not None
    arm = ArmInMotion(session, "left", SimClock(session.operator.node, session.rig.sim.speed))

    def leap(seconds: float) -> Callable[[], GraphFault]:
        return lambda: clock_set(arm, seconds, domain, log)

    return {_clock_fault(seconds): leap(seconds) for seconds in LEAPS_S}


def _clock_fault(leap_s: float) -> str:
    return f"clock {'back' if leap_s < 0 else 'forth'} by {abs(leap_s):g} s"


def clock_set(arm: ArmInMotion, leap_s: float, domain: int, log: Log) -> GraphFault:
    """A stranger tells another time than the simulation does, which takes the clock there and back,
    or is not believed.
    """
    arm.begin()
    arm.wait(
        lambda: arm.clock.now_ns() > (1.0 - leap_s) * SECOND, PATIENCE_S
    )  # there is no time before 0
    began_ns = time.time_ns()
    held_from = list[np.ndarray]()
    astray_rad = 0.0

    def reported() -> StatusLine | None:
        return log.first_line("motion", "the clock was set", began_ns)

    def listen() -> None:
        nonlocal astray_rad
        if not held_from and reported():
            held_from.append(arm.pose)
        astray_rad = max(astray_rad, arm.astray)

    with RogueNode(topics.CLOCK, domain) as rogue:
        arm.watch(2 * EVERY_S)
        offset_ns = arm.clock.now_ns() + round(leap_s * SECOND) - time.monotonic_ns()

        def say() -> None:
            rogue.say(ClockMessage(clock=convert.stamp(time.monotonic_ns() + offset_ns)))
            listen()

        began_ns = time.time_ns()
        arm.watch(LEAP_LASTS_S, say, chunks=False)
    arm.watch(RESTS_S, listen if reported() else lambda: None, chunks=False)
    moved_rad = arm.moved(held_from[0]) if held_from else astray_rad
    arm.begin()  # nobody has ended, and chunks are played
    line = reported() or log.first_line("motion", "time leaps", began_ns)
    what = "is not braked" if held_from else "leaves its way and nothing is said"
    wrong = f"the arm {what}" if moved_rad > BRAKES_RAD else ""
    return GraphFault(
        _clock_fault(leap_s),
        line.line if line else "",
        after(line, began_ns),
        moved_rad,
        BRAKES_RAD,
        wrong,
    )
