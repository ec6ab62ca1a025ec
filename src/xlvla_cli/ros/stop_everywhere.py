"""The stop of every rig on a ROS domain, whatever namespaces they are in."""

from __future__ import annotations

import time
from contextlib import ExitStack

from xlvla.errors import XlvlaError
from xlvla.graph import within
from xlvla.ros.neighbours import DISCOVERY_S
from xlvla_cli.ros.operator import Operator

SETTLES_S = 1.2
"""Once no rig has appeared for so long, all that are on this machine have."""

LOOK_S = 0.02


def stop_everywhere(domain: int | None = None) -> list[str]:
    """Stops every rig of a domain as soon as it is discovered; a line on what came of each.

    Args:
        domain: ROS domain; None keeps the environment's.

    Raises:
        XlvlaError: a motion does not answer, which keeps no driver from stopping, or there is none.
    """
    with ExitStack() as entered:
        first = entered.enter_context(Operator(domain=domain))
        first.stop()
        operators = {"": first}
        now_s = time.monotonic()
        give_up_s = now_s + DISCOVERY_S
        settled_s = now_s + SETTLES_S
        while now_s < min(give_up_s, settled_s):
            for place in first.places_that_stop():
                if place not in operators:
                    operators[place] = entered.enter_context(
                        Operator(domain=domain, namespace=place)
                    )
                    operators[place].stop()
                    settled_s = now_s + SETTLES_S
            time.sleep(LOOK_S)
            now_s = time.monotonic()
        if len(operators) > 1 and "" not in first.places_that_stop():
            del operators[""]  # no rig is there
        return _answers(operators)


def _answers(operators: dict[str, Operator]) -> list[str]:
    """What the motion of each namespace says."""
    if len(operators) == 1:
        (only,) = operators.values()
        return [only.estop()]
    lines: list[str] = []
    failures: list[str] = []
    for place, operator in operators.items():
        try:
            lines.append(f"{within(place) or '/'}: {operator.estop()}")
        except XlvlaError as error:
            failures.append(f"{within(place) or '/'}: {error}")
    if failures:
        raise XlvlaError("; ".join([*failures, *lines]))
    return lines
