"""The scripted expert: follows a task's way-points with any arm and any hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xlvla import robot
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics
from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, PARTS, Part, Side, scoped
from xlvla_sim import wrist
from xlvla_sim.grasp import Grasps
from xlvla_sim.task import Segment, WayPoint
from xlvla_sim.world import World

START_SPREAD = np.array([0.03, 0.03, 0.03, 0.10, 0.08, 0.08])
"""How far a demonstration may start from home: wrist position [m] and angles [rad]."""

HAND_SHARE = 0.8
"""Share of a way-point's time in which the hand takes its shape."""


@dataclass(frozen=True)
class Script:
    """Commands [F, J] rad at 20 Hz by side and part; row f is reached at the end of frame f.

    Args:
        before: the commands [J] rad in force when frame 0 begins.
    """

    actions: Mapping[Side, Mapping[Part, np.ndarray]]
    before: Mapping[Side, Mapping[Part, np.ndarray]]

    @property
    def frames(self) -> int:
        return len(next(iter(self.actions.values()))["arm"])


@dataclass(frozen=True)
class Stand:
    """Where a side's commands are: wrist of the grip and the grip in the hand [9], latent [L], arm joints [N] rad."""

    place: np.ndarray
    latent: np.ndarray
    arm: np.ndarray


class Expert:
    """Turns the plan of a world's task into commands of its rig."""

    def __init__(self, rig: Rig, codec: Codec):
        self.rig = rig
        self.codec = codec
        description = robot.rig_description(rig)
        self._arms = {side: Kinematics(description, rig.joint_names(side, "arm")) for side in rig.sides}
        self._grasps = {side: Grasps(rig.hand(side), side, codec) for side in rig.sides}

    def start(self, rng: np.random.Generator) -> dict[str, float]:
        """Joint positions [rad] of the arms near home, so that demonstrations show the way from many places."""
        positions: dict[str, float] = {}
        for side in self.rig.sides:
            home = self._home(side)
            near = self._wrist(side, home) + rng.uniform(-1, 1, 6) * START_SPREAD
            positions |= dict(zip(self.rig.joint_names(side, "arm"), self._solve(side, near, home), strict=True))
        return positions

    def scripts(self, world: World, rng: np.random.Generator) -> Iterator[Script]:
        """Commands of one segment of the task's plan after the other; each must be played before the next is asked for.

        Raises:
            XlvlaError: an arm cannot follow.
        """
        stands: dict[Side, Stand] = {side: self._stand(world, side) for side in world.rig.sides}
        before: dict[Side, Mapping[Part, np.ndarray]] = {
            side: {part: world.joint_state(side, part)[0].copy() for part in PARTS} for side in world.rig.sides
        }
        first = True
        for segment in world.task.plan(world.state, rng):
            script, stands = self._script(segment, stands, before, rng if first else None)
            yield script
            before = {side: {part: rows[-1] for part, rows in parts.items()} for side, parts in script.actions.items()}
            first = False

    def script(self, world: World, rng: np.random.Generator) -> Script:
        """Commands of the plan's first segment: all of it, where the task does not look at the world again."""
        return next(self.scripts(world, rng))

    def _script(
        self,
        segment: Segment,
        stands: Mapping[Side, Stand],
        before: Mapping[Side, Mapping[Part, np.ndarray]],
        rng: np.random.Generator | None,
    ) -> tuple[Script, dict[Side, Stand]]:
        places = {side: self._places(side, stand, segment.get(side, ()), rng) for side, stand in stands.items()}
        frames = max(len(rows) for rows in places.values())
        actions: dict[Side, Mapping[Part, np.ndarray]] = {}
        ends: dict[Side, Stand] = {}
        for side, stand in stands.items():
            rows = _longer(places[side], frames)
            arm = self._arm(side, stand, rows)
            latents = _longer(self._latents(side, stand, segment.get(side, ())), frames)
            actions[side] = {"arm": arm[1:], "hand": self._grasps[side].pose(latents)[1:]}
            ends[side] = Stand(rows[-1], latents[-1], arm[-1])
        return Script(actions, before), ends

    def _stand(self, world: World, side: Side) -> Stand:
        arm, hand = (world.joint_state(side, part)[0].copy() for part in PARTS)
        place = np.concatenate([self._wrist(side, arm), np.zeros(3)])
        return Stand(place, self.codec.encode(self.rig.hand(side).name, side, hand), arm)

    def _places(self, side: Side, stand: Stand, points: Sequence[WayPoint], rng: np.random.Generator | None) -> np.ndarray:
        """Wrists of the grip and grips in the hand [T, 9] along way-points; with a generator, about half of them take a
        small detour on the way to the first."""
        goals = [np.concatenate([point.wrist, self._grasps[side].offset(point.grip)]) for point in points]
        rows = wrist.path(_same_flange(stand.place, goals, side), goals, points, CHUNK_HZ)
        if rng is not None and points:
            s = np.arange(len(rows)) / CHUNK_HZ / points[0].duration_s
            bump = np.where(s < 1, (4 * s * (1 - s)) ** 2, 0) if rng.random() < 0.5 else np.zeros(len(rows))
            rows[:, :3] += bump[:, None] * rng.uniform(-0.02, 0.02, 3)
        return rows

    def _latents(self, side: Side, stand: Stand, points: Sequence[WayPoint]) -> np.ndarray:
        goals = [None if point.hand is None else self._grasps[side].latent(point.hand) for point in points]
        return wrist.path(stand.latent, goals, points, CHUNK_HZ, share=HAND_SHARE)

    def _arm(self, side: Side, stand: Stand, places: np.ndarray) -> np.ndarray:
        """Joint positions [T, N] rad; row 0 is where the arm already is."""
        rows = [stand.arm]
        for place in places[1:]:
            rows.append(self._solve(side, _flange(place, side), rows[-1]))
        return np.array(rows)

    def _solve(self, side: Side, target: np.ndarray, q: np.ndarray) -> np.ndarray:
        result = self._arms[side].ik(self._link(side), wrist.pose(target, side), q, posture=self._home(side), iterations=60)
        if result.position_error > 2e-3 or result.rotation_error > 2e-2:
            place = ", ".join(f"{value:.2f}" for value in target)
            raise XlvlaError(f"the {side} arm cannot bring its wrist to {place}: {result.position_error * 1000:.0f} mm are left")
        return result.q

    def _wrist(self, side: Side, q: np.ndarray) -> np.ndarray:
        return wrist.wrist(self._arms[side].fk(q, [self._link(side)])[self._link(side)], side)

    def _home(self, side: Side) -> np.ndarray:
        return np.array(list(self.rig.home(side).values()))

    def _link(self, side: Side) -> str:
        return scoped(side, "arm", self.rig.arm(side).flange)


