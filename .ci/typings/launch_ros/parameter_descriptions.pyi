from typing import Any

class ParameterValue:
    def __init__(self, value: Any, *, value_type: type[Any] | None = None) -> None: ...
