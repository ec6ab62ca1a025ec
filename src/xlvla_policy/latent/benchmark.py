"""How fast the codec is on this machine: at run time through ONNX Runtime and numpy, and in
training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
import torch

from xlvla import paper
from xlvla.codec import Codec
from xlvla.types import CHUNK_FRAMES, Side
from xlvla_policy.latent.export import Half, export, file_name
from xlvla_policy.latent.loops import LoopTrainer
from xlvla_policy.latent.recipe import PAPER
from xlvla_policy.latent.training import Trainer

Pair = tuple[tuple[str, Side], tuple[str, Side]]
POOL = 8192
TEMPLATES = 256
"""Pinches to draw batches from while measuring; their number does not change a step's time."""


@dataclass(frozen=True)
class Timing:
    """Median and 95th percentile of one call [s]."""

    median: float
    p95: float


@dataclass(frozen=True)
class RunTime:
    """One way of running the codec, and how long each task takes; a chunk is 2 hands x 64 frames, a
    frame one hand.
    """

    way: str
    tasks: dict[str, Timing]


@dataclass(frozen=True)
class Steps:
    """Seconds per training step of the paper's recipe, measured turn by turn: per-joint loops,
    ours, ours in bfloat16.

    Our own recipe spends the first `Recipe.coarse` of its steps with hidden layers in bfloat16.
    """

    loops: Timing
    ours: Timing
    coarse: Timing
    threads: int

    @property
    def ratio(self) -> float:
        """How many times as fast as the loops ours is, in the same float32."""
        return self.loops.median / self.ours.median

    @property
    def coarse_ratio(self) -> float:
        return self.loops.median / self.coarse.median


def run_times(codec: Codec, pair: Pair, seconds: float = 1.0) -> list[RunTime]:
    """Both ways on one thread, `seconds` per task."""
    for hand, side in pair:
        codec.part(hand, side)  # a name it does not know is refused before anything is written
    with TemporaryDirectory() as folder:
        export(codec, Path(folder))
        load = {
            "load": lambda: [
                _session(Path(folder), *hand, half)
                for hand in pair
                for half in ("encoder", "decoder")
            ]
        }
        onnx = _tasks(
            pair, codec, lambda hand, side, half: _onnx(_session(Path(folder), hand, side, half))
        )
        numpy = _tasks(pair, codec, lambda hand, side, half: _numpy(codec, hand, side, half))
        ways = {"onnxruntime": onnx | load, "numpy": numpy | {"load": Codec.load}}
        return [
            RunTime(way, {task: timed(call, seconds) for task, call in tasks.items()})
            for way, tasks in ways.items()
        ]


def training_steps(rounds: int = 5, hands: Sequence[str] = paper.HANDS, threads: int = 1) -> Steps:
    """All trainers at the paper's recipe, batch 1024 x 4 hands, one step each in turn after a
    warm-up.
    """
    torch.set_num_threads(threads)
    loops = LoopTrainer(replace(PAPER, templates=TEMPLATES), hands)
    runs = [
        Trainer(replace(PAPER, pool=POOL, templates=TEMPLATES, coarse=coarse), hands).run()
        for coarse in (0.0, 1.0)
    ]
    calls = (loops.step, *(run.__next__ for run in runs))
    for call in calls:
        call()
    spent = np.array([[_seconds(call) for call in calls] for _ in range(rounds)])
    return Steps(_timing(spent[:, 0]), _timing(spent[:, 1]), _timing(spent[:, 2]), threads)


def timed(call: Callable[[], object], seconds: float) -> Timing:
    """Calls again and again for that long, at least five times after a first that warms up."""
    call()
    end = time.perf_counter() + seconds
    spent = []
    while time.perf_counter() < end or len(spent) < 5:
        spent.append(_seconds(call))
    return _timing(np.array(spent))


def _tasks(
    pair: Pair, codec: Codec, coder: Callable[[str, Side, Half], Callable[[np.ndarray], object]]
) -> dict[str, Callable[[], object]]:
    """What is measured, by name; poses are random ones of each hand."""
    tasks = {}
    halves: tuple[tuple[Half, Callable[..., np.ndarray]], ...] = (
        ("decoder", _latents),
        ("encoder", _poses),
    )
    for half, given in halves:
        coders = [coder(hand, side, half) for hand, side in pair]
        chunks = [given(codec, hand, side, CHUNK_FRAMES) for hand, side in pair]
        word = half.removesuffix("r")
        tasks[f"{word} chunk"] = _all(coders, chunks)
        tasks[f"{word} frame"] = _all(coders[-1:], [chunks[-1][:1]])
    return tasks


def _all(
    coders: Sequence[Callable[[np.ndarray], object]], values: Sequence[np.ndarray]
) -> Callable[[], object]:
    return lambda: [coder(value) for coder, value in zip(coders, values, strict=True)]


def _poses(codec: Codec, hand: str, side: Side, frames: int) -> np.ndarray:
    lower, upper = codec.limits(hand, side)
    return np.random.default_rng(0).uniform(lower, upper, (frames, len(lower))).astype(np.float32)


def _latents(codec: Codec, hand: str, side: Side, frames: int) -> np.ndarray:
    return codec.encode(hand, side, _poses(codec, hand, side, frames))


def _numpy(codec: Codec, hand: str, side: Side, half: Half) -> Callable[[np.ndarray], object]:
    function = codec.encode if half == "encoder" else codec.decode
    return lambda value: function(hand, side, value)


def _onnx(session: onnxruntime.InferenceSession) -> Callable[[np.ndarray], object]:
    name = session.get_inputs()[0].name
    return lambda value: session.run(None, {name: value})


def _session(folder: Path, hand: str, side: Side, half: Half) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(folder / file_name(hand, side, half)), options, providers=["CPUExecutionProvider"]
    )


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _timing(spent: np.ndarray) -> Timing:
    return Timing(float(np.median(spent)), float(np.percentile(spent, 95)))
