"""Reads a maker's MJCF through MuJoCo's own compiler, which resolves defaults, includes, angle
units and meshes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import mujoco
import numpy as np

from xlvla.errors import XlvlaError
from xlvla.urdf import Mimic
from xlvla_sim.hand_import import linkage, meshes
from xlvla_sim.hand_import.tree import WORLD, Inertial, Joint, Link, Surface, Tree, applied, inverse

MOST_MENDS = 20
WIDEST_RAD = 2 * np.pi
LOOSE = 0.2
"""A limited tendon couples two joints where it leaves the second less than this share of its
range.
"""
BARELY_RAD = 0.01
"""A joint that follows another may pass its limits by this much [rad or m]: files round."""
MOST_OF_IT = 0.5
"""A joint gives up less than this share of its range for the limits of one that follows it."""


SITES = ("tip", "attachment")
"""Words in the names of sites that are looked for: fingertips, and where a tool is mounted."""


def read(
    file: Path, limits: Mapping[str, tuple[float, float]], couplings: Mapping[str, Mimic]
) -> Tree:
    """The bodies of an MJCF file; each body that has several joints becomes several links.

    A joint follows another where an equality, or a tendon that is held or that an actuator pulls,
    couples them; a joint of a closed linkage follows the motor that drives the linkage.

    Args:
        limits: position ranges [rad or m] by joint that replace the file's.
        couplings: of joints that follow others, beside the file's or in their place.
    """
    notes: list[str] = []
    spec = _parsed(file, notes)
    _judge_angles(spec, notes)
    try:
        model = spec.compile()
    except ValueError as error:
        raise _unreadable(file, error) from None
    if model.nbody == 1:
        raise XlvlaError(f"{file} holds no bodies{wholes(file)}")
    reader = _Reader(model, file, limits, notes=notes)
    for body in range(1, model.nbody):
        reader.add_body(body)
    reader.couple()
    tree = reader.tree().following(couplings)
    tree = linkage.solved(tree, reader.closures)
    return _without_idle_joints(tree, reader.driven)


def _parsed(file: Path, notes: list[str]) -> mujoco.MjSpec:
    """What MuJoCo reads of a file; what other programs let pass and MuJoCo refuses is left out."""
    try:
        return mujoco.MjSpec.from_file(str(file))
    except ValueError as error:
        refusal = error
    text = file.read_text()
    for _ in range(MOST_MENDS):
        mended = _mended(text, str(refusal), notes)
        if mended is None:
            break
        text = mended
        try:
            spec = mujoco.MjSpec.from_string(text)
        except ValueError as error:
            refusal = error
            continue
        spec.modelfiledir = str(file.resolve().parent)
        return spec
    raise _unreadable(file, refusal)


def _mended(text: str, refusal: str, notes: list[str]) -> str | None:
    """A file's text without the attribute, or the second mesh of a name, that MuJoCo refused; None
    where it refused something else.
    """
    attribute = re.search(r"unrecognized attribute: '(\w+)'.*?line (\d+)", refusal, re.DOTALL)
    mesh = re.search(r"repeated name '([^']+)' in mesh.*?line (\d+)", refusal, re.DOTALL)
    found = attribute or mesh
    if found is None:
        return None
    lines = text.split("\n")
    number = int(found.group(2)) - 1
    if number >= len(lines):
        return None
    if attribute:
        lines[number] = re.sub(rf'\s{attribute.group(1)}="[^"]*"', "", lines[number])
        notes.append(f"line {number + 1}: the unknown attribute {found.group(1)} is left out")
    else:
        lines[number] = re.sub(r"<mesh\b[^>]*/>", "", lines[number])
        notes.append(f"line {number + 1}: a second mesh {found.group(1)} is left out")
    mended = "\n".join(lines)
    return mended if mended != text else None


def _judge_angles(spec: mujoco.MjSpec, notes: list[str]) -> None:
    """Takes a file's angles as radians where as degrees no joint would move.

    A file that does not say its unit is in degrees; makers whose programs join files forget it.
    """
    hinges = [joint for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_HINGE]
    widest = max((float(np.abs(joint.range).max()) for joint in hinges), default=0.0)
    if spec.compiler.degree and 0 < widest < WIDEST_RAD:
        spec.compiler.degree = False
        notes.append(
            f"as degrees its widest joint limit would be {widest:g}: its angles are taken as "
            "radians"
        )


def _unreadable(file: Path, error: ValueError) -> XlvlaError:
    line = " ".join(str(error).split())
    return XlvlaError(f"{file} cannot be read: {line}{wholes(file)}")


def wholes(file: Path) -> str:
    """What to read instead of a part of a model: the files beside it, or in the folder above, that
    include it.
    """
    name = re.escape(file.name)
    including = re.compile(rf"""<include\s[^>]*file\s*=\s*["']([^"']*/)?{name}["']""")
    folder = file.resolve().parent
    others = [*sorted(folder.glob("*.xml")), *sorted(folder.parent.glob("*.xml"))]
    found = [str(other) for other in others if including.search(other.read_text(errors="replace"))]
    return f"; it is part of {', '.join(found)}: import one of these" if found else ""


@dataclass
class _Reader:
    """What has been read of a compiled model."""

    model: mujoco.MjModel
    file: Path
    limits: Mapping[str, tuple[float, float]]
    links: dict[str, Link] = field(default_factory=lambda: {WORLD: Link(WORLD)})
    joints: dict[str, Joint] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    closures: list[linkage.Closure] = field(default_factory=list)
    driven: set[str] = field(default_factory=set)
    shift: dict[int, np.ndarray] = field(default_factory=lambda: {0: np.eye(4)})
    """By body: its pose in the frame of its link, which lies on its joint's axis."""

    def tree(self) -> Tree:
        name = self.file.stem
        return Tree(name, WORLD, self.links, tuple(self.joints.values()), tuple(self.notes))

    def add_body(self, body: int) -> None:
        model = self.model
        name = self._body_name(body)
        parent_body = int(model.body_parentid[body])
        parent = self._body_name(parent_body)
        pose = self.shift[parent_body] @ _pose(model.body_pos[body], model.body_quat[body])
        first = int(model.body_jntadr[body])
        numbers = [
            first + offset
            for offset in range(int(model.body_jntnum[body]))
            if model.jnt_type[first + offset] != mujoco.mjtJoint.mjJNT_FREE
        ]
        shift = np.eye(4)
        for number in numbers:
            last = number == numbers[-1]
            anchor = np.eye(4)
            anchor[:3, 3] = model.jnt_pos[number]
            child = name if last else f"{name}_{self._joint_name(number)}"
            self._add_joint(number, parent, child, pose @ shift @ anchor)
            if not last:
                self.links[child] = Link(child)
            parent = child
            shift = inverse(anchor)
            pose = np.eye(4)
        if not numbers:
            self.joints[f"{name}_fixed"] = Joint(f"{name}_fixed", "fixed", parent, name, pose)
        self.shift[body] = shift
        self.links[name] = self._link(body, name)
        self._add_sites(body, name)

    def _add_joint(self, number: int, parent: str, child: str, pose: np.ndarray) -> None:
        model = self.model
        name = self._joint_name(number)
        kind = int(model.jnt_type[number])
        if kind == mujoco.mjtJoint.mjJNT_BALL:
            raise XlvlaError(
                f"{self.file.name}: joint '{name}' is a ball joint, which no URDF has: describe it "
                "as three hinges"
            )
        # The bodies stand as they are drawn where a joint is at its reference.
        reference = float(model.qpos0[model.jnt_qposadr[number]])
        lower, upper = self._range(number, name)
        if reference:
            self.notes.append(f"joint {name}: its zero is shifted by its reference {reference:g}")
        self.joints[name] = Joint(
            name=name,
            type="prismatic" if kind == mujoco.mjtJoint.mjJNT_SLIDE else "revolute",
            parent=parent,
            child=child,
            pose=pose,
            axis=np.array(model.jnt_axis[number]),
            lower=lower - reference,
            upper=upper - reference,
            effort=self._effort(number),
        )
        if self._motors(number):
            self.driven.add(name)

    def _range(self, number: int, name: str) -> tuple[float, float]:
        """A joint's limits: where it and the position servo that drives it both may go."""
        model = self.model
        low, high = -np.inf, np.inf
        if name in self.limits:
            return self.limits[name]
        if model.jnt_limited[number]:
            low, high = (float(limit) for limit in model.jnt_range[number])
        for motor in self._motors(number):
            servo = self._servo_range(motor)
            if servo is None or (servo[0] <= low and servo[1] >= high):
                continue
            narrower = max(low, servo[0]), min(high, servo[1])
            if narrower[0] < narrower[1]:
                low, high = narrower
                self.notes.append(f"joint {name}: its servo goes from {low:g} to {high:g} only")
        return low, high

    def _servo_range(self, motor: int) -> tuple[float, float] | None:
        """Between which positions [rad or m] of its joints a position servo may be set; None for
        another actuator.
        """
        model = self.model
        gain = float(model.actuator_gainprm[motor][0])
        stiffness = -float(model.actuator_biasprm[motor][1])
        if stiffness <= 0 or not model.actuator_ctrllimited[motor]:
            return None
        lever = float(model.actuator_gear[motor][0])
        if int(model.actuator_trntype[motor]) == mujoco.mjtTrn.mjTRN_TENDON:
            path = self._path(int(model.actuator_trnid[motor][0]))
            lever *= sum(weight for _, weight in path)
        if lever == 0:
            return None
        first, second = model.actuator_ctrlrange[motor] * gain / stiffness / lever
        return float(min(first, second)), float(max(first, second))

    def _motors(self, number: int) -> list[int]:
        """The actuators of a joint, or of a tendon that it is part of."""
        model = self.model
        found: list[int] = []
        for motor in range(model.nu):
            target = int(model.actuator_trnid[motor][0])
            kind = int(model.actuator_trntype[motor])
            if kind == mujoco.mjtTrn.mjTRN_JOINT and target == number:
                found.append(motor)
            if kind == mujoco.mjtTrn.mjTRN_TENDON and number in dict(self._path(target)):
                found.append(motor)
        return found

    def _effort(self, number: int) -> float:
        """The largest force [Nm or N] that a joint's actuators may have; 0 where none says."""
        model = self.model
        if model.jnt_actfrclimited[number]:
            return float(np.abs(model.jnt_actfrcrange[number]).max())
        most = 0.0
        for motor in self._motors(number):
            if model.actuator_forcelimited[motor]:
                gear = abs(float(model.actuator_gear[motor][0])) or 1.0
                most = max(most, gear * float(np.abs(model.actuator_forcerange[motor]).max()))
        return most

    def _link(self, body: int, name: str) -> Link:
        collision: list[Surface] = []
        visual: list[Surface] = []
        first = int(self.model.body_geomadr[body])
        for geom in range(first, first + int(self.model.body_geomnum[body])):
            surface = self._surface(geom, self.shift[body])
            if surface is None:
                continue
            collides = self.model.geom_contype[geom] or self.model.geom_conaffinity[geom]
            (collision if collides else visual).append(surface)
        return Link(name, tuple(collision), tuple(visual), self._inertial(body))

    def _inertial(self, body: int) -> Inertial | None:
        model = self.model
        mass = float(model.body_mass[body])
        if mass <= 0:
            return None
        pose = self.shift[body] @ _pose(model.body_ipos[body], model.body_iquat[body])
        turned = pose[:3, :3] @ np.diag(model.body_inertia[body]) @ pose[:3, :3].T
        return Inertial(mass, pose[:3, 3], turned)

    def _surface(self, geom: int, shift: np.ndarray) -> Surface | None:
        model = self.model
        kind = mujoco.mjtGeom(int(model.geom_type[geom]))
        pose = shift @ _pose(model.geom_pos[geom], model.geom_quat[geom])
        size = np.array(model.geom_size[geom])
        if kind == mujoco.mjtGeom.mjGEOM_BOX:
            return meshes.box(pose, size)
        if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            return meshes.capsule(pose, float(size[0]), 0.0)
        if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            return meshes.capsule(pose, float(size[0]), float(size[1]))
        if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
            return meshes.cylinder(pose, float(size[0]), float(size[1]))
        if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            return meshes.ellipsoid(pose, size)
        if kind != mujoco.mjtGeom.mjGEOM_MESH:
            return None
        mesh = int(model.geom_dataid[geom])
        corner = int(model.mesh_vertadr[mesh])
        face = int(model.mesh_faceadr[mesh])
        points = np.array(model.mesh_vert[corner : corner + int(model.mesh_vertnum[mesh])])
        faces = np.array(model.mesh_face[face : face + int(model.mesh_facenum[mesh])])
        return Surface(applied(pose, points.astype(float)), faces.astype(int))

    def _add_sites(self, body: int, parent: str) -> None:
        """Sites that are named as tips or mounts become links."""
        for site in range(self.model.nsite):
            name = self._name(mujoco.mjtObj.mjOBJ_SITE, site)
            named = any(word in name.lower() for word in SITES)
            if int(self.model.site_bodyid[site]) != body or not named:
                continue
            name = name if name not in self.links else f"{name}_site"
            pose = self.shift[body] @ _pose(self.model.site_pos[site], self.model.site_quat[site])
            self.links[name] = Link(name)
            self.joints[f"{name}_fixed"] = Joint(f"{name}_fixed", "fixed", parent, name, pose)

    def couple(self) -> None:
        """Makes joints follow others as equalities and tendons say."""
        model = self.model
        for equality in range(model.neq):
            if not model.eq_active0[equality]:
                continue
            kind = int(model.eq_type[equality])
            if kind == mujoco.mjtEq.mjEQ_JOINT:
                self._couple_joints(equality)
            elif kind == mujoco.mjtEq.mjEQ_CONNECT:
                self._close(equality)
            elif kind == mujoco.mjtEq.mjEQ_TENDON and int(model.eq_obj2id[equality]) < 0:
                self._couple_tendon(int(model.eq_obj1id[equality]), "an equality")
        for tendon in range(model.ntendon):
            if self._is_tight(tendon):
                self._couple_tendon(tendon, "its limits")
        for motor in range(model.nu):
            if int(model.actuator_trntype[motor]) == mujoco.mjtTrn.mjTRN_TENDON:
                self._couple_tendon(int(model.actuator_trnid[motor][0]), "one actuator")
        for name in self.joints:
            self._keep_within(name)

    def _keep_within(self, name: str) -> None:
        """Holds a joint that follows another within its own limits, as MuJoCo does.

        Where the joint that it follows loses little by it, that one's range becomes narrower; else
        the joint stops at its limit on the way, and the nearest line to that takes its place.
        """
        slave = self.joints[name]
        if not slave.mimic or not np.isfinite([slave.lower, slave.upper]).all():
            return
        master, factor, offset = self.tree().coupling(slave)
        if not np.isfinite([master.lower, master.upper]).all():
            return
        ends = offset + factor * np.array([master.lower, master.upper])
        beyond = max(slave.lower - ends.min(), ends.max() - slave.upper)
        if beyond < BARELY_RAD:
            return
        first, second = sorted((limit - offset) / factor for limit in (slave.lower, slave.upper))
        lower, upper = max(master.lower, first), min(master.upper, second)
        if upper - lower > MOST_OF_IT * (master.upper - master.lower):
            self.joints[master.name] = replace(master, lower=lower, upper=upper)
            self.notes.append(
                f"joint {master.name}: from {lower:.3g} to {upper:.3g} only, where {name}, which "
                "follows it, is at its limits"
            )
            return
        at = np.linspace(master.lower, master.upper, 50)
        held = np.clip(offset + factor * at, slave.lower, slave.upper)
        offset, factor = np.polynomial.polynomial.polyfit(at, held, 1)
        if abs(factor) < 1e-6:
            self._fix(name, float(offset), f"its limits, while it should follow {master.name}")
            return
        self.joints[name] = replace(slave, mimic=Mimic(master.name, float(factor), float(offset)))
        self.notes.append(
            f"joint {name} meets its limits while it follows {master.name}: it follows "
            f"{factor:+.3g} times now"
        )

    def _couple_joints(self, equality: int) -> None:
        model = self.model
        slave = self._joint_name(int(model.eq_obj1id[equality]))
        other = int(model.eq_obj2id[equality])
        data = np.array(model.eq_data[equality][:5])
        if other < 0:
            self._fix(slave, float(data[0]), "an equality")
            return
        master = self._joint_name(other)
        if np.abs(data[2:]).max() > 1e-6:
            low, high = self.joints[master].lower, self.joints[master].upper
            at = np.linspace(low, high, 50)
            bent = np.polynomial.polynomial.polyval(at, data)
            data[:2] = np.polynomial.polynomial.polyfit(at, bent, 1)
            error = float(np.abs(bent - data[0] - data[1] * at).max())
            self.notes.append(
                f"joint {slave} follows {master} along a curve, now along a line, at most "
                f"{error:.3f} rad beside it"
            )
        self._follow(slave, master, float(data[1]), float(data[0]))

    def _couple_tendon(self, tendon: int, by: str) -> None:
        """The joints of a fixed tendon follow the one that is driven, or the first.

        Held, the weighted positions of two joints add up to the same; pulled by one actuator, each
        moves as far as its coefficient says.
        """
        path = self._path(tendon)
        if len(path) < 2 or (by != "one actuator" and len(path) > 2):
            return
        numbers = [number for number, _ in path]
        names = {number: self._joint_name(number) for number in numbers}
        driven = [number for number in numbers if names[number] in self.driven]
        master = driven[0] if driven else numbers[0]
        weights = dict(path)
        called = self._name(mujoco.mjtObj.mjOBJ_TENDON, tendon)
        for number in numbers:
            if number == master:
                continue
            ratio = weights[number] / weights[master]
            factor = ratio if by == "one actuator" else -1 / ratio
            if self._follow(names[number], names[master], factor, 0.0):
                self.notes.append(
                    f"joint {names[number]} follows {names[master]} {factor:+.3g} times: the "
                    f"tendon {called} couples them by {by}"
                )

    def _is_tight(self, tendon: int) -> bool:
        """Whether a tendon's limits leave so little that its two joints move together."""
        path = self._path(tendon)
        if len(path) != 2 or not self.model.tendon_limited[tendon]:
            return False
        low, high = self.model.tendon_range[tendon]
        for number, weight in path:
            joint = self.joints[self._joint_name(number)]
            if not (high - low) / abs(weight) < LOOSE * (joint.upper - joint.lower):
                return False
        return True

    def _path(self, tendon: int) -> list[tuple[int, float]]:
        """Joints and coefficients of a fixed tendon; empty for one along sites."""
        model = self.model
        first = int(model.tendon_adr[tendon])
        path: list[tuple[int, float]] = []
        for wrap in range(first, first + int(model.tendon_num[tendon])):
            if model.wrap_type[wrap] == mujoco.mjtWrap.mjWRAP_JOINT and model.wrap_prm[wrap]:
                path.append((int(model.wrap_objid[wrap]), float(model.wrap_prm[wrap])))
        return path

    def _follow(self, slave: str, master: str, factor: float, offset: float) -> bool:
        """Couples two joints; False where the first follows one already, or is followed by it."""
        if self.joints[slave].mimic or slave == master or abs(factor) < 1e-9:
            return False
        top = self.joints[master]
        while top.mimic:
            if top.mimic.joint == slave:
                return False
            top = self.joints[top.mimic.joint]
        self.joints[slave] = replace(self.joints[slave], mimic=Mimic(master, factor, offset))
        return True

    def _fix(self, name: str, value: float, by: str) -> None:
        joint = self.joints[name]
        pose = joint.pose @ joint.motion(value)
        self.joints[name] = replace(joint, type="fixed", pose=pose, mimic=None)
        self.notes.append(f"joint {name} is held at {value:.3g} by {by}: it is fixed")

    def _close(self, equality: int) -> None:
        """Notes that two bodies meet in a point, as in a linkage."""
        model = self.model
        if int(model.eq_objtype[equality]) != mujoco.mjtObj.mjOBJ_BODY:
            return
        bodies = [int(model.eq_obj1id[equality]), int(model.eq_obj2id[equality])]
        points: list[np.ndarray] = []
        for body, data in zip(
            bodies, (model.eq_data[equality][:3], model.eq_data[equality][3:6]), strict=True
        ):
            points.append(applied(self.shift[body], np.array(data)[None])[0])
        names = [self._body_name(body) for body in bodies]
        self.closures.append(linkage.Closure(names[0], points[0], names[1], points[1]))

    def _body_name(self, body: int) -> str:
        return WORLD if body == 0 else self._name(mujoco.mjtObj.mjOBJ_BODY, body)

    def _joint_name(self, joint: int) -> str:
        return self._name(mujoco.mjtObj.mjOBJ_JOINT, joint)

    def _name(self, kind: mujoco.mjtObj, number: int) -> str:
        """A part's name; MuJoCo lets parts be nameless."""
        word = kind.name.rpartition("_")[2].lower()
        return mujoco.mj_id2name(self.model, kind, number) or f"{word}_{number}"


def _without_idle_joints(tree: Tree, driven: set[str]) -> Tree:
    """Joints that nothing drives, in a file in which others are driven, stay where they are."""
    if not driven:
        return tree
    notes = list(tree.notes)
    joints: list[Joint] = []
    moved = {master.name for master in tree.masters([tree.by_name[name] for name in driven])}
    for joint in tree.joints:
        idle = joint.moves and tree.masters([joint])[0].name not in moved
        if idle:
            joint = replace(joint, type="fixed", mimic=None)
            notes.append(f"joint {joint.name} has no actuator and follows nothing: it is fixed")
        joints.append(joint)
    return replace(tree, joints=tuple(joints), notes=tuple(notes))


def _pose(position: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    turned = np.zeros(9)
    mujoco.mju_quat2Mat(turned, np.array(quaternion, dtype=float))
    pose[:3, :3] = turned.reshape(3, 3)
    pose[:3, 3] = position
    return pose
