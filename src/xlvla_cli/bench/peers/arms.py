"""Inverse kinematics of an xArm7: poses all over its range, each on its own, and two arms that
follow a path.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xlvla import catalog
from xlvla.arm import Arm
from xlvla.kinematics import Kinematics
from xlvla_cli.bench.peers.contest import Result

POSES = 1000
"""At full size."""

NEAR_M = 1e-3
NEAR_RAD = 1e-2
"""A pose within both is reached."""

STEPS = 3000
"""Of the path, at full size."""

RATE_HZ = 100.0
REACH_M = 0.1
TURN_RAD = 0.3
"""How far the path leads to each side."""

POSITION_COST = 1.0
TURN_COST = 0.25
POSTURE_COST = 0.02
POSTURE_GAIN = 0.15
DAMPING = 2e-4
LIMIT_GAIN = 0.5
SPEED = 0.9
"""What `xlvla_drivers.teleop.wrist` weighs the flange, its turning and home with, for everybody."""

HOME = np.array([0.0, -0.5, 0.0, 1.2, 0.0, 1.7, 0.0])

Step = Callable[[np.ndarray], np.ndarray]
"""From a flange's target [4, 4] to where the arm goes next [7] rad."""


def _arm() -> Arm:
    return catalog.arm("xarm7")


def _kinematics() -> Kinematics:
    arm = _arm()
    return Kinematics(arm.urdf_model, arm.joints)


def _range() -> tuple[np.ndarray, np.ndarray]:
    """The joints' limits, or one turn where they turn further."""
    limits = _arm().limits
    return np.maximum(limits.lower, -np.pi), np.minimum(limits.upper, np.pi)


def _middle() -> np.ndarray:
    lower, upper = _range()
    return (lower + upper) / 2


def prepare_poses(folder: Path, size: float) -> Result:
    kinematics = _kinematics()
    flange = _arm().flange
    count = max(round(POSES * size), 1)
    every = np.random.default_rng(0).uniform(*_range(), (count, len(HOME)))
    poses = np.array([kinematics.fk(q, [flange])[flange] for q in every])
    np.save(folder / "poses.npy", poses)
    return Result(count)


def poses_ours(folder: Path) -> Result:
    kinematics = _kinematics()
    flange = _arm().flange
    home = _middle()

    def solve(target: np.ndarray) -> np.ndarray:
        return kinematics.reach(flange, target, home, tolerance_m=NEAR_M, tolerance_rad=NEAR_RAD).q

    return _solved(folder, solve)


def poses_roboplan(folder: Path) -> Result:
    from roboplan.core import CartesianConfiguration, JointConfiguration
    from roboplan.simple_ik import SimpleIk, SimpleIkOptions

    arm = _arm()
    scene = _scene()
    options = SimpleIkOptions(
        group_name="arm",
        max_restarts=2,
        max_linear_error_norm=NEAR_M,
        max_angular_error_norm=NEAR_RAD,
        check_collisions=False,
    )
    solver = SimpleIk(scene, options)
    base = arm.description.root
    home = JointConfiguration(list(arm.joints), _middle())

    def solve(target: np.ndarray) -> np.ndarray:
        goal = CartesianConfiguration(base, arm.flange, np.asfortranarray(target))
        found = JointConfiguration(list(arm.joints), _middle())
        solver.solveIk(goal, home, found)
        return found.positions

    return _solved(folder, solve)


def poses_pink(folder: Path) -> Result:
    import pinocchio as pin
    from pink import Configuration, solve_ik
    from pink.tasks import FrameTask, PostureTask

    model = pin.buildModelFromXML(_xml())
    task = FrameTask(_arm().flange, 1.0, 1.0)
    posture = PostureTask(1e-3)
    home = _middle()
    posture.set_target(home)
    frame = model.getFrameId(_arm().flange)

    def solve(target: np.ndarray) -> np.ndarray:
        task.set_target(pin.SE3(target))
        configuration = Configuration(model, model.createData(), home)
        for _ in range(100):
            here = configuration.data.oMf[frame]
            left = pin.log3(target[:3, :3] @ here.rotation.T)
            if (
                np.linalg.norm(target[:3, 3] - here.translation) < NEAR_M
                and np.linalg.norm(left) < NEAR_RAD
            ):
                break
            velocity = solve_ik(
                configuration, [task, posture], 0.2, "daqp", damping=1e-6, safety_break=False
            )
            configuration.integrate_inplace(velocity, 0.2)
        return configuration.q

    return _solved(folder, solve)


def _solved(folder: Path, solve: Callable[[np.ndarray], np.ndarray]) -> Result:
    """Solves per CPU second, and the share of the poses that was reached inside the limits."""
    poses = np.load(folder / "poses.npy")
    # What is done once for an arm
    solve(poses[0])
    began = time.process_time()
    found = [solve(pose) for pose in poses]
    cpu_s = time.process_time() - began
    kinematics = _kinematics()
    lower, upper = kinematics.lower - 1e-6, kinematics.upper + 1e-6
    reached = 0
    for q, pose in zip(found, poses, strict=True):
        inside = bool((q >= lower).all() and (q <= upper).all())
        reached += inside and _near(kinematics, q, pose)
    return Result(len(poses) / cpu_s, done=reached / len(poses))


