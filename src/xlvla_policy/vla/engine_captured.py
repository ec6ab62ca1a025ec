"""The fused network in buffers that never move: on a GPU each half is recorded once and replayed,
without Python between its kernels.

On a CPU the same halves run on the same buffers, so that what a GPU replays is what the tests have
seen.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xlvla_policy.vla.engine import Stepper, blank, fields
from xlvla_policy.vla.engine_float8 import Float8Linear
from xlvla_policy.vla.engine_fused import Fused
from xlvla_policy.vla.model import Inputs, Vla

WARM_UPS = 3
"""Runs before a recording: libraries choose their kernels, the compiler compiles."""


class Captured(Stepper):
    """Captures on a GPU.

    Args:
        dtype: what the layers compute in.
        float8: the action expert's weights, read in every step, in one byte instead of two.
        compiled: kernels that torch.compile fuses; takes minutes to start, for a large network.
    """

    def __init__(
        self,
        model: Vla,
        device: torch.device,
        dtype: torch.dtype,
        *,
        float8: bool = False,
        compiled: bool = False,
    ):
        super().__init__(model.config, device)
        config = model.config
        self.network = Fused(
            model, device, dtype, Float8Linear if float8 else lambda linear: linear
        )
        self._given = tuple(field.to(device) for field in fields(blank(config)))
        numbers = config.frames_per_token * config.frame_dim
        self._noisy = torch.zeros(1, config.action_tokens, numbers, device=device)
        self._time, self._output = self.embeddings[0].clone(), self._noisy.clone()
        self._looks = 0
        with torch.no_grad():
            self._make_room()
            look = self._look
            think = self._think
            if compiled:
                mode = "max-autotune-no-cudagraphs" if device.type == "cuda" else "default"
                look, think = (
                    torch.compile(work, fullgraph=True, dynamic=False, mode=mode)
                    for work in (look, think)
                )
            self._observe = recorded(look, device)
            self._step = recorded(think, device)

    @torch.no_grad()
    def observe(self, inputs: Inputs) -> int:
        for target, source in zip(self._given, self.fitted(inputs), strict=True):
            target.copy_(source, non_blocking=True)
        self._observe()
        self._looks += 1
        return self._looks

    @torch.no_grad()
    def step(self, seen: int, noisy: Tensor, embedding: Tensor) -> Tensor:
        assert seen == self._looks, "the buffers hold a later observation"
        self._noisy.copy_(noisy, non_blocking=True)
        self._time.copy_(embedding)
        self._step()
        return self._output.clone()

    def _make_room(self) -> None:
        """Buffers for what is seen, with room for the actions behind it."""
        seen = self.network.observe(*self._given)
        room = self.config.action_tokens
        self._keys, self._values = (
            [torch.nn.functional.pad(layer, (0, 0, 0, room)) for layer in part]
            for part in (seen.keys, seen.values)
        )
        self._seen = seen.keys.shape[3]
        self._where = seen.cosine.clone(), seen.sine.clone(), seen.bias.clone()

    def _look(self) -> None:
        seen = self.network.observe(*self._given)
        for target, source in zip(
            self._keys + self._values, (*seen.keys, *seen.values), strict=True
        ):
            target[:, :, : self._seen].copy_(source)
        for target, source in zip(self._where, (seen.cosine, seen.sine, seen.bias), strict=True):
            target.copy_(source)

    def _think(self) -> None:
        self._output.copy_(self.network.step(self._noisy, self._time, *self._where, self._join))

    def _join(self, index: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        keys = self._keys[index]
        values = self._values[index]
        keys[:, :, self._seen :].copy_(k)
        values[:, :, self._seen :].copy_(v)
        return keys, values


def recorded(work: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """Work on fixed buffers as one CUDA graph; on a CPU the work itself. Either way it has run
    before this returns.
    """
    if device.type != "cuda":
        work()
        return work
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            work()
    torch.cuda.current_stream(device).wait_stream(stream)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(
        graph, capture_error_mode="thread_local"
    ):  # other threads may use the GPU meanwhile
        work()
    return graph.replay
