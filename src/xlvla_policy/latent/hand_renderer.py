"""Renders a hand in any pose, all hands to the same scale, each finger in its own colour."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.hand import Hand
from xlvla.types import Finger, Side

if TYPE_CHECKING:
    import mujoco

WIDTH = 360
HEIGHT = 400
"""Pixels of one hand's picture."""
REACH_M = 0.56
"""From the camera to the hand's middle."""
ROOM_M = 0.03
"""How far before the middle of the open hand the picture's is: fingers curl forward."""
COLOURS: Mapping[Finger, tuple[float, float, float]] = {
    "thumb": (0.90, 0.45, 0.18),
    "index": (0.20, 0.52, 0.78),
    "middle": (0.26, 0.64, 0.42),
    "ring": (0.86, 0.70, 0.22),
    "little": (0.60, 0.40, 0.70),
}
PALM = (0.62, 0.64, 0.67)


class HandRenderer:
    """One side of a hand before a white wall; a context manager."""

    def __init__(self, hand: Hand, side: Side):
        os.environ.setdefault("MUJOCO_GL", "egl")
        try:
            import mujoco
        except ImportError as error:
            raise XlvlaError(
                f"drawing hands needs MuJoCo ({error}): pip install 'xlvla[sim,show]'"
            ) from None
        self._mujoco = mujoco
        self.hand = hand
        self.side: Side = side
        self.model = _scene(hand.urdf_path(side))
        self.data = mujoco.MjData(self.model)
        _paint(self.model, hand, side)
        self.camera = self._camera()
        self.renderer = mujoco.Renderer(self.model, HEIGHT, WIDTH)

    def picture(self, q: np.ndarray) -> np.ndarray:
        """The hand with its commanded joints at q [J] rad, as [HEIGHT, WIDTH, 3]."""
        angles = dict(zip(self.hand.joint_names(self.side), q, strict=True))
        description = self.hand.description(self.side)

        for joint in description.joints:
            if joint.moves:
                master, multiplier, offset = description.coupling(joint)
                angle = multiplier * float(angles[master.name]) + offset
                self.data.qpos[self.model.joint(joint.name).qposadr[0]] = angle
        self._mujoco.mj_forward(self.model, self.data)
        self.renderer.update_scene(self.data, self.camera)
        return self.renderer.render()

    def _camera(self) -> mujoco.MjvCamera:
        """Looks at the palm from the front and the thumb's side."""
        self._mujoco.mj_forward(self.model, self.data)
        camera = self._mujoco.MjvCamera()
        radius = self.model.geom_rbound[:, None]
        lowest = (self.data.geom_xpos - radius).min(0)
        highest = (self.data.geom_xpos + radius).max(0)
        camera.lookat[:] = (lowest + highest) / 2
        camera.lookat[0] += ROOM_M
        camera.distance = REACH_M
        camera.azimuth = 215 if self.side == "right" else 145
        camera.elevation = -10
        return camera

    def __enter__(self) -> HandRenderer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.renderer.close()


def _scene(path: Path) -> mujoco.MjModel:
    """The hand's visuals before a white wall, lit from above the camera."""
    import mujoco

    spec = mujoco.MjSpec.from_file(str(path))
    spec.compiler.discardvisual = False
    spec.visual.global_.offwidth = WIDTH
    spec.visual.global_.offheight = HEIGHT
    spec.visual.global_.fovy = 28
    spec.visual.quality.offsamples = 8
    spec.visual.headlight.ambient[:] = 0.5
    spec.visual.headlight.diffuse[:] = 0.4
    spec.visual.headlight.specular[:] = 0.1
    white = [1, 1, 1]
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=white,
        rgb2=white,
        width=16,
        height=96,
    )
    spec.worldbody.add_light(
        pos=[0.6, 0.4, 0.8],
        dir=[-0.6, -0.4, -0.7],
        diffuse=[0.45, 0.45, 0.45],
        castshadow=True,
    )
    return spec.compile()


def _paint(model: mujoco.MjModel, hand: Hand, side: Side) -> None:
    """Every finger's own links in its colour; the rest grey."""
    colours: dict[str, tuple[float, float, float]] = {}
    for finger, links in _own_links(hand, side).items():
        for link in links:
            colours[link] = COLOURS[finger]
    for geom in range(model.ngeom):
        body = model.body(model.geom_bodyid[geom]).name
        # A material would hide the colour.
        model.geom_matid[geom] = -1
        model.geom_rgba[geom] = (*colours.get(body, PALM), 1)


def _own_links(hand: Hand, side: Side) -> dict[Finger, set[str]]:
    """By finger: the links up to its tip that it shares with no other finger."""
    above = {joint.child: joint.parent for joint in hand.description(side).joints}
    chains: dict[Finger, set[str]] = {}
    for finger, link in hand.tip_links(side).items():
        chains[finger] = {link}
        while link in above:
            link = above[link]
            chains[finger].add(link)
    own: dict[Finger, set[str]] = {}
    for finger, links in chains.items():
        own[finger] = set(links)
        for other, theirs in chains.items():
            if other != finger:
                own[finger] -= theirs
    return own
