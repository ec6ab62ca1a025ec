"""The simulated world of a rig: its robots, cameras and the objects of its task, without ROS."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

import mujoco
import numpy as np

from xlvla import catalog, robot
from xlvla.errors import XlvlaError, unknown, unknown_line
from xlvla.pinhole import Pinhole
from xlvla.rig import Camera, Rig
from xlvla.types import Part, Side
from xlvla_sim.render import Renderer
from xlvla_sim.robot_model import add_robot
from xlvla_sim.scene import add_room, published_fovy_deg
from xlvla_sim.servos import Servos, add_servos
from xlvla_sim.shared_table import SharedTable
from xlvla_sim.state import State
from xlvla_sim.task import Progress, Task, TaskStatus
from xlvla_sim.variation import FIELDS, USUAL, Variation, vary

_LOOK_EVERY_S = 0.02
"""How often the task's progress is looked at."""


def load_task(name: str) -> Task:
    """A fresh instance of a task of the catalogue; of `a+b` the task a with the things of b beside
    its own.
    """
    asked, plus, other = name.partition("+")
    if plus:
        return SharedTable(load_task(asked), load_task(other))
    if name not in catalog.tasks():
        raise unknown("task", name, catalog.tasks())
    return importlib.import_module(f"xlvla_sim.tasks.{name}").TASK()


def build(rig: Rig, task: Task) -> mujoco.MjModel:
    """The MuJoCo model of a rig in its room with the objects of a task."""
    assert rig.sim is not None
    spec = mujoco.MjSpec()
    spec.modelname = rig.name
    spec.compiler.degree = False
    spec.compiler.balanceinertia = True
    spec.option.timestep = 1 / rig.sim.physics_hz
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # A pyramid's friction depends on the direction: pushed cans would drift off sideways.
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    # At 1 what a hand holds creeps out of it.
    spec.option.impratio = 10
    spec.option.iterations = 20
    spec.option.ls_iterations = 20
    # At MuJoCo's own tolerance of 1e-6 two touching cylinders jump apart by centimetres now and
    # then.
    spec.option.ccd_tolerance = 1e-9
    spec.option.ccd_iterations = 50
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0
    add_room(spec, rig)
    add_robot(spec, robot.rig_description(rig, waist_gives=True))
    task.add_objects(spec)
    add_servos(spec, rig)
    return spec.compile()


