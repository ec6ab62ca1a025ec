"""By how much light, camera, colours and places differ from episode to episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from xlvla.rig import Camera
from xlvla_sim.scene import looking
from xlvla_sim.state import State

FIELDS = ("mat_rgba", "light_diffuse", "cam_pos", "cam_quat")
"""Fields of a model that differ."""

DARKEST = 0.92
PALEST = 0.96
"""By which factors the table is darker, and a channel of its colour weaker."""


@dataclass(frozen=True)
class Variation:
    """Largest changes, either way.

    Args:
        brightness: of a light, as a share.
        light_colour: of a channel of a light, as a share.
        camera_m: of where a camera is, and of what it looks at, along each axis.
        colour: of a channel of every material, as a share.
        place_m: of where all things are together, along x and y.
    """

    brightness: float = 0.2
    light_colour: float = 0.05
    camera_m: float = 0.008
    colour: float = 0.0
    place_m: float = 0.0


USUAL = Variation()
"""So that no picture is quite like another."""

WIDE = Variation(brightness=0.4, light_colour=0.12, camera_m=0.020, colour=0.15, place_m=0.015)
"""For demonstrations that are disturbed."""


def vary(
    state: State, cameras: Mapping[str, Camera], variation: Variation, rng: np.random.Generator
) -> None:
    """Changes the looks of a world that was just built or reset, and moves its things."""
    model = state.model
    lights = model.nlight
    brightness = _about_one(variation.brightness, rng, lights, 1)
    colour = _about_one(variation.light_colour, rng, lights, 3)
    model.light_diffuse[:] *= brightness * colour
    state.tint("wood", rng.uniform(DARKEST, 1.0) * rng.uniform(PALEST, 1.0, 3))
    for name, camera in cameras.items():
        reach = variation.camera_m
        xyz = np.array(camera.xyz) + rng.uniform(-reach, reach, 3)
        target = np.array(camera.target) + rng.uniform(-reach, reach, 3)
        index = model.camera(name).id
        model.cam_pos[index] = xyz
        model.cam_quat[index] = looking(xyz, target)
    # Last, so that the rest is the same whether there is any or not.
    tinted = model.mat_rgba[:, :3] * _about_one(variation.colour, rng, model.nmat, 3)
    model.mat_rgba[:, :3] = np.clip(tinted, 0, 1)
    _move_things(state, rng.uniform(-1, 1, 2) * variation.place_m)


def _about_one(share: float, rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(1 - share, 1 + share, shape)


def _move_things(state: State, by: np.ndarray) -> None:
    """Moves every thing that lies free by [2] m, so that they stay as far from each other."""
    model = state.model
    free = model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
    for address in model.jnt_qposadr[free]:
        state.data.qpos[address : address + 2] += by
