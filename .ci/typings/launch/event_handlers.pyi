from collections.abc import Callable

from launch import LaunchContext
from launch.action import Action
from launch.events.process import ProcessExited

class OnProcessExit:
    def __init__(
        self,
        *,
        target_action: Action | None = None,
        on_exit: Callable[[ProcessExited, LaunchContext], None],
    ) -> None: ...