def _near(kinematics: Kinematics, q: np.ndarray, pose: np.ndarray) -> bool:
    flange = _arm().flange
    here = kinematics.fk(q, [flange])[flange]
    cosine = (np.trace(pose[:3, :3] @ here[:3, :3].T) - 1) / 2
    turn = np.arccos(np.clip(cosine, -1, 1))
    return bool(np.linalg.norm(pose[:3, 3] - here[:3, 3]) < NEAR_M and turn < NEAR_RAD)


def prepare_path(folder: Path, size: float) -> Result:
    import pinocchio as pin

    flange = _arm().flange
    begin = _kinematics().fk(HOME, [flange])[flange]
    targets: list[np.ndarray] = []
    for step in range(max(round(STEPS * size), 100)):
        swing = np.sin(step / RATE_HZ * np.array([1.0, 1.3, 0.7]))
        target = begin.copy()
        target[:3, 3] += REACH_M * swing
        target[:3, :3] = pin.exp3(TURN_RAD * swing[::-1]) @ begin[:3, :3]
        targets.append(target)
    np.save(folder / "path.npy", np.array(targets))
    return Result(len(targets))


def path_ours(folder: Path) -> Result:
    from xlvla_drivers.teleop.wrist import WristIk

    def arm() -> Step:
        ik = WristIk(_arm(), HOME)
        ik.begin(HOME)
        return lambda target: ik.step(target, 1 / RATE_HZ)

    return _followed(folder, arm)


def path_roboplan(folder: Path) -> Result:
    from roboplan.core import CartesianConfiguration
    from roboplan.optimal_ik import (
        ConfigurationTask,
        ConfigurationTaskOptions,
        FrameTask,
        FrameTaskOptions,
        Oink,
        PositionLimit,
        VelocityLimit,
    )

    path = np.load(folder / "path.npy")

    def arm() -> Step:
        entry = _arm()
        scene = _scene()
        scene.setJointPositions(HOME)
        oink = Oink(scene, "arm")
        goal = CartesianConfiguration(
            entry.description.root, entry.flange, np.asfortranarray(path[0])
        )
        weights = FrameTaskOptions(position_cost=POSITION_COST, orientation_cost=TURN_COST)
        task = FrameTask(oink, scene, goal, weights)
        # Its weights of joints count once, where those of the others are squared
        posture = ConfigurationTask(
            oink,
            HOME,
            np.full(len(HOME), POSTURE_COST**2),
            ConfigurationTaskOptions(task_gain=POSTURE_GAIN),
        )
        limits = [
            PositionLimit(oink, LIMIT_GAIN),
            VelocityLimit(oink, 1 / RATE_HZ, SPEED * entry.limits.velocity),
        ]
        q = HOME.copy()
        change = np.zeros(len(HOME))

        def step(target: np.ndarray) -> np.ndarray:
            nonlocal q
            task.setTargetFrameTransform(target)
            oink.solveIk(scene, [task, posture], limits, [], change, DAMPING)
            q = q + change
            scene.setJointPositions(q)
            return q

        return step

    return _followed(folder, arm)


def path_pink(folder: Path) -> Result:
    import pinocchio as pin
    from pink import Configuration, solve_ik
    from pink.limits import ConfigurationLimit, VelocityLimit
    from pink.tasks import FrameTask, PostureTask

    def arm() -> Step:
        entry = _arm()
        model = pin.buildModelFromXML(_xml())
        model.velocityLimit = SPEED * entry.limits.velocity
        limits = [ConfigurationLimit(model, LIMIT_GAIN), VelocityLimit(model)]
        task = FrameTask(entry.flange, POSITION_COST, TURN_COST)
        posture = PostureTask(POSTURE_COST, gain=POSTURE_GAIN)
        posture.set_target(HOME)
        configuration = Configuration(model, model.createData(), HOME)

        def step(target: np.ndarray) -> np.ndarray:
            task.set_target(pin.SE3(target))
            velocity = solve_ik(
                configuration,
                [task, posture],
                1 / RATE_HZ,
                "daqp",
                damping=DAMPING,
                limits=limits,
                safety_break=False,
            )
            configuration.integrate_inplace(velocity, 1 / RATE_HZ)
            return configuration.q

        return step

    return _followed(folder, arm)


def _followed(folder: Path, arm: Callable[[], Step]) -> Result:
    """Steps of both arms per CPU second, and the share of the path where the flange is near."""
    path = np.load(folder / "path.npy")
    left, right = arm(), arm()
    found: list[np.ndarray] = []
    began = time.process_time()
    for target in path:
        left(target)
        found.append(right(target).copy())
    cpu_s = time.process_time() - began
    kinematics = _kinematics()
    near = [_near(kinematics, q, target) for q, target in zip(found, path, strict=True)]
    return Result(len(path) / cpu_s, done=float(np.mean(near)))


def _xml() -> str:
    """The arm's URDF without shapes: nobody is to look for collisions."""
    import copy
    import xml.etree.ElementTree as ET

    robot = copy.deepcopy(_arm().urdf_model.robot)
    for link in robot.iterfind("link"):
        for shape in [*link.findall("collision"), *link.findall("visual")]:
            link.remove(shape)
    return ET.tostring(robot, encoding="unicode")


def _scene() -> Any:
    """roboplan's scene of one arm, as the group `arm`."""
    from roboplan.core import Scene, loadUrdfSceneDescriptionFromXml

    scene = Scene("arm", loadUrdfSceneDescriptionFromXml(_xml()))
    scene.addGroup("arm", list(_arm().joints))
    return scene
