"""From a rig's choices to the engine that runs its policy: weights, engine, device and precision
that go together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch

from xlvla.errors import XlvlaError, unknown
from xlvla.policy import Device, EngineName, Precision
from xlvla_policy.vla import checkpoint, engine_float8
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.engine import Eager, Engine
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.stream import PRECISIONS


@dataclass(frozen=True)
class Choice:
    """The choices of a rig; auto takes what suits the weights and the machine.

    Args:
        engine: torch (operation by operation), captured (fused products in fixed buffers, CUDA
            graphs), compiled (that, and torch.compile) or onnx (an exported folder).
        precision: of the layers; float8 only of the action expert's weights.
        gradient: whether gradients are needed, as by guided chunks.
    """

    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    gradient: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        _check("engine", self.engine, get_args(EngineName))
        _check("device", self.device, get_args(Device))
        _check("precision", self.precision, get_args(Precision))


def _check(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise unknown(kind, name, known)


def load(path: Path, choice: Choice, *, codec: str | None = None) -> tuple[Engine, ModelCard]:
    """The engine for a weights file or an exported folder, ready to run, and its card.

    Raises:
        XlvlaError: weights that cannot be read or were trained with another codec's latents, or
            choices that do not go together.
    """
    if path.is_dir():
        return _exported(path, choice, codec)
    if choice.engine == "onnx":
        raise XlvlaError(
            f"engine 'onnx' runs an exported folder, {path} is none: write one with "
            "`xlvla policy export --out DIR` and name it as policy.checkpoint"
        )
    model, card = checkpoint.load(path, codec=codec)
    return make(model, choice), card


def make(model: Vla, choice: Choice) -> Engine:
    """The engine for a model, whose weights it may move or convert.

    Raises:
        XlvlaError: choices that do not go together.
    """
    from xlvla_policy.vla.engine_captured import Captured

    device = device_of(choice.device)
    engine = choice.engine
    float8 = choice.precision == "float8"
    if engine == "auto":
        engine = _suitable_engine(choice, device)
    if choice.gradient and engine != "torch":
        raise XlvlaError(
            f"engine '{engine}' gives no gradients, which guided chunks need: choose engine torch, "
            "or another chunking"
        )
    float8_runs = engine != "torch" and engine_float8.possible(device)
    if float8 and not float8_runs:
        raise XlvlaError(
            "precision 'float8' needs engine captured or compiled on an NVIDIA GPU from Ada or "
            "Hopper on"
        )
    dtype = dtype_of(choice.precision, device)
    if engine == "torch":
        return Eager(model, device, dtype)
    return Captured(model, device, dtype, float8=float8, compiled=engine == "compiled")


def _suitable_engine(choice: Choice, device: torch.device) -> str:
    if choice.gradient or device.type == "cpu":
        return "torch"
    # Scaling tokens to float8 is only quick when compiled.
    if choice.precision == "float8":
        return "compiled"
    return "captured"


def _exported(folder: Path, choice: Choice, codec: str | None) -> tuple[Engine, ModelCard]:
    from xlvla_policy.vla import engine_onnx

    if choice.engine not in ("auto", "onnx"):
        raise XlvlaError(
            f"engine '{choice.engine}' runs weights, {folder} is an exported folder: choose engine "
            "onnx, or name a weights file"
        )
    if choice.gradient:
        raise XlvlaError(
            "engine 'onnx' gives no gradients, which guided chunks need: name a weights file, or "
            "choose another chunking"
        )
    if choice.precision not in ("auto", "float32", "float16"):
        raise XlvlaError(
            f"precision '{choice.precision}' is none of engine 'onnx': choose float32 or float16"
        )
    half = choice.precision == "float16"
    return engine_onnx.load(
        folder, device=choice.device, half=half, threads=choice.threads, codec=codec
    )


def device_of(name: str) -> torch.device:
    """The device a rig chose; XlvlaError where it is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise XlvlaError("no CUDA device here: choose device cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """Precision that the layers compute in; with weights in float8, bfloat16."""
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" else "float32"
    return PRECISIONS.get(precision, torch.bfloat16)
