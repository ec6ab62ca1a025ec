"""Text of strangers: messages, files and other programs, made fit for a terminal and a log, and
lists that a user types.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

LONGEST = 400
"""Characters of a line that came from somewhere else."""

SAME_S = 2.0
"""The same thing is said at most so often."""

MOST = 20
"""How many different things are said in that time."""


def plain(text: object, longest: int = LONGEST) -> str:
    r"""The text on one line: what moves a cursor, changes a colour or breaks the line is shown as
    its code, what is too long is cut.

    >>> print(plain("box\n[b] \x1b[2J"))
    box\n[b] \x1b[2J
    """
    line = str(text)
    if len(line) > longest:
        line = f"{line[: longest - 3]}..."
    return line if line.isprintable() else "".join(map(_shown, line))


def uncoloured(text: str) -> str:
    r"""The text without the codes of its colours, which libraries put into their logs.

    >>> uncoloured("\x1b[31;1mError\x1b[m: no port")
    'Error: no port'
    """
    return _COLOURS.sub("", text)


def listed(text: str) -> tuple[str, ...]:
    """The words between commas.

    >>> listed("codec, dex,")
    ('codec', 'dex')
    """
    words = (word.strip() for word in text.split(","))
    return tuple(word for word in words if word)


def plain_lines(text: str) -> str:
    """The same of text of our own that has several lines: its line breaks stay."""
    return "\n".join(plain(line, longest=len(line)) for line in text.split("\n"))


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()


class RepeatFilter:
    """Whether something is said again: the same at most every `SAME_S`, and not more than `most`
    different things in that time.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic, most: int = MOST):
        self._now_s = now_s
        self._most = most
        self._said_s: dict[str, float] = {}

    def __call__(self, what: str) -> bool:
        now_s = self._now_s()
        self._said_s = {
            key: said_s for key, said_s in self._said_s.items() if now_s < said_s + SAME_S
        }
        if what in self._said_s or len(self._said_s) >= self._most:
            return False
        self._said_s[what] = now_s
        return True
