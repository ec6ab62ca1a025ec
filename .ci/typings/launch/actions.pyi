from collections.abc import Callable, Mapping, Sequence

from launch import LaunchContext, LaunchDescriptionEntity
from launch.action import Action
from launch.event_handlers import OnProcessExit

class DeclareLaunchArgument(Action):
    def __init__(
        self,
        name: str,
        *,
        default_value: str | None = None,
        description: str | None = None,
        choices: list[str] | None = None,
    ) -> None: ...

class ExecuteProcess(Action):
    def __init__(
        self,
        *,
        cmd: Sequence[str],
        name: str | None = None,
        additional_env: Mapping[str, str] | None = None,
        output: str = "log",
    ) -> None: ...

class LogInfo(Action):
    def __init__(self, *, msg: str) -> None: ...

class OpaqueFunction(Action):
    def __init__(
        self, *, function: Callable[[LaunchContext], Sequence[LaunchDescriptionEntity] | None]
    ) -> None: ...

class RegisterEventHandler(Action):
    def __init__(self, event_handler: OnProcessExit) -> None: ...

class SetEnvironmentVariable(Action):
    def __init__(self, name: str, value: str) -> None: ...

class UnsetEnvironmentVariable(Action):
    def __init__(self, name: str) -> None: ...
