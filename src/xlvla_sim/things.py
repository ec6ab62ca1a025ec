"""Things to put on the table; each is one body of its name, and its materials can be tinted."""

from __future__ import annotations

import mujoco
import numpy as np

from xlvla_sim.robot_model import EVERYTHING, OBJECT_BIT
from xlvla_sim.state import State

THING_FRICTION = (0.3, 0.003, 0.0001)
"""Tin on wood: sliding, torsional [m], rolling [m]; a hand's pads bring their own, higher friction
to the contact.
"""

RUBBER_FRICTION = (0.9, 0.01, 0.0001)
"""Feet that do not slide."""

BOX = mujoco.mjtGeom.mjGEOM_BOX
CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER
SPHERE = mujoco.mjtGeom.mjGEOM_SPHERE
CAPSULE = mujoco.mjtGeom.mjGEOM_CAPSULE
ELLIPSOID = mujoco.mjtGeom.mjGEOM_ELLIPSOID
UNTOUCHED = {"contype": 0, "conaffinity": 0, "mass": 0}


def add_can(
    spec: mujoco.MjSpec,
    name: str,
    *,
    radius: float,
    height: float,
    mass: float,
    label: np.ndarray,
    inside: tuple[float, float, float] | None = None,
) -> None:
    """A tin can that stands free, its frame at its centre; `label` is RGB uint8 [H, W, 3], once
    round the wall.

    Materials `{name}/label` and `{name}/tin` can be tinted. `inside` is the colour of what one sees
    in an open can.
    """
    body = _labelled_cylinder(spec, name, radius, height, mass, label)
    for z in (-1, 1):
        rim = {**UNTOUCHED, "material": f"{name}/tin"}
        body.add_geom(
            type=CYLINDER, size=(radius, height * 0.025, 0), pos=(0, 0, z * height * 0.475), **rim
        )
        body.add_geom(
            type=CYLINDER,
            size=(radius * 0.82, height * 0.003, 0),
            pos=(0, 0, z * height * 0.499),
            **rim,
        )
    if inside is not None:
        spec.add_material(name=f"{name}/inside", rgba=(*inside, 1), specular=0.1)
        food = {**UNTOUCHED, "material": f"{name}/inside"}
        body.add_geom(
            type=CYLINDER,
            size=(radius * 0.9, height * 0.003, 0),
            pos=(0, 0, height * 0.503),
            **food,
        )


def add_bottle(
    spec: mujoco.MjSpec,
    name: str,
    *,
    radius: float,
    height: float,
    mass: float,
    label: np.ndarray,
    colour: tuple[float, float, float],
    spout: tuple[float, float],
) -> None:
    """A bottle that stands free, its frame at the centre of its cylinder; on it sits a spout of
    radius and height [m].

    The site `{name}/mouth` is where things flow out, its z axis along the bottle.
    """
    body = _labelled_cylinder(spec, name, radius, height, mass, label, tin=colour)
    wide, high = spout
    plain = {**UNTOUCHED, "material": f"{name}/tin"}
    for z in (-1, 1):
        body.add_geom(
            type=CYLINDER, size=(radius, height * 0.03, 0), pos=(0, 0, z * height * 0.47), **plain
        )
    body.add_geom(
        type=ELLIPSOID,
        size=(radius * 0.98, radius * 0.98, 0.45 * high),
        pos=(0, 0, height / 2),
        **plain,
    )
    darker = [0.55 * value for value in colour]
    spec.add_material(name=f"{name}/cap", rgba=(*darker, 1), specular=0.4)
    top = height / 2 + high
    body.add_geom(
        name=f"{name}/cap",
        size=(wide, high / 2, 0),
        pos=(0, 0, top - high / 2),
        material=f"{name}/cap",
        **solid(0.01, CYLINDER),
    )
    body.add_site(name=f"{name}/mouth", pos=(0, 0, top), size=(0.003, 0.003, 0.003), group=4)


def add_box(
    spec: mujoco.MjSpec,
    name: str,
    *,
    size: tuple[float, float, float],
    mass: float,
    sides: np.ndarray,
) -> None:
    """A carton that stands free, its frame at its centre; `sides` are six square pictures below
    each other.
    """
    texture = spec.add_texture(
        name=f"{name}/label",
        type=mujoco.mjtTexture.mjTEXTURE_CUBE,
        nchannel=3,
        width=sides.shape[1],
        height=sides.shape[0],
    )
    texture.data = np.ascontiguousarray(sides).tobytes()
    spec.add_material(
        name=f"{name}/label", textures=_textures(f"{name}/label"), specular=0.2, shininess=0.3
    )
    body = free_body(spec, name)
    body.add_geom(name=name, size=np.array(size) / 2, material=f"{name}/label", **solid(mass, BOX))


