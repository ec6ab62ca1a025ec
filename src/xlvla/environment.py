"""What a shell's environment must allow before nodes can start; each fault is one line that says
what to do.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import os
import sys
import tempfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from xlvla.errors import missing_library

LARGEST_DOMAIN = 231
"""Ports of a larger one would be beyond the last port there is: of 232 those of the hundred nodes
that are looked for on one machine (`loopback.xml`), and Fast DDS ends the process then.
"""

LEAST_FILES = 64
"""A node has about 20 files open, whoever starts a rig 3 for each node more."""

_FAST_DDS = ("rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp")
_WITHOUT_SHARED_MEMORY = ("UDPV4", "UDPV6")


def faults(*, draws: bool = False) -> list[str]:
    """What no node can run with; `draws`: nor one that makes pictures with MuJoCo."""
    looks = [
        foreign_ros(),
        _domain_fault(),
        _middleware_fault(),
        _log_fault(),
        _temporary_fault(),
        _files_fault(),
    ]
    if draws:
        looks.append(_graphics_fault())
    return [fault for fault in looks if fault]


def domain() -> int:
    """The ROS domain of this environment, where there is no fault in it."""
    return int(os.environ.get("ROS_DOMAIN_ID") or 0)


def shares_memory() -> bool:
    """Whether nodes of this environment speak through shared memory of Fast DDS."""
    if os.environ.get("RMW_IMPLEMENTATION", "") not in ("", *_FAST_DDS):
        return False
    return os.environ.get("FASTDDS_BUILTIN_TRANSPORTS", "").upper() not in _WITHOUT_SHARED_MEMORY


def foreign_ros() -> str:
    """A line where the rclpy that Python finds is made for another Python; '' where it is not, or
    there is none.
    """
    found = importlib.util.find_spec("rclpy")
    if found is None or not found.submodule_search_locations:
        return ""
    folder = Path(found.submodule_search_locations[0])
    if any((folder / f"_rclpy_pybind11{ending}").exists() for ending in EXTENSION_SUFFIXES):
        return ""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        f"the ROS in {folder.parent} is of another Python than {version}: leave it out of "
        "PYTHONPATH (a shell that has not "
        "sourced it), or run xlvla with the Python it is for"
    )


def _domain_fault() -> str:
    value = os.environ.get("ROS_DOMAIN_ID", "")
    if not value or (value.isascii() and value.isdigit() and int(value) <= LARGEST_DOMAIN):
        return ""
    return (
        f"ROS_DOMAIN_ID is '{value}': it must be a whole number from 0 to {LARGEST_DOMAIN} (up to "
        "101 is safe on every system)"
    )


def _middleware_fault() -> str:
    """Without the middleware that is asked for, rclpy ends the process as soon as it is
    imported.
    """
    name = os.environ.get("RMW_IMPLEMENTATION", "")
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    library = Path("lib") / f"lib{name}.so"
    if not name or any(prefix and (Path(prefix) / library).exists() for prefix in prefixes):
        return ""
    if name.isidentifier() and importlib.util.find_spec(name) is not None:  # the wheels' own
        return ""
    return (
        f"RMW_IMPLEMENTATION is '{name}', which is not installed here: unset it, or install it "
        "with your ROS distribution"
    )


def _log_fault() -> str:
    """ROS refuses to start where it cannot write its logs."""
    folder = (
        os.environ.get("ROS_LOG_DIR")
        or _below(os.environ.get("ROS_HOME"), "log")
        or _below(os.environ.get("HOME"), ".ros/log")
    )
    if folder is None:
        return (
            "HOME is not set, so ROS has no folder for its logs: set ROS_LOG_DIR to one that can "
            "be written"
        )
    path = Path(os.path.expanduser(folder))  # as ROS: one of nobody's home stays as it is
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return ""
    except OSError as error:
        return (
            f"ROS cannot write its logs to {path} ({error.strerror}): set ROS_LOG_DIR to a folder "
            "that can be written"
        )


def _below(folder: str | None, name: str) -> str | None:
    return f"{folder}/{name}" if folder else None


def _temporary_fault() -> str:
    try:
        tempfile.gettempdir()
    except OSError:
        return (
            "no temporary folder can be written (is the disk full?): free some space, or set "
            "TMPDIR to a folder that can be written"
        )
    return ""


def _files_fault() -> str:
    if sys.platform == "win32":
        return ""
    import resource

    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed >= LEAST_FILES:
        return ""
    return f"only {allowed} files may be open at once, nodes need {LEAST_FILES}: ulimit -n 1024"


def _egl_fault() -> str:
    """Without a display pictures are drawn through EGL, which is the system's."""
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError as error:
        return missing_library(error) or f"libEGL.so.1 cannot be loaded: {error}"
    return ""


def _graphics_fault() -> str:
    """MuJoCo ends with a traceback where it is told to draw with what is not there."""
    value = os.environ.get("MUJOCO_GL", "").lower()
    if sys.platform == "linux" and value in ("", "egl"):
        return _egl_fault()
    if sys.platform != "linux" or value not in ("osmesa", "glfw"):
        known = (
            "",
            "egl",
            "1",
            "on",
            "true",
            "enable",
            "enabled",
            "0",
            "off",
            "false",
            "disable",
            "disabled",
            "osmesa",
            "glfw",
        )
        return (
            ""
            if value in known or sys.platform != "linux"
            else f"MUJOCO_GL is '{value}', which MuJoCo does not know: unset it"
        )
    if value == "osmesa" and ctypes.util.find_library("OSMesa") is None:
        return (
            "MUJOCO_GL is 'osmesa', but libOSMesa is not installed: unset it (egl draws without a "
            "display, too)"
        )
    if value == "glfw" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "MUJOCO_GL is 'glfw', but there is no display: unset it (egl draws without one)"
    return ""
