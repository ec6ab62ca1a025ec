"""How fast the codec is on this machine: at run time through ONNX Runtime and numpy, and in
training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
"""The two hands of a robot, each with its side."""
Call = Callable[[], object]
"""What is timed."""
Coding = Callable[[np.ndarray], object]
"""Encodes joints [B, J] rad, or decodes latents [B, L]."""

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
    """One runtime of the codec, and how long each task takes; a chunk is 2 hands x 64 frames, a
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
    """Both runtimes on one thread, `seconds` per task."""
    # A hand or side that the codec lacks is refused before anything is written.
    for hand, side in pair:
        codec.part(hand, side)
    with TemporaryDirectory() as name:
        folder = Path(name)
        export(codec, folder)
        onnx = _tasks(pair, codec, partial(_onnx, folder))
        onnx["load"] = partial(_load_sessions, folder, pair)
        numpy = _tasks(pair, codec, partial(_numpy, codec))
        numpy["load"] = Codec.load
        return [
            RunTime("onnxruntime", _timings(onnx, seconds)),
            RunTime("numpy", _timings(numpy, seconds)),
        ]


def _timings(tasks: Mapping[str, Call], seconds: float) -> dict[str, Timing]:
    return {task: timed(call, seconds) for task, call in tasks.items()}


def _load_sessions(folder: Path, pair: Pair) -> None:
    for hand, side in pair:
        _session(folder, hand, side, "encoder")
        _session(folder, hand, side, "decoder")


def training_steps(rounds: int = 5, hands: Sequence[str] = paper.HANDS, threads: int = 1) -> Steps:
    """All trainers at the paper's recipe, batch 1024 x 4 hands, one step each in turn after a
    warm-up.
    """
    torch.set_num_threads(threads)
    loops = LoopTrainer(replace(PAPER, templates=TEMPLATES), hands)
    few = replace(PAPER, pool=POOL, templates=TEMPLATES)
    exact = Trainer(replace(few, coarse=0.0), hands).run()
    coarse = Trainer(replace(few, coarse=1.0), hands).run()
    calls: tuple[Call, ...] = (loops.step, exact.__next__, coarse.__next__)
    for call in calls:
        call()
    spent = np.zeros((rounds, len(calls)))
    for number in range(rounds):
        for column, call in enumerate(calls):
            spent[number, column] = _seconds(call)
    return Steps(
        loops=_timing(spent[:, 0]),
        ours=_timing(spent[:, 1]),
        coarse=_timing(spent[:, 2]),
        threads=threads,
    )


def timed(call: Call, seconds: float) -> Timing:
    """Calls again and again for that long, at least five times after a first that warms up."""
    call()
    end = time.perf_counter() + seconds
    spent: list[float] = []
    while time.perf_counter() < end or len(spent) < 5:
        spent.append(_seconds(call))
    return _timing(np.array(spent))


def _tasks(pair: Pair, codec: Codec, coder: Callable[[str, Side, Half], Coding]) -> dict[str, Call]:
    """What is measured, by name; poses are random ones of each hand."""
    decoders = [coder(hand, side, "decoder") for hand, side in pair]
    encoders = [coder(hand, side, "encoder") for hand, side in pair]
    latents = [_latents(codec, hand, side, CHUNK_FRAMES) for hand, side in pair]
    poses = [_poses(codec, hand, side, CHUNK_FRAMES) for hand, side in pair]
    return {
        "decode chunk": partial(_code, decoders, latents),
        "decode frame": partial(_code, decoders[-1:], [latents[-1][:1]]),
        "encode chunk": partial(_code, encoders, poses),
        "encode frame": partial(_code, encoders[-1:], [poses[-1][:1]]),
    }


def _code(coders: Sequence[Coding], values: Sequence[np.ndarray]) -> None:
    for coder, value in zip(coders, values, strict=True):
        coder(value)


def _poses(codec: Codec, hand: str, side: Side, frames: int) -> np.ndarray:
    lower, upper = codec.limits(hand, side)
    return np.random.default_rng(0).uniform(lower, upper, (frames, len(lower))).astype(np.float32)


def _latents(codec: Codec, hand: str, side: Side, frames: int) -> np.ndarray:
    return codec.encode(hand, side, _poses(codec, hand, side, frames))


def _numpy(codec: Codec, hand: str, side: Side, half: Half) -> Coding:
    if half == "encoder":
        return partial(codec.encode, hand, side)
    return partial(codec.decode, hand, side)


def _onnx(folder: Path, hand: str, side: Side, half: Half) -> Coding:
    session = _session(folder, hand, side, half)
    name = session.get_inputs()[0].name
    return lambda value: session.run(None, {name: value})


def _session(folder: Path, hand: str, side: Side, half: Half) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(folder / file_name(hand, side, half)), options, providers=["CPUExecutionProvider"]
    )


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _timing(spent: np.ndarray) -> Timing:
    return Timing(float(np.median(spent)), float(np.percentile(spent, 95)))
