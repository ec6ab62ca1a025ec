# What is used of rclpy's lifecycle nodes.
from enum import Enum
from typing import NamedTuple

from rclpy.context import Context
from rclpy.node import Node

class LifecycleState(NamedTuple):
    label: str
    state_id: int

class TransitionCallbackReturn(Enum):
    SUCCESS = ...
    FAILURE = ...
    ERROR = ...

class StateMachine:
    def destroy_when_not_in_use(self) -> None: ...

class LifecycleNode(Node):
    _state_machine: StateMachine

    def __init__(
        self,
        node_name: str,
        *,
        context: Context | None = None,
        cli_args: list[str] | None = None,
    ) -> None: ...
    def trigger_configure(self) -> TransitionCallbackReturn: ...
    def trigger_activate(self) -> TransitionCallbackReturn: ...
    def trigger_shutdown(self) -> TransitionCallbackReturn: ...
