"""How long a policy thinks, stage by stage, and how near that is to what the machine can do."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from xlvla.errors import XlvlaError, unknown
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.model import Inputs, Vla
from xlvla_policy.vla.stream import PRECISIONS

WORDS = 20
"""Words of the sentence that is measured with."""


@dataclass(frozen=True)
class Machine:
    """What the machine does at best: floating-point operations per second of a large matrix product, bytes per second read
    and written by a large copy."""

    device: str
    threads: int
    flops: float
    bytes: float


@dataclass(frozen=True)
class Stage:
    """One stage of a chunk.

    Args:
        median_s, p99_s: how long it takes.
        flops: floating-point operations it needs.
        bytes: weights it reads.
    """

    name: str
    median_s: float
    p99_s: float
    flops: float
    bytes: float

    def bound_s(self, machine: Machine) -> float:
        """How quick it could be at best: computing or reading weights, whichever takes longer."""
        return max(self.flops / machine.flops, self.bytes / machine.bytes)


@dataclass(frozen=True)
class Report:
    """A measured policy; `memory_bytes` is the most the process (or the device) held."""

    machine: Machine
    stages: list[Stage]
    parameters: int
    memory_bytes: int


def measure(config: VlaConfig, *, device: str, dtype: torch.dtype, rounds: int, said: Callable[[str], None] = lambda line: None) -> Report:
    """Times one chunk of a policy with random weights: times do not depend on their values."""
    said("measuring the machine")
    machine = Machine(device, torch.get_num_threads(), matmul_rate(device, dtype), copy_rate(device))
    said("making the model")
    with torch.device("meta"):
        model = Vla(config)
    model = model.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(0, 0.02)
    inputs, noise = _inputs(config, device, dtype)
    stages = []
    for name, work, weights in _stages(model, inputs, noise):
        said(name)
        with torch.inference_mode():
            times = sorted(_times(work, device, rounds))
        p99 = times[min(len(times) - 1, round(0.99 * (len(times) - 1)))]
        stages.append(Stage(name, statistics.median(times), p99, flops_of(work), weights))
    return Report(machine, stages, sum(p.numel() for p in model.parameters()), memory_bytes(device))


def bench(
    config: VlaConfig, *, device: str, precision: str, threads: int | None, rounds: int, said: Callable[[str], None] = lambda line: None
) -> Report:
    """`measure` by names: '' takes CUDA where there is one, and the precision that suits the device."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cpu", "cuda"):
        raise unknown("device", device, ("cpu", "cuda"))
    if device == "cuda" and not torch.cuda.is_available():
        raise XlvlaError("no CUDA device here: leave --device out, or take --device cpu")
    precision = precision or ("float32" if device == "cpu" else "bfloat16")
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if threads:
        torch.set_num_threads(threads)
    return measure(config, device=device, dtype=PRECISIONS[precision], rounds=rounds, said=said)


def _stages(model: Vla, inputs: Inputs, noise: Tensor) -> list[tuple[str, Callable[[], object], float]]:
    """Name, work and bytes of weights read, in the order of a chunk; the last is the whole."""
    config = model.config
    with torch.inference_mode():
        cache = model.observe(inputs)
    tokens = noise.unflatten(1, (config.action_tokens, -1)).flatten(2)
    t = torch.full(tokens.shape[:2], 0.5, device=noise.device)
    vision = _bytes(model.vision)
    language, action = (_bytes(model.joint.experts[name]) for name in ("language", "action"))
    heads = sum(_bytes(m) for m in (model.action_in_proj, model.action_time_mlp_in, model.action_time_mlp_out, model.action_out_proj))
    step = action + heads
    return [
        ("images to tokens", lambda: model.prefix(inputs), vision),
        ("observe: prefix and past", lambda: model.observe(inputs), vision + language + action),
        ("one denoising step", lambda: model.denoise(cache, tokens, t), step),
        (f"chunk, {config.steps} steps", lambda: model.sample(inputs, noise), vision + language + action + config.steps * step),
    ]


def flops_of(work: Callable[[], object]) -> float:
    """Floating-point operations of matrix products and convolutions in a piece of work."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        work()
    return float(counter.get_total_flops())


def matmul_rate(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a square matrix product."""
    size = 8192 if device != "cpu" else 1536
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / min(_times(lambda: a @ b, device, 8))


def copy_rate(device: str) -> float:
    """Bytes per second read by a copy that fits no cache; it writes as many."""
    source = torch.empty(2**28 if device != "cpu" else 2**26, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(_times(lambda: target.copy_(source), device, 6))


def memory_bytes(device: str) -> int:
    """The most memory that was in use: of the device, or of this process on the CPU."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return torch.cuda.max_memory_allocated(device)


def _inputs(config: VlaConfig, device: str, dtype: torch.dtype) -> tuple[Inputs, Tensor]:
    views, vision = len(config.cameras), config.vision
    made = Inputs(
        images=torch.randint(0, 256, (1, views, vision.height, vision.width, 3), dtype=torch.uint8),
        cameras=torch.ones(1, views, dtype=torch.bool),
        words=torch.randint(0, config.vocabulary, (1, WORDS)),
        word_mask=torch.ones(1, WORDS, dtype=torch.bool),
        past=torch.randn(1, config.told_frames, config.frame_dim).to(dtype),
    )
    there = Inputs(*(getattr(made, name).to(device) for name in ("images", "cameras", "words", "word_mask", "past")))
    return there, torch.randn(1, config.frames, config.frame_dim, device=device).to(dtype)


def _times(work: Callable[[], object], device: str, rounds: int) -> list[float]:
    """How long each round takes [s], after one that does not count."""
    times = []
    for _ in range(rounds + 1):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - began)
    return times[1:]


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def _bytes(module: torch.nn.Module) -> float:
    return float(sum(p.numel() * p.element_size() for p in module.parameters()))