def add_plate(spec: mujoco.MjSpec, name: str, *, radius: float, mass: float = 0.4) -> None:
    """A flat white plate with a rim, its frame at the middle of its underside."""
    spec.add_material(name=f"{name}/glaze", rgba=(0.93, 0.94, 0.95, 1), specular=0.6, shininess=0.6)
    spec.add_material(name=f"{name}/rim", rgba=(0.45, 0.58, 0.72, 1), specular=0.6, shininess=0.6)
    body = free_body(spec, name)
    firm = solid(mass, CYLINDER, RUBBER_FRICTION)
    body.add_geom(
        name=name, size=(radius, 0.004, 0), pos=(0, 0, 0.004), material=f"{name}/rim", **firm
    )
    body.add_geom(
        type=CYLINDER,
        size=(0.88 * radius, 0.0005, 0),
        pos=(0, 0, 0.008),
        material=f"{name}/glaze",
        **UNTOUCHED,
    )


def add_board(
    spec: mujoco.MjSpec,
    name: str,
    *,
    size: tuple[float, float, float],
    mass: float,
    colour: tuple[float, float, float],
) -> None:
    """A flat board with a hole for the thumb drawn on it; it lies on feet that do not slide."""
    spec.add_material(name=f"{name}/board", rgba=(*colour, 1), specular=0.2, shininess=0.2)
    spec.add_material(name=f"{name}/hole", rgba=(*[0.45 * value for value in colour], 1))
    body = free_body(spec, name)
    x, y, z = np.array(size) / 2
    body.add_geom(
        name=name, size=(x, y, z), material=f"{name}/board", **solid(mass, BOX, RUBBER_FRICTION)
    )
    body.add_geom(
        type=CAPSULE,
        fromto=(x - 0.022, -0.025, z - 0.0035, x - 0.022, 0.025, z - 0.0035),
        size=(0.004, 0, 0),
        material=f"{name}/hole",
        **UNTOUCHED,
    )


def add_container(
    spec: mujoco.MjSpec,
    name: str,
    *,
    size: tuple[float, float, float],
    mass: float,
    colour: tuple[float, float, float],
    wall: float = 0.006,
) -> None:
    """An open box of outer size x, y, z [m], its frame at the middle of its bottom's underside."""
    spec.add_material(name=f"{name}/plastic", rgba=(*colour, 1), specular=0.4, shininess=0.4)
    body = free_body(spec, name)
    x = size[0] / 2
    y = size[1] / 2
    z = size[2]
    firm = {"material": f"{name}/plastic", **solid(mass / 5, BOX, RUBBER_FRICTION)}
    body.add_geom(name=name, size=(x, y, wall / 2), pos=(0, 0, wall / 2), **firm)
    for index, sign in enumerate((-1, 1)):
        body.add_geom(
            name=f"{name}/x{index}",
            size=(wall / 2, y, z / 2),
            pos=(sign * (x - wall / 2), 0, z / 2),
            **firm,
        )
        body.add_geom(
            name=f"{name}/y{index}",
            size=(x, wall / 2, z / 2),
            pos=(0, sign * (y - wall / 2), z / 2),
            **firm,
        )


def add_bowl(
    spec: mujoco.MjSpec,
    name: str,
    *,
    radius: float,
    height: float,
    mass: float,
    colour: tuple[float, float, float],
    staves: int = 12,
) -> None:
    """A round bowl of staves on a flat bottom, `radius` [m] at its rim; its frame is at the middle
    of its underside.
    """
    spec.add_material(name=f"{name}/glaze", rgba=(*colour, 1), specular=0.6, shininess=0.6)
    body = free_body(spec, name)
    foot = 0.62 * radius
    thick = 0.004
    each = mass / (staves + 1)
    body.add_geom(
        name=name,
        size=(foot, thick, 0),
        pos=(0, 0, thick),
        material=f"{name}/glaze",
        **solid(each, CYLINDER, RUBBER_FRICTION),
    )
    lean = np.arctan2(radius - foot, height)
    half = (np.tan(np.pi / staves) * radius * 1.04, thick / 2, np.hypot(radius - foot, height) / 2)
    for index in range(staves):
        turn = 2 * np.pi * index / staves
        middle = (radius + foot) / 2
        tilt = np.zeros(4)
        turned = np.zeros(4)
        mujoco.mju_axisAngle2Quat(tilt, np.array([1.0, 0.0, 0.0]), -lean)
        mujoco.mju_mulQuat(turned, about_z(turn - np.pi / 2), tilt)
        pos = (middle * np.cos(turn), middle * np.sin(turn), height / 2)
        body.add_geom(
            name=f"{name}/{index}",
            size=half,
            pos=pos,
            quat=turned,
            material=f"{name}/glaze",
            **solid(each, BOX),
        )


