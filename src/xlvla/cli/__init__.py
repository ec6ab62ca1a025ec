"""The command line; one file per command, everything heavy imported when a command needs it."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import Annotated

import typer

from xlvla import __version__
from xlvla.errors import RigError, XlvlaError
from xlvla.text import plain

EXTRAS = {
    "mujoco": "sim",
    "cv2": "sim",
    "torch": "policy",
    "sentencepiece": "policy",
    "matplotlib": "show",
    "av": "data",
    "pyarrow": "data",
    "mcap": "data",
    "lz4": "data",
    "rosbags": "data",
    "grpc": "teleop",
    "msgpack": "teleop",
    "websockets": "teleop",
    "pink": "teleop",
    "mcap_ros2": "teleop",
    "dex_retargeting": "teleop",
    "serial": "drivers",
    "pymodbus": "drivers",
    "dynamixel_sdk": "drivers",
    "xarm": "drivers",
    "cyclonedds": "drivers",
    "cryptography": "secure",
    "onnx": "export",
    "onnxruntime": "export",
    "gymnasium": "gym",
    "ray": "ray",
}
"""Which extra of the distribution brings a module."""

LONGEST_LINE = 4000

app = typer.Typer(name="xlvla", no_args_is_help=True, add_completion=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"xlvla {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Robot control for dexterous hands in one shared latent space."""


def main() -> None:
    """Runs the command; a user's mistake prints one line and exits with 2."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}").register(app)
    try:
        app()
    except RigError as error:
        _fail(*error.faults)
    except XlvlaError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        _fail(f"this command needs '{error.name}': pip install 'xlvla[{EXTRAS[error.name]}]'")


def _fail(*lines: str) -> None:
    """What is quoted in a line may be a stranger's: a message's, a file's."""
    print("xlvla: " + "\n".join(plain(line, longest=LONGEST_LINE) for line in lines), file=sys.stderr)
    sys.exit(2)
