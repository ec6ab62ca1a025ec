"""Moves that tasks make their plans of: take a thing, carry it, put it down; for any hand of either
side.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from xlvla.types import Side
from xlvla_sim.grasp import Grip
from xlvla_sim.state import State
from xlvla_sim.task import Segment, WayPoint
from xlvla_sim.wrist import INWARD, pose
from xlvla_sim.wrist import wrist as numbers

Move: TypeAlias = Generator[Segment, None, WayPoint]
"""A part of a plan; its result is the way-point it ends at."""

Orientation: TypeAlias = float | Literal["upright"] | None
"""How a carried thing is turned: to point along a yaw [rad], or half a turn further; to stand
upright; or not at all.
"""

PALM_DEPTH = 0.013
"""About how far out of the flange's axis the palm of a flat hand is [m]; a bottle 4 mm further
out is lost by an Inspire hand on a G1 that turns it to pour.
"""

OPENED = 0.147
"""As far as every hand opens [m]."""

SQUEEZE = 0.045
"""How much narrower than the thing a hand wants to close [m]: with less a shaken bottle slips out
of an Inspire hand, whose fingers follow the latent less far.
"""

APPROACH_SPREAD = np.array([0.015, 0.015, 0.015, 0.06, 0.06, 0.06])
"""How much the way to a thing varies before it becomes straight, position [m] and angles [rad]."""

RISE_M = 0.03
"""A thing that rose by this with the hand is held."""


@dataclass(frozen=True)
class Hold:
    """How a hand takes a thing.

    Args:
        grip: where in the hand the thing is.
        angles: yaw, tilt and roll [rad] of the hand.
        approach: where the hand comes from [3] m, for a right hand; y is mirrored for a left one.
        opened: pinch width [m] on the way there.
        closed: pinch width [m] that is asked for: less than the thing has, the rest is pressure.
        above: where the grip is over the thing's frame [m].
    """

    grip: Grip
    angles: tuple[float, float, float]
    approach: tuple[float, float, float]
    opened: float
    closed: float
    above: float = 0.0

    def between(self, by: np.ndarray, side: Side) -> np.ndarray:
        """The part of `by` [3] m that goes along the fingers and neither along the approach nor
        up.
        """
        if not self.approach[1]:
            # Taken from above: the hand draws back upwards and needs no other way.
            return np.zeros(3)
        yaw = INWARD[side] * self.angles[0]
        fingers = np.array([np.cos(yaw), np.sin(yaw), 0.0])
        return (by @ fingers) * fingers


@dataclass(frozen=True)
class Pick:
    """A thing, the hand that takes it and how."""

    thing: str
    side: Side
    hold: Hold


def from_side(
    width: float, *, depth: float | None = None, above: float = 0.0, squeeze: float = SQUEEZE
) -> Hold:
    """Around an upright thing, palm first, thumb up; `depth` [m] from the flange's axis out of the
    palm.
    """
    if depth is None:
        depth = PALM_DEPTH + width / 2
    return Hold(
        grip=Grip(width, depth),
        angles=(0.0, np.radians(8), 0.0),
        approach=(0.0, -0.10, 0.01),
        opened=OPENED,
        closed=width - squeeze,
        above=above,
    )


def from_above(
    width: float, *, above: float = -0.008, yaw: float = 0.0, squeeze: float = SQUEEZE
) -> Hold:
    """With the fingertips, palm down; they reach a little below the middle."""
    return Hold(
        grip=Grip(width),
        angles=(yaw, np.radians(32), np.radians(-90)),
        approach=(0.0, 0.0, 0.09),
        opened=width + 0.045,
        closed=width - squeeze,
        above=above,
    )


def take(
    state: State, pick: Pick, rng: np.random.Generator, *, lift: float = 0.10, tries: int = 3
) -> Move:
    """Takes a thing and lifts it; looks whether it came along, and tries again where it did not."""
    side = pick.side
    hold = pick.hold
    pace = rng.uniform(0.9, 1.2)
    held = WayPoint(at(state.position(pick.thing), side, hold), 0.0, grip=hold.grip)
    for _ in range(tries):
        height = state.position(pick.thing)[2]
        held = yield from take_over(state, pick, rng)
        up = replace(held, wrist=raised(held.wrist, lift))
        yield {side: [replace(up, duration_s=0.9 * pace)]}
        held = up
        risen = state.position(pick.thing)[2] - height
        if risen > RISE_M:
            break
        yield {side: [WayPoint(up.wrist, 0.5, hold.opened, grip=hold.grip)]}
    return held


def take_over(state: State, pick: Pick, rng: np.random.Generator) -> Move:
    """Closes a hand around a thing where it is, on the table or in the other hand; it opens only
    when it is beside it.
    """
    side = pick.side
    hold = pick.hold
    grip = hold.grip
    pace = rng.uniform(0.9, 1.2)
    here = state.position(pick.thing)
    before = at(here, side, hold, apart=0.9)
    last = at(here, side, hold)
    further = at(here, side, hold, apart=rng.uniform(1.1, 1.5))
    varied = further + rng.uniform(-1, 1, 6) * APPROACH_SPREAD
    yield {
        side: [
            WayPoint(varied, 1.4 * pace, grip=grip),
            WayPoint(before, 0.8 * pace, hold.opened, overlap_s=0.3 * pace, grip=grip),
            WayPoint(last, 0.9 * pace, grip=grip),
            WayPoint(last, 0.8, hold.closed, grip=grip),
            # The fingers are given time to press before the thing is moved.
            WayPoint(last, 0.2, grip=grip),
        ]
    }
    return WayPoint(last, 0.0, grip=grip)


def bring(
    state: State,
    pick: Pick,
    held: WayPoint,
    target: np.ndarray,
    pace: float,
    *,
    over: float,
    orientation: Orientation = None,
) -> Move:
    """Carries a held thing to `over` [m] above a target [3], then looks again and lowers it there.

    On the way it is turned to its `orientation`.
    """
    side = pick.side
    above = _wrist_for(state, pick, held.wrist, target + np.array([0, 0, over]), orientation)
    yield {side: [WayPoint(above, _time(above - held.wrist) * pace, grip=held.grip)]}
    # The thing slips a little in the hand: where it is now decides where the hand goes.
    down = _wrist_for(state, pick, above, target, orientation)
    yield {
        side: [
            WayPoint(down, 0.3 + _time(down - above), grip=held.grip),
            WayPoint(down, 0.15, grip=held.grip),
        ]
    }
    return WayPoint(down, 0.0, grip=held.grip)


def _wrist_for(
    state: State, pick: Pick, wrist: np.ndarray, goal: np.ndarray, orientation: Orientation
) -> np.ndarray:
    """The wrist [6] that has the thing at `goal` [3] and turned, when it is held by `wrist` [6]
    now.
    """
    rotation = _rotation(state, pick.thing, orientation)
    turned = _turned(wrist, rotation, pick.side)
    return moved(turned, goal - state.position(pick.thing))


def release(
    state: State,
    pick: Pick,
    held: WayPoint,
    pace: float,
    *,
    away: Sequence[float] = (0.0, -0.02, 0.09),
    standing: bool = True,
) -> Move:
    """Opens the hand and draws it back; from around a `standing` thing so that thumb and fingers
    keep clear of it.

    `away` [3] m is for a right hand.
    """
    side = pick.side
    hold = pick.hold
    yield {side: [WayPoint(held.wrist, 0.5, hold.opened, grip=held.grip)]}
    approach = _mirrored(hold.approach, side)
    near = moved(held.wrist, 0.15 * approach)
    middle = near
    if standing:
        # The thing gets to the middle between thumb and fingers before the hand draws back.
        aside = hold.between(state.position(pick.thing) - held.wrist[:3], side)
        middle = moved(near, aside)
    off = moved(middle, 0.85 * approach)
    back = moved(off, _mirrored(away, side))
    yield {
        side: [
            WayPoint(near, 0.3, grip=held.grip),
            WayPoint(middle, 0.3, grip=held.grip),
            WayPoint(off, 0.8 * pace, grip=held.grip),
            WayPoint(back, 0.9 * pace, "relaxed", overlap_s=0.2, grip=held.grip),
        ]
    }
    return WayPoint(back, 0.0, grip=held.grip)


def together(**moves: Move) -> Generator[Segment, None, dict[str, WayPoint]]:
    """Moves of both sides at the same time, by side; their segments begin together. The results are
    by side, too.
    """
    running = dict(moves)
    results = dict[str, WayPoint]()
    while running:
        merged: dict[Side, Sequence[WayPoint]] = {}
        for side, move in list(running.items()):
            try:
                merged |= next(move)
            except StopIteration as end:  # this side is done
                results[side] = end.value
                del running[side]
        if merged:
            yield merged
    return results


def at(thing: np.ndarray, side: Side, hold: Hold, *, apart: float = 0.0) -> np.ndarray:
    """The wrist [6] that has a thing at `thing` [3] m in its grip, or is `apart` of the approach
    away.
    """
    gripped = thing + np.array([0, 0, hold.above])
    xyz = gripped + apart * _mirrored(hold.approach, side)
    return np.array([*xyz, *hold.angles])


def raised(wrist: np.ndarray, height: float) -> np.ndarray:
    return moved(wrist, np.array([0, 0, height]))


def moved(wrist: np.ndarray, by: np.ndarray) -> np.ndarray:
    """A wrist [6] elsewhere by [3] m, turned as before."""
    return wrist + np.append(by, np.zeros(3))


def _rotation(state: State, thing: str, orientation: Orientation) -> np.ndarray:
    """Rotation [3, 3] of the world after which a thing has its orientation."""
    if orientation == "upright":
        return _between(state.axis(thing), np.array([0, 0, 1.0]))
    turn = 0.0
    if orientation is not None:
        turn = half_turn(orientation - state.yaw(thing))
    cos = np.cos(turn)
    sin = np.sin(turn)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def half_turn(angle: float) -> float:
    """The same angle [rad] but for half turns, in -pi/2 .. pi/2: what looks alike from both
    ends.
    """
    return (angle + np.pi / 2) % np.pi - np.pi / 2


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The shortest rotation [3, 3] from a unit vector to another one that is not opposite."""
    x, y, z = np.cross(a, b)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + a @ b)


def _turned(wrist: np.ndarray, rotation: np.ndarray, side: Side) -> np.ndarray:
    """A wrist [6] turned about its grip by a rotation [3, 3] of the world."""
    turned = pose(wrist, side)
    turned[:3, :3] = rotation @ turned[:3, :3]
    return numbers(turned, side)


def _mirrored(xyz: Sequence[float], side: Side) -> np.ndarray:
    return np.array(xyz) * [1, INWARD[side], 1]


def _time(way: np.ndarray) -> float:
    """A time [s] for a way [6]: about 0.25 m/s."""
    metres = float(np.linalg.norm(way[:3]))
    return 0.6 + metres / 0.25
