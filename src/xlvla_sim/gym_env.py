"""The tasks as Gymnasium environments, for other people's policies; importing this module registers
them.

    import gymnasium
    import xlvla_sim.gym_env

    gymnasium.register_envs(xlvla_sim.gym_env)
    env = gymnasium.make("xlvla/PushCans-v0", hands="xhand")

`gymnasium.make("xlvla_sim.gym_env:xlvla/PushCans-v0", hands="xhand")` is the same in one line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Env, spaces
from gymnasium.envs.registration import register, registry

from xlvla import catalog, rig_file
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, Part, Side

NAMESPACE = "xlvla"
VERSION = 0
LARGEST_SEED = 2**31


class TaskEnv(Env[dict[str, Any], np.ndarray]):
    """One task with one pair of hands; a step is 1/20 s.

    Action [N] rad: target of every joint, in the order of `joints`: left arm, left hand, right arm,
    right hand. Observation: `images` by camera, RGB uint8 [H, W, 3], and `joints` by part
    (`left_arm`, ...), measured [J] rad. Reward: the share of the task's stages reached in this
    step, so that an episode's return is its partial success. An episode terminates with its success
    or when the task is lost, and is truncated at the task's time limit. `reset(seed=s)` is episode
    s of `xlvla eval`; without a seed the next one is drawn.

    Args:
        hands: of both sides, or `left+right`.
        images: without them no graphics are needed and physics alone is quick.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": CHUNK_HZ}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        task: str,
        hands: str = "xhand",
        rig: str = "bimanual",
        images: bool = True,
        render_mode: str | None = None,
    ):
        from dataclasses import replace

        from xlvla_sim.expert import RAMP_STEPS
        from xlvla_sim.world import World

        if render_mode not in (None, *self.metadata["render_modes"]):
            raise XlvlaError(f"render mode '{render_mode}': rgb_array is the one there is")
        base = rig_file.load(rig)
        if base.sim is None:
            raise XlvlaError(f"rig '{rig}' has no `sim` section, so there is nothing to simulate")
        simulated = replace(base, sim=replace(base.sim, task=task))
        self.rig = rig_file.with_choices(simulated, hands=_by_side(hands, base))
        self.render_mode = render_mode
        self._images = images
        self._ramp = np.arange(1, RAMP_STEPS + 1) / RAMP_STEPS
        self.world = World(self.rig, render=images or render_mode is not None)
        parts: list[tuple[Side, Part]] = []
        joints: list[str] = []
        for side in sorted(self.rig.sides):
            for part in self.rig.parts_of(side):
                parts.append((side, part))
                joints += self.rig.joint_names(side, part)
        self.parts = tuple(parts)
        self.joints = tuple(joints)
        self.action_space = self._action_space()
        self.observation_space = self._observation_space()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(LARGEST_SEED))
        self._seed = seed
        self.world.reset(self._seed)
        self._target = self._measured()
        self._stage = 0.0
        return self._observation(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Plays one frame; raises XlvlaError for an action of another size or that is not
        finite.
        """
        wanted = np.asarray(action, dtype=float)
        if wanted.shape != self._target.shape:
            raise XlvlaError(
                f"an action has {len(self.joints)} joint positions, this one has the shape "
                f"{wanted.shape}"
            )
        for share in self._ramp:
            self._command(self._target + (wanted - self._target) * share)
            self.world.step(1 / CHUNK_HZ / len(self._ramp))
        self._target = wanted
        status = self.world.status()
        reward = status.stage - self._stage
        self._stage = status.stage
        in_time = self.world.time_s < self.world.task.time_limit_s
        terminated = status.done and (status.success or in_time)
        truncated = status.done and not terminated
        return self._observation(), reward, terminated, truncated, self._info()

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The scene from the side, RGB uint8 [480, 640, 3]."""
        if self.render_mode is None:
            return None
        return self.world.view(640, 480)

    def close(self) -> None:
        self.world.close()

    def _command(self, positions: np.ndarray) -> None:
        first = 0
        for side, part in self.parts:
            names = self.rig.joint_names(side, part)
            last = first + len(names)
            targets = dict(zip(names, positions[first:last], strict=True))
            self.world.command(side, part, targets)
            first = last

    def _position(self, side: Side, part: Part) -> np.ndarray:
        position, _, _ = self.world.joint_state(side, part)
        return position

    def _measured(self) -> np.ndarray:
        return np.concatenate([self._position(side, part) for side, part in self.parts])

    def _observation(self) -> dict[str, Any]:
        observation: dict[str, Any] = {}
        if self._images:
            cameras = self.rig.cameras
            observation["images"] = {camera: self.world.image(camera) for camera in cameras}
        joints: dict[str, np.ndarray] = {}
        for side, part in self.parts:
            joints[f"{side}_{part}"] = self._position(side, part).astype(np.float32)
        observation["joints"] = joints
        return observation

    def _info(self) -> dict[str, Any]:
        status = self.world.status()
        return {
            "instruction": self.world.task.sentence,
            "seed": self._seed,
            "success": status.success,
            "stage": status.stage,
            "text": status.text,
        }

    def _action_space(self) -> spaces.Box:
        lower: list[np.ndarray] = []
        upper: list[np.ndarray] = []
        for side, part in self.parts:
            if part == "arm":
                limits = self.rig.arm(side).limits
            else:
                limits = self.rig.hand(side).limits(side)
            lower.append(limits.lower)
            upper.append(limits.upper)
        return spaces.Box(
            np.concatenate(lower).astype(np.float32),
            np.concatenate(upper).astype(np.float32),
            dtype=np.float32,
        )

    def _observation_space(self) -> spaces.Dict:
        seen: dict[str, spaces.Space[Any]] = {}
        if self._images:
            images: dict[str, spaces.Space[Any]] = {}
            for name, camera in self.rig.cameras.items():
                width, height = camera.publish
                images[name] = spaces.Box(0, 255, (height, width, 3), np.uint8)
            seen["images"] = spaces.Dict(images)
        joints: dict[str, spaces.Space[Any]] = {}
        for side, part in self.parts:
            count = len(self.rig.joint_names(side, part))
            joints[f"{side}_{part}"] = spaces.Box(-np.inf, np.inf, (count,), np.float32)
        seen["joints"] = spaces.Dict(joints)
        return spaces.Dict(seen)


def _by_side(hands: str, rig: Rig) -> dict[Side, str]:
    """`xhand` or `xhand+ability` as the hand of every side."""
    names = hands.split("+")
    if len(names) == 1:
        names = names * len(rig.sides)
    return dict(zip(rig.sides, names, strict=False))


def environment(task: str) -> str:
    """`xlvla/PushCans-v0` of push_cans."""
    name = "".join(word.capitalize() for word in task.split("_"))
    return f"{NAMESPACE}/{name}-v{VERSION}"


def register_tasks() -> None:
    """Tells Gymnasium of every task of the catalogue, once."""
    for task in catalog.tasks():
        name = environment(task)
        if name not in registry:
            register(name, entry_point="xlvla_sim.gym_env:TaskEnv", kwargs={"task": task})


register_tasks()
