"""Inference time of a policy by stage, and how close it is to the machine's limits."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.engine import Eager, Engine, blank, fields
from xlvla_policy.vla.engine_choice import Choice, device_of, dtype_of, make
from xlvla_policy.vla.meta_model import outline
from xlvla_policy.vla.model import Inputs, Vla

WORDS = 20
"""Words of the sentence that is measured with."""
IMAGES = "images to tokens"


@dataclass(frozen=True)
class Machine:
    """What the machine does at best: floating-point operations per second of a large matrix
    product, bytes per second read and written by a large copy.
    """

    device: str
    threads: int
    flops: float
    bytes: float


@dataclass(frozen=True)
class InferenceStage:
    """One stage of a chunk.

    Args:
        engine: what ran it.
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
        """How quick it could be at best: computing or reading weights, whichever takes longer."""
        return max(self.flops / machine.flops, self.bytes / machine.bytes)


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
    choices = [
        Choice(name, subject.device, _precision(name, subject), threads=torch.get_num_threads())
        for name in subject.engines
    ]
    device = device_of(subject.device)
    dtype = dtype_of(subject.precision, device_of(subject.device))
    progress("measuring the machine")
    machine = Machine(
        device.type,
        torch.get_num_threads(),
        matmul_rate(device.type, dtype),
        copy_rate(device.type),
    )
    progress("making the model")
    model = _random(subject.config, device, dtype)
    stages = list[InferenceStage]()
    inputs, noise = _inputs(subject.config)
    flops = {
        name: flops_of(work) for name, work in _stages(Eager(model, device, dtype), inputs, noise)
    }
    for choice in choices:
        progress(f"starting {choice.engine}")
        reads = _reads(model, 1 if choice.precision == "float8" else dtype.itemsize)
        with TemporaryDirectory() as folder:
            engine = _engine(model, choice, Path(folder))
            for name, work in _stages(engine, inputs, noise):
                progress(f"{choice.engine}: {name}")
                times = sorted(_times(work, device.type, rounds))
                p99 = times[min(len(times) - 1, round(0.99 * (len(times) - 1)))]
                stages.append(
                    InferenceStage(
                        choice.engine, name, statistics.median(times), p99, flops[name], reads[name]
                    )
                )
    return PolicySpeedReport(
        machine, stages, sum(p.numel() for p in model.parameters()), memory_bytes(device.type)
    )


def _stages(
    engine: Engine, inputs: Inputs, noise: Tensor
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Name and work in the order of a chunk; the last is the whole. Only of a model as it is can
    the images be told apart.
    """
    if isinstance(engine, Eager):
        there = Inputs(*(field.to(engine.device) for field in fields(inputs)))
        yield IMAGES, torch.inference_mode()(lambda: engine.model.prefix(there))
    observe = torch.inference_mode()(lambda: engine.observe(inputs))
    yield "observe", observe
    seen = observe()
    tokens = engine.tokens(noise)
    yield "one step", torch.inference_mode()(lambda: engine.euler_step(seen, tokens, 0))
    yield "chunk", lambda: engine.sample(inputs, noise)


def _reads(model: Vla, action_bytes: int) -> dict[str, float]:
    """Bytes of weights by stage; `action_bytes` is what a weight of the action expert takes."""
    action = sum(p.numel() for p in model.joint.experts["action"].parameters()) * action_bytes
    heads = sum(
        _bytes(m)
        for m in (
            model.action_in_proj,
            model.action_time_mlp_in,
            model.action_time_mlp_out,
            model.action_out_proj,
        )
    )
    images = _bytes(model.vision)
    step = action + heads
    observe = images + _bytes(model.joint.experts["language"]) + action
    return {
        IMAGES: images,
        "observe": observe,
        "one step": step,
        "chunk": observe + model.config.steps * step,
    }


def _precision(engine: str, subject: Subject) -> str:
    return "bfloat16" if (engine, subject.precision) == ("torch", "float8") else subject.precision


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


def _inputs(config: VlaConfig) -> tuple[Inputs, Tensor]:
    shape = blank(config)
    made = replace(
        shape,
        images=torch.randint(0, 256, shape.images.shape, dtype=torch.uint8),
        words=torch.randint(0, config.vocabulary, (1, WORDS)),
        word_mask=torch.ones(1, WORDS, dtype=torch.bool),
        past=torch.randn(shape.past.shape),
    )
    return made, torch.randn(1, config.frames, config.frame_dim)


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
