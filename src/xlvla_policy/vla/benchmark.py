"""Inference time of a policy by stage, and how close it is to the machine's limits."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.engine import Eager, Engine, blank, moved_to
from xlvla_policy.vla.engine_choice import Choice, device_of, dtype_of, make
from xlvla_policy.vla.meta_model import outline
from xlvla_policy.vla.model import Inputs, Vla

TOKENS = 20
"""Tokens of the sentence that is measured with."""
MATRIX = 1536
MATRIX_ON_GPU = 8192
"""Sides of the matrices whose product measures a machine's floating-point operations."""
COPIED = 2**26
COPIED_ON_GPU = 2**28
"""Numbers of a copy that fits no cache."""
IMAGES = "images to tokens"
OBSERVE = "observe"
STEP = "one step"
CHUNK = "chunk"


@dataclass(frozen=True)
class Machine:
    """The machine's limits: floating-point operations per second of a large matrix product, bytes
    per second read and written by a large copy.
    """

    device: str
    threads: int
    flops: float
    bytes: float


@dataclass(frozen=True)
class InferenceStage:
    """One stage of a chunk.

    Args:
        engine: name of the engine that ran it.
        median_s, p99_s: how long it takes.
        flops: floating-point operations the model needs for it, with no padding.
        bytes: weights it reads.
    """

    engine: str
    name: str
    median_s: float
    p99_s: float
    flops: float
    bytes: float

    def bound_s(self, machine: Machine) -> float:
        """Lower bound of its time: computing or reading weights, whichever takes longer."""
        computing_s = self.flops / machine.flops
        reading_s = self.bytes / machine.bytes
        return max(computing_s, reading_s)


@dataclass(frozen=True)
class PolicySpeedReport:
    """A measured policy, engine by engine; the last stage of each is the whole chunk.

    `memory_bytes` is the most the process (or the device) held.
    """

    machine: Machine
    stages: list[InferenceStage]
    parameters: int
    memory_bytes: int

    @property
    def chunks(self) -> dict[str, InferenceStage]:
        """The whole chunk by engine."""
        return {stage.engine: stage for stage in self.stages}


@dataclass(frozen=True)
class Subject:
    """What is measured: engines by name on one device, in one precision (see engine_choice); where
    that is float8, the engine torch, which has none, runs in bfloat16.
    """

    config: VlaConfig
    engines: Sequence[str] = ("torch", "captured")
    device: str = "auto"
    precision: str = "auto"


def measure(
    subject: Subject,
    *,
    threads: int | None,
    rounds: int,
    progress: Callable[[str], None] = lambda line: None,
) -> PolicySpeedReport:
    """Times chunks of a policy with random weights: times do not depend on their values.

    Raises:
        XlvlaError: an engine, device or precision that is unknown, not available here, or
            incompatible.
    """
    if threads:
        torch.set_num_threads(threads)
    threads = torch.get_num_threads()
    # Refuses engines and precisions before anything is measured.
    choices: list[Choice] = []
    for name in subject.engines:
        precision = _precision(name, subject)
        choices.append(Choice(name, subject.device, precision, threads=threads))
    device = device_of(subject.device)
    dtype = dtype_of(subject.precision, device)
    progress("measuring the machine")
    machine = Machine(
        device=device.type,
        threads=threads,
        flops=matmul_rate(device.type, dtype),
        bytes=copy_rate(device.type),
    )
    progress("making the model")
    model = _random(subject.config, device, dtype)
    inputs, noise = _inputs(subject.config)
    flops: dict[str, float] = {}
    for name, work in _stages(Eager(model, device, dtype), inputs, noise):
        flops[name] = flops_of(work)
    stages: list[InferenceStage] = []
    for choice in choices:
        progress(f"starting {choice.engine}")
        action_bytes = 1 if choice.precision == "float8" else dtype.itemsize
        weight_bytes = _weight_bytes(model, action_bytes)
        with TemporaryDirectory() as folder:
            engine = _engine(model, choice, Path(folder))
            for name, work in _stages(engine, inputs, noise):
                progress(f"{choice.engine}: {name}")
                times = _times(work, device.type, rounds)
                stage = InferenceStage(
                    engine=choice.engine,
                    name=name,
                    median_s=statistics.median(times),
                    p99_s=_percentile(times, 0.99),
                    flops=flops[name],
                    bytes=weight_bytes[name],
                )
                stages.append(stage)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return PolicySpeedReport(machine, stages, parameters, memory_bytes(device.type))


