"""What the paper names: the codes of its tasks beside the names of the catalogue, and its four
hands.
"""

from __future__ import annotations

from collections.abc import Mapping

from xlvla import catalog
from xlvla.errors import XlvlaError, nearest
from xlvla.text import listed

CODES: Mapping[str, str] = {
    "PF": "prepare_fruits",
    "SC": "stack_cans",
    "SoC": "sort_cans",
    "HB": "hand_over_bottle",
    "RL": "reorganize_lemons",
    "PS": "pour_sauce",
    "RB": "rearrange_boxes",
    "PuS": "push_sugar",
    "PoS": "pour_sugar",
    "PC": "push_cans",
}
"""By code, in the paper's order (section 5)."""

HANDS = ("ability", "inspire", "paxini", "xhand")
"""The hands of the paper's tables (section 2)."""


def hands(names: str) -> tuple[str, ...]:
    """The words of a list of hands with commas, each once; 'all' are all of the catalogue, 'paper'
    the paper's four.
    """
    choice = names.strip()
    if choice == "all":
        return tuple(catalog.hands())
    if choice == "paper":
        return HANDS
    return tuple(dict.fromkeys(listed(names)))


def known() -> tuple[str, ...]:
    """The tasks there are: the paper's in its order, then others."""
    there = catalog.tasks()
    paper = [name for name in CODES.values() if name in there]
    return (*paper, *(name for name in there if name not in paper))


def code(task: str) -> str:
    """`PC` of push_cans, `PC+SC` of push_cans+stack_cans; a task that is in no paper has its
    name.
    """
    asked, plus, beside = task.partition("+")
    if plus:
        return f"{code(asked)}+{code(beside)}"
    return next((code for code, name in CODES.items() if name == task), task)


def task(word: str) -> str:
    """The task that a code or a name means, in whatever case; `a+b` is the task a with the things
    of b beside its own.
    """
    asked, plus, beside = word.partition("+")
    if plus:
        return f"{task(asked)}+{task(beside)}"
    tasks = known()
    meant: dict[str, str] = {}
    for short, name in CODES.items():
        if name in tasks:
            meant[short.lower()] = name
    for name in tasks:
        meant[name] = name
    plain = word.strip().lower().replace("-", "_")
    if plain not in meant:
        known_tasks = ", ".join(
            name if code(name) == name else f"{code(name)} {name}" for name in tasks
        )
        raise XlvlaError(
            f"unknown task '{word.strip()}': known are {known_tasks}{nearest(plain, meant)}"
        )
    return meant[plain]


def tasks(names: str) -> tuple[str, ...]:
    """The tasks of a list with commas, each once; 'all' are all."""
    if names.strip() == "all":
        return known()
    return tuple(dict.fromkeys(task(word) for word in listed(names)))
