"""The command line, from the commands themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer.main

import xlvla_cli
from tables import code, table
from xlvla_cli.app import app
from xlvla_cli.commands import register_all

Command = Any
"""A command, group or parameter of click, or of the click that recent versions of typer bring."""

FOLDER = "reference/commands"

OVERVIEW = """# Command line

`xlvla COMMAND --help` prints the same at the terminal; `python -m xlvla` is the same command.

| exit code | meaning |
|---|---|
| 0 | success |
| 1 | a check found something |
| 2 | a mistake, which one line names |
| 130 | ended by Ctrl-C |
"""


@cache
def tree() -> Command:
    """Every command of `xlvla`."""
    register_all(xlvla_cli.__name__, xlvla_cli.__path__, app)
    return typer.main.get_command(app)


def nav() -> list[dict[str, str]]:
    """Entries of the navigation: the overview, then a page for each group of commands."""
    entries = [{"Overview": f"{FOLDER}/index.md"}, {"Single commands": f"{FOLDER}/single.md"}]
    for name in _groups():
        entries.append({f"xlvla {name}": f"{FOLDER}/{name}.md"})
    return entries


def pages() -> dict[str, str]:
    """The pages by path."""
    made = {
        f"{FOLDER}/index.md": _overview(),
        f"{FOLDER}/single.md": _page("Single commands", "", "xlvla", _singles()),
    }
    for name, group in _groups().items():
        path = f"{FOLDER}/{name}.md"
        made[path] = _page(f"xlvla {name}", group.help or "", f"xlvla {name}", _children(group))
    return made


def _groups() -> dict[str, Command]:
    commands = _children(tree())
    return {name: command for name, command in commands.items() if _children(command)}


def _singles() -> dict[str, Command]:
    commands = _children(tree())
    return {name: command for name, command in commands.items() if not _children(command)}


def _children(group: Command) -> dict[str, Command]:
    """The commands of a group by name; empty for a command that is no group."""
    commands = getattr(group, "commands", {})
    return {name: commands[name] for name in sorted(commands) if not commands[name].hidden}


def _overview() -> str:
    rows = []
    for name, command in _singles().items():
        rows.append(_row("single", f"xlvla {name}", command))
    for name, group in _groups().items():
        for child, command in _children(group).items():
            rows.append(_row(name, f"xlvla {name} {child}", command))
    return OVERVIEW + "\n" + table(("command", "what it does"), rows)


def _row(page: str, name: str, command: Command) -> tuple[str, str]:
    summary = (command.help or "").partition("\n\n")[0]
    return f"[{code(name)}]({page}.md#{_anchor(name)})", summary


def _page(title: str, introduction: str, prefix: str, commands: dict[str, Command]) -> str:
    sections = [_section(f"{prefix} {name}", command) for name, command in commands.items()]
    return "\n\n".join([f"# {title}", introduction, *sections])


def _section(name: str, command: Command) -> str:
    arguments = _parameters(command, "argument")
    options = _parameters(command, "option")
    usage = [name, *map(_argument_name, arguments)]
    if options:
        usage.append("[OPTIONS]")
    heading = f"## {name} {{ #{_anchor(name)} }}"
    parts = [heading, (command.help or "").strip(), f"```\n{' '.join(usage)}\n```"]
    rows = [_parameter_row(_argument_name(argument), argument) for argument in arguments]
    rows += [_parameter_row(_option_name(option), option) for option in options]
    if rows:
        parts.append(table(("argument or option", "default", "meaning"), rows))
    return "\n\n".join(parts)


def _parameters(command: Command, kind: str) -> list[Command]:
    """Arguments or options, without --help."""
    mine = [entry for entry in command.params if entry.param_type_name == kind]
    return [entry for entry in mine if "--help" not in entry.opts]


def _parameter_row(name: str, parameter: Command) -> tuple[str, str, str]:
    return code(name), _default(parameter), parameter.help or ""


def _argument_name(argument: Command) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _option_name(option: Command) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    return f"{names} {option.metavar}" if option.metavar else names


def _default(parameter: Command) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if isinstance(default, bool):
        return "on" if default else "off"
    # None and click's own marker both mean that there is none.
    known = isinstance(default, str | int | float) or hasattr(default, "parts")
    return code(default) if known else ""


def _anchor(name: str) -> str:
    return name.replace(" ", "-")
