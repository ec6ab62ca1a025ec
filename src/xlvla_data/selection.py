"""Which episodes are meant: by hand, task, verdict and success."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlvla import catalog, paper
from xlvla.errors import XlvlaError, unknown
from xlvla_data import store
from xlvla_data.store import Stored

VERDICTS = ("green", "yellow", "red")
SUCCESSES = {"yes": True, "no": False, "unknown": None}


@dataclass(frozen=True)
class Selection:
    """What an episode must be; nothing said of something takes all.

    Args:
        hands: hands on whichever side, or pairs 'left+right'.
        success: words of `SUCCESSES`.
    """

    hands: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    success: tuple[str, ...] = ()

    def keeps(self, stored: Stored) -> bool:
        pair = [stored.hands[side] for side in sorted(stored.hands)]
        return (
            (not self.hands or "+".join(pair) in self.hands or bool(set(pair) & set(self.hands)))
            and (not self.tasks or stored.task in self.tasks)
            and (not self.verdicts or stored.verdict in self.verdicts)
            and (not self.success or stored.success in [SUCCESSES[word] for word in self.success])
        )


def parse(hands: str = "", tasks: str = "", verdict: str = "", success: str = "") -> Selection:
    """Of words with commas; raises XlvlaError for an unknown one."""
    for name in (name for word in _words(hands) for name in word.split("+")):
        catalog.hand(name)
    for kind, text, known in (
        ("verdict", verdict, VERDICTS),
        ("success", success, tuple(SUCCESSES)),
    ):
        for word in _words(text):
            if word not in known:
                raise unknown(kind, word, known)
    return Selection(
        _words(hands), paper.tasks(tasks) if tasks else (), _words(verdict), _words(success)
    )


def find(folders: Iterable[Path], selection: Selection) -> list[Stored]:
    """The episodes meant, of data sets or folders of them; raises XlvlaError where there is
    none.
    """
    every = [stored for folder in folders for stored in store.find(folder)]
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


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
