"""The whole of motion on a task: an expert's movement arrives in chunks that are late, and still
does its work.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mujoco")

from xlvla import rig_file
from xlvla.codec import Codec
from xlvla.types import CHUNK_FRAMES, CHUNK_HZ, PARTS
from xlvla_drivers.motion.sides import side_player
from xlvla_sim.expert import Expert
from xlvla_sim.world import World

TICK_S = 0.01
LATENCY_S = 0.15
REPLAN_S = 0.8


@pytest.mark.parametrize("hand", ["xhand", pytest.param("inspire", marks=pytest.mark.long)])
def test_late_chunks_of_an_expert_are_followed_closely_and_push_the_cans_together(hand):
    rig = rig_file.with_choices(rig_file.load("bimanual"), hands={"left": hand, "right": hand})
    world = World(rig, render=False)
    world.reset(1_000_000)
    actions = Expert(rig, Codec.load()).script(world, np.random.default_rng(0)).actions
    rows = {
        side: np.concatenate([actions[side][part] for part in PARTS], axis=1) for side in rig.sides
    }
    players = {side: side_player(rig, side) for side in rig.sides}
    start = {
        side: np.concatenate([world.joint_state(side, part)[0] for part in PARTS])
        for side in rig.sides
    }
    errors = []
    for tick in range(800):
        now_s = tick * TICK_S
        decided = tick - round(LATENCY_S / TICK_S)
        for side, player in players.items():
            if decided >= 0 and decided % round(REPLAN_S / TICK_S) == 0:
                first = round(decided * TICK_S * CHUNK_HZ)
                frames = np.minimum(np.arange(first, first + CHUNK_FRAMES), len(rows[side]) - 1)
                player.offer(
                    rows[side][frames],
                    player.joints,
                    decided * TICK_S,
                    CHUNK_HZ,
                    now_s,
                    measured=start[side],
                )
            command = player.command(now_s, start[side])
            if tick % 5 == 0 and now_s > 0.6:
                arm = slice(
                    len(rig.arm(side).joints)
                )  # a slow hand may not keep up with the expert, an arm does
                errors.append(
                    np.abs(command - rows[side][min(tick // 5 - 1, len(rows[side]) - 1)])[arm].max()
                )
            named = dict(zip(player.joints, command, strict=True))
            for part in PARTS:
                world.command(
                    side, part, {name: named[name] for name in rig.joint_names(side, part)}
                )
        world.step(TICK_S)
        if world.status().done:
            break
    assert max(errors) < 0.02
    assert world.status().success, world.status().text
