"""Pouring, judged by tilt and position: there are no granules and no liquid. What is in a vessel
runs out while its mouth points below level, and lands straight below the mouth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla.types import Side
from xlvla_sim.conditions import stands
from xlvla_sim.moves import Hold, Move, Pick, bring, moved, release, take
from xlvla_sim.state import State
from xlvla_sim.task import Plan, WayPoint
from xlvla_sim.wrist import INWARD, pose

DOWN = float(np.cos(np.radians(100)))
"""Cosine of the mouth's angle from up beyond which a vessel runs out."""

HIGH_M = 0.15
"""From higher up it splashes."""

CLEAR_M = 0.05
POUR_S = 1.5
"""How far above the target the expert holds the mouth, and for how long."""

HALF = float(np.radians(60))
FULL = float(np.radians(118))
"""How far the expert turns a vessel on the way, and to pour [rad]."""


@dataclass(frozen=True)
class Target:
    """Where to pour: onto `thing`, within `radius` of its frame seen from above, whose top is `top`
    above its frame [m].
    """

    thing: str
    radius: float
    top: float


def over(state: State, vessel: str, target: Target) -> bool:
    """Whether a vessel's mouth is above the target."""
    mouth, _ = state.site(f"{vessel}/mouth")
    x, y, z = mouth - state.position(target.thing)
    return bool(np.hypot(x, y) < target.radius and target.top < z < target.top + HIGH_M)


def pours(state: State, vessel: str, target: Target) -> bool:
    """Whether what runs out of a vessel lands on the target."""
    _, outward = state.site(f"{vessel}/mouth")
    return over(state, vessel, target) and outward[2] < DOWN


def spilt(state: State, vessel: str, target: Target) -> bool:
    """Whether a vessel runs out beside the target."""
    mouth, outward = state.site(f"{vessel}/mouth")
    x, y, _ = mouth - state.position(target.thing)
    runs_out = outward[2] < DOWN
    beside = np.hypot(x, y) > 2 * target.radius
    return bool(runs_out and beside)


def put_back(state: State, vessel: str, half: float) -> bool:
    """Whether a vessel of half this height [m] stands on the table and no hand is on it."""
    return stands(state, vessel) and state.position(vessel)[2] < half + 0.005


def serve(state: State, vessel: str, target: Target, hold: Hold, rng: np.random.Generator) -> Plan:
    """The hand on the vessel's side takes it, pours over the target and puts it down where it
    was.
    """
    side: Side = "left" if state.position(vessel)[1] > 0 else "right"
    pick = Pick(vessel, side, hold)
    pace = rng.uniform(0.9, 1.2)
    home = state.position(vessel) + np.array([0, 0, 0.002])
    held = yield from take(state, pick, rng, lift=0.12)
    poured = yield from pour(state, pick, target, held, pace)
    there = yield from bring(state, pick, poured, home, pace, over=0.06, orientation="upright")
    yield from release(state, pick, there, pace)


def pour(state: State, pick: Pick, target: Target, held: WayPoint, pace: float) -> Move:
    """Brings the mouth of a held, upright vessel over the target, turns it down for a while and up
    again.
    """
    side = pick.side
    mouth, _ = state.site(f"{pick.thing}/mouth")
    goal = state.position(target.thing) + np.array([0, 0, target.top + CLEAR_M])
    # Half turned nothing runs out yet: the mouth comes from above, from the hand's own side.
    aside = goal + np.array([0, -0.03 * INWARD[side], 0.05])
    half = _turned(held.wrist, mouth, aside, HALF, side)
    full = _turned(held.wrist, mouth, goal, FULL, side)
    yield {
        side: [
            WayPoint(half, 1.8 * pace, grip=held.grip),
            WayPoint(full, 1.2 * pace, overlap_s=0.2, grip=held.grip),
        ]
    }
    # Where the mouth has really come to differs by what the vessel slipped in the hand.
    mouth, _ = state.site(f"{pick.thing}/mouth")
    full = moved(full, goal - mouth)
    away = np.array([0, -0.04 * INWARD[side], 0.02])
    up = moved(held.wrist, half[:3] - held.wrist[:3] + away)
    yield {
        side: [
            WayPoint(full, 0.4, grip=held.grip),
            WayPoint(full, POUR_S, grip=held.grip),
            WayPoint(half, 1.0 * pace, grip=held.grip),
            WayPoint(up, 1.2 * pace, overlap_s=0.2, grip=held.grip),
        ]
    }
    return WayPoint(up, 0.0, grip=held.grip)


def _turned(
    held: np.ndarray, mouth: np.ndarray, goal: np.ndarray, turn: float, side: Side
) -> np.ndarray:
    """The wrist [6] that has the mouth of what it holds at `goal` [3], after turning by `turn`
    [rad] about its fingers, thumb inwards.
    """
    wrist = held - np.array([0, 0, 0, 0, 0, turn])
    rotation = pose(wrist, side)[:3, :3] @ pose(held, side)[:3, :3].T
    wrist[:3] = goal - rotation @ (mouth - held[:3])
    return wrist
