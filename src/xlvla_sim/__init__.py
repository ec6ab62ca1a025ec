"""The world of xlvla: simulated rigs, tasks and scripted experts."""

import ctypes
import os
import sys


def _graphics() -> str:
    """MuJoCo's name of the graphics to load; without EGL none, so that physics works and only
    pictures are refused.
    """
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return "disable"
    return "egl"


if sys.platform == "linux":
    os.environ.setdefault(
        "MUJOCO_GL", _graphics()
    )  # mujoco reads it once, when it is first imported