def _labelled_cylinder(
    spec: mujoco.MjSpec,
    name: str,
    radius: float,
    height: float,
    mass: float,
    label: np.ndarray,
    tin: tuple[float, float, float] = (0.78, 0.79, 0.81),
) -> mujoco.MjsBody:
    """A free cylinder with a picture round its wall."""
    _add_label(spec, name, label)
    spec.add_material(name=f"{name}/tin", rgba=(*tin, 1), specular=0.9, shininess=0.8)
    body = free_body(spec, name)
    body.add_geom(name=name, size=(radius, height / 2, 0), group=3, **solid(mass, CYLINDER))
    _add_wall(spec, body, radius * 0.99, height * 0.94)
    return body


def scatter(state: State, thing: str, xyz: np.ndarray, rng: np.random.Generator) -> None:
    """Stands a thing with a label at `xyz` [3] m, turned and tinted by chance."""
    state.place(thing, xyz, yaw=rng.uniform(-np.pi, np.pi))
    state.tint(f"{thing}/label", faded(rng))


def faded(rng: np.random.Generator) -> np.ndarray:
    """A tint [3] that makes a label a little darker and differently coloured in every episode."""
    darker = rng.uniform(0.85, 1.0)
    coloured = rng.uniform(0.95, 1.0, 3)
    return darker * coloured


def about_z(turn: float) -> np.ndarray:
    """Quaternion wxyz of a turn about z [rad]."""
    return np.array([np.cos(turn / 2), 0, 0, np.sin(turn / 2)])


def free_body(spec: mujoco.MjSpec, name: str) -> mujoco.MjsBody:
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    return body


def solid(
    mass: float,
    type_: mujoco.mjtGeom,
    friction: tuple[float, float, float] = THING_FRICTION,
    *,
    condim: int = 4,
) -> dict:
    return {
        "type": type_,
        "mass": mass,
        "friction": friction,
        "condim": condim,
        "contype": OBJECT_BIT,
        "conaffinity": EVERYTHING,
        "solref": (0.005, 1),
    }


def _textures(name: str) -> list[str]:
    textures = [""] * mujoco.mjtTextureRole.mjNTEXROLE
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    return textures


def _add_label(spec: mujoco.MjSpec, name: str, label: np.ndarray) -> None:
    texture = spec.add_texture(
        name=f"{name}/label",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        nchannel=3,
        width=label.shape[1],
        height=label.shape[0],
    )
    texture.data = label.tobytes()
    spec.add_material(
        name=f"{name}/label", textures=_textures(f"{name}/label"), specular=0.3, shininess=0.4
    )


def _add_wall(
    spec: mujoco.MjSpec, body: mujoco.MjsBody, radius: float, height: float, segments: int = 32
) -> None:
    """The side of a cylinder as a mesh, because only meshes carry a texture around."""
    turn = np.linspace(0, 1, segments + 1)
    x = radius * np.cos(2 * np.pi * turn)
    y = radius * np.sin(2 * np.pi * turn)
    # Two rings of vertices, at its foot and at its rim, and where they are in the picture.
    foot = np.stack([x, y, np.full_like(x, -height / 2)], axis=1)
    rim = np.stack([x, y, np.full_like(x, height / 2)], axis=1)
    foot_coordinates = np.stack([turn, np.ones_like(turn)], axis=1)
    rim_coordinates = np.stack([turn, np.zeros_like(turn)], axis=1)
    # Two triangles per segment.
    low = np.arange(segments)
    high = low + segments + 1
    lower = np.stack([low, low + 1, high], axis=1)
    upper = np.stack([low + 1, high + 1, high], axis=1)
    faces = np.concatenate([lower, upper])
    mesh = spec.add_mesh(
        name=f"{body.name}/wall", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    )
    mesh.uservert = np.concatenate([foot, rim]).ravel()
    mesh.usertexcoord = np.concatenate([foot_coordinates, rim_coordinates]).ravel()
    mesh.userface = faces.ravel()
    mesh.userfacetexcoord = faces.ravel()
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=mesh.name,
        material=f"{body.name}/label",
        contype=0,
        conaffinity=0,
        mass=0,
    )
