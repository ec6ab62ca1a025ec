"""Pictures of a hand of the catalogue or one's own: shapes over the maker's mesh, tips, frames."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import mujoco
import numpy as np

from xlvla.hand import Hand
from xlvla.types import Finger, Side
from xlvla_sim.hand_import import mount, read_urdf, surfaces
from xlvla_sim.hand_import.anatomy import Digit, digits_of, resting, straight
from xlvla_sim.hand_import.tree import Surface, Tree, applied
from xlvla_sim.render import Renderer
from xlvla_sim.scene import looking

MESH = (0.80, 0.81, 0.83, 1.0)
MESH_UNDER_SHAPES = (0.72, 0.74, 0.78, 0.35)
SHAPES = ((0.20, 0.45, 0.75, 0.38), (0.15, 0.62, 0.52, 0.38))
"""Of the links in turn, so that neighbours differ."""
TIP = (0.90, 0.15, 0.12, 1.0)
AXES = ((0.85, 0.20, 0.20, 1.0), (0.20, 0.65, 0.25, 1.0), (0.20, 0.35, 0.90, 1.0))
TIP_M = 0.006
AXIS_M = 0.045
FOVY_DEG = 22.0
BEFORE_PALM_M = (0.025, 0.0, -0.02)
"""From a knuckle to where the tip is in a fist: out of the palm, and back along the finger."""
AS_NEAR_M = 0.003
_VIEW = "view"


class HandPictures:
    """Draws one side of a hand at any joint positions.

    Attributes:
        tree: the hand's URDF; its root is the arm's flange.
        digits: its fingers.
        has_mesh: whether the maker's triangles are there to be drawn.
    """

    def __init__(self, hand: Hand, side: Side):
        self.hand = hand
        self.side: Side = side
        path = hand.urdf_path(side)
        self.tree: Tree = read_urdf.read(path, {}, {})
        self.digits: Mapping[Finger, Digit] = digits_of(self.tree, hand.tip_links(side))
        self._meshes = surfaces.load(path.with_suffix(".npz"))
        self.has_mesh = bool(self._meshes)
        self.model = self._compiled()
        self.data = mujoco.MjData(self.model)
        self._renderer = Renderer(self.model)

    @cached_property
    def open(self) -> dict[str, float]:
        """Joint positions [rad or m] of the open hand: every finger as far out as it goes."""
        return straight(self.tree, self.digits)

    def closing(self, share: float) -> dict[str, float]:
        """Joint positions on the way from the open hand (0) to the fist (1)."""
        return {
            name: start + share * (self.fist[name] - start) for name, start in self.open.items()
        }

    @cached_property
    def fist(self) -> dict[str, float]:
        """Joint positions at which every tip is before the palm: each joint at the end of its range
        that brings it there, or where it is open.
        """
        q = dict(self.open)
        for _ in range(2):
            for finger, digit in self.digits.items():
                goal = self._before_palm(finger)
                for name in digit.joints:
                    joint = self.tree.by_name[name]
                    ways = [{**q, name: end} for end in (self.open[name], joint.lower, joint.upper)]
                    left = [
                        np.linalg.norm(self.tree.pose(digit.tip, way)[:3, 3] - goal) for way in ways
                    ]
                    # The first of those that are about as near.
                    nearest = int(np.argmax(np.array(left) < min(left) + AS_NEAR_M))
                    q = ways[nearest]
        return q

    def _before_palm(self, finger: Finger) -> np.ndarray:
        """Where a tip [3] m is in a fist: before the palm below its own knuckle, the thumb's below
        those of the others; where there are two fingers, half-way to the other.
        """
        if len(self.digits) == 2:
            tips = [self.tree.pose(each.tip, self.open)[:3, 3] for each in self.digits.values()]
            return np.mean(tips, axis=0)
        fingers: list[Finger] = [finger]
        if finger == "thumb":
            fingers = [each for each in self.digits if each != "thumb"]
        knuckles = [self.tree.pose(self.digits[each].base, {})[:3, 3] for each in fingers]
        return np.mean(knuckles, axis=0) + np.array(BEFORE_PALM_M)

    @cached_property
    def pinches(self) -> dict[Finger, tuple[dict[str, float], float]]:
        """By finger: joint positions at which thumb and finger are nearest, and the gap [m] between
        their tips.
        """
        found: dict[Finger, tuple[dict[str, float], float]] = {}
        for finger in self.digits:
            if finger == "thumb":
                continue
            q = {**resting(self.tree), **mount.pinch(self.tree, self.digits, finger)}
            tips = [self.tree.pose(self.digits[name].tip, q)[:3, 3] for name in ("thumb", finger)]
            found[finger] = q, float(np.linalg.norm(tips[0] - tips[1]))
        return found

    def picture(
        self,
        q: Mapping[str, float],
        azimuth_deg: float,
        *,
        shapes: bool = False,
        width: int = 420,
        height: int = 520,
    ) -> np.ndarray:
        """RGB uint8 [height, width, 3] of the hand, fingers up.

        Args:
            q: joint positions [rad or m].
            azimuth_deg: where it is seen from: 0 is the palm, 90 the side of +y.
            shapes: whether the fitted shapes are drawn over the mesh, with tips and frames.
        """
        middle, radius = self._place(q)
        for geom in range(self.model.ngeom):
            self.model.geom_rgba[geom] = self._colour(geom, shapes)
        distance = 0.85 * radius / np.sin(np.radians(FOVY_DEG / 2))
        azimuth, height_angle = np.radians([azimuth_deg, 12.0])
        out = np.array([np.cos(azimuth), np.sin(azimuth), np.tan(height_angle)])
        eye = middle + distance * out / np.linalg.norm(out)
        self.model.cam_pos[0] = eye
        self.model.cam_quat[0] = looking(eye, middle)
        mujoco.mj_forward(self.model, self.data)
        return self._renderer.picture(self.data, _VIEW, width, height, smooth=True)

    def close(self) -> None:
        self._renderer.close()

    def _colour(self, geom: int, shapes: bool) -> tuple[float, ...]:
        kind, _, number = self.model.geom(geom).name.partition(" ")
        if kind == "mesh":
            return MESH_UNDER_SHAPES if shapes else MESH
        if kind == "shape":
            colour = SHAPES[int(number.split()[0]) % len(SHAPES)]
            if shapes:
                return colour
            return (0, 0, 0, 0) if self.has_mesh else (*colour[:3], 1.0)
        colour = TIP if kind == "tip" else AXES[int(number.split()[0])]
        return colour if shapes else (0, 0, 0, 0)

    def _place(self, q: Mapping[str, float]) -> tuple[np.ndarray, float]:
        """Puts every link where it is; returns the middle [3] m and radius [m] of all that is shown
        of the hand, so that pictures have one scale.
        """
        for name in self.tree.links:
            pose = self.tree.pose(name, q)
            body = self.model.body(name).id
            quat = np.zeros(4)
            mujoco.mju_mat2Quat(quat, pose[:3, :3].ravel())
            self.model.body_pos[body] = pose[:3, 3]
            self.model.body_quat[body] = quat
        return self._frame

    @cached_property
    def _frame(self) -> tuple[np.ndarray, float]:
        shown = [self.open, self.closing(1.0), *(q for q, _ in self.pinches.values())]
        points = [np.zeros((1, 3))]
        for q in shown:
            for name, link in self.tree.links.items():
                points.append(applied(self.tree.pose(name, q), link.points))
        every = np.concatenate(points)
        low, high = every.min(axis=0), every.max(axis=0)
        return (low + high) / 2, float(np.linalg.norm(high - low) / 2)

    def _compiled(self) -> mujoco.MjModel:
        spec = mujoco.MjSpec()
        spec.visual.quality.offsamples = 0
        spec.visual.headlight.ambient = (0.45, 0.45, 0.45)
        spec.visual.headlight.diffuse = (0.5, 0.5, 0.5)
        spec.visual.headlight.specular = (0.1, 0.1, 0.1)
        spec.add_texture(
            name="sky",
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
            rgb1=(1, 1, 1),
            rgb2=(1, 1, 1),
            width=32,
            height=192,
        )
        spec.worldbody.add_camera(name=_VIEW, fovy=FOVY_DEG)
        tips = set(self.hand.tip_links(self.side).values())
        framed = (self.tree.root, self.hand.palm_link(self.side))
        for number, (name, link) in enumerate(self.tree.links.items()):
            body = spec.worldbody.add_body(name=name)
            for index, surface in enumerate(self._meshes.get(name, [])):
                _add_mesh(spec, body, f"mesh {number} {index}", surface)
            for index, surface in enumerate(link.surfaces):
                _add_mesh(spec, body, f"shape {number} {index}", surface)
            if name in tips:
                _add_geom(body, f"tip {number}", mujoco.mjtGeom.mjGEOM_SPHERE, (TIP_M, 0, 0))
        for name in framed:
            self._add_axes(spec.body(name), name)
        return spec.compile()

    def _add_axes(self, body: mujoco.MjsBody, link: str) -> None:
        """The flange's axes at a link: x out of the palm, z along the fingers."""
        turned = self.tree.pose(link, {})[:3, :3].T
        for axis in range(3):
            ends = np.concatenate([np.zeros(3), AXIS_M * turned[:, axis]])
            body.add_geom(
                name=f"axis {axis} {link}",
                type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                fromto=ends,
                size=(0.0012, 0, 0),
                contype=0,
                conaffinity=0,
            )


def _add_mesh(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, surface: Surface) -> None:
    """Triangles that are only seen."""
    mesh = spec.add_mesh(name=name)
    mesh.uservert = np.asarray(surface.points, dtype=np.float32).ravel()
    mesh.userface = np.asarray(surface.faces, dtype=np.int32).ravel()
    # Of no volume as far as this goes: makers' meshes may be open.
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        contype=0,
        conaffinity=0,
        mass=0,
    )


def _add_geom(
    body: mujoco.MjsBody, name: str, kind: mujoco.mjtGeom, size: tuple[float, float, float]
) -> None:
    body.add_geom(name=name, type=kind, size=size, contype=0, conaffinity=0, mass=0)
