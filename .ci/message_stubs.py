"""Writes type stubs of the ROS messages and services that xlvla uses into `.ci/typings`.

ROS generates its message classes without types. Run it again when another message is used:
`python .ci/message_stubs.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
TYPINGS = Path(__file__).parent / "typings"
HEADER = '''"""Written by .ci/message_stubs.py."""

from array import array
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

'''
NUMBERS = {"float": "float", "double": "float"}


def used() -> dict[tuple[str, str], list[type]]:
    """Messages and services by package and kind (msg, srv): what is imported, and their fields."""
    waiting: list[tuple[str, str, str]] = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and re.fullmatch(
                r"\w+\.(msg|srv)", node.module or ""
            ):
                package, _, kind = (node.module or "").partition(".")
                waiting += [(package, kind, alias.name) for alias in node.names]
    found: set[tuple[str, str, str]] = set()
    while waiting:
        entry = waiting.pop()
        if entry in found:
            continue
        found.add(entry)
        for text in fields(_imported(*entry)).values():
            package, slash, name = element(text).partition("/")
            if slash:
                waiting.append((package, "msg", name))
    by_package: dict[tuple[str, str], list[type]] = {}
    for package, kind, name in sorted(found):
        by_package.setdefault((package, kind), []).append(_imported(package, kind, name))
    return by_package


def _imported(package: str, kind: str, name: str) -> type:
    return getattr(import_module(f"{package}.{kind}"), name)


def fields(message: type) -> dict[str, str]:
    if hasattr(message, "Request"):
        return {}
    return message.get_fields_and_field_types()  # type: ignore[attr-defined]


def element(text: str) -> str:
    """'geometry_msgs/Point' of 'sequence<geometry_msgs/Point>'."""
    inside = re.sub(r"^sequence<([^,>]+).*>$", r"\1", text)
    return re.sub(r"\[\d+\]$", "", inside)


def python_type(text: str, package: str) -> str:
    """The Python type of a field's element."""
    name = element(text)
    if "/" in name:
        owner, _, message = name.partition("/")
        return message if owner == package else f"{owner}.msg.{message}"
    if name == "boolean":
        return "bool"
    if name.startswith(("string", "wstring")):
        return "str"
    if name == "octet":
        return "bytes"
    return NUMBERS.get(name, "int")


def is_many(text: str) -> bool:
    return text.startswith("sequence<") or text.endswith("]")


def stub(message: type, package: str) -> Iterator[str]:
    yield f"class {message.__name__}:"
    for name in sorted(vars(message)):
        if name.isupper():
            yield f"    {name}: ClassVar[Any]"
    types = fields(message)
    arguments: list[str] = []
    for name, text in types.items():
        plain = python_type(text, package)
        taken = plain
        given = plain
        if is_many(text):
            number = plain in ("int", "float")
            given = f"array[{plain}]" if number else f"list[{plain}]"
            taken = f"Sequence[{plain}] | array[{plain}]" if number else f"Sequence[{plain}]"
            if number:
                taken += " | np.ndarray[Any, Any] | bytes"
        arguments.append(f"{name}: {taken} = ...")
        yield "    @property"
        yield f"    def {name}(self) -> {given}: ..."
        yield f"    @{name}.setter"
        yield f"    def {name}(self, value: {taken}) -> None: ..."
    # Without fields there is nothing to name.
    parameters = ["self", "*", *arguments] if arguments else ["self"]
    yield f"    def __init__({', '.join(parameters)}) -> None: ..."
    yield "    @classmethod"
    yield "    def get_fields_and_field_types(cls) -> dict[str, str]: ..."
    yield ""


def service_stub(service: type) -> Iterator[str]:
    yield f"class {service.__name__}:"
    yield f"    Request: ClassVar[type[{service.__name__}_Request]]"
    yield f"    Response: ClassVar[type[{service.__name__}_Response]]"
    yield ""


def main() -> None:
    for (package, kind), kinds in used().items():
        lines: list[str] = []
        owners: set[str] = set()
        for message in kinds:
            if hasattr(message, "Request"):
                lines += service_stub(message)
                for part in (message.Request, message.Response):  # type: ignore[attr-defined]
                    lines += stub(part, package)
                continue
            for text in fields(message).values():
                owner = element(text).partition("/")
                if owner[1] and owner[0] != package:
                    owners.add(owner[0])
            lines += stub(message, package)
        imports = "".join(f"import {owner}.msg\n" for owner in sorted(owners))
        folder = TYPINGS / package / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder.parent / "__init__.pyi").write_text("")
        (folder / "__init__.pyi").write_text(HEADER + imports + "\n".join(lines) + "\n")
        print(f"{package}.{kind}")


if __name__ == "__main__":
    main()
