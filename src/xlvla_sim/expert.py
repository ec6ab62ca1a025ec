"""The scripted expert: follows a task's way-points with any arm and any hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from xlvla import robot
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics
from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, Part, Side, scoped
from xlvla_sim import wrist
from xlvla_sim.grasp import Grasps
from xlvla_sim.miss import Miss
from xlvla_sim.task import Segment, WayPoint
from xlvla_sim.world import World

START_SPREAD = np.array([0.03, 0.03, 0.03, 0.10, 0.08, 0.08])
"""How far a demonstration may start from home: wrist position [m] and angles [rad]."""

DETOUR_M = 0.02
DETOURS = 0.5
"""How far a detour leads aside, and which share of plans begins with one."""

EXACT_M = 2e-3
EXACT_RAD = 2e-2
"""As exactly as this an arm brings its wrist to its place."""

SHORT_M = 0.06
TURNED_RAD = 0.8
"""How far from its place, and how much turned, the wrist of a humanoid may be: where it comes to a
thing from aside, or reaches across itself.
"""

SPEED_SHARE = 0.9
"""Share of an arm's speed limits that is used."""

PASSES = 2
LIMB_PASSES = 16
"""How often the rows of an arm are averaged with their neighbours; those of a humanoid's arm, which
comes to the limits of its joints and leaves them again, more often, and more with every attempt.
"""

STANDING_ROWS = 20
SETTLE_S = 0.6
"""From how many rows before its begin the path of a humanoid's arm is smoothed, and in which time
the arm comes from where it is to what that makes of it.
"""

ATTEMPTS = 6
"""How often a segment is slowed down before it counts as one that no arm can follow."""

HAND_SHARE = 0.8
"""Share of a way-point's time in which the hand takes its shape."""

ROUNDING_RAD = 1e-9
"""What a step at a joint's speed limit may be beyond it."""


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
    """Where a side's commands are: wrist of the grip and the grip in the hand [9], latent [L],
    joints of arm [N] and hand [J] rad.
    """

    place: np.ndarray
    latent: np.ndarray
    arm: np.ndarray
    hand: np.ndarray


Stands: TypeAlias = Mapping[Side, Stand]


