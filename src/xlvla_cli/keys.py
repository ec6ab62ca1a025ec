"""Keys pressed at the terminal, as they are pressed."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from typing import Any


class Keys:
    """A context manager that reads single keys without echo; where the input is no terminal there
    are none. Ctrl-C stays Ctrl-C.
    """

    def __init__(self) -> None:
        self._terminal: int | None = None
        self._before: list[Any] = []

    def __enter__(self) -> Keys:
        # A process without a terminal may have no standard input at all.
        if sys.stdin is not None and sys.stdin.isatty():
            self._terminal = sys.stdin.fileno()
        if self._terminal is not None:
            self._before = termios.tcgetattr(self._terminal)
            tty.setcbreak(self._terminal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._terminal is not None:
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    @property
    def there(self) -> bool:
        return self._terminal is not None

    def pressed(self) -> str:
        """The next key that was pressed, '' when there is none."""
        if self._terminal is None or not select.select([self._terminal], [], [], 0.0)[0]:
            return ""
        return os.read(self._terminal, 1).decode(errors="replace")
