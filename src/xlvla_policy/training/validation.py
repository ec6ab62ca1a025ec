"""Errors of a model on demonstrations it never saw: the flow loss, and, more telling, those of the
chunk it would command.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from xlvla import catalog
from xlvla.kinematics import Kinematics
from xlvla.robot import arm_with_hand
from xlvla.types import Part, Side, scoped
from xlvla_policy.training.batches import Batches, Drawn
from xlvla_policy.training.dataset import Demonstrations
from xlvla_policy.vla import flow
from xlvla_policy.vla.engine import moved_to
from xlvla_policy.vla.frames import Body
from xlvla_policy.vla.model import Vla

AT_ONCE = 16
"""Observations in one batch, to hold few pictures in memory."""

NEAR_S = 0.8
"""Time into a chunk at which errors are measured, beside its end."""


@dataclass(frozen=True)
class Errors:
    """Root-mean-square errors of sampled chunks against the demonstration, 0.8 s
    ahead and at the chunk's end, `marks_s`.

    `start_wrist_m` is the wrist's at the end from the first frame of an episode, where only the
    image can tell where to go.
    """

    loss: float
    arm_rad: tuple[float, ...]
    wrist_m: tuple[float, ...]
    tip_m: tuple[float, ...]
    start_wrist_m: float
    marks_s: tuple[float, ...]

    def line(self) -> str:
        """For people."""
        errors: list[str] = []
        for wrist, tip, mark_s in zip(self.wrist_m, self.tip_m, self.marks_s, strict=True):
            errors.append(f"{1000 * wrist:.0f}/{1000 * tip:.0f} mm at {mark_s:.1f} s")
        start_mm = 1000 * self.start_wrist_m
        return (
            f"flow loss {self.loss:.4f}, wrist/tips off {', '.join(errors)}, {start_mm:.0f} mm "
            "from the start"
        )


@dataclass(frozen=True)
class FrameErrors:
    """Root-mean-square errors of some frames."""

    arm_rad: float
    wrist_m: float
    tip_m: float


def held_out(data: Demonstrations, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, and rows of whole episodes for validation, spread over the files; none with
    a share of 0.
    """
    episodes = len(data.names)
    count = 0
    if share and episodes > 1:
        count = max(1, round(share * episodes))
    for_validation = np.unique(np.linspace(0, episodes - 1, count).astype(int))
    is_held_out = np.isin(data.source, for_validation)
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def validate(
    model: Vla, batches: Batches, rows: np.ndarray, *, size: int = 96, seed: int = 0
) -> Errors:
    """Errors on up to `size` observations among `rows`, and on up to `size` starts of episodes."""
    data = batches.data
    config = batches.config
    first_of_episode = np.diff(data.source[rows], prepend=-1)
    starts = _spread(rows[np.flatnonzero(first_of_episode)], size)
    chosen = _spread(rows, size)
    model.eval()
    sampled, demonstrated = _chunks(model, batches, chosen, seed)
    sampled_at_start, demonstrated_at_start = _chunks(model, batches, starts, seed)
    near = min(round(NEAR_S * config.rate_hz), config.frames) - 1
    marks = (near, config.frames - 1)
    at_marks: list[FrameErrors] = []
    for mark in marks:
        at_marks.append(_errors(sampled[:, mark], demonstrated[:, mark], chosen, data))
    at_start = _errors(sampled_at_start[:, -1], demonstrated_at_start[:, -1], starts, data)
    return Errors(
        loss=_flow_loss(model, batches, chosen, seed),
        arm_rad=tuple(errors.arm_rad for errors in at_marks),
        wrist_m=tuple(errors.wrist_m for errors in at_marks),
        tip_m=tuple(errors.tip_m for errors in at_marks),
        start_wrist_m=at_start.wrist_m,
        marks_s=tuple((mark + 1) / config.rate_hz for mark in marks),
    )


