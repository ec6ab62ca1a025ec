"""Which precision multiplies fastest on this processor where rounding does not matter."""

from __future__ import annotations

from functools import cache

import torch


@cache
def coarse_dtype() -> torch.dtype:
    """bfloat16 where the processor has wide instructions for it; elsewhere its products are
    emulated, tens of times as slow as those of float32.
    """
    if torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return torch.bfloat16
    return torch.float32
