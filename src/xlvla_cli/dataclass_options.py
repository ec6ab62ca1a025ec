"""Options of a command that are the fields of dataclasses, with the help of their docstrings.

A command declares `recipe: Mapping[str, Any]` and is decorated `@options_of(recipe=Recipe)`. It
then has one option per field of `Recipe`, and `recipe` holds those that were given.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from xlvla.errors import XlvlaError
from xlvla_cli.options import listed

SIMPLE = (bool, int, float, str, Path)


def options_of(skip: Collection[str] = (), **kinds: type) -> Callable[[Callable[..., None]], Any]:
    """Replace parameters of a command by the fields of their dataclasses.

    Args:
        skip: fields that do not become options.
        kinds: dataclass by name of the parameter that takes its given fields.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        owners: dict[str, str] = {}
        parameters: list[inspect.Parameter] = []
        for owner, kind in kinds.items():
            for parameter in _parameters(kind, skip):
                owners[parameter.name] = owner
                parameters.append(parameter)

        @functools.wraps(command)
        def filled(**values: Any) -> None:
            given: dict[str, dict[str, Any]] = {owner: {} for owner in kinds}
            own: dict[str, Any] = {}
            for name, value in values.items():
                if name not in owners:
                    own[name] = value
                elif value is not None:
                    given[owners[name]][name] = value
            command(**own, **given)

        signature = inspect.signature(command, eval_str=True)
        rest = [entry for entry in signature.parameters.values() if entry.name not in kinds]
        # Typer reads the signature and the annotations of a command.
        typed: Any = filled
        typed.__signature__ = inspect.Signature([*rest, *parameters])
        typed.__annotations__ = {entry.name: entry.annotation for entry in (*rest, *parameters)}
        return filled

    return decorate


def _parameters(kind: type, skip: Collection[str]) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(kind)
    helps = argument_help(kind)
    return [
        inspect.Parameter(
            entry.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=_annotation(entry, hints[entry.name], helps[entry.name]),
        )
        for entry in fields(kind)
        if entry.name not in skip
    ]


def _annotation(entry: Field[Any], hint: Any, text: str) -> Any:
    """What Typer makes an option of; None stands for a field that was not given."""
    plain = _without_none(hint)
    origin = typing.get_origin(plain)
    names = entry.metadata.get("options", ())
    usual = entry.default
    shown: bool | str = str(usual) if usual not in (MISSING, None, "", (), False) else False
    if plain in SIMPLE:
        bounds = {key: value for key, value in entry.metadata.items() if key in ("min", "max")}
        option = typer.Option(*names, help=text, show_default=shown, **bounds)
        return Annotated[plain | None, option]
    if origin is tuple:
        shown = ",".join(usual) if isinstance(usual, tuple) and usual else False
        option = typer.Option(
            *names, help=text, show_default=shown, parser=listed, metavar="NAME,NAME"
        )
        return Annotated[str | None, option]
    assert origin is not None and issubclass(origin, Mapping), f"no option for {entry.name}: {hint}"
    option = typer.Option(
        *names, help=text, show_default=False, parser=numbers, metavar="NAME=NUMBER"
    )
    return Annotated[str | None, option]


def _without_none(hint: Any) -> Any:
    if not isinstance(hint, types.UnionType):
        return hint
    (plain,) = (kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    return plain


def argument_help(kind: type) -> dict[str, str]:
    """The text of every field in the `Args` of a dataclass's docstring."""
    _, _, block = inspect.getdoc(kind).partition("Args:\n")  # type: ignore[union-attr]
    texts: dict[str, str] = {}
    for match in re.finditer(r"^    (\w+): (.*(?:\n {5,}.*)*)", block, re.MULTILINE):
        text = " ".join(match.group(2).split())
        texts[match.group(1)] = text[:1].upper() + text[1:]
    return texts


def numbers(text: str) -> dict[str, int]:
    """{'language': 16} of 'language=16'."""
    ranks: dict[str, int] = {}
    for part in listed(text):
        name, _, number = part.partition("=")
        if not number.isdigit():
            raise XlvlaError(
                f"'{text}': a part and its rank are wanted, as in language=16,action=32"
            )
        ranks[name] = int(number)
    return ranks
