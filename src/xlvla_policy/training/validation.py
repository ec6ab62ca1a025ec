"""How far off a model is on demonstrations it never saw: the flow loss, and, more telling, the
chunk it would command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from xlvla_policy.vla.frames import Body
from xlvla_policy.vla.model import Vla

SOME = 16
"""Observations that are thought about at once."""

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
        near, far = (
            f"{1000 * wrist:.0f}/{1000 * tip:.0f} mm at {mark_s:.1f} s"
            for wrist, tip, mark_s in zip(self.wrist_m, self.tip_m, self.marks_s, strict=True)
        )
        return (
            f"flow loss {self.loss:.4f}, wrist/tips off {near}, {far}, "
            f"{1000 * self.start_wrist_m:.0f} mm from the start"
        )


def held_out(data: Demonstrations, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows of whole episodes kept back, spread over the files; no share, none
    kept back.
    """
    episodes = len(data.names)
    count = max(1, round(share * episodes)) if share and episodes > 1 else 0
    kept = np.unique(np.linspace(0, episodes - 1, count).astype(int))
    back = np.isin(data.source, kept)
    return np.flatnonzero(~back), np.flatnonzero(back)


def validate(
    model: Vla, batches: Batches, rows: np.ndarray, *, size: int = 96, seed: int = 0
) -> Errors:
    """Errors on up to `size` observations among `rows`, and as many episode starts as there are."""
    data = batches.data
    chosen = rows[np.linspace(0, len(rows) - 1, min(size, len(rows))).astype(int)]
    starts = rows[np.flatnonzero(np.diff(data.source[rows], prepend=-1))]
    starts = starts[np.linspace(0, len(starts) - 1, min(size, len(starts))).astype(int)]
    model.eval()
    sampled, wanted = _chunks(model, batches, chosen, seed)
    at_start, start_wanted = _chunks(model, batches, starts, seed)
    config = batches.config
    near = min(round(NEAR_S * config.rate_hz), config.frames) - 1
    marks = [near, config.frames - 1]
    apart = [_apart(sampled[:, mark], wanted[:, mark], data.kinds(chosen), data) for mark in marks]
    start = _apart(at_start[:, -1], start_wanted[:, -1], data.kinds(starts), data)
    arm, wrist, tip = zip(*apart, strict=True)
    marks_s = tuple((mark + 1) / config.rate_hz for mark in marks)
    return Errors(_flow_loss(model, batches, chosen, seed), arm, wrist, tip, start[1], marks_s)


def _chunks(
    model: Vla, batches: Batches, rows: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sampled and demonstrated chunks [B, T, frame_dim], raw; a few at a time, to hold few
    pictures.
    """
    generator = torch.Generator().manual_seed(seed)
    sampled = list[np.ndarray]()
    wanted = list[np.ndarray]()
    for some in np.array_split(rows, -(-len(rows) // SOME)):
        inputs, chunk = batches.take(some)
        noise = torch.randn(chunk.shape, generator=generator)
        drawn = Drawn(inputs, chunk, noise, noise).to(_device(model))
        sampled.append(
            batches.undo(model.sample(drawn.inputs, drawn.noise).float().cpu().numpy(), some)
        )
        wanted.append(batches.undo(chunk.numpy(), some))
    return np.concatenate(sampled), np.concatenate(wanted)


@torch.inference_mode()
def _flow_loss(model: Vla, batches: Batches, rows: np.ndarray, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for some in np.array_split(rows, -(-len(rows) // SOME)):
        inputs, chunk = batches.take(some)
        noise = torch.randn(chunk.shape, generator=generator)
        drawn = Drawn(inputs, chunk, noise, flow.draw_time((len(noise),), generator)).to(
            _device(model)
        )
        total += len(some) * float(model.loss(drawn.inputs, drawn.chunk, drawn.noise, drawn.times))
    return total / len(rows)


def _device(model: Vla) -> torch.device:
    return next(model.parameters()).device


def _apart(
    a: np.ndarray, b: np.ndarray, kinds: np.ndarray, data: Demonstrations
) -> tuple[float, float, float]:
    """Root-mean-square distance of arm joints [rad], of wrists [m] and of fingertips [m] between
    raw frames [B, frame_dim].
    """
    arms = list[np.ndarray]()
    wrists = list[np.ndarray]()
    tips = list[np.ndarray]()
    for kind in np.unique(kinds):
        robot = data.recorded[kind].robot
        here, there = (robot.decode(frames[kinds == kind]) for frames in (a, b))
        for side, body in robot.bodies.items():
            arms.append((here[side]["arm"] - there[side]["arm"]).ravel())
            for mine, its in zip(
                _places(side, body, here[side]), _places(side, body, there[side]), strict=True
            ):
                distance = np.linalg.norm(mine - its, axis=1)
                wrists.append(distance[:1])
                tips.append(distance[1:])
    return _rms(arms), _rms(wrists), _rms(tips)


def _places(side: Side, body: Body, positions: Mapping[Part, np.ndarray]) -> Iterator[np.ndarray]:
    """Positions [1 + tips, 3] of the flange and the fingertips in the arm's base, frame by
    frame.
    """
    kinematics, links = _robot(side, body)
    for q in np.concatenate([positions["arm"], positions["hand"]], 1):
        poses = kinematics.fk(q, links)
        yield np.stack([poses[link][:3, 3] for link in links])


@cache
def _robot(side: Side, body: Body) -> tuple[Kinematics, tuple[str, ...]]:
    arm = catalog.arm(body.arm).on(side)
    hand = catalog.hand(body.hand)
    names = [scoped(side, "arm", name) for name in arm.joints] + [
        scoped(side, "hand", name) for name in hand.joint_names(side)
    ]
    links = (
        scoped(side, "arm", arm.flange),
        *(scoped(side, "hand", link) for link in hand.tip_links(side).values()),
    )
    return Kinematics(arm_with_hand(arm, hand, side), names), links


def _rms(values: list[np.ndarray]) -> float:
    return float(np.sqrt(np.mean(np.square(np.concatenate(values)))))
