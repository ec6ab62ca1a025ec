"""The command line, from the commands themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer.main

from tables import code, table

Command = Any
"""A command, group, or parameter as click makes them; recent versions of typer bring a click of their own."""

FOLDER = "reference/commands"


@cache
def tree() -> Command:
    """Every command of `xlvla`."""
    try:
        import xlvla_cli
        from xlvla_cli.app import app
        from xlvla_cli.commands import register_all

        register_all(xlvla_cli.__name__, xlvla_cli.__path__, app)
    except ImportError:  # OLD LAYOUT
        import importlib
        import pkgutil

        import xlvla.cli
        from xlvla.cli import app

        for module in pkgutil.iter_modules(xlvla.cli.__path__):
            importlib.import_module(f"xlvla.cli.{module.name}").register(app)
    return typer.main.get_command(app)


def nav() -> list[dict[str, str]]:
    """Entries of the navigation: the overview, then a page for each group of commands."""
    groups = [{f"xlvla {name}": f"{FOLDER}/{name}.md"} for name in _groups()]
    return [{"Overview": f"{FOLDER}/index.md"}, {"Single commands": f"{FOLDER}/single.md"}, *groups]


def pages() -> dict[str, str]:
    """The pages by path."""
    single = {name: command for name, command in _children(tree()).items() if name not in _groups()}
    made = {f"{FOLDER}/index.md": _overview(), f"{FOLDER}/single.md": _page("Single commands", "", "xlvla", single)}
    for name, group in _groups().items():
        made[f"{FOLDER}/{name}.md"] = _page(f"xlvla {name}", group.help or "", f"xlvla {name}", _children(group))
    return made


def _groups() -> dict[str, Command]:
    return {name: command for name, command in _children(tree()).items() if hasattr(command, "commands")}


def _children(group: Command) -> dict[str, Command]:
    commands = getattr(group, "commands", {})
    return dict(sorted((name, command) for name, command in commands.items() if not command.hidden))


def _overview() -> str:
    rows = []
    for name, command in _children(tree()).items():
        if name not in _groups():
            rows.append(_row(f"single.md#xlvla-{name}", f"xlvla {name}", command))
        for child, below in _children(command).items():
            rows.append(_row(f"{name}.md#xlvla-{name}-{child}", f"xlvla {name} {child}", below))
    text = [
        "# Command line",
        "",
        "`xlvla COMMAND --help` prints the same at the terminal; `python -m xlvla` is the same command.",
        "Exit codes are 0 for success, 1 where a check found something, 2 for a mistake that one line names, 130 after Ctrl-C.",
        "",
        table(("command", "what it does"), rows),
    ]
    return "\n".join(text)


def _row(link: str, name: str, command: Command) -> tuple[str, str]:
    return f"[`{name}`]({link})", _first_sentence(command.help or "")


def _first_sentence(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def _page(title: str, introduction: str, prefix: str, commands: dict[str, Command]) -> str:
    lines = [f"# {title}", "", introduction, ""]
    for name, command in commands.items():
        lines += _command(f"{prefix} {name}", command)
    return "\n".join(lines)


def _command(name: str, command: Command) -> list[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option" and "--help" not in parameter.opts]
    usage = " ".join([name, *map(_argument_name, arguments), "[OPTIONS]" if options else ""]).strip()
    lines = [f"## {name} {{ #{name.replace(' ', '-')} }}", "", (command.help or "").strip(), "", "```", usage, "```", ""]
    rows = [(code(_argument_name(argument)), _default(argument), argument.help or "") for argument in arguments]
    rows += [(code(_option_name(option)), _default(option), option.help or "") for option in options]
    return [*lines, table(("argument or option", "default", "meaning"), rows)] if rows else lines


def _argument_name(argument: Command) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _option_name(option: Command) -> str:
    return ", ".join([*option.opts, *option.secondary_opts])


def _default(parameter: Command) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default is None or default == "" or callable(default) or type(default).__name__ == "Sentinel":
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    return code(default)