RAMP_STEPS = 5
"""Commands per frame: a motion player at 100 Hz glides from one 20 Hz frame to the next, and so does this."""


def play_frame(world: World, script: Script, frame: int) -> None:
    """Lets one frame of 1/20 s pass in which the commands glide to the frame's action."""
    for tick in range(1, RAMP_STEPS + 1):
        for side, parts in script.actions.items():
            for part, rows in parts.items():
                old, new = rows[frame - 1] if frame else script.before[side][part], rows[frame]
                names = world.rig.joint_names(side, part)
                world.command(side, part, dict(zip(names, old + (new - old) * tick / RAMP_STEPS, strict=True)))
        world.step(1 / CHUNK_HZ / RAMP_STEPS)


def _flange(place: np.ndarray, side: Side) -> np.ndarray:
    """Wrist [6] of the flange where the grip [9] is."""
    turned = wrist.pose(place[:6], side)[:3, :3]
    return np.concatenate([place[:3] - turned @ place[6:], place[3:6]])


def _same_flange(place: np.ndarray, goals: Sequence[np.ndarray], side: Side) -> np.ndarray:
    """The same flange [9] thought of from the grip of the first goal, so that going there does not swing about another."""
    offset = goals[0][6:] if goals else place[6:]
    turned = wrist.pose(place[:6], side)[:3, :3]
    return np.concatenate([place[:3] + turned @ (offset - place[6:]), place[3:6], offset])


def _longer(rows: np.ndarray, frames: int) -> np.ndarray:
    """Rows that wait at their end."""
    return np.concatenate([rows, np.repeat(rows[-1:], frames - len(rows), axis=0)])
