"""Time of a training step by phase, and how close it is to the machine's limits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from xlvla.codec import Codec
from xlvla.types import SIDES, Side
from xlvla_data.episode import EpisodeInfo
from xlvla_policy.training import dataset
from xlvla_policy.training.batches import Batches
from xlvla_policy.training.dataset import Demonstrations, Recorded
from xlvla_policy.training.loop import Trainer
from xlvla_policy.training.parallel import Group
from xlvla_policy.training.pictures import Pictures
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.training.sources import DataSource
from xlvla_policy.vla import normalise, tokenizer
from xlvla_policy.vla.benchmark import matmul_rate, memory_bytes
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.frames import Body, Frames
from xlvla_policy.vla.model import Vla

FRAMES = 64
"""Frames of the random demonstration."""
DISCARDED = 2
"""First steps that do not count: compiling, and the memory of the optimiser."""
STAGES = ("draw", "forward", "backward", "update and average")


@dataclass(frozen=True)
class StepPhase:
    """A stage of a step.

    Args:
        median_s: how long it takes.
        cpu_s: processor time of all threads.
        flops: floating-point operations it needs.
    """

    name: str
    median_s: float
    cpu_s: float
    flops: float = 0.0


@dataclass(frozen=True)
class TrainingSpeedReport:
    """A measured training step.

    Args:
        rate: operations/s of a large matrix product.
        memory_bytes: largest memory in use.
    """

    stages: tuple[StepPhase, ...]
    batch: int
    parameters: int
    rate: float
    memory_bytes: int

    @property
    def step_s(self) -> float:
        return sum(stage.median_s for stage in self.stages)

    @property
    def samples_per_s(self) -> float:
        return self.batch / self.step_s


def measure(
    config: VlaConfig,
    recipe: Recipe,
    group: Group,
    *,
    threads: int,
    rounds: int,
    progress: Callable[[str], None] = lambda line: None,
) -> TrainingSpeedReport:
    """Times steps with random weights on a random demonstration: times do not depend on the
    numbers.
    """
    torch.set_num_threads(threads)
    device = group.device
    progress("measuring the machine")
    dtype = torch.bfloat16 if recipe.bf16 else torch.float32
    rate = matmul_rate(device.type, dtype)
    progress("making the model")
    with device:
        model = Vla(config)
    batches = _batches(config)
    rows = np.arange(len(batches.data))
    trainer = Trainer(model, batches, rows, recipe, group)
    model.train()
    watches = [Stopwatch(device) for _ in STAGES]
    steps = rounds + DISCARDED
    for index in range(steps):
        progress(f"step {index + 1} of {steps}")
        _step(trainer, watches)
    forward, backward = _flops(trainer)
    flops = (0.0, forward, backward, 0.0)
    stages: list[StepPhase] = []
    for name, watch, work in zip(STAGES, watches, flops, strict=True):
        wall_s, cpu_s = watch.medians(skip=DISCARDED)
        stages.append(StepPhase(name, wall_s, cpu_s, work))
    return TrainingSpeedReport(
        stages=tuple(stages),
        batch=recipe.batch,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        rate=rate,
        memory_bytes=memory_bytes(device.type),
    )


class Stopwatch:
    """Collects wall and processor seconds of the work in a `with`, the device's included."""

    def __init__(self, device: torch.device):
        self._device = device
        self._wall_s: list[float] = []
        self._cpu_s: list[float] = []
        self._began_wall_s = 0.0
        self._began_cpu_s = 0.0

    def __enter__(self) -> None:
        self._began_wall_s = time.perf_counter()
        self._began_cpu_s = time.process_time()

    def __exit__(self, *error: object) -> None:
        if self._device.type != "cpu":
            torch.cuda.synchronize(self._device)
        self._wall_s.append(time.perf_counter() - self._began_wall_s)
        self._cpu_s.append(time.process_time() - self._began_cpu_s)

    def medians(self, skip: int) -> tuple[float, float]:
        """Medians of wall and processor seconds, without the first `skip`."""
        return statistics.median(self._wall_s[skip:]), statistics.median(self._cpu_s[skip:])


def _step(trainer: Trainer, watches: list[Stopwatch]) -> None:
    draw, forward, backward, update = watches
    with draw:
        drawn = trainer.draw()
    with forward:
        loss = trainer.loss(drawn)
    with backward:
        loss.backward()
    with update:
        trainer.update()


def _flops(trainer: Trainer) -> tuple[float, float]:
    """Operations of a step's matrix products and convolutions, forward and backward."""
    drawn = trainer.draw()
    with FlopCounterMode(display=False) as counter:
        loss = trainer.loss(drawn)
        forward = float(counter.get_total_flops())
        loss.backward()
    both = float(counter.get_total_flops())
    return forward, both - forward


def _batches(config: VlaConfig) -> Batches:
    """One random demonstration."""
    rng = np.random.default_rng(0)
    codec = Codec.load()
    vision = config.vision
    bodies: dict[Side, Body] = {side: Body("xarm7", "ability") for side in SIDES}
    robot = Frames(config, bodies, codec)
    commands = rng.normal(size=(1 + FRAMES, config.frame_dim)).astype(np.float32)
    moments = {block.name: normalise.moments(commands[:, block.columns]) for block in robot.blocks}
    info = EpisodeInfo(
        "", "Push the two tomato cans together.", {}, {}, round(config.rate_hz), 0, True, codec.hash
    )
    source = DataSource(Path("random"), 1.0, (), info, bodies)
    recorded = Recorded(source, robot, (commands,), (commands,), moments)
    shape = (FRAMES, len(config.cameras), vision.height, vision.width, 3)
    pictures = rng.integers(0, 256, shape, dtype=np.uint8)
    padded = dataset.padded(commands, config.frames)
    data = Demonstrations(
        recorded=(recorded,),
        images=Pictures([pictures]),
        seen=np.ones((FRAMES, len(config.cameras)), bool),
        commands=padded,
        executed=padded,
        start=np.arange(FRAMES),
        source=np.zeros(FRAMES, int),
        kind=np.zeros(1, int),
        instructions=(info.instruction,),
        told=np.zeros(FRAMES, int),
        names=("random",),
    )
    pooled = dataset.statistics([recorded])
    return Batches(data, config, pooled, tokenizer.load(config.max_words))
