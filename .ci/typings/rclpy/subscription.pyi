# What is used of rclpy's subscriptions.
from types import TracebackType
from typing import Any

class Handle:
    """The subscription of the C library; entered, it is not destroyed meanwhile."""

    def __enter__(self) -> None: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def take_message(
        self, msg_type: type[Any], raw: bool
    ) -> tuple[bytes, dict[str, int]] | None: ...

class Subscription:
    @property
    def topic_name(self) -> str: ...
    @property
    def handle(self) -> Handle: ...
    @property
    def callback(self) -> object: ...
