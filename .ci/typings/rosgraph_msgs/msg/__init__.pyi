"""Written by .ci/message_stubs.py."""

from typing import Any, ClassVar

import builtin_interfaces.msg

class Clock:
    SLOT_TYPES: ClassVar[Any]
    @property
    def clock(self) -> builtin_interfaces.msg.Time: ...
    @clock.setter
    def clock(self, value: builtin_interfaces.msg.Time) -> None: ...
    def __init__(self, *, clock: builtin_interfaces.msg.Time = ...) -> None: ...
    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]: ...
