"""The fused network in buffers that never move: on a GPU each half is recorded once and replayed,
without Python between its kernels.

On a CPU the same halves run on the same buffers, so that tests without a GPU cover what a GPU
replays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from xlvla_policy.vla.engine import Stepper, blank, fields
from xlvla_policy.vla.engine_float8 import Float8Linear
from xlvla_policy.vla.engine_fused import Fused, unchanged
from xlvla_policy.vla.joint import KeysValues
from xlvla_policy.vla.model import Inputs, Vla

WARM_UPS = 3
"""Runs before a recording, in which libraries choose their kernels and the compiler compiles."""


class Captured(Stepper):
    """Captures on a GPU.

    Args:
        dtype: what the layers compute in.
        float8: the action expert's weights, read in every step, in one byte instead of two.
        compiled: kernels that torch.compile fuses; takes minutes to start, for a large network.
        backend: of torch.compile.
    """

    def __init__(
        self,
        model: Vla,
        device: torch.device,
        dtype: torch.dtype,
        *,
        float8: bool = False,
        compiled: bool = False,
        backend: str = "inductor",
    ):
        super().__init__(model.config, device)
        config = model.config
        project = Float8Linear if float8 else unchanged
        self.network = Fused(model, device, dtype, project)
        self._inputs = tuple(field.to(device) for field in fields(blank(config)))
        numbers = config.frames_per_token * config.frame_dim
        self._noisy = torch.zeros(1, config.action_tokens, numbers, device=device)
        self._time = self.embeddings[0].clone()
        self._output = self._noisy.clone()
        self._observations = 0
        with torch.no_grad():
            seen = self.network.observe(*self._inputs)
            # Buffers for what is seen, with room for the actions behind it.
            room = (0, 0, 0, config.action_tokens)
            self._keys = [pad(layer, room) for layer in seen.keys]
            self._values = [pad(layer, room) for layer in seen.values]
            self._seen_tokens = seen.keys.shape[3]
            self._cosine = seen.cosine.clone()
            self._sine = seen.sine.clone()
            self._bias = seen.bias.clone()
            fill = self._fill_seen
            denoise = self._fill_output
            if compiled:
                mode = "max-autotune-no-cudagraphs" if device.type == "cuda" else "default"
                compiler = partial(
                    torch.compile, fullgraph=True, dynamic=False, mode=mode, backend=backend
                )
                fill = compiler(fill)
                denoise = compiler(denoise)
            self._observe = recorded(fill, device)
            self._step = recorded(denoise, device)

    @torch.no_grad()
    def observe(self, inputs: Inputs) -> int:
        for target, source in zip(self._inputs, self.fitted(inputs), strict=True):
            target.copy_(source, non_blocking=True)
        self._observe()
        self._observations += 1
        return self._observations

    @torch.no_grad()
    def step(self, seen: int, noisy: Tensor, embedding: Tensor) -> Tensor:
        assert seen == self._observations, "the buffers hold a later observation"
        self._noisy.copy_(noisy, non_blocking=True)
        self._time.copy_(embedding)
        self._step()
        return self._output.clone()

    def _fill_seen(self) -> None:
        """Observes what is in the input buffers."""
        seen = self.network.observe(*self._inputs)
        for buffer, keys in zip(self._keys, seen.keys, strict=True):
            buffer[:, :, : self._seen_tokens].copy_(keys)
        for buffer, values in zip(self._values, seen.values, strict=True):
            buffer[:, :, : self._seen_tokens].copy_(values)
        self._cosine.copy_(seen.cosine)
        self._sine.copy_(seen.sine)
        self._bias.copy_(seen.bias)

    def _fill_output(self) -> None:
        """Denoises what is in the buffers of noisy tokens and time."""
        output = self.network.step(
            self._noisy, self._time, self._cosine, self._sine, self._bias, self._join
        )
        self._output.copy_(output)

    def _join(self, index: int, k: Tensor, v: Tensor) -> KeysValues:
        keys = self._keys[index]
        values = self._values[index]
        keys[:, :, self._seen_tokens :].copy_(k)
        values[:, :, self._seen_tokens :].copy_(v)
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
    # Other threads may use the GPU meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    return graph.replay
