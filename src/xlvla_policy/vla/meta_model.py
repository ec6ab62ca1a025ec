"""A model on the meta device: shapes without values, for loading weights or for shapes alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.model import Vla

DRAWING = {"normal_", "uniform_", "kaiming_uniform_", "kaiming_normal_", "zeros_"}


class _Undrawn(TorchFunctionMode):
    """Leaves initial values out. Drawing even none of them, on the meta device, would load torch's
    compiler: a second lost.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__name__", "") in DRAWING:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def outline(config: VlaConfig) -> Vla:
    """The model on the meta device."""
    with torch.device("meta"), _Undrawn():
        return Vla(config)
