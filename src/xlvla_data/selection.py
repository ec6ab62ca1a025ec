"""Selects episodes by hand, task, verdict and success."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlvla import catalog, paper
from xlvla.errors import XlvlaError, unknown
from xlvla.text import listed
from xlvla_data import store
from xlvla_data.store import Stored

VERDICTS = ("green", "yellow", "red")
SUCCESSES = {"yes": True, "no": False, "unknown": None}


@dataclass(frozen=True)
class Selection:
    """What an episode must be; an empty field takes all.

    Args:
        hands: hands on whichever side, or pairs 'left+right'.
        success: words of `SUCCESSES`.
    """

    hands: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    success: tuple[str, ...] = ()

    def keeps(self, stored: Stored) -> bool:
        """Whether an episode is selected."""
        if self.hands and not self._has_hands(stored):
            return False
        if self.tasks and stored.task not in self.tasks:
            return False
        if self.verdicts and stored.verdict not in self.verdicts:
            return False
        outcomes = [SUCCESSES[word] for word in self.success]
        return not outcomes or stored.success in outcomes

    def _has_hands(self, stored: Stored) -> bool:
        """Whether it has one of the hands on any side, or exactly one of the pairs."""
        hands = [stored.hands[side] for side in sorted(stored.hands)]
        return any(word in self.hands for word in ("+".join(hands), *hands))


def parse(hands: str = "", tasks: str = "", verdict: str = "", success: str = "") -> Selection:
    """Of words with commas; raises XlvlaError for an unknown one."""
    for word in listed(hands):
        for name in word.split("+"):
            # Raises where there is no such hand
            catalog.hand(name)
    return Selection(
        hands=listed(hands),
        tasks=paper.tasks(tasks) if tasks else (),
        verdicts=_known("verdict", verdict, VERDICTS),
        success=_known("success", success, tuple(SUCCESSES)),
    )


def find(folders: Iterable[Path], selection: Selection) -> list[Stored]:
    """The selected episodes of data sets, or of folders of them; raises XlvlaError where there is
    none.
    """
    every: list[Stored] = []
    for folder in folders:
        every += store.find(folder)
    kept = [stored for stored in every if selection.keeps(stored)]
    if not kept:
        raise XlvlaError(
            f"none of the {len(every)} episodes is what was asked for: `xlvla data stats` shows "
            "what there is"
        )
    return kept


def by_set(episodes: Sequence[Stored]) -> dict[Path, list[Stored]]:
    """Episodes by the data set they lie in."""
    sets: dict[Path, list[Stored]] = {}
    for stored in episodes:
        sets.setdefault(stored.data.root, []).append(stored)
    return sets


def _known(kind: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a text, all of them known ones."""
    words = listed(text)
    for word in words:
        if word not in known:
            raise unknown(kind, word, known)
    return words
