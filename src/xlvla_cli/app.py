"""The command line; one file per command, everything heavy imported when a command needs it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import xlvla_cli
from xlvla import __version__, environment
from xlvla.errors import RigError, XlvlaError, machine_line, missing_library
from xlvla.text import plain
from xlvla_cli.commands import register_all

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
    "viser": "panel",
    "daqp": "teleop",
    "mcap_ros2": "teleop",
    "dex_retargeting": "teleop",
    "serial": "drivers",
    "pymodbus": "drivers",
    "dynamixel_sdk": "drivers",
    "xarm": "drivers",
    "cyclonedds": "drivers",
    "cryptography": "secure",
    "trimesh": "hands",
    "scipy": "hands",
    "collada": "hands",
    "xacrodoc": "hands",
    "onnx": "export",
    "onnxruntime": "export",
    "gymnasium": "gym",
    "ray": "ray",
    "huggingface_hub": "hub",
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
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Robot control for dexterous hands in one shared latent space."""


def main() -> None:
    """Runs the command; a user's mistake or what this machine lacks prints one line and exits with
    2.
    """
    try:
        register_all(xlvla_cli.__name__, xlvla_cli.__path__, app)
        app(prog_name="xlvla")
    except RigError as error:
        _fail(*error.faults)
    except XlvlaError as error:
        _fail(str(error))
    except ImportError as error:
        _fail(_import_line(error))
    except OSError as error:
        line = machine_line(error)
        if line is None:
            raise
        _fail(line)
    except KeyboardInterrupt:
        sys.exit(130)


def _import_line(error: ImportError) -> str:
    """What a command needs that cannot be imported; raises the error where it is no matter of what
    is installed.
    """
    if error.name in EXTRAS:
        return f"this command needs '{error.name}': pip install 'xlvla[{EXTRAS[error.name]}]'"
    fault = environment.foreign_ros() or missing_library(error)
    if not fault:
        raise error
    return fault


def _fail(*lines: str) -> None:
    """What is quoted in a line may be a stranger's: a message's, a file's."""
    print(
        "xlvla: " + "\n".join(plain(line, longest=LONGEST_LINE) for line in lines), file=sys.stderr
    )
    sys.exit(2)