class World:
    """A rig in simulation; the same seed and commands give the same world.

    Args:
        render: whether cameras are needed; without them no graphics library is touched.
        task: a task of one's own instead of the rig's.
    """

    def __init__(self, rig: Rig, *, render: bool = True, task: Task | None = None):
        if rig.sim is None:
            raise XlvlaError(
                f"rig '{rig.name}' has no `sim` section, so there is nothing to simulate"
            )
        self.rig = rig
        self.task = task or load_task(rig.sim.task)
        self.model = build(rig, self.task)
        self.data = mujoco.MjData(self.model)
        self.state = State(self.model, self.data)
        self._servos = Servos(rig, self.model)
        self._joints = {key: rig.joint_names(*key) for key in rig.parts}
        # Where the joints of a part are in qpos and in qvel.
        self._columns = {key: self._joint_columns(names) for key, names in self._joints.items()}
        # What an episode varies, as it was built.
        self._pristine = {key: getattr(self.model, key).copy() for key in FIELDS}
        self._renderer = Renderer(self.model) if render else None
        self.reset(rig.sim.seed)

    @property
    def renders(self) -> bool:
        return self._renderer is not None

    @property
    def time_s(self) -> float:
        return float(self.data.time)

    def reset(
        self,
        seed: int,
        start: Mapping[str, float] | None = None,
        variation: Variation = USUAL,
    ) -> None:
        """A new episode: arms at home and hands open, or where `start` [rad] by joint name says;
        objects and looks as the seed has it, with as much variation.
        """
        rng = np.random.default_rng(seed)
        mujoco.mj_resetData(self.model, self.data)
        for key, values in self._pristine.items():
            getattr(self.model, key)[:] = values
        self._place_robot(start or {})
        self.task.place(self.state, rng)
        vary(self.state, self.rig.cameras, variation, rng)
        mujoco.mj_forward(self.model, self.data)
        self._progress = Progress(self.task)
        self._looked_s = -np.inf
        self._owed_s = 0.0
        self._look()

    def command(self, side: Side, part: Part, positions: Mapping[str, float]) -> None:
        """New target [rad] of every joint of a part; servos go there at the joints' own speed.

        Raises:
            XlvlaError: a joint is missing or unknown, or a number is not finite; nothing is
                commanded then.
        """
        names = self._names(side, part)
        for name in positions:
            if name not in names:
                line = unknown_line(f"joint of the {side} {part}", name, names)
                raise XlvlaError(f"command refused: {line}")
        missing = [name for name in names if name not in positions]
        if missing:
            raise XlvlaError(
                f"command refused: no position for {', '.join(missing)} of the {side} {part}"
            )
        values = np.array([positions[name] for name in names], dtype=float)
        finite = np.isfinite(values)
        if not finite.all():
            first = names[int(np.argmin(finite))]
            raise XlvlaError(f"command refused: {first} is not a finite number")
        self._servos.command(side, part, values)

    def step(self, duration_s: float) -> None:
        """Lets time pass; what is less than a step of the physics is owed to the next call."""
        self._owed_s += duration_s
        steps = round(self._owed_s / self.model.opt.timestep)
        self._owed_s -= steps * self.model.opt.timestep
        model, data = self.model, self.data
        control = data.ctrl
        for _ in range(steps):
            self._servos.advance(control)
            mujoco.mj_step(model, data)
            if data.time - self._looked_s >= _LOOK_EVERY_S - 1e-9:
                self._look()

    def joint_state(self, side: Side, part: Part) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position [J] rad, velocity [J] rad/s and effort [J] Nm in the order of
        `rig.joint_names(side, part)`.
        """
        self._names(side, part)
        position, velocity = self._columns[side, part]
        effort = self.data.actuator_force[self._servos.index[side, part]]
        return self.data.qpos[position], self.data.qvel[velocity], effort

    def status(self) -> TaskStatus:
        return self._progress.status(self.time_s)

    def image(self, camera: str) -> np.ndarray:
        """What a camera publishes now, RGB uint8 [H, W, 3]."""
        width, height = self._camera(camera).publish
        return self._opened().picture(self.data, camera, width, height)

    def view(self, width: int, height: int) -> np.ndarray:
        """The scene from the side, for people, RGB uint8 [height, width, 3]."""
        return self._opened().picture(self.data, "view", width, height, smooth=True)

    def lens(self, camera: str) -> Pinhole:
        """What a camera's published picture shows."""
        known = self._camera(camera)
        return Pinhole.of_view(published_fovy_deg(known), known.publish)

    def close(self) -> None:
        if self._renderer:
            self._renderer.close()

    def _look(self) -> None:
        self._looked_s = self.data.time
        self._progress.update(self.state, self.time_s)

    def _place_robot(self, start: Mapping[str, float]) -> None:
        for side in self.rig.sides:
            positions = {**self.rig.start(side), **start}
            for part in self.rig.parts_of(side):
                angles = [positions[name] for name in self._names(side, part)]
                self._place(side, part, np.array(angles))
        self._place_coupled()

    def _place_coupled(self) -> None:
        """Puts joints without a motor where their couplings have them."""
        model = self.model
        for equality in range(model.neq):
            joint = model.jnt_qposadr[model.eq_obj1id[equality]]
            master = model.jnt_qposadr[model.eq_obj2id[equality]]
            offset, factor = model.eq_data[equality, :2]
            self.data.qpos[joint] = offset + factor * self.data.qpos[master]

    def _place(self, side: Side, part: Part, positions: np.ndarray) -> None:
        columns, _ = self._columns[side, part]
        self.data.qpos[columns] = positions
        self._servos.command(side, part, positions)
        index = self._servos.index[side, part]
        self.data.ctrl[index] = self._servos.target[index]

    def _joint_columns(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Where joints are in qpos [J] and in qvel [J]."""
        joints = [self.model.joint(name) for name in names]
        positions = [joint.qposadr[0] for joint in joints]
        velocities = [joint.dofadr[0] for joint in joints]
        return np.array(positions), np.array(velocities)

    def _names(self, side: Side, part: Part) -> tuple[str, ...]:
        if (side, part) not in self._joints:
            known = [" ".join(key) for key in self._joints]
            raise unknown("part", f"{side} {part}", known)
        return self._joints[side, part]

    def _camera(self, name: str) -> Camera:
        if name not in self.rig.cameras:
            raise unknown("camera", name, self.rig.cameras)
        return self.rig.cameras[name]

    def _opened(self) -> Renderer:
        if self._renderer is None:
            raise XlvlaError("this world was made without cameras: make it with render=True")
        return self._renderer
