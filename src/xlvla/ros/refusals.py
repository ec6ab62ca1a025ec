"""Invalid messages: counted by topic and logged at a limited rate; none stops a node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from weakref import WeakKeyDictionary

from rclpy.node import Node

from xlvla.text import RepeatFilter, plain


class Refusals:
    """What a node's readers refused.

    Args:
        say: gets a line for the operator.
        counts: where refusals are counted, as `refused TOPIC`.
    """

    def __init__(self, say: Callable[[str], None], counts: Counter[str] | None = None):
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._say = say
        self._repeat_filter = RepeatFilter()

    def add(self, topic: str, why: object) -> None:
        key = f"refused {topic}"
        self.counts[key] += 1
        if self._repeat_filter(topic):
            self._say(plain(f"{topic}: {why} ({self.counts[key]} refused)"))


_OF: WeakKeyDictionary[Node, Refusals] = WeakKeyDictionary()


def of(node: Node) -> Refusals:
    """Those of a node; one that was not told where to says them in its log."""
    if node not in _OF:
        tell(node, Refusals(_logged(node)))
    return _OF[node]


def tell(node: Node, refusals: Refusals) -> None:
    """Where a node counts and says what its readers refuse; before they are made."""
    _OF[node] = refusals


def _logged(node: Node) -> Callable[[str], None]:
    logger = node.get_logger()

    def say(line: str) -> None:
        logger.warning(line)

    return say
