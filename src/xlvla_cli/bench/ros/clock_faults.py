"""How a simulated rig handles a rogue node that publishes another time."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from rosgraph_msgs.msg import Clock as ClockMessage

from xlvla.ros import convert, topics
from xlvla.ros.clock import SimClock
from xlvla.ros.convert import SECOND
from xlvla_cli.bench.ros.graph_faults import BRAKES_RAD, RESTS_S, GraphFault, Log, after
from xlvla_cli.bench.ros.rogue_node import RogueNode
from xlvla_cli.bench.ros.swinging_arm import EVERY_S, PATIENCE_S, StatusLine, SwingingArm
from xlvla_cli.ros.session import Session

REPORTS = ("the clock was set", "motion was blocked")
LEAPS_S = (-0.3, -5.0, 5.0)
LEAP_LASTS_S = 0.8
"""The rogue node publishes its time at every look for this long, more often than the simulation
does, and so is heard beside it.
"""


def of_the_clock(session: Session, domain: int, log: Log) -> dict[str, Callable[[], GraphFault]]:
    """Faults of the clock of a simulated rig, by name, each to be called; `log` has what its nodes
    print.
    """
    assert session.rig.sim is not None
    arm = SwingingArm(session, "left", SimClock(session.operator.node, session.rig.sim.speed))

    def leap(seconds: float) -> Callable[[], GraphFault]:
        return lambda: clock_set(arm, seconds, domain, log)

    return {_clock_fault(seconds): leap(seconds) for seconds in LEAPS_S}


def _clock_fault(leap_s: float) -> str:
    direction = "back" if leap_s < 0 else "forth"
    return f"clock {direction} by {abs(leap_s):g} s"


def clock_set(arm: SwingingArm, leap_s: float, domain: int, log: Log) -> GraphFault:
    """A rogue node publishes another time than the simulation does, which sets the clock there and
    back, or is refused.
    """
    arm.begin()
    # There is no time before 0.
    arm.wait(lambda: arm.clock.now_ns() > (1.0 - leap_s) * SECOND, PATIENCE_S)
    began_ns = time.time_ns()
    held_pose: np.ndarray | None = None
    error_rad = 0.0

    def reported() -> StatusLine | None:
        # To motion, time that is set forward looks like a loop that stood still.
        said = [log.first_line("motion", text, began_ns) for text in REPORTS]
        return min((line for line in said if line), key=lambda line: line.sent_ns, default=None)

    def observe() -> None:
        nonlocal held_pose, error_rad
        if held_pose is None and reported():
            held_pose = arm.pose
        error_rad = max(error_rad, arm.error_rad)

    with RogueNode(topics.CLOCK, domain, arm.listeners(topics.CLOCK)) as rogue:
        arm.watch(2 * EVERY_S)
        offset_ns = arm.clock.now_ns() + round(leap_s * SECOND) - time.monotonic_ns()

        def publish() -> None:
            rogue.publish(ClockMessage(clock=convert.stamp(time.monotonic_ns() + offset_ns)))
            observe()

        began_ns = time.time_ns()
        arm.watch(LEAP_LASTS_S, publish, chunks=False)
    # A rig that refused the time goes on moving: only one that was set has to come to rest.
    if reported():
        arm.watch(RESTS_S, observe, chunks=False)
    else:
        arm.watch(RESTS_S, chunks=False)
    moved_rad = error_rad if held_pose is None else arm.moved(held_pose)
    # Every node still runs, and chunks are played.
    arm.begin()
    line = reported() or log.first_line("motion", "time leaps", began_ns)
    wrong = ""
    if moved_rad > BRAKES_RAD:
        wrong = "the arm is not braked"
        if held_pose is None:
            wrong = "the arm leaves its path and nothing is reported"
    return GraphFault(
        _clock_fault(leap_s),
        line.line if line else "",
        after(line, began_ns),
        moved_rad,
        BRAKES_RAD,
        wrong,
    )
