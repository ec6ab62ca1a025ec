"""A node that does not belong to a rig's graph, for testing how the rig handles one."""

from __future__ import annotations

import time
from typing import Any

from xlvla.errors import XlvlaError
from xlvla.ros import participant
from xlvla.ros.topics import Topic

DISCOVERED_WITHIN_S = 10.0
SETTLED_S = 0.5
"""How long to wait for all listeners, and then until they have found the node, too."""


class RogueNode:
    """Context manager: on entry it publishes on the topic; on exit it leaves the graph.

    Args:
        listeners: how many subscriptions it waits for.
    """

    NAME = "stranger"

    def __init__(self, topic: Topic, domain: int, listeners: int = 1):
        self._topic = topic
        self._domain = domain
        self._listeners = max(listeners, 1)

    def __enter__(self) -> RogueNode:
        self._node = participant.node_of_its_own(self.NAME, self._domain)
        self._publisher = self._node.create_publisher(
            self._topic.type, self._topic.relative, self._topic.qos
        )
        give_up = time.monotonic() + DISCOVERED_WITHIN_S
        while (found := self._publisher.get_subscription_count()) < self._listeners:
            if time.monotonic() > give_up:
                self.__exit__(None, None, None)
                raise XlvlaError(
                    f"{found} of {self._listeners} subscriptions to {self._topic.name} are found"
                )
            time.sleep(0.02)
        time.sleep(SETTLED_S)
        return self

    def __exit__(self, *exc_info: object) -> None:
        participant.leave(self._node)

    def publish(self, message: Any) -> None:
        self._publisher.publish(message)
