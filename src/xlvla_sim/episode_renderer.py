"""Renders episodes afterwards, so that rendering for display does not slow a running simulation."""

from __future__ import annotations

import mujoco
import numpy as np

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla_sim.world import World


class Replay:
    """Shows states of an episode as they looked; for one thread."""

    def __init__(self, rig: Rig):
        self._world = World(rig)

    def begin(self, seed: int) -> None:
        """The episode with that seed: its objects, light and colours."""
        self._world.reset(seed)

    def picture(self, positions: np.ndarray, width: int, height: int) -> np.ndarray:
        """The scene at generalised positions [nq], RGB uint8 [height, width, 3]."""
        if positions.shape != self._world.data.qpos.shape:
            raise XlvlaError(
                f"a state of this world has {len(self._world.data.qpos)} numbers, not "
                f"{list(positions.shape)}"
            )
        self._world.data.qpos[:] = positions
        mujoco.mj_forward(self._world.model, self._world.data)
        return self._world.view(width, height)

    def close(self) -> None:
        self._world.close()
