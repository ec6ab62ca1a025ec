"""How far off a model is on demonstrations it never saw: the flow loss, and, more telling, the chunk it would command."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.kinematics import Kinematics
from xlvla.robot import arm_with_hand
from xlvla.types import CHUNK_HZ, Side, scoped
from xlvla_policy.training.batches import Batches
from xlvla_policy.training.dataset import Demonstrations
from xlvla_policy.vla import flow
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.model import Vla

ARM = "xarm7"
MARKS_S = (0.8, 3.2)
"""Times into a chunk at which errors are measured [s]."""


@dataclass(frozen=True)
class Errors:
    """Root-mean-square errors of sampled chunks against the demonstration, 0.8 s and 3.2 s ahead.

    `start_wrist_m` is the wrist's at 3.2 s from the first frame of an episode, where only the image can tell where to go.
    """

    loss: float
    arm_rad: tuple[float, ...]
    wrist_m: tuple[float, ...]
    tip_m: tuple[float, ...]
    start_wrist_m: float

    def line(self) -> str:
        near, far = (f"{1000 * wrist:.0f}/{1000 * tip:.0f} mm" for wrist, tip in zip(self.wrist_m, self.tip_m, strict=True))
        return (
            f"flow loss {self.loss:.4f}, wrist/tips off {near} at 0.8 s, {far} at 3.2 s, {1000 * self.start_wrist_m:.0f} mm from the start"
        )


def held_out(data: Demonstrations, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows of whole episodes kept back, spread over the files."""
    episodes = len(data.names)
    kept = np.unique(np.linspace(0, episodes - 1, max(1, round(share * episodes))).astype(int)) if episodes > 1 else np.array([], int)
    back = np.isin(data.source, kept)
    return np.flatnonzero(~back), np.flatnonzero(back)


def validate(model: Vla, batches: Batches, rows: np.ndarray, codec: Codec, *, size: int = 96, seed: int = 0) -> Errors:
    """Errors on up to `size` observations among `rows`, and as many episode starts as there are."""
    data, config = batches.data, model.config
    chosen = rows[np.linspace(0, len(rows) - 1, min(size, len(rows))).astype(int)]
    starts = rows[np.flatnonzero(np.diff(data.source[rows], prepend=-1))]
    model.eval()
    sampled, wanted = _chunks(model, batches, chosen, seed)
    at_start, start_wanted = _chunks(model, batches, starts, seed)
    hands = [data.hands[index] for index in data.source]
    marks = [round(mark * CHUNK_HZ) - 1 for mark in MARKS_S]
    arm = [_rms((sampled[:, mark] - wanted[:, mark])[:, ~config.latent_columns]) for mark in marks]
    places = [_place_errors(sampled[:, mark], wanted[:, mark], [hands[row] for row in chosen], config, codec) for mark in marks]
    start, _ = _place_errors(at_start[:, -1], start_wanted[:, -1], [hands[row] for row in starts], config, codec)
    loss = _flow_loss(model, batches, chosen, seed)
    return Errors(loss, tuple(arm), tuple(wrist for wrist, _ in places), tuple(tip for _, tip in places), start)


def _chunks(model: Vla, batches: Batches, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sampled and demonstrated chunks [B, T, frame_dim], raw."""
    inputs, chunk = batches.take(rows)
    noise = torch.randn(chunk.shape, generator=torch.Generator().manual_seed(seed))
    return batches.normaliser.undo(model.sample(inputs, noise).numpy()), batches.normaliser.undo(chunk.numpy())


@torch.inference_mode()
def _flow_loss(model: Vla, batches: Batches, rows: np.ndarray, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    inputs, chunk = batches.take(rows)
    noise = torch.randn(chunk.shape, generator=generator)
    return float(model.loss(inputs, chunk, noise, flow.draw_time((len(noise),), generator)))


def _place_errors(a: np.ndarray, b: np.ndarray, hands: list[dict[Side, str]], config: VlaConfig, codec: Codec) -> tuple[float, float]:
    """Root-mean-square distance [m] of wrists and of fingertips between frames [B, frame_dim]."""
    wrists, tips = [], []
    for index, side in enumerate(config.sides):
        part = slice(index * config.side_dim, (index + 1) * config.side_dim)
        for row, hand in enumerate(hands):
            here, there = (_places(side, hand[side], frames[row, part], config, codec) for frames in (a, b))
            distance = np.linalg.norm(here - there, axis=1)
            wrists.append(distance[0])
            tips.extend(distance[1:])
    return _rms(np.array(wrists)), _rms(np.array(tips))


def _places(side: Side, hand: str, frame: np.ndarray, config: VlaConfig, codec: Codec) -> np.ndarray:
    """Positions [1 + tips, 3] of the flange and the fingertips in the arm's base."""
    kinematics, links = _robot(side, hand)
    q = np.concatenate([frame[: config.arm_joints], codec.decode(hand, side, frame[config.arm_joints :])])
    poses = kinematics.fk(q, links)
    return np.stack([poses[link][:3, 3] for link in links])


@cache
def _robot(side: Side, hand: str) -> tuple[Kinematics, tuple[str, ...]]:
    arm, known = catalog.arm(ARM), catalog.hand(hand)
    names = [scoped(side, "arm", name) for name in arm.joints] + [scoped(side, "hand", name) for name in known.joint_names(side)]
    links = (scoped(side, "arm", arm.flange), *(scoped(side, "hand", link) for link in known.tip_links(side).values()))
    return Kinematics(arm_with_hand(arm, known, side), names), links


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