class Expert:
    """Turns the plan of a world's task into commands of its rig."""

    def __init__(self, rig: Rig, codec: Codec):
        rig.refuse_incomplete("a scripted demonstration")
        self.rig = rig
        self.codec = codec
        description = robot.rig_description(rig)
        self._arms = {
            side: Kinematics(description, rig.joint_names(side, "arm")) for side in rig.sides
        }
        body = rig.body
        if body:
            for side in rig.sides:
                self._keep_natural(side, body.natural)
        self._grasps = {side: Grasps(rig.hand(side), side, codec) for side in rig.sides}

    def start(self, rng: np.random.Generator) -> dict[str, float]:
        """Joint positions [rad] of the arms near home, so that demonstrations show the way from
        many places.
        """
        positions: dict[str, float] = {}
        for side in self.rig.sides:
            home = self._home(side)
            near = self.wrist(side, home) + rng.uniform(-1, 1, 6) * START_SPREAD
            angles = self._solve(side, near, home)
            names = self.rig.joint_names(side, "arm")
            positions.update(zip(names, angles, strict=True))
        return positions

    def scripts(
        self, world: World, rng: np.random.Generator, miss: Miss | None = None
    ) -> Iterator[Script]:
        """Commands of one segment of the task's plan after the other, or of one that misses its
        places; each must be played before the next is asked for.

        Raises:
            XlvlaError: an arm cannot follow, or the plan needs a side that the rig does not have.
        """
        stands: Stands = {side: self._stand(world, side) for side in world.rig.sides}
        begins = True
        for segment in world.task.plan(world.state, rng):
            self._refuse_missing(segment)
            if miss is not None:
                segment = miss.off(segment)
            detours: dict[Side, np.ndarray] = {side: np.zeros(3) for side in stands}
            if begins:
                # About half of the plans begin with a small detour: no two ways are the same.
                for side in stands:
                    if segment.get(side):
                        detours[side] = _detour(rng)
            begins = False
            script, stands = self._in_time(segment, stands, detours)
            yield script

    def script(self, world: World, rng: np.random.Generator) -> Script:
        """Commands of the plan's first segment: all of it, where the task does not look at the
        world again.
        """
        return next(self.scripts(world, rng))

    def wrist(self, side: Side, q: np.ndarray) -> np.ndarray:
        """Wrist [6] of the flange of an arm with joints [N] rad."""
        link = self._link(side)
        T_world_flange = self._arms[side].fk(q, [link])[link]
        return wrist.wrist(T_world_flange, side)

    def beside(self, side: Side, q: np.ndarray, by: np.ndarray) -> np.ndarray:
        """Joints [N] rad of an arm near q [N] that have the wrist moved by [6] m and rad.

        Raises:
            XlvlaError: the arm cannot bring it there.
        """
        return self._solve(side, self.wrist(side, q) + by, q)

    def can_follow(self, side: Side, part: Part, rows: np.ndarray) -> bool:
        """Whether an arm or a hand is quick enough for commands [T, N] rad at 20 Hz, from the first
        on.
        """
        if part == "arm":
            return self._haste(side, rows) <= 1
        step = self.rig.hand(side).limits(side).velocity / CHUNK_HZ
        return bool((np.abs(np.diff(rows, axis=0)) <= step + ROUNDING_RAD).all())

    def _refuse_missing(self, segment: Segment) -> None:
        """Refuses a segment that moves a side which the rig does not have."""
        for side, points in segment.items():
            if points and side not in self.rig.sides:
                needed = f"the task needs a {side} arm in this episode"
                there = f"rig '{self.rig.name}' has only {', '.join(self.rig.sides)}"
                raise XlvlaError(f"{needed}, {there}: choose another task or seed")

    def _in_time(
        self, segment: Segment, stands: Stands, detours: Mapping[Side, np.ndarray]
    ) -> tuple[Script, Stands]:
        """Commands of a segment, which is played slower where an arm could not keep up."""
        haste = 1.0
        for attempt in range(ATTEMPTS):
            script, ends = self._script(segment, stands, detours, attempt)
            haste = max(self._haste(side, _from_before(script, side)) for side in stands)
            if haste <= 1:
                return script, ends
            # A little more than asked for, or the next attempt may just miss it.
            segment = slowed(segment, 1.05 * haste)
        raise XlvlaError(
            f"an arm cannot follow: it would have to move {haste:.1f} times as fast as it can, "
            "near a singularity"
        )

    def _script(
        self,
        segment: Segment,
        stands: Stands,
        detours: Mapping[Side, np.ndarray],
        attempt: int,
    ) -> tuple[Script, Stands]:
        places: dict[Side, np.ndarray] = {}
        for side, stand in stands.items():
            places[side] = self._places(side, stand, segment.get(side, ()), detours[side])
        frames = max(len(rows) for rows in places.values())
        actions: dict[Side, Mapping[Part, np.ndarray]] = {}
        before: dict[Side, Mapping[Part, np.ndarray]] = {}
        ends: dict[Side, Stand] = {}
        for side, stand in stands.items():
            # A side that arrives first waits for the other.
            rows = _longer(places[side], frames)
            latents = _longer(self._latents(side, stand, segment.get(side, ())), frames)
            arm = self._arm(side, stand, rows, attempt)
            hand = self._hand(side, stand, latents)
            actions[side] = {"arm": arm[1:], "hand": hand[1:]}
            before[side] = {"arm": stand.arm, "hand": stand.hand}
            ends[side] = Stand(rows[-1], latents[-1], arm[-1], hand[-1])
        return Script(actions, before), ends

    def _haste(self, side: Side, rows: np.ndarray) -> float:
        """By how much an arm would have to be quicker than it is for commands [T, N] rad at 20
        Hz.
        """
        speed = np.diff(rows, axis=0) * CHUNK_HZ
        at_rest = np.zeros((1, rows.shape[1]))
        acceleration = np.diff(speed, axis=0, prepend=at_rest) * CHUNK_HZ
        by_speed = np.abs(speed / self._arms[side].velocity).max() / SPEED_SHARE
        # With twice the time an acceleration is a quarter of what it was.
        excess = np.abs(acceleration).max() / self.rig.arm(side).acceleration
        return max(float(by_speed), float(np.sqrt(excess)))

    def _stand(self, world: World, side: Side) -> Stand:
        arm = world.joint_state(side, "arm")[0].copy()
        hand = world.joint_state(side, "hand")[0].copy()
        place = np.concatenate([self.wrist(side, arm), np.zeros(3)])
        latent = self.codec.encode(self.rig.hand(side).name, side, hand)
        return Stand(place, latent, arm, hand)

    def _places(
        self, side: Side, stand: Stand, points: Sequence[WayPoint], detour: np.ndarray
    ) -> np.ndarray:
        """Wrists of the grip and grips in the hand [T, 9] along way-points, with a detour [3] m on
        the way to the first.
        """
        goals: list[np.ndarray] = []
        for point in points:
            offset = self._grasps[side].offset(point.grip)
            goals.append(np.concatenate([point.wrist, offset]))
        start = _same_flange(stand.place, goals, side)
        rows = wrist.path(start, goals, points, CHUNK_HZ)
        if points:
            s = np.arange(len(rows)) / CHUNK_HZ / points[0].duration_s
            # 1 in the middle of the way; 0 with velocity 0 at both of its ends.
            bump = np.where(s < 1, (4 * s * (1 - s)) ** 2, 0)
            rows[:, :3] += bump[:, None] * detour
        return rows

    def _latents(self, side: Side, stand: Stand, points: Sequence[WayPoint]) -> np.ndarray:
        goals: list[np.ndarray | None] = []
        for point in points:
            if point.hand is None:
                goals.append(None)
            else:
                goals.append(self._grasps[side].latent(point.hand))
        return wrist.path(stand.latent, goals, points, CHUNK_HZ, share=HAND_SHARE)

    def _arm(self, side: Side, stand: Stand, places: np.ndarray, attempt: int) -> np.ndarray:
        """Joint positions [T, N] rad; row 0 is where the arm already is."""
        rows = [stand.arm]
        for place in places[1:]:
            rows.append(self._solve(side, _flange(place, side), rows[-1]))
        if not self.rig.humanoid:
            return _smooth(np.array(rows), PASSES)
        # As if it had stood there before, so that its first step is smoothed, too.
        standing = [stand.arm] * STANDING_ROWS
        smooth = _smooth(np.array([*standing, *rows]), (1 + attempt) * LIMB_PASSES)
        return _begun_at(stand.arm, smooth[STANDING_ROWS:])

    def _hand(self, side: Side, stand: Stand, latents: np.ndarray) -> np.ndarray:
        """Joint positions [T, J] rad, no faster than the joints may; row 0 is where the hand
        already is.
        """
        step = self.rig.hand(side).limits(side).velocity / CHUNK_HZ
        rows = [stand.hand]
        for wanted in self._grasps[side].pose(latents)[1:]:
            change = np.clip(wanted - rows[-1], -step, step)
            rows.append(rows[-1] + change)
        return np.array(rows)

    def _solve(self, side: Side, target: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Joints [N] rad near q [N] that have the wrist there; of a humanoid, whose arms are short,
        as near as it can.
        """
        link = self._link(side)
        pose = wrist.pose(target, side)
        if self.rig.humanoid:
            solve, within_m, within_rad = self._arms[side].reach_position, SHORT_M, TURNED_RAD
        else:
            solve, within_m, within_rad = self._arms[side].ik, EXACT_M, EXACT_RAD
        result = solve(link, pose, q, posture=self._posture(side), iterations=60)
        if result.position_error > within_m or result.rotation_error > within_rad:
            place = ", ".join(f"{value:.2f}" for value in target)
            raise XlvlaError(
                f"the {side} arm cannot bring its wrist to {place}: "
                f"{result.position_error * 1000:.0f} mm are left"
            )
        return result.q

    def _home(self, side: Side) -> np.ndarray:
        return np.array(list(self.rig.home(side).values()))

    def _keep_natural(self, side: Side, ranges: Mapping[str, tuple[float, float]]) -> None:
        """Narrows the limits of an arm to what is natural, the ranges [rad] of a left one."""
        solver = self._arms[side]
        arm = self.rig.arm(side)
        for name, (lower, upper) in ranges.items():
            # The mirror between left and right turns round what turns about x and z.
            along_y = arm.description.joint(name).axis[1] != 0
            if side == "right" and not along_y:
                lower, upper = -upper, -lower
            column = arm.joints.index(name)
            solver.lower[column] = max(lower, solver.lower[column])
            solver.upper[column] = min(upper, solver.upper[column])

    def _posture(self, side: Side) -> np.ndarray:
        """Joints [N] rad that an arm stays near where it may choose: home, or the natural posture
        of a humanoid, upper arms down, forearms ahead and wrists straight.
        """
        home = self._home(side)
        return np.zeros_like(home) if self.rig.humanoid else home

    def _link(self, side: Side) -> str:
        return scoped(side, "arm", self.rig.arm(side).flange)


RAMP_STEPS = 5
"""Commands per frame: a motion player at 100 Hz glides from one 20 Hz frame to the next, and so
does this.
"""


def play_frame(world: World, script: Script, frame: int) -> None:
    """Lets one frame of 1/20 s pass in which the commands glide to the frame's action."""
    for tick in range(1, RAMP_STEPS + 1):
        for side, parts in script.actions.items():
            for part, rows in parts.items():
                before = rows[frame - 1] if frame else script.before[side][part]
                _command(world, side, part, before + (rows[frame] - before) * tick / RAMP_STEPS)
        world.step(1 / CHUNK_HZ / RAMP_STEPS)


def _command(world: World, side: Side, part: Part, positions: np.ndarray) -> None:
    names = world.rig.joint_names(side, part)
    world.command(side, part, dict(zip(names, positions, strict=True)))


def _from_before(script: Script, side: Side) -> np.ndarray:
    """Commands [1 + F, N] rad of a side's arm, the one in force before the script first."""
    return np.concatenate([[script.before[side]["arm"]], script.actions[side]["arm"]])


def slowed(segment: Segment, factor: float) -> Segment:
    """The same way-points, each taking `factor` as long."""
    slower: dict[Side, list[WayPoint]] = {}
    for side, points in segment.items():
        slower[side] = []
        for point in points:
            duration_s = factor * point.duration_s
            overlap_s = factor * point.overlap_s
            slower[side].append(replace(point, duration_s=duration_s, overlap_s=overlap_s))
    return slower


def _detour(rng: np.random.Generator) -> np.ndarray:
    """A way aside [3] m, or none."""
    taken = rng.random() < DETOURS
    # Drawn in any case, so that what is drawn later does not depend on it.
    aside = rng.uniform(-DETOUR_M, DETOUR_M, 3)
    return aside * taken


def _flange(place: np.ndarray, side: Side) -> np.ndarray:
    """Wrist [6] of the flange where the grip [9] is."""
    R_world_flange = wrist.pose(place[:6], side)[:3, :3]
    flange = place[:3] - R_world_flange @ place[6:]
    return np.concatenate([flange, place[3:6]])


def _same_flange(place: np.ndarray, goals: Sequence[np.ndarray], side: Side) -> np.ndarray:
    """The same flange [9] thought of from the grip of the first goal, so that going there does not
    swing about another.
    """
    offset = goals[0][6:] if goals else place[6:]
    R_world_flange = wrist.pose(place[:6], side)[:3, :3]
    grip = place[:3] + R_world_flange @ (offset - place[6:])
    return np.concatenate([grip, place[3:6], offset])


def _smooth(rows: np.ndarray, passes: int) -> np.ndarray:
    """Rows between their ends averaged with their neighbours, so many times: near singularities
    inverse kinematics is rough.
    """
    for _ in range(passes):
        between = (rows[:-2] + 2 * rows[1:-1] + rows[2:]) / 4
        rows = np.concatenate([rows[:1], between, rows[-1:]])
    return rows


def _begun_at(start: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows [T, N] that begin at `start` [N] and come to themselves within `SETTLE_S`."""
    frames = min(len(rows) - 1, round(SETTLE_S * CHUNK_HZ))
    if not frames:
        return start[None]
    left = 1 - wrist.minimum_jerk(np.arange(len(rows)) / frames)
    return rows + left[:, None] * (start - rows[0])


def _longer(rows: np.ndarray, frames: int) -> np.ndarray:
    """Rows that wait at their end."""
    waiting = np.repeat(rows[-1:], frames - len(rows), axis=0)
    return np.concatenate([rows, waiting])
