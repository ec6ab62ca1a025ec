from collections.abc import Iterable, Mapping
from typing import Any

from launch.action import Action

class Node(Action):
    def __init__(
        self,
        *,
        executable: str,
        package: str | None = None,
        name: str | None = None,
        namespace: str | None = None,
        exec_name: str | None = None,
        parameters: Iterable[Mapping[str, Any]] | None = None,
        remappings: Iterable[tuple[str, str]] | None = None,
        arguments: Iterable[str] | None = None,
        ros_arguments: Iterable[str] | None = None,
        prefix: str | None = None,
        output: str = ...,
        additional_env: Mapping[str, str] | None = None,
    ) -> None: ...
