"""Held-out pairs of hand and task: never trained on, so that success on them is zero-shot (paper,
section 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xlvla import catalog, paper
from xlvla.errors import XlvlaError
from xlvla.text import listed


@dataclass(frozen=True)
class Holdout:
    """Pairs of hand and task that no demonstration may show."""

    pairs: frozenset[tuple[str, str]] = frozenset()

    def keeps(self, hands: Iterable[str], task: str) -> bool:
        """Whether episodes of a task with these hands, on whichever side, may be trained on; of
        `a+b` the task a is asked for.
        """
        asked, _, _ = task.partition("+")
        return not any((hand, asked) in self.pairs for hand in hands)

    def words(self) -> str:
        """What `parse` reads back to the same."""
        return ",".join(f"{hand}:{paper.code(task)}" for hand, task in sorted(self.pairs))

    def __bool__(self) -> bool:
        return bool(self.pairs)


def parse(words: str) -> Holdout:
    """The pairs of `xhand:SC,inspire:push_cans`; empty holds nothing out. Raises XlvlaError for a
    word that is no pair.
    """
    return Holdout(frozenset(_pair(word) for word in listed(words)))


def _pair(word: str) -> tuple[str, str]:
    hand, colon, task = (part.strip() for part in word.partition(":"))
    if not (hand and colon and task):
        raise XlvlaError(
            f"--holdout '{word}': a hand and a task are wanted, as in xhand:SC,inspire:push_cans"
        )
    return catalog.hand(hand).name, paper.task(task)
