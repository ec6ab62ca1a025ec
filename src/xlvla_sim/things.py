"""Things to put on the table."""

from __future__ import annotations

import mujoco
import numpy as np

from xlvla_sim.robot_model import EVERYTHING, OBJECT_BIT

THING_FRICTION = (0.3, 0.003, 0.0001)
"""Tin on wood; a hand's pads bring their own, higher friction to the contact."""


def add_can(spec: mujoco.MjSpec, name: str, *, radius: float, height: float, mass: float, label: np.ndarray) -> None:
    """A tin can that stands free, its frame at its centre; `label` is RGB uint8 [H, W, 3], once round the wall.

    Materials `{name}/label` and `{name}/tin` can be tinted.
    """
    _add_label(spec, name, label)
    spec.add_material(name=f"{name}/tin", rgba=(0.78, 0.79, 0.81, 1), specular=0.9, shininess=0.8)
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    cylinder = mujoco.mjtGeom.mjGEOM_CYLINDER
    body.add_geom(
        name=name,
        type=cylinder,
        size=(radius, height / 2, 0),
        mass=mass,
        friction=THING_FRICTION,
        condim=4,
        contype=OBJECT_BIT,
        conaffinity=EVERYTHING,
        group=3,
        solref=(0.005, 1),
    )
    _add_wall(spec, body, radius * 0.99, height * 0.94)
    for z in (-1, 1):
        rim = {"contype": 0, "conaffinity": 0, "mass": 0, "material": f"{name}/tin"}
        body.add_geom(type=cylinder, size=(radius, height * 0.025, 0), pos=(0, 0, z * height * 0.475), **rim)
        body.add_geom(type=cylinder, size=(radius * 0.82, height * 0.003, 0), pos=(0, 0, z * height * 0.499), **rim)


def _add_label(spec: mujoco.MjSpec, name: str, label: np.ndarray) -> None:
    texture = spec.add_texture(
        name=f"{name}/label", type=mujoco.mjtTexture.mjTEXTURE_2D, nchannel=3, width=label.shape[1], height=label.shape[0]
    )
    texture.data = label.tobytes()
    textures = [""] * mujoco.mjtTextureRole.mjNTEXROLE
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = f"{name}/label"
    spec.add_material(name=f"{name}/label", textures=textures, specular=0.3, shininess=0.4)


def _add_wall(spec: mujoco.MjSpec, body: mujoco.MjsBody, radius: float, height: float, segments: int = 32) -> None:
    """The side of a cylinder as a mesh, because only meshes carry a texture around."""
    turn = np.linspace(0, 1, segments + 1)
    x, y = radius * np.cos(2 * np.pi * turn), radius * np.sin(2 * np.pi * turn)
    ring = [np.stack([x, y, np.full_like(x, z)], axis=1) for z in (-height / 2, height / 2)]
    coordinates = [np.stack([turn, np.full_like(turn, v)], axis=1) for v in (1.0, 0.0)]
    low = np.arange(segments)
    high = low + segments + 1
    faces = np.concatenate([np.stack([low, low + 1, high], axis=1), np.stack([low + 1, high + 1, high], axis=1)])
    mesh = spec.add_mesh(name=f"{body.name}/wall", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
    mesh.uservert = np.concatenate(ring).ravel()
    mesh.usertexcoord = np.concatenate(coordinates).ravel()
    mesh.userface = faces.ravel()
    mesh.userfacetexcoord = faces.ravel()
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh.name, material=f"{body.name}/label", contype=0, conaffinity=0, mass=0)


def tomato_label(width: int = 512, height: int = 192) -> np.ndarray:
    """A red label with a cream band, tomatoes and the word, RGB uint8 [height, width, 3]."""
    import cv2

    label = np.full((height, width, 3), (196, 28, 30), np.uint8)
    label[int(height * 0.60) :] = (240, 232, 214)
    label[int(height * 0.58) : int(height * 0.61)] = (214, 170, 70)
    for quarter in range(4):
        x = int((quarter + 0.5) * width / 4)
        cv2.circle(label, (x, int(height * 0.80)), int(height * 0.13), (206, 44, 32), -1, cv2.LINE_AA)
        cv2.ellipse(label, (x, int(height * 0.69)), (int(height * 0.07), int(height * 0.025)), 0, 0, 360, (60, 130, 50), -1, cv2.LINE_AA)
        cv2.putText(label, "TOMATO", (x - 50, int(height * 0.38)), cv2.FONT_HERSHEY_DUPLEX, 0.8, (250, 244, 230), 2, cv2.LINE_AA)
    return label
