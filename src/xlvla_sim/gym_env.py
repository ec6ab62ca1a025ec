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
from xlvla.types import CHUNK_HZ, PARTS, Part, Side

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
        chosen = dict(
            zip(
                base.sides,
                hands.split("+") if "+" in hands else [hands] * len(base.sides),
                strict=False,
            )
        )
        self.rig = rig_file.with_choices(
            replace(base, sim=replace(base.sim, task=task)), hands=chosen
        )
        self.render_mode = render_mode
        self._images = images
        self._ramp = np.arange(1, RAMP_STEPS + 1) / RAMP_STEPS
        self.world = World(self.rig, render=images or render_mode is not None)
        self.parts: tuple[tuple[Side, Part], ...] = tuple(
            (side, part) for side in sorted(self.rig.sides) for part in PARTS
        )
        self.joints = tuple(name for key in self.parts for name in self.rig.joint_names(*key))
        self.action_space, self.observation_space = self._action_space(), self._observation_space()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self._seed = int(self.np_random.integers(LARGEST_SEED)) if seed is None else seed
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
        before = self._stage
        self._stage = status.stage
        terminated = status.done and (
            status.success or self.world.time_s < self.world.task.time_limit_s
        )
        return (
            self._observation(),
            self._stage - before,
            terminated,
            status.done and not terminated,
            self._info(),
        )

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The scene from the side, RGB uint8 [480, 640, 3]."""
        return self.world.view(640, 480) if self.render_mode else None

    def close(self) -> None:
        self.world.close()

    def _command(self, positions: np.ndarray) -> None:
        named = dict(zip(self.joints, positions, strict=True))
        for key in self.parts:
            self.world.command(*key, {name: named[name] for name in self.rig.joint_names(*key)})

    def _measured(self) -> np.ndarray:
        return np.concatenate([self.world.joint_state(*key)[0] for key in self.parts])

    def _observation(self) -> dict[str, Any]:
        joints = {
            f"{side}_{part}": self.world.joint_state(side, part)[0].astype(np.float32)
            for side, part in self.parts
        }
        images = (
            {"images": {camera: self.world.image(camera) for camera in self.rig.cameras}}
            if self._images
            else {}
        )
        return {**images, "joints": joints}

    def _info(self) -> dict[str, Any]:
        status = self.world.status()
        about = {"instruction": self.world.task.sentence, "seed": self._seed}
        return about | {"success": status.success, "stage": status.stage, "text": status.text}

    def _action_space(self) -> spaces.Box:
        ranges = [
            self.rig.arm(s).limits if part == "arm" else self.rig.hand(s).limits(s)
            for s, part in self.parts
        ]
        lower, upper = (
            np.concatenate([getattr(limits, end) for limits in ranges]).astype(np.float32)
            for end in ("lower", "upper")
        )
        return spaces.Box(lower, upper, dtype=np.float32)

    def _observation_space(self) -> spaces.Dict:
        widths = {
            f"{side}_{part}": len(self.rig.joint_names(side, part)) for side, part in self.parts
        }
        joints: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(-np.inf, np.inf, (width,), np.float32)
            for name, width in widths.items()
        }
        sizes = {name: camera.publish for name, camera in self.rig.cameras.items()}
        images: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(0, 255, (height, width, 3), np.uint8)
            for name, (width, height) in sizes.items()
        }
        seen: dict[str, spaces.Space[Any]] = {"images": spaces.Dict(images)} if self._images else {}
        return spaces.Dict({**seen, "joints": spaces.Dict(joints)})


def environment(task: str) -> str:
    """`xlvla/PushCans-v0` of push_cans."""
    return f"{NAMESPACE}/{''.join(word.capitalize() for word in task.split('_'))}-v{VERSION}"


def register_tasks() -> None:
    """Tells Gymnasium of every task of the catalogue, once."""
    for task in catalog.tasks():
        if environment(task) not in registry:
            register(
                environment(task), entry_point="xlvla_sim.gym_env:TaskEnv", kwargs={"task": task}
            )


register_tasks()
