"""Offscreen pictures through EGL, with or without a graphics card."""

from __future__ import annotations

import os
import weakref

import mujoco
import numpy as np

from xlvla.errors import XlvlaError

PACKAGES = "libegl1 libgl1 libgles2 libgl1-mesa-dri"
_LARGEST = (1920, 1440)
_SEGMENTS = (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR)
"""With these, the colour of a pixel is the number of what it shows."""


class Renderer:
    """Draws a model from any of its cameras at any size up to 1920 x 1440."""

    def __init__(self, model: mujoco.MjModel):
        self._model = model
        self._option = mujoco.MjvOption()
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = 0
        self._gl, self._context = _open_gl(model)
        self._size = (0, 0)
        self.close = weakref.finalize(self, _release, self._gl, self._context)
        # By then EGL may have shut itself down, and the process frees everything anyway.
        self.close.atexit = False

    def picture(
        self, data: mujoco.MjData, camera: str, width: int, height: int, *, smooth: bool = False
    ) -> np.ndarray:
        """RGB uint8 [height, width, 3]; `smooth` draws it twice as large and shrinks it."""
        if smooth:
            large = self.picture(data, camera, 2 * width, 2 * height)
            squares = large.reshape(height, 2, width, 2, 3)
            return squares.mean(axis=(1, 3)).astype(np.uint8)
        return self._drawn(data, camera, width, height)

    def bodies(self, data: mujoco.MjData, camera: str, width: int, height: int) -> np.ndarray:
        """Which body each pixel shows, by its number [height, width]; -1 where there is none."""
        for flag in _SEGMENTS:
            self._scene.flags[flag] = 1
        try:
            colours = self._drawn(data, camera, width, height).astype(np.int32)
        finally:
            for flag in _SEGMENTS:
                self._scene.flags[flag] = 0
        drawn = colours @ [1, 1 << 8, 1 << 16]
        body_of = np.full(self._scene.ngeom + 1, -1)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                # Colour 0 is where nothing is drawn.
                body_of[geom.segid + 1] = self._model.geom_bodyid[geom.objid]
        return body_of[drawn]

    def _drawn(self, data: mujoco.MjData, camera: str, width: int, height: int) -> np.ndarray:
        self._gl.make_current()
        self._resize(width, height)
        view = mujoco.MjvCamera()
        view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        view.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, view, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        rectangle = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(rectangle, self._scene, self._context)
        pixels = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, rectangle, self._context)
        # OpenGL's first row is the lowest.
        return np.ascontiguousarray(pixels[::-1])

    def _resize(self, width: int, height: int) -> None:
        if self._size == (width, height):
            return
        if width > _LARGEST[0] or height > _LARGEST[1]:
            raise XlvlaError(
                f"a picture of {width} x {height} is larger than {_LARGEST[0]} x {_LARGEST[1]}, "
                "the largest this world draws"
            )
        mujoco.mjr_resizeOffscreen(width, height, self._context)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._size = (width, height)


def _open_gl(model: mujoco.MjModel):
    """An OpenGL context without a screen, and the model's meshes and textures in it."""
    try:
        from mujoco.gl_context import GLContext

        gl = GLContext(*_LARGEST)
        gl.make_current()
        return gl, mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    except Exception as error:
        # The loaders raise anything from ImportError to OpenGL.error.GLError.
        reason = " ".join(str(error).split())[:120]
        raise XlvlaError(f"no pictures without offscreen OpenGL ({reason}): {_advice()}") from None


def _advice() -> str:
    chosen = os.environ.get("MUJOCO_GL", "")
    if chosen not in ("egl", "disable"):
        return f"unset MUJOCO_GL (it is '{chosen}') and import xlvla_sim before mujoco"
    return f"on Debian or Ubuntu `apt-get install {PACKAGES}` brings it"


def _release(gl, context: mujoco.MjrContext) -> None:
    """Frees a context's buffers while it is the current one: another context's buffers bear the
    same numbers.
    """
    gl.make_current()
    context.free()
    gl.free()