def _percentile(times: Sequence[float], share: float) -> float:
    """The time that a share of the others do not exceed."""
    ordered = sorted(times)
    return ordered[round(share * (len(ordered) - 1))]


def _stages(
    engine: Engine, inputs: Inputs, noise: Tensor
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Name and work in the order of a chunk; the last is the whole. Only the unfused model can
    encode images apart from the rest.
    """

    @torch.inference_mode()
    def observe() -> Any:
        return engine.observe(inputs)

    @torch.inference_mode()
    def step() -> Tensor:
        return engine.euler_step(seen, tokens, 0)

    if isinstance(engine, Eager):
        model = engine.model
        moved = moved_to(engine.device, inputs)
        yield IMAGES, torch.inference_mode()(lambda: model.prefix(moved))
    yield OBSERVE, observe
    seen = observe()
    tokens = engine.tokens(noise)
    yield STEP, step
    yield CHUNK, lambda: engine.sample(inputs, noise)


def _weight_bytes(model: Vla, action_bytes: int) -> dict[str, float]:
    """Bytes of weights by stage; `action_bytes` is the size of a weight of the action expert."""
    action_parameters = model.joint.experts["action"].parameters()
    action = sum(parameter.numel() for parameter in action_parameters) * action_bytes
    images = _bytes(model.vision)
    language = _bytes(model.joint.experts["language"])
    heads = (
        _bytes(model.action_in_proj)
        + _bytes(model.action_time_mlp_in)
        + _bytes(model.action_time_mlp_out)
        + _bytes(model.action_out_proj)
    )
    step = action + heads
    observe = images + language + action
    return {
        IMAGES: images,
        OBSERVE: observe,
        STEP: step,
        CHUNK: observe + model.config.steps * step,
    }


def _precision(engine: str, subject: Subject) -> str:
    if engine == "torch" and subject.precision == "float8":
        return "bfloat16"
    return subject.precision


def _engine(model: Vla, choice: Choice, folder: Path) -> Engine:
    if choice.engine != "onnx":
        return make(model, choice)
    from xlvla_policy.vla.engine_onnx import Onnx
    from xlvla_policy.vla.export import write_graphs

    write_graphs(model, folder, {})
    return Onnx(folder, model.config, device=choice.device, threads=choice.threads)


def _random(config: VlaConfig, device: torch.device, dtype: torch.dtype) -> Vla:
    model = outline(config).to(dtype).to_empty(device=device).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(0, 0.02)
    return model


def flops_of(work: Callable[[], object]) -> float:
    """Floating-point operations of matrix products and convolutions in a piece of work."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def matmul_rate(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a square matrix product."""
    size = MATRIX if device == "cpu" else MATRIX_ON_GPU
    a = torch.randn(size, size, device=device).to(dtype)
    b = torch.randn(size, size, device=device).to(dtype)
    quickest_s = min(_times(lambda: a @ b, device, rounds=8))
    return 2 * size**3 / quickest_s


def copy_rate(device: str) -> float:
    """Bytes per second read and written by a copy that fits no cache."""
    size = COPIED if device == "cpu" else COPIED_ON_GPU
    source = torch.empty(size, device=device)
    target = torch.empty_like(source)
    quickest_s = min(_times(lambda: target.copy_(source), device, rounds=6))
    return 2 * source.nbytes / quickest_s


def memory_bytes(device: str) -> int:
    """The most memory that was in use: of the device, or of this process on the CPU."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return torch.cuda.max_memory_allocated(device)


def _inputs(config: VlaConfig) -> tuple[Inputs, Tensor]:
    """A random observation and the noise of a chunk."""
    empty = blank(config)
    inputs = replace(
        empty,
        images=torch.randint(0, 256, empty.images.shape, dtype=torch.uint8),
        words=torch.randint(0, config.vocabulary, (1, TOKENS)),
        word_mask=torch.ones(1, TOKENS, dtype=torch.bool),
        past=torch.randn(empty.past.shape),
    )
    return inputs, torch.randn(1, config.frames, config.frame_dim)


def _times(work: Callable[[], object], device: str, rounds: int) -> list[float]:
    """How long each round takes [s], after a first one that is discarded."""
    times: list[float] = []
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
    return float(sum(parameter.nbytes for parameter in module.parameters()))
