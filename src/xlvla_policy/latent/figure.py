"""A picture of the codec: poses of one hand, and the same latents decoded by every other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.types import Side
from xlvla.urdf import Description
from xlvla_policy.latent.gestures import gestures

if TYPE_CHECKING:
    import mujoco

WIDTH, HEIGHT = 420, 480
"""Pixels of one hand's picture."""


def draw(codec: Codec, out: Path, source: str = "inspire", side: Side = "right") -> None:
    """Writes a PNG: a row per pose of `source`, a column per hand that decodes the pose's latent."""
    from matplotlib.figure import Figure

    poses = gestures(catalog.hand(source), side)
    pictures = {hand: _pictures(codec, hand, side, codec.encode(source, side, np.array(list(poses.values())))) for hand in codec.hands}
    figure = Figure(figsize=(2.6 * len(codec.hands) + 0.7, 2.6 * HEIGHT / WIDTH * len(poses) + 0.5), dpi=150, facecolor="white")
    axes = figure.subplots(len(poses), len(codec.hands), squeeze=False)
    figure.subplots_adjust(0.05, 0.005, 0.995, 0.975, wspace=0.01, hspace=0.01)
    for row, gesture in enumerate(poses):
        axes[row][0].set_ylabel(gesture, fontsize=13)
        for column, hand in enumerate(codec.hands):
            axes[row][column].imshow(pictures[hand][row])
            axes[row][column].set(xticks=[], yticks=[])
            axes[row][column].spines[:].set_visible(False)
            if row == 0:
                title = catalog.hand(hand).title + ("  (source)" if hand == source else "")
                axes[row][column].set_title(title, fontsize=13)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _pictures(codec: Codec, hand: str, side: Side, latents: np.ndarray) -> list[np.ndarray]:
    """One hand's pictures [HEIGHT, WIDTH, 3] of each latent [B, L]."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except ImportError as error:
        raise XlvlaError(f"drawing hands needs MuJoCo ({error}): pip install 'xlvla[sim,show]'") from None
    entry = catalog.hand(hand)
    model = _scene(entry.urdf_path(side))
    data = mujoco.MjData(model)
    camera = _camera(model, data, side)
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        pictures = []
        for q in codec.decode(hand, side, latents):
            _pose(model, data, entry.description(side), dict(zip(codec.joints(hand, side), q, strict=True)))
            renderer.update_scene(data, camera)
            pictures.append(renderer.render())
    return pictures


def _scene(path: Path) -> mujoco.MjModel:
    """The hand's visuals before a white wall, lit from above the camera."""
    import mujoco

    spec = mujoco.MjSpec.from_file(str(path))
    spec.compiler.discardvisual = False
    spec.visual.global_.offwidth, spec.visual.global_.offheight = WIDTH, HEIGHT
    spec.visual.quality.offsamples = 8
    spec.visual.headlight.ambient[:] = 0.55
    spec.visual.headlight.diffuse[:] = 0.35
    spec.visual.headlight.specular[:] = 0.1
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=[1, 1, 1],
        rgb2=[1, 1, 1],
        width=16,
        height=96,
    )
    spec.worldbody.add_light(pos=[0.6, 0.4, 0.8], dir=[-0.6, -0.4, -0.7], diffuse=[0.5, 0.5, 0.5], castshadow=True)
    return spec.compile()


def _camera(model: mujoco.MjModel, data: mujoco.MjData, side: Side) -> mujoco.MjvCamera:
    """Looks at the palm from the front and the thumb's side; the same for every hand, moved to the hand's middle."""
    import mujoco

    mujoco.mj_forward(model, data)
    camera = mujoco.MjvCamera()
    reach = model.geom_rbound[:, None]
    low, high = (data.geom_xpos - reach).min(0), (data.geom_xpos + reach).max(0)
    camera.lookat[:] = (low + high) / 2
    camera.distance = 0.98 * float(np.linalg.norm(high - low))
    camera.azimuth = 180 + (35 if side == "right" else -35)
    camera.elevation = -10
    return camera


def _pose(model: mujoco.MjModel, data: mujoco.MjData, description: Description, angles: Mapping[str, float]) -> None:
    """Sets the commanded joints [rad], and those that follow them."""
    import mujoco

    def angle(name: str) -> float:
        mimic = description.joint(name).mimic
        return mimic.multiplier * angle(mimic.joint) + mimic.offset if mimic else float(angles[name])

    for joint in description.joints:
        if joint.moves:
            data.qpos[model.joint(joint.name).qposadr[0]] = angle(joint.name)
    mujoco.mj_forward(model, data)
