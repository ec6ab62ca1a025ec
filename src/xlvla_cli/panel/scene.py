"""The rig in the page's scene: the robot as measured, as commanded, and where a chunk leads."""

from __future__ import annotations

import numpy as np
import viser

from xlvla.kinematics import Kinematics
from xlvla.rig import Rig
from xlvla.robot import rig_description
from xlvla.types import Side, scoped
from xlvla_cli.panel.figure import Figure
from xlvla_cli.panel.seen import LATE_S, Coming, Seen

COMMANDED = (34, 139, 230)
COMING = (253, 126, 20)

TRAIL_STEP = 4
"""Frames between two points of a fingertip's path."""


class RobotScene:
    """Attributes:
    show_commanded, show_coming: whether the ghosts are wanted.
    """

    def __init__(self, scene: viser.SceneApi, rig: Rig):
        self._scene = scene
        self._rig = rig
        description = rig_description(rig)
        self.show_commanded = False
        self.show_coming = True
        self._scene.set_up_direction("+z")
        scene.add_grid(
            "/floor", width=2.4, height=2.4, cell_size=0.1, section_size=0.5, position=(0.3, 0, 0)
        )
        self._measured = Figure(scene, description, "/measured")
        self._commanded = Figure(scene, description, "/commanded", ghost=COMMANDED)
        # The hands alone: arms would hide the robot that they nearly coincide with.
        hands = tuple(scoped(side, "hand", "") for side in rig.sides)
        self._coming = Figure(scene, description, "/coming", ghost=COMING, drawn=hands)
        self._joints = {
            side: [name for part in rig.parts_of(side) for name in rig.joint_names(side, part)]
            for side in rig.sides
        }
        self._kinematics = Kinematics(
            description, [name for names in self._joints.values() for name in names]
        )
        self._tips = {
            side: [scoped(side, "hand", link) for link in rig.hand(side).tip_links(side).values()]
            for side in rig.sides
            if "hand" in rig.parts_of(side)
        }
        self._trails: dict[Side, viser.LineSegmentsHandle] = {}
        self._trail_of: dict[Side, float] = {}

    def show(self, seen: Seen) -> None:
        self._measured.show(seen.measured)
        self._measured.visible = bool(seen.measured)
        newest_s = max(seen.commanded_s.values(), default=float("-inf"))
        commands = self.show_commanded and seen.now_s - newest_s < LATE_S
        if commands:
            self._commanded.show(seen.commanded)
        self._commanded.visible = commands
        self._show_coming(seen)

    def _show_coming(self, seen: Seen) -> None:
        coming: dict[Side, Coming] = {}
        for side, chunk in seen.coming.items():
            if self._is_due(chunk, seen):
                coming[side] = chunk
        for side, chunk in coming.items():
            if self._trail_of.get(side) != chunk.came_s:
                self._trail_of[side] = chunk.came_s
                self._coming.show(dict(zip(chunk.names, chunk.points[-1].tolist(), strict=True)))
                self._draw_trail(side, chunk, seen)
        self._coming.visible = bool(coming)
        for side, trail in self._trails.items():
            if trail.visible != (side in coming):
                trail.visible = side in coming

    def _is_due(self, chunk: Coming, seen: Seen) -> bool:
        """Whether a chunk is to be shown: it has not ended yet."""
        length_s = len(chunk.points) / chunk.rate_hz
        return self.show_coming and seen.now_s - chunk.came_s < length_s

    def _draw_trail(self, side: Side, chunk: Coming, seen: Seen) -> None:
        """The paths of a hand's fingertips along a chunk."""
        order = [chunk.names.index(name) for name in self._joints[side]]
        rows = chunk.points[::TRAIL_STEP][:, order]
        if len(rows) < 2 or side not in self._tips:
            return
        others = {name: seen.measured.get(name, 0.0) for name in self._kinematics.joints}
        paths: list[list[np.ndarray]] = []
        for row in rows:
            others.update(zip(self._joints[side], row.tolist(), strict=True))
            q = np.array([others[name] for name in self._kinematics.joints])
            poses = self._kinematics.fk(q, self._tips[side])
            paths.append([poses[tip][:3, 3].copy() for tip in self._tips[side]])
        points = np.array(paths).transpose(1, 0, 2)
        segments = np.stack([points[:, :-1], points[:, 1:]], axis=2).reshape(-1, 2, 3)
        trail = self._trails.get(side)
        if trail is not None and trail.points.shape == segments.shape:
            trail.points = segments
        else:
            name = f"/coming_trail_{side}"
            self._trails[side] = self._scene.add_line_segments(
                name, segments, COMING, thickness=0.003
            )
