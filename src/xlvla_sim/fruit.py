"""Fruit to put on the table; each is one body of its name, and its skin can be tinted."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np

from xlvla_sim.things import BOX, CAPSULE, ELLIPSOID, UNTOUCHED, about_z, free_body, solid

FRUIT_FRICTION = (0.5, 0.005, 0.002)
"""Soft enough not to roll for long."""


def add_fruit(
    spec: mujoco.MjSpec,
    name: str,
    *,
    radii: tuple[float, float, float],
    mass: float,
    colour: tuple[float, float, float],
) -> None:
    """A round fruit, longest along z where it is lemon-shaped: `radii` [m] along x, y and z."""
    spec.add_material(name=f"{name}/skin", rgba=(*colour, 1), specular=0.25, shininess=0.25)
    body = free_body(spec, name)
    body.add_geom(
        name=name,
        size=radii,
        material=f"{name}/skin",
        **solid(mass, ELLIPSOID, FRUIT_FRICTION, condim=6),
    )
    tip = (0.25 * radii[0], 0.25 * radii[0], 0.12 * radii[2])
    spec.add_material(name=f"{name}/stem", rgba=(0.35, 0.42, 0.16, 1))
    body.add_geom(
        type=ELLIPSOID, size=tip, pos=(0, 0, radii[2]), material=f"{name}/stem", **UNTOUCHED
    )


def add_banana(spec: mujoco.MjSpec, name: str, *, mass: float = 0.12) -> None:
    """A banana that lies on its side, 17 cm along y, bent towards +x; its frame is where a hand
    would take it.
    """
    spec.add_material(name=f"{name}/skin", rgba=(0.93, 0.80, 0.20, 1), specular=0.2, shininess=0.2)
    spec.add_material(name=f"{name}/stem", rgba=(0.42, 0.34, 0.14, 1))
    body = free_body(spec, name)
    bend = np.radians([-60, -30, 0, 30, 60])
    reach = 0.085
    radius = 0.0175
    x = reach * (1 - np.cos(bend))
    y = reach * np.sin(bend)
    knots = np.stack([x, y, np.zeros(5)], axis=1)
    for index, (a, b) in enumerate(itertools.pairwise(knots)):
        # Thinner towards its ends.
        thick = radius if index in (1, 2) else 0.87 * radius
        firm = solid(mass / 4, CAPSULE, FRUIT_FRICTION, condim=6)
        body.add_geom(
            name=f"{name}/{index}",
            fromto=[*a, *b],
            size=(thick, 0, 0),
            material=f"{name}/skin",
            **firm,
        )
    for end, longer in ((knots[0], 1.28), (knots[-1], 1.16)):
        tip = np.array([end[0] + (longer - 1) * 0.05, end[1] * longer, 0])
        body.add_geom(
            type=CAPSULE,
            fromto=[*end, *tip],
            size=(0.30 * radius, 0, 0),
            material=f"{name}/stem",
            **UNTOUCHED,
        )


def add_starfruit(
    spec: mujoco.MjSpec, name: str, *, radius: float, height: float, mass: float
) -> None:
    """A star of five ribs that stands on its end, its frame at its centre."""
    spec.add_material(name=f"{name}/skin", rgba=(0.86, 0.83, 0.22, 1), specular=0.3, shininess=0.3)
    body = free_body(spec, name)
    for rib in range(5):
        turn = 2 * np.pi * rib / 5
        pos = (0.5 * radius * np.cos(turn), 0.5 * radius * np.sin(turn), 0)
        firm = {"material": f"{name}/skin", **solid(mass / 5, BOX, FRUIT_FRICTION)}
        body.add_geom(
            name=f"{name}/{rib}",
            size=(radius / 2, 0.17 * radius, height / 2),
            pos=pos,
            quat=about_z(turn),
            **firm,
        )
