"""Written by .ci/message_stubs.py."""

from collections.abc import Sequence
from typing import Any, ClassVar

class GetParameters:
    Request: ClassVar[type[GetParameters_Request]]
    Response: ClassVar[type[GetParameters_Response]]

class GetParameters_Request:
    SLOT_TYPES: ClassVar[Any]
    @property
    def names(self) -> list[str]: ...
    @names.setter
    def names(self, value: Sequence[str]) -> None: ...
    def __init__(self, *, names: Sequence[str] = ...) -> None: ...
    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]: ...

class GetParameters_Response:
    SLOT_TYPES: ClassVar[Any]
    @property
    def values(self) -> list[ParameterValue]: ...
    @values.setter
    def values(self, value: Sequence[ParameterValue]) -> None: ...
    def __init__(self, *, values: Sequence[ParameterValue] = ...) -> None: ...
    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]: ...
