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
from xlvla.types import SIDES
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
"""Of the made-up demonstration."""


@dataclass(frozen=True)
class StepPhase:
    """A stage of a step: how long it takes, how much of it the processor works (all threads), and
    operations it needs.
    """

    name: str
    median_s: float
    cpu_s: float
    flops: float = 0.0


@dataclass(frozen=True)
class TrainingSpeedReport:
    """`rate` is what a large matrix product reaches [operations/s], `memory_bytes` the most that
    was held.
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
    """Times steps with random weights on a made-up demonstration: times do not depend on the
    numbers.
    """
    torch.set_num_threads(threads)
    device = group.device
    progress("measuring the machine")
    rate = matmul_rate(device.type, torch.bfloat16 if recipe.bf16 else torch.float32)
    progress("making the model")
    with device:
        model = Vla(config)
    batches = _batches(config)
    trainer = Trainer(model, batches, np.arange(len(batches.data)), recipe, group)
    model.train()
    watches = [Stopwatch(device) for _ in STAGES]
    for index in range(rounds + 2):  # two that do not count: compiling, and the optimiser's memory
        progress(f"step {index + 1} of {rounds + 2}")
        _step(trainer, watches)
    flops = (0.0, *_flops(trainer), 0.0)
    stages = [
        StepPhase(name, *watch.medians(skip=2), work)
        for name, watch, work in zip(STAGES, watches, flops, strict=True)
    ]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return TrainingSpeedReport(
        tuple(stages), recipe.batch, parameters, rate, memory_bytes(device.type)
    )


STAGES = ("draw", "forward", "backward", "update and average")


class Stopwatch:
    """Collects wall and processor seconds of what is done in a `with`, the device's work
    included.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._times = list[tuple[float, float]]()
        self._began = 0.0, 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def __exit__(self, *error: object) -> None:
        if self._device.type != "cpu":
            torch.cuda.synchronize(self._device)
        wall, processor = self._began
        self._times.append((time.perf_counter() - wall, time.process_time() - processor))

    def medians(self, skip: int) -> tuple[float, float]:
        wall, processor = zip(*self._times[skip:], strict=True)
        return statistics.median(wall), statistics.median(processor)


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
    return forward, float(counter.get_total_flops()) - forward


def _batches(config: VlaConfig) -> Batches:
    """One random demonstration."""
    rng = np.random.default_rng(0)
    codec = Codec.load()
    vision = config.vision
    robot = Frames(config, {side: Body("xarm7", "ability") for side in SIDES}, codec)
    commands = rng.normal(size=(1 + FRAMES, config.frame_dim)).astype(np.float32)
    info = EpisodeInfo(
        "", "Push the two tomato cans together.", {}, {}, round(config.rate_hz), 0, True, codec.hash
    )
    moments = {block.name: normalise.moments(commands[:, block.columns]) for block in robot.blocks}
    recorded = Recorded(
        DataSource(Path("made up"), 1.0, (), info, robot.bodies), robot, (commands,), moments
    )
    pictures = rng.integers(
        0, 256, (FRAMES, len(config.cameras), vision.height, vision.width, 3), dtype=np.uint8
    )
    data = Demonstrations(
        recorded=(recorded,),
        images=Pictures([pictures]),
        seen=np.ones((FRAMES, len(config.cameras)), bool),
        commands=dataset.padded(commands, config.frames),
        start=np.arange(FRAMES),
        source=np.zeros(FRAMES, int),
        kind=np.zeros(1, int),
        instructions=(info.instruction,),
        names=("made up",),
    )
    return Batches(data, config, dataset.statistics([recorded]), tokenizer.load(config.max_words))
