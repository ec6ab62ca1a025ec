"""The scripted expert: follows a task's way-points with any arm and any hand.

Hands take shapes that are defined once, as poses of one reference hand, and reach every other hand through the latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xlvla import robot
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics
from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, PARTS, Part, Side, scoped
from xlvla_sim import wrist
from xlvla_sim.task import WayPoint
from xlvla_sim.world import World

REFERENCE = "xhand"


def _reference(thumb: tuple[float, float, float], finger: tuple[float, float]) -> np.ndarray:
    """A pose of the reference hand: thumb joints, index side swing, two joints per finger [rad]."""
    return np.array([*thumb, 0.0, *finger * 4])


SHAPES: Mapping[str, np.ndarray] = {
    "relaxed": _reference((1.2, 0.5, 0.5), (0.9, 0.7)),
    "flat": _reference((0.0, 0.0, 0.2), (0.1, 0.1)),
}
"""Hand shapes by name: half curled with the thumb towards the fingers; straight fingers with the thumb up."""

START_SPREAD = np.array([0.03, 0.03, 0.03, 0.10, 0.08, 0.08])
"""How far a demonstration may start from home: wrist position [m] and angles [rad]."""


@dataclass(frozen=True)
class Script:
    """Commands [F, J] rad at 20 Hz by side and part; row f is reached at the end of frame f."""

    actions: Mapping[Side, Mapping[Part, np.ndarray]]

    @property
    def frames(self) -> int:
        return len(next(iter(self.actions.values()))["arm"])


class Expert:
    """Turns the plan of a world's task into commands of its rig."""

    def __init__(self, rig: Rig, codec: Codec):
        self.rig = rig
        self.codec = codec
        description = robot.rig_description(rig)
        self._arms = {side: Kinematics(description, rig.joint_names(side, "arm")) for side in rig.sides}
        self._shapes = {name: codec.encode(REFERENCE, "right", pose) for name, pose in SHAPES.items()}

    def start(self, rng: np.random.Generator) -> dict[str, float]:
        """Joint positions [rad] of the arms near home, so that demonstrations show the way from many places."""
        positions: dict[str, float] = {}
        for side in self.rig.sides:
            home = self._home(side)
            near = self._wrist(side, home) + rng.uniform(-1, 1, 6) * START_SPREAD
            positions |= dict(zip(self.rig.joint_names(side, "arm"), self._solve(side, near, home, home), strict=True))
        return positions

    def script(self, world: World, rng: np.random.Generator) -> Script:
        """Commands from the world's present state to the end of the task.

        Raises:
            XlvlaError: an arm cannot follow.
        """
        plan = world.task.plan(world.state, rng)
        paths: dict[Side, np.ndarray] = {side: self._path(world, side, points, rng) for side, points in plan.items()}
        frames = max(len(path) for path in paths.values())
        actions: dict[Side, Mapping[Part, np.ndarray]] = {}
        for side, path in paths.items():
            actions[side] = self._side(world, side, plan[side], _longer(path, frames))
        return Script(actions)

    def _path(self, world: World, side: Side, points: list[WayPoint], rng: np.random.Generator) -> np.ndarray:
        """Wrists [T, 6] along the plan; about half of them take a small detour on the way to the object."""
        start = self._wrist(side, world.joint_state(side, "arm")[0])
        path = wrist.path(start, points, CHUNK_HZ)
        s = np.arange(len(path)) / CHUNK_HZ / points[0].duration_s
        bump = np.where(s < 1, (4 * s * (1 - s)) ** 2, 0) if rng.random() < 0.5 else np.zeros(len(path))
        path[:, :3] += bump[:, None] * rng.uniform(-0.02, 0.02, 3)
        return path

    def _side(self, world: World, side: Side, points: list[WayPoint], path: np.ndarray) -> dict[Part, np.ndarray]:
        """Commands of one side; the path's first row is where it already is."""
        return {"arm": self._arm(world, side, path)[1:], "hand": self._hand(world, side, points, len(path))[1:]}

    def _arm(self, world: World, side: Side, path: np.ndarray) -> np.ndarray:
        q, rest, rows = world.joint_state(side, "arm")[0], self._home(side), []
        for target in path:
            q = self._solve(side, target, q, rest)
            rows.append(q)
        return np.array(rows)

    def _hand(self, world: World, side: Side, points: list[WayPoint], frames: int) -> np.ndarray:
        hand = self.rig.hand(side).name
        latents = [self.codec.encode(hand, side, world.joint_state(side, "hand")[0]), *self._shapes.values()]
        weights = wrist.shape_weights(points, ["start", *self._shapes], frames, CHUNK_HZ)
        lower, upper = self.rig.hand(side).command_range(side)
        return np.clip(self.codec.decode(hand, side, weights @ np.array(latents)), lower, upper)

    def _solve(self, side: Side, target: np.ndarray, q: np.ndarray, rest: np.ndarray) -> np.ndarray:
        result = self._arms[side].ik(self._flange(side), wrist.pose(target, side), q, posture=rest, iterations=60)
        if result.position_error > 2e-3 or result.rotation_error > 2e-2:
            place = ", ".join(f"{value:.2f}" for value in target)
            raise XlvlaError(f"the {side} arm cannot bring its wrist to {place}: {result.position_error * 1000:.0f} mm are left")
        return result.q

    def _wrist(self, side: Side, q: np.ndarray) -> np.ndarray:
        return wrist.wrist(self._arms[side].fk(q, [self._flange(side)])[self._flange(side)], side)

    def _home(self, side: Side) -> np.ndarray:
        return np.array(list(self.rig.home(side).values()))

    def _flange(self, side: Side) -> str:
        return scoped(side, "arm", self.rig.arm(side).flange)


RAMP_STEPS = 5
"""Commands per frame: a motion player at 100 Hz glides from one 20 Hz frame to the next, and so does this."""


def play_frame(world: World, script: Script, frame: int) -> None:
    """Lets one frame of 1/20 s pass in which the commands glide to the frame's action."""
    before = {key: _row(script, *key, frame - 1) if frame else world.joint_state(*key)[0] for key in _keys(script)}
    for tick in range(1, RAMP_STEPS + 1):
        for side, part in _keys(script):
            old, new = before[side, part], _row(script, side, part, frame)
            names = world.rig.joint_names(side, part)
            world.command(side, part, dict(zip(names, old + (new - old) * tick / RAMP_STEPS, strict=True)))
        world.step(1 / CHUNK_HZ / RAMP_STEPS)


def _keys(script: Script) -> list[tuple[Side, Part]]:
    return [(side, part) for side in script.actions for part in PARTS]


def _row(script: Script, side: Side, part: Part, frame: int) -> np.ndarray:
    return script.actions[side][part][frame]


def _longer(path: np.ndarray, frames: int) -> np.ndarray:
    """A path that waits at its end."""
    return np.concatenate([path, np.repeat(path[-1:], frames - len(path), axis=0)])
