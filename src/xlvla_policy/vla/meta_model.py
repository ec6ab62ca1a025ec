"""A model on the meta device: shapes without values, for loading weights or for shapes alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.model import Vla

DRAWING = {"normal_", "uniform_", "kaiming_uniform_", "kaiming_normal_", "zeros_"}


class _WithoutDrawing(TorchFunctionMode):
    """Skips the drawing of initial values: on the meta device it would load torch's compiler, which
    takes a second.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if getattr(func, "__name__", "") not in DRAWING:
            return func(*args, **named)
        # The functions of torch.nn.init return the tensor they fill.
        if args:
            return args[0]
        return named["tensor"]


def outline(config: VlaConfig) -> Vla:
    """The model on the meta device, its weights without values."""
    with torch.device("meta"), _WithoutDrawing():
        return Vla(config)
