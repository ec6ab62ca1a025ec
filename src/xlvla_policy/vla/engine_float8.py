"""Weights of one byte: a step reads all of the action expert's weights for a handful of tokens, so
its time follows their size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LARGEST = torch.finfo(torch.float8_e4m3fn).max
MULTIPLE = 16
"""Sides of a float8 product must divide by this."""


class Float8Linear(nn.Module):
    """A product with weights [out, in] in float8, scaled row by row; tokens are scaled as they
    come, each by its largest number.

    Scaling takes many small kernels, which only a compiler fuses into one.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight, scale = quantised(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.T.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        tokens, scale = quantised(x.flatten(0, -2))
        product = torch.ops.aten._scaled_mm(
            tokens,
            self.weight.T,
            scale_a=scale,
            scale_b=self.scale,
            out_dtype=x.dtype,
            use_fast_accum=True,
        )
        return product.unflatten(0, x.shape[:-1])


def quantised(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [N, K] in float8, and the scales [N, 1] that multiply them back."""
    largest = rows.abs().amax(-1, keepdim=True).float()
    # A row of zeros must not divide by zero.
    scale = largest.clamp(min=1e-12) / LARGEST
    within = (rows / scale).clamp(-LARGEST, LARGEST)
    return within.to(torch.float8_e4m3fn), scale


def possible(device: torch.device) -> bool:
    """Whether a device multiplies float8: NVIDIA's from Ada and Hopper on."""
    if device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device) >= (8, 9)
