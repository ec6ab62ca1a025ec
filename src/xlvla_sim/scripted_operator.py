"""A scripted teleoperator: executes the expert's plan with simulated human hands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

from xlvla import robot
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.human_codec import HumanCodec
from xlvla.kinematics import Kinematics
from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, Part, Side, scoped
from xlvla_sim.expert import Expert, Script
from xlvla_sim.world import World
from xlvla_sim.wrist import minimum_jerk

STANDS_M = np.array([-1.7, 0.4, 0.25])
"""Where the robot's world begins in the operator's: they stand elsewhere."""

REJOIN_S = 0.7
"""How long hands take back to the plan, from where the robot was let go."""

REST_S = 0.4
"""Time after each part of a plan, in which a robot that lags behind arrives before the operator
looks again.
"""


@dataclass(frozen=True)
class Hands:
    """A wrist [4, 4] in the operator's world, and its keypoints [21, 3] m in the hand frame."""

    T_world_wrist: np.ndarray
    keypoints: np.ndarray


class ScriptedOperator:
    """Drives a rig through one episode after the other; it knows where everything in the world is.

    The wrist is where the flange would be as the expert wants it, as far as a rig whose
    teleoperation turns and scales movements needs it; the fingers are the expert's latent as a
    person's hand. To plan takes a while: `begin` and `go_on` may run in another thread than the
    rest.
    """

    def __init__(self, rig: Rig, codec: Codec | None = None):
        self.rig = rig
        self._codec = codec or Codec.load()
        self._people = HumanCodec.load(self._codec)
        self._world = World(rig, render=False)
        self._expert = Expert(rig, self._codec)
        description = robot.rig_description(rig)
        self._arms = {
            side: Kinematics(description, rig.joint_names(side, "arm")) for side in rig.sides
        }
        turn = 0.0
        self._scale = 1.0
        if rig.teleop:
            turn = np.radians(rig.teleop.turn_deg)
            self._scale = rig.teleop.scale
        cos = np.cos(turn)
        sin = np.sin(turn)
        # Teleoperation turns the operator's movements by `turn`: this is the inverse.
        self._turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        self._scripts: Iterator[Script] = iter(())
        self._script: Script | None = None
        self._played_s = 0.0
        # How long hands still take back to the plan, and how far from it the robot was then.
        self._away_s = 0.0
        self._away: dict[tuple[Side, Part], np.ndarray] = {}

    @property
    def sentence(self) -> str:
        return self._world.task.sentence

    @property
    def arrived(self) -> bool:
        """What was played has come to its end."""
        if self._script is None:
            return True
        return self._played_s >= self._script.frames / CHUNK_HZ + REST_S

    def begin(self, seed: int) -> Script:
        """The first part of an episode with that seed, from where the rig begins it. XlvlaError
        where an arm cannot follow.
        """
        self._world.reset(seed)
        rng = np.random.default_rng([seed, 1])
        self._scripts = self._expert.scripts(self._world, rng)
        return next(self._scripts)

    def go_on(self, positions: np.ndarray) -> Script | None:
        """The next part, None after the last; `positions` [nq] are where everything is, as the
        simulation said.

        Raises:
            XlvlaError: an arm cannot follow, or the positions are another world's.
        """
        self._look(positions)
        return next(self._scripts, None)

    def play(self, script: Script) -> None:
        self._script = script
        self._played_s = 0.0
        self._away_s = 0.0

    def advance(self, passed_s: float) -> None:
        """Lets time pass; hands that are elsewhere come back to the plan before it goes on."""
        if self._away_s > 0:
            self._away_s = max(self._away_s - passed_s, 0.0)
        else:
            self._played_s += passed_s

    def rejoin(self, positions: np.ndarray) -> None:
        """Hands go where the robot is, which was let go, to be followed from there. Not while
        another thread plans.
        """
        self._look(positions)
        if self._script is None:
            return
        # Without it `_joints` is where the plan has them.
        self._away_s = 0.0
        for side, part in self.rig.parts:
            measured, _, _ = self._world.joint_state(side, part)
            self._away[side, part] = measured - self._joints(self._script, side, part)
        self._away_s = REJOIN_S

    def _look(self, positions: np.ndarray) -> None:
        here = self._world.data.qpos
        if positions.shape != here.shape:
            raise XlvlaError(
                f"a state of this world has {len(here)} numbers, not {list(positions.shape)}: is "
                "another rig simulated?"
            )
        here[:] = positions
        mujoco.mj_forward(self._world.model, self._world.data)

    def hands(self, side: Side) -> Hands | None:
        """What a tracker sees of one side now; None before anything was played."""
        if self._script is None:
            return None
        link = scoped(side, "arm", self.rig.arm(side).flange)
        arm = self._joints(self._script, side, "arm")
        T_world_flange = self._arms[side].fk(arm, [link])[link]
        T_world_wrist = np.eye(4)
        T_world_wrist[:3, :3] = self._turn @ T_world_flange[:3, :3]
        T_world_wrist[:3, 3] = STANDS_M + self._turn @ T_world_flange[:3, 3] / self._scale
        hand = self._joints(self._script, side, "hand")
        latent = self._codec.encode(self.rig.hand(side).name, side, hand)
        return Hands(T_world_wrist, self._people.decode(side, latent))

    def _joints(self, script: Script, side: Side, part: Part) -> np.ndarray:
        """Where the expert has a part now [J] rad, between its frames."""
        rows = np.concatenate([script.before[side][part][None], script.actions[side][part]])
        frame = min(self._played_s * CHUNK_HZ, len(rows) - 1)
        row = min(int(frame), len(rows) - 2)
        planned = rows[row] + (frame - row) * (rows[row + 1] - rows[row])
        if self._away_s <= 0:
            return planned
        share = minimum_jerk(np.array(self._away_s / REJOIN_S))
        return planned + share * self._away[side, part]
