"""One demonstration: the expert plays, everything a policy needs to see is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from xlvla.types import PARTS, Part, Side
from xlvla_sim.disturbance import Stretch, disturbed
from xlvla_sim.expert import Expert, Script, play_frame
from xlvla_sim.miss import Miss
from xlvla_sim.task import TaskStatus
from xlvla_sim.variation import USUAL, WIDE, Variation
from xlvla_sim.world import World


@dataclass(frozen=True)
class Demonstration:
    """F frames: images RGB uint8 [F, H, W, 3] by camera and measured positions [F, J] rad, each
    seen at the start of its frame.

    `script` is everything that the expert wanted, `executed` what was played instead: the same but
    in `stretches`. `good` is a success that still holds at the end.
    """

    script: Script
    executed: Script
    stretches: tuple[Stretch, ...]
    variation: Variation
    status: TaskStatus
    good: bool
    images: dict[str, list[np.ndarray]] = field(default_factory=dict)
    measured: dict[Side, dict[Part, np.ndarray]] = field(default_factory=dict)

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        undone = self.status.success and not self.good
        return "undone after its success" if undone else self.status.text

    @property
    def disturbances(self) -> str:
        """What was disturbed, in words; '' where nothing was."""
        varied = [] if self.variation == USUAL else ["looks and places"]
        return ", ".join([*varied, *map(str, self.stretches)])


def demonstrate(
    world: World,
    expert: Expert,
    seed: int,
    *,
    watch: Callable[[World], None] | None = None,
    pictures: bool = True,
    disturb: bool = False,
    miss_m: float = 0.0,
) -> Demonstration:
    """Plays one episode until the plan is done or the task is lost; `watch` is called at the start
    of every frame.

    Without `pictures` none are drawn, even if the world renders. With `disturb` the commands are
    disturbed, and the world is varied more. With `miss_m` hands come so far beside where the plan
    wants them [m].

    Raises:
        XlvlaError: an arm cannot follow the plan.
    """
    rng = np.random.default_rng([seed, 1])
    variation = WIDE if disturb else USUAL
    world.reset(seed, expert.start(rng), variation)
    images: dict[str, list[np.ndarray]] = {}
    if pictures and world.renders:
        images = {camera: [] for camera in world.rig.cameras}
    measured: dict[tuple[Side, Part], list[np.ndarray]] = {key: [] for key in world.rig.parts}
    wanted: list[Script] = []
    played: list[Script] = []
    stretches: list[Stretch] = []
    # Of its own, so that the expert plans the same as without.
    chance = np.random.default_rng([seed, 3])
    miss = Miss(miss_m, np.random.default_rng([seed, 5])) if miss_m else None
    for script in expert.scripts(world, rng, miss):
        wanted.append(script)
        if disturb:
            script, added = disturbed(script, expert, chance, world.time_s)
            stretches += added
        played.append(script)
        for frame in range(script.frames):
            for camera, frames in images.items():
                frames.append(world.image(camera))
            for (side, part), rows in measured.items():
                position, _, _ = world.joint_state(side, part)
                rows.append(position.copy())
            if watch:
                watch(world)
            play_frame(world, script, frame)
        if world.status().done and not world.status().success:
            break
    status = world.status()
    # A success may have come undone after it was counted.
    good = status.success and bool(world.task.stages[-1].reached(world.state))
    stacked: dict[Side, dict[Part, np.ndarray]] = {}
    for (side, part), rows in measured.items():
        stacked.setdefault(side, {})[part] = np.array(rows)
    return Demonstration(
        _joined(wanted),
        _joined(played),
        tuple(stretches),
        variation,
        status,
        good,
        images,
        stacked,
    )


def _joined(scripts: list[Script]) -> Script:
    """Scripts that were played one after the other, as one."""
    actions: dict[Side, dict[Part, np.ndarray]] = {}
    for side in scripts[0].actions:
        actions[side] = {}
        for part in PARTS:
            rows = [script.actions[side][part] for script in scripts]
            actions[side][part] = np.concatenate(rows)
    return Script(actions, scripts[0].before)
