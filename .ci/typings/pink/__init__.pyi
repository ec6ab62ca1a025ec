# Of the extra `peers`, which checks do not install: whatever is taken from it is Any.
from typing import Any

def __getattr__(name: str) -> Any: ...
