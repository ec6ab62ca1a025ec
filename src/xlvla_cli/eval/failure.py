"""Kinds of failures, by the facts of an episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlvla_sim.task import TaskStatus
    from xlvla_sim.witness import Facts

KINDS: Mapping[str, str] = {
    "other task": "the other task of the table was done, which was not asked for",
    "dropped": "a thing that had been lifted fell more than 3 cm after the hand let go of it",
    "knocked over": "a thing fell over or off the table without having been dropped",
    "spilt": "a vessel was turned down beside its target",
    "froze": "no arm moved for the last 5 s or more",
    "wrong object": "a thing was lifted that the task does not want lifted first",
    "missed grasp": "a thing that had to be lifted was touched and never lifted",
    "touched nothing": "no hand ever touched a thing",
    "undone": "the task had succeeded, and what was done came undone",
    "out of time": "the time was over, and none of the above",
    "plan over": "the expert had no plan any more, and none of the above",
    "not told": "played without a look at the things, as on the ROS graph",
}
"""What each means; the first that applies is an episode's kind."""

OTHER = "other task"
UNDONE = "undone"
UNTOLD = "not told"

FROZEN_S = 5.0

SPILT = "was spilt"
FELL = ("fell over", "fell off the table")
OVER = "time is over"
INSTEAD = "the other task was done instead"
"""How a task says that an episode is lost, or too late."""

LIFT = ("lift", "take")
"""Words that stages begin with in which a thing is to be lifted."""


def kind_of(status: TaskStatus, stages: Sequence[str], facts: Facts) -> str:
    """The kind of a failure; '' of a success. `stages` are the texts of the task's stages in
    order.
    """
    if status.success:
        return ""
    if status.text == INSTEAD:
        return OTHER
    if facts.dropped:
        return "dropped"
    if status.text.endswith(FELL):
        return "knocked over"
    if status.text.endswith(SPILT):
        return "spilt"
    if facts.still_s >= FROZEN_S:
        return "froze"
    reached = round(status.stage * len(stages))
    if reached == 0 and facts.lifted:
        return "wrong object"
    if not facts.touched:
        return "touched nothing"
    if stages[reached].startswith(LIFT) and set(facts.touched) - set(facts.lifted):
        return "missed grasp"
    return "out of time" if status.text == OVER else "plan over"


def words(facts: Facts) -> str:
    """The facts in a line, in the order in which they came."""
    came: list[tuple[float, str]] = []
    for what, times in (
        ("touched", facts.touched),
        ("lifted", facts.lifted),
        ("dropped", facts.dropped),
    ):
        for thing, time_s in times.items():
            came.append((time_s, f"{thing} {what} at {time_s:.1f} s"))
    lines = [line for _, line in sorted(came, key=lambda entry: entry[0])]
    lines.append(f"arms still for the last {facts.still_s:.1f} s")
    return ", ".join(lines)
