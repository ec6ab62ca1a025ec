"""From what a rig says to the engine that runs its policy: weights, engine, device and precision
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
    """What a rig may choose; auto takes what suits the weights and the machine.

    Args:
        engine: torch (operation by operation), captured (fused products in fixed buffers, CUDA
            graphs), compiled (that, and torch.compile) or onnx (an exported folder).
        precision: of the layers; float8 only of the action expert's weights.
        gradient: whether guided chunks will ask for gradients.
    """

    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    gradient: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        for kind, known in (("engine", EngineName), ("device", Device), ("precision", Precision)):
            if (name := getattr(self, kind)) not in get_args(known):
                raise unknown(kind, name, get_args(known))


def load(path: Path, choice: Choice, *, codec: str | None = None) -> tuple[Engine, ModelCard]:
    """The engine for a weights file or an exported folder, ready to run, and its card.

    Raises:
        XlvlaError: weights that cannot be read or speak another codec's latents, or choices that do
            not go together.
    """
    if path.is_dir():
        return _exported(path, choice, codec)
    if choice.engine == "onnx":
        wish = "write one with `xlvla policy export --out DIR` and name it as policy.checkpoint"
        raise XlvlaError(f"engine 'onnx' runs an exported folder, {path} is none: {wish}")
    model, card = checkpoint.load(path, codec=codec)
    return make(model, choice), card


def make(model: Vla, choice: Choice) -> Engine:
    """The engine for a model, which it may take apart."""
    from xlvla_policy.vla.engine_captured import Captured

    device = device_of(choice.device)
    engine = choice.engine
    float8 = choice.precision == "float8"
    if engine == "auto":
        engine = (
            "torch"
            if choice.gradient or device.type == "cpu"
            else "compiled"
            if float8
            else "captured"
        )
    if choice.gradient and engine != "torch":
        raise XlvlaError(
            f"engine '{engine}' gives no gradients, which guided chunks need: choose engine torch, "
            "or another chunking"
        )
    if float8 and (engine == "torch" or not engine_float8.possible(device)):
        raise XlvlaError(
            "precision 'float8' needs engine captured or compiled on an NVIDIA GPU from Ada or "
            "Hopper on"
        )
    dtype = dtype_of(choice.precision, device)
    if engine == "torch":
        return Eager(model, device, dtype)
    return Captured(model, device, dtype, float8=float8, compiled=engine == "compiled")


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
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """What the layers compute in; beside weights in float8, bfloat16."""
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" else "float32"
    return PRECISIONS.get(precision, torch.bfloat16)
