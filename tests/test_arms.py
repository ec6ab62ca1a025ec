"""The arms of the catalogue against the tables that their makers publish, computed here without any
URDF.
"""

from __future__ import annotations

import numpy as np
import pytest

from xlvla import catalog, rig_file
from xlvla.inertia import inertia_faults
from xlvla.kinematics import Kinematics
from xlvla.types import SIDES

PI = np.pi
POSES = 8

# Rows of a, alpha, d and offset of theta, the classical convention: turn about z, shift along z,
# shift along x, turn about x.
UR5E = [
    (0.0, PI / 2, 0.1625, 0.0),
    (-0.425, 0.0, 0.0, 0.0),
    (-0.3922, 0.0, 0.0, 0.0),
    (0.0, PI / 2, 0.1333, 0.0),
    (0.0, -PI / 2, 0.0997, 0.0),
    (0.0, 0.0, 0.0996, 0.0),
]
GEN3 = [
    (0.0, PI / 2, -(0.1564 + 0.1284), 0.0),
    (0.0, PI / 2, -(0.0054 + 0.0064), PI),
    (0.0, PI / 2, -(0.2104 + 0.2104), PI),
    (0.0, PI / 2, -(0.0064 + 0.0064), PI),
    (0.0, PI / 2, -(0.2084 + 0.1059), PI),
    (0.0, PI / 2, 0.0, PI),
    (0.0, PI, -(0.1059 + 0.0615), PI),
]

# Rows of a, alpha and d before the joint turns, the modified convention; the flange is 107 mm on.
FR3 = [
    (0.0, 0.0, 0.333),
    (0.0, -PI / 2, 0.0),
    (0.0, PI / 2, 0.316),
    (0.0825, PI / 2, 0.0),
    (-0.0825, -PI / 2, 0.384),
    (0.0, PI / 2, 0.0),
    (0.088, PI / 2, 0.0),
]


def about_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1.0]])


def about_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def shifted(x: float = 0.0, z: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[0, 3] = x
    T[2, 3] = z
    return T


def classical(rows, q) -> np.ndarray:
    T = np.eye(4)
    for (a, alpha, d, offset), angle in zip(rows, q, strict=True):
        T = T @ about_z(angle + offset) @ shifted(z=d) @ shifted(x=a) @ about_x(alpha)
    return T


def modified(rows, q) -> np.ndarray:
    T = np.eye(4)
    for (a, alpha, d), angle in zip(rows, q, strict=True):
        T = T @ about_x(alpha) @ shifted(x=a) @ about_z(angle) @ shifted(z=d)
    return T


def ur5e(q) -> np.ndarray:
    """In its ROS driver's base_link, half a turn from the base of the table."""
    return about_z(PI) @ classical(UR5E, q)


def fr3(q) -> np.ndarray:
    return modified(FR3, q) @ shifted(z=0.107)


def gen3(q) -> np.ndarray:
    """The table begins with the base turned over."""
    return about_x(PI) @ classical(GEN3, q)


@pytest.mark.parametrize(
    ("name", "table", "within_m"), [("ur5e", ur5e, 1e-6), ("fr3", fr3, 1e-6), ("gen3", gen3, 5e-4)]
)
def test_the_flange_is_where_the_makers_table_has_it(name, table, within_m):
    """Kinova's table is rounded to a tenth of a millimetre."""
    arm = catalog.arm(name)
    kinematics = Kinematics(arm.urdf_model, arm.joints)
    rng = np.random.default_rng(0)
    for q in [
        np.zeros(len(arm.joints)),
        *rng.uniform(arm.limits.lower, arm.limits.upper, (POSES, len(arm.joints))),
    ]:
        there = kinematics.fk(q, [arm.flange])[arm.flange]
        expected = table(q)
        np.testing.assert_allclose(there[:3, 3], expected[:3, 3], atol=within_m)
        np.testing.assert_allclose(there[:3, :3], expected[:3, :3], atol=1e-6)


@pytest.mark.parametrize("name", catalog.arms())
def test_an_arm_has_a_home_within_its_limits_and_masses_that_a_body_can_have(name):
    arm = catalog.arm(name)
    for side in SIDES:
        on_side = arm.on(side)
        limits = on_side.limits
        assert not inertia_faults(on_side.urdf_model)
        home = arm.home.get(side, {})
        assert set(home) <= set(arm.joints)
        for joint, lower, upper in zip(arm.joints, limits.lower, limits.upper, strict=True):
            assert lower <= home.get(joint, 0.0) <= upper, f"{joint} of {name}, {side}"


@pytest.mark.parametrize("name", ["ur5e", "fr3", "gen3"])
def test_a_rig_with_another_arm_begins_where_the_bimanual_rigs_wrists_do(name):
    places = {}
    for rig in (rig_file.load("bimanual"), rig_file.load(f"bimanual_{name}")):
        for side in SIDES:
            arm = rig.arm(side)
            kinematics = Kinematics(arm.urdf_model, arm.joints)
            home = np.array(list(rig.home(side).values()))
            T = kinematics.fk(home, [arm.flange])[arm.flange]
            T[:3, 3] += rig.sides[side].arm.xyz
            places.setdefault(side, []).append(T)
    for before, now in places.values():
        np.testing.assert_allclose(now[:3, 3], before[:3, 3], atol=2e-3)
        np.testing.assert_allclose(now[:3, :3], before[:3, :3], atol=5e-3)


def test_the_limits_of_an_arm_are_its_data_sheets():
    fr3_limits = catalog.arm("fr3").limits
    assert fr3_limits.upper[3] == pytest.approx(-0.1518)
    assert fr3_limits.velocity[4] == pytest.approx(5.26)
    assert catalog.arm("gen3").limits.upper[1] == pytest.approx(np.radians(128.9))
    assert catalog.arm("ur5e").limits.velocity == pytest.approx(np.full(6, PI))
