"""The scene of every task: a wooden table, a floor, soft light without shadows, the rig's
cameras.
"""

from __future__ import annotations

import mujoco
import numpy as np

from xlvla.rig import Camera, Rig
from xlvla_sim.robot_model import EVERYTHING, TABLE_BIT

TABLE_X = (-0.15, 0.85)
TABLE_Y = (-0.75, 0.75)
"""Extent of the table top that arms stand on [m]; its surface is z = 0. One that a humanoid stands
before begins where the rig has it.
"""

TABLE_FRICTION = (0.3, 0.003, 0.0001)
_THICKNESS = 0.04
_HEIGHT = 0.75
"""Above the floor, if it is not that of a humanoid."""


def add_room(spec: mujoco.MjSpec, rig: Rig) -> None:
    near_x, height = _before_table(rig)
    _add_surroundings(spec, height)
    _add_table(spec, near_x, height)
    _add_lights(spec)
    for name, camera in rig.cameras.items():
        _add_camera(spec, name, camera)
    _add_camera(spec, "view", Camera((1.2, -0.42, 0.78), (0.30, 0.0, 0.12), fovy_deg=43))


def published_fovy_deg(camera: Camera) -> float:
    """Vertical field of view of the published image.

    The capture is cropped about its centre to the published shape and shrunk. A crop at the sides
    leaves the vertical field of view as it is, so rendering at the published size with this angle
    gives the same picture.
    """
    captured = camera.capture[0] / camera.capture[1]
    published = camera.publish[0] / camera.publish[1]
    share = min(1.0, captured / published)
    half = np.tan(np.radians(camera.fovy_deg) / 2)
    return float(np.degrees(2 * np.arctan(share * half)))


def looking(xyz: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Quaternion wxyz of a camera at `xyz` that looks at `target`, upright (MuJoCo cameras look
    along -z, y up).
    """
    back = np.asarray(xyz, dtype=float) - target
    back /= np.linalg.norm(back)
    right = np.cross([0, 0, 1], back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    rotation = np.stack([right, up, back], axis=1)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, rotation.ravel())
    return quat


def _before_table(rig: Rig) -> tuple[float, float]:
    """x of the table's near edge, and its height above the floor that the robot stands on [m]."""
    body = rig.body
    if body is None or rig.humanoid is None:
        return TABLE_X[0], _HEIGHT
    return rig.humanoid.table_edge_m, body.stands_m - rig.humanoid.xyz[2]


def _add_surroundings(spec: mujoco.MjSpec, table_height: float) -> None:
    tex = mujoco.mjtTexture
    builtin = mujoco.mjtBuiltin
    spec.add_texture(
        name="sky",
        type=tex.mjTEXTURE_SKYBOX,
        builtin=builtin.mjBUILTIN_GRADIENT,
        rgb1=(0.86, 0.90, 0.94),
        rgb2=(0.55, 0.62, 0.70),
        width=256,
        height=256,
    )
    spec.add_texture(
        name="floor",
        type=tex.mjTEXTURE_2D,
        builtin=builtin.mjBUILTIN_CHECKER,
        rgb1=(0.62, 0.64, 0.66),
        rgb2=(0.58, 0.60, 0.62),
        width=256,
        height=256,
    )
    textures = [""] * mujoco.mjtTextureRole.mjNTEXROLE
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    spec.add_material(
        name="floor", textures=textures, texrepeat=(1, 1), texuniform=True, specular=0.1
    )
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(4, 4, 0.1),
        pos=(0, 0, -table_height),
        material="floor",
        contype=TABLE_BIT,
        conaffinity=EVERYTHING,
    )


def _add_table(spec: mujoco.MjSpec, near_x: float, height: float) -> None:
    texture = spec.add_texture(
        name="wood", type=mujoco.mjtTexture.mjTEXTURE_CUBE, nchannel=3, width=256, height=256 * 6
    )
    texture.data = np.tile(_wood(256), (6, 1, 1)).tobytes()
    textures = [""] * mujoco.mjtTextureRole.mjNTEXROLE
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "wood"
    spec.add_material(name="wood", textures=textures, specular=0.15, shininess=0.3)
    spec.add_material(name="steel", rgba=(0.35, 0.37, 0.40, 1), specular=0.5)
    extent_x = (near_x, TABLE_X[1])
    center = np.array([np.mean(extent_x), np.mean(TABLE_Y), -_THICKNESS / 2])
    half = np.array([np.ptp(extent_x) / 2, np.ptp(TABLE_Y) / 2, _THICKNESS / 2])
    box = mujoco.mjtGeom.mjGEOM_BOX
    contact = {"contype": TABLE_BIT, "conaffinity": EVERYTHING}
    spec.worldbody.add_geom(
        name="table",
        type=box,
        size=half,
        pos=center,
        material="wood",
        friction=TABLE_FRICTION,
        condim=4,
        **contact,
    )
    # Its legs.
    for x in (-1, 1):
        for y in (-1, 1):
            corner = center + (half - 0.06) * [x, y, 0] + [0, 0, -height / 2]
            spec.worldbody.add_geom(
                type=box,
                size=(0.03, 0.03, (height - _THICKNESS) / 2),
                pos=corner,
                material="steel",
                **contact,
            )


def _wood(size: int) -> np.ndarray:
    """Planks with grain, RGB uint8 [size, size, 3], the same in every world."""
    rng = np.random.default_rng(7)
    side = np.linspace(0, 1, size, endpoint=False)
    across, along = np.meshgrid(side, side)
    plank = np.floor(along * 6).astype(int)
    shade = rng.uniform(-0.035, 0.035, 6)[plank]
    phase = rng.uniform(0, 9, 6)[plank]
    # Lines along the planks that wind a little, and are not evenly dark.
    winding = 0.8 * np.sin(2 * np.pi * across + phase)
    lines = np.sin(2 * np.pi * (along * 55 + winding + phase))
    grain = lines * 0.012 + rng.normal(0, 0.008, (size, 1))
    from_seam = np.abs(along * 6 - np.round(along * 6))
    seam = -0.10 * (from_seam < 0.02)
    brown = np.array([0.74, 0.61, 0.45])
    value = (shade + grain + seam)[..., None] + brown
    return (np.clip(value, 0, 1) * 255).astype(np.uint8)


def _add_lights(spec: mujoco.MjSpec) -> None:
    spec.visual.headlight.ambient = (0.38, 0.38, 0.38)
    spec.visual.headlight.diffuse = (0.25, 0.25, 0.25)
    spec.visual.headlight.specular = (0.05, 0.05, 0.05)
    _add_light(spec, "key", (0.9, 0.7, 1.8), 0.38)
    _add_light(spec, "fill", (0.6, -1.0, 1.6), 0.22)


def _add_light(
    spec: mujoco.MjSpec, name: str, xyz: tuple[float, float, float], strength: float
) -> None:
    """A white light from `xyz` [m] on the middle of where hands work."""
    light = spec.worldbody.add_light(
        name=name, pos=xyz, dir=np.array([0.35, 0, 0]) - xyz, castshadow=False
    )
    light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    light.diffuse = (strength,) * 3
    light.specular = (0.15,) * 3


def _add_camera(spec: mujoco.MjSpec, name: str, camera: Camera) -> None:
    quat = looking(np.array(camera.xyz), np.array(camera.target))
    spec.worldbody.add_camera(name=name, pos=camera.xyz, quat=quat, fovy=published_fovy_deg(camera))