def _spread(rows: np.ndarray, size: int) -> np.ndarray:
    """Up to `size` of the rows, evenly spread."""
    index = np.linspace(0, len(rows) - 1, min(size, len(rows)))
    return rows[index.astype(int)]


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    """The rows in parts of at most `AT_ONCE`."""
    return np.array_split(rows, math.ceil(len(rows) / AT_ONCE))


def _chunks(
    model: Vla, batches: Batches, rows: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sampled and demonstrated chunks [B, T, frame_dim], raw."""
    device = _device(model)
    generator = torch.Generator().manual_seed(seed)
    sampled: list[np.ndarray] = []
    demonstrated: list[np.ndarray] = []
    for part in _parts(rows):
        inputs, chunk = batches.take(part)
        noise = torch.randn(chunk.shape, generator=generator)
        result = model.sample(moved_to(device, inputs), noise.to(device))
        sampled.append(batches.undo(result.float().cpu().numpy(), part))
        demonstrated.append(batches.undo(chunk.cpu().numpy(), part))
    return np.concatenate(sampled), np.concatenate(demonstrated)


@torch.inference_mode()
def _flow_loss(model: Vla, batches: Batches, rows: np.ndarray, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for part in _parts(rows):
        inputs, chunk = batches.take(part)
        noise = torch.randn(chunk.shape, generator=generator)
        times = flow.draw_time((len(noise),), generator)
        drawn = Drawn(inputs, chunk, noise, times).to(_device(model))
        loss = model.loss(drawn.inputs, drawn.chunk, drawn.noise, drawn.times)
        total += len(part) * float(loss)
    return total / len(rows)


def _device(model: Vla) -> torch.device:
    return next(model.parameters()).device


def _errors(
    sampled: np.ndarray, demonstrated: np.ndarray, rows: np.ndarray, data: Demonstrations
) -> FrameErrors:
    """Errors of raw frames [B, frame_dim] that belong to these observations."""
    arms: list[np.ndarray] = []
    wrists: list[np.ndarray] = []
    tips: list[np.ndarray] = []
    kinds = data.kinds(rows)
    # Each data set has a robot of its own.
    for kind in np.unique(kinds):
        robot = data.recorded[kind].robot
        commanded = robot.decode(sampled[kinds == kind])
        wanted = robot.decode(demonstrated[kinds == kind])
        for side, body in robot.bodies.items():
            arm_errors = commanded[side]["arm"] - wanted[side]["arm"]
            commanded_points = _points(side, body, commanded[side])
            wanted_points = _points(side, body, wanted[side])
            distances = np.linalg.norm(commanded_points - wanted_points, axis=2)
            arms.append(arm_errors.ravel())
            wrists.append(distances[:, 0])
            tips.append(distances[:, 1:].ravel())
    return FrameErrors(_rms(arms), _rms(wrists), _rms(tips))


def _points(side: Side, body: Body, positions: Mapping[Part, np.ndarray]) -> np.ndarray:
    """Positions [B, 1 + tips, 3] of the flange and the fingertips in the arm's base."""
    kinematics, links = _robot(side, body)
    frames: list[np.ndarray] = []
    for q in np.concatenate([positions["arm"], positions["hand"]], 1):
        poses = kinematics.fk(q, links)
        frames.append(np.stack([poses[link][:3, 3] for link in links]))
    return np.stack(frames)


@cache
def _robot(side: Side, body: Body) -> tuple[Kinematics, tuple[str, ...]]:
    """Kinematics of one side, and its links: the flange, then the fingertips."""
    arm = catalog.arm(body.arm).on(side)
    hand = catalog.hand(body.hand)
    joints = [scoped(side, "arm", name) for name in arm.joints]
    joints += [scoped(side, "hand", name) for name in hand.joint_names(side)]
    links = [scoped(side, "arm", arm.flange)]
    links += [scoped(side, "hand", link) for link in hand.tip_links(side).values()]
    return Kinematics(arm_with_hand(arm, hand, side), joints), tuple(links)


def _rms(values: list[np.ndarray]) -> float:
    squares = np.square(np.concatenate(values))
    return float(np.sqrt(np.mean(squares)))
