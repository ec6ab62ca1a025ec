"""The command line; one file per command, everything heavy imported when a command needs it."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import typer

from xlvla.errors import RigError, XlvlaError

app = typer.Typer(
    name="xlvla", no_args_is_help=True, add_completion=False, help="Robot control for dexterous hands in one shared latent space."
)


def main() -> None:
    """Runs the command; a user's mistake prints one line and exits with 2."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}").register(app)
    try:
        app()
    except RigError as error:
        _fail("\n".join(error.faults))
    except XlvlaError as error:
        _fail(str(error))


def _fail(text: str) -> None:
    print(f"xlvla: {text}", file=sys.stderr)
    sys.exit(2)
