"""What is looked at by `xlvla doctor`: this machine, this shell and what is installed."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from xlvla import environment, shared_memory
from xlvla.errors import FOLDER_GONE, XlvlaError, missing_library
from xlvla.network import absent_servers, reach
from xlvla.text import uncoloured

Level = Literal["ok", "lack", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: what was looked at.
        level: a lack costs something; what has a fault does not work until it is mended.
        line: what is so, and what a lack costs.
        remedy: what to do about it; '' where there is nothing to do or the line says it.
    """

    what: str
    level: Level
    line: str
    remedy: str = ""


def python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", "ok", f"{version}, {sys.executable}")


@dataclass(frozen=True)
class _Package:
    """A package, by the module that is imported: its distribution and what it is for."""

    module: str
    distribution: str
    purpose: str


_PACKAGES = (
    _Package("rclpy", "ros-rclpy", "nodes"),
    _Package("pinocchio", "pin", "motion"),
    _Package("ruckig", "ruckig", "motion"),
    _Package("mujoco", "mujoco", "simulation"),
    _Package("cv2", "opencv-python-headless", "cameras"),
    _Package("torch", "torch", "training, and the policy with torch"),
    _Package("onnxruntime", "onnxruntime", "exported policies"),
    _Package("av", "av", "data sets"),
    # Another distribution, `serial`, has a module of the same name and no ports.
    _Package("serial.tools.list_ports", "pyserial", "serial devices"),
)

IMPORT_TIMEOUT_S = 120.0


def packages() -> Iterator[Finding]:
    """Imports each in a process of its own: what is wrong with one may end that process."""
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(_package, _PACKAGES)


def _package(package: _Package) -> Finding:
    name = package.module.partition(".")[0]
    if find_spec(name) is None:
        return _not_installed(package, name)
    command = [sys.executable, "-c", f"import {package.module}"]
    # A middleware that is not there ends whatever imports rclpy, and is the shell's fault.
    variables = {name: os.environ[name] for name in os.environ if name != "RMW_IMPLEMENTATION"}
    try:
        done = subprocess.run(
            command,
            env=variables,
            capture_output=True,
            text=True,
            timeout=IMPORT_TIMEOUT_S,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        line = f"its import did not end within {IMPORT_TIMEOUT_S:.0f} s"
        return Finding(name, "fault", line)
    version = _version(package.distribution)
    if done.returncode == 0:
        return Finding(name, "ok", f"{version}, for {package.purpose}")
    last = (done.stderr.strip().splitlines() or ["its import ended the process"])[-1]
    lacking = missing_library(ImportError(last))
    if lacking is not None:
        return Finding(name, "fault", lacking)
    wanted = f"{package.distribution}=={version}" if version[0].isdigit() else package.distribution
    again = f"pip install --force-reinstall --no-deps {wanted}"
    return Finding(name, "fault", f"cannot be imported: {last}", again)


def _not_installed(package: _Package, name: str) -> Finding:
    from xlvla_cli.app import EXTRAS

    extra = EXTRAS.get(name, "ros" if name == "rclpy" else "")
    remedy = f"pip install 'xlvla[{extra}]'" if extra else f"pip install {package.distribution}"
    return Finding(name, "lack", f"not installed: no {package.purpose}", remedy)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # of a sourced ROS, or by another name
        return os.environ.get("ROS_DISTRO") or "installed"


def shell(variables: Mapping[str, str]) -> Iterator[Finding]:
    """What this shell says of ROS and of pictures, and how far nodes started from it speak."""
    faults = environment.faults(draws=True)
    for fault in faults:
        yield Finding("shell", "fault", fault)
    scope = reach(False, variables)
    fault = scope.fault or absent_servers(scope, variables)
    if fault:
        yield Finding("discovery", "fault", fault)
    elif not faults:
        middleware = variables.get("RMW_IMPLEMENTATION") or "rmw_fastrtps_cpp"
        where = f"ROS domain {environment.domain()}, {middleware}"
        yield Finding("discovery", "ok", f"{where}, {scope.line}")


_A_NODE = "from xlvla.ros import participant as p; p.leave(p.node_of_its_own('doctor'))"
NODE_TIMEOUT_S = 60.0


def node() -> Iterator[Finding]:
    """Whether a node starts in this shell: what its libraries read of it is more than is known
    here (keys, profiles, formats of logs).
    """
    command = [sys.executable, "-c", _A_NODE]
    remedy = f"look at what this shell sets: {', '.join(_of_ros(os.environ)) or 'nothing of ROS'}"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=NODE_TIMEOUT_S, errors="replace"
        )
    except subprocess.TimeoutExpired:
        line = f"it did not start and end within {NODE_TIMEOUT_S:.0f} s"
        yield Finding("a node", "fault", line, remedy)
        return
    # Fast DDS says what it refuses on the standard output.
    said = uncoloured(done.stdout + done.stderr).strip().splitlines()
    if done.returncode:
        last = said[-1] if said else "it says nothing"
        yield Finding("a node", "fault", f"does not start: {last}", remedy)
    elif said:
        yield Finding("a node", "lack", f"starts, but says: {said[-1]}", remedy)
    else:
        yield Finding("a node", "ok", "starts and ends")


def _of_ros(variables: Mapping[str, str]) -> list[str]:
    """Settings of ROS and of its middleware in an environment."""
    prefixes = ("ROS_", "RMW_", "RCUTILS_", "RCL_", "FASTRTPS_", "FASTDDS_", "CYCLONEDDS_")
    return sorted(f"{name}={variables[name]}" for name in variables if name.startswith(prefixes))


def own_entries() -> Iterator[Finding]:
    """Whether what this shell names of one's own is there."""
    from xlvla import catalog, codec

    looks = {
        "XLVLA_CODEC": codec.in_use,
        "XLVLA_HANDS": catalog.hands,
        "XLVLA_POLICIES": catalog.own_policies,
        "XLVLA_SHARE": _shared_folders,
    }
    for name, look in looks.items():
        if not os.environ.get(name):
            continue
        try:
            look()
        except XlvlaError as error:
            yield Finding(name, "fault", str(error))
        else:
            yield Finding(name, "ok", os.environ[name])


def _shared_folders() -> None:
    folder = Path(os.environ["XLVLA_SHARE"])
    if not (folder / "urdf").is_dir():
        raise XlvlaError(f"XLVLA_SHARE names {folder}, which has no folder 'urdf': unset it")


LEAST_SHARED_MB = 32.0
"""A participant of Fast DDS takes 0.5 MB and more, a rig has about ten."""


def shared(folder: Path = shared_memory.FOLDER) -> Iterator[Finding]:
    """Whether nodes can speak through shared memory."""
    if not environment.shares_memory():
        return
    try:
        shared_memory.refuse_unfinished_ports(environment.domain(), folder)
    except XlvlaError as error:
        yield Finding("shared memory", "fault", str(error))
        return
    if not folder.is_dir():
        yield Finding("shared memory", "lack", f"there is no {folder}: nodes speak through sockets")
        return
    free_mb = shutil.disk_usage(folder).free / 1e6
    if free_mb > LEAST_SHARED_MB:
        yield Finding("shared memory", "ok", f"{free_mb:.0f} MB free")
        return
    remedy = f"sudo mount -o remount,size=1g {folder}; in a container: docker run --shm-size=1g"
    yield Finding("shared memory", "lack", f"only {free_mb:.0f} MB are free in {folder}", remedy)


@dataclass(frozen=True)
class UsbPort:
    """A serial adapter: its device file, the name that stays the same at every plugging in, and
    what it calls itself.
    """

    device: Path
    name: Path
    title: str


def usb_ports() -> list[UsbPort]:
    """The serial adapters that are plugged in."""
    from serial.tools import list_ports

    stable = {link.resolve(): link for link in Path("/dev/serial/by-id").glob("*")}
    found: list[UsbPort] = []
    for port in list_ports.comports():
        if port.vid is not None:
            device = Path(port.device)
            name = stable.get(device.resolve(), device)
            found.append(UsbPort(device, name, port.description or ""))
    return sorted(found, key=lambda port: port.device)


SLOW_MS = 2
"""An adapter that keeps answers for longer delays every command of a serial hand."""


def serial_ports(ports: Sequence[UsbPort], drivers: Path) -> Iterator[Finding]:
    """What keeps devices at serial adapters from answering, or from answering at once.

    Args:
        drivers: where Linux has the settings of serial adapters.
    """
    if not ports:
        yield Finding("serial ports", "ok", "no USB serial adapter is plugged in")
    for port in ports:
        title = f"{port.name}: {port.title}" if port.title else str(port.name)
        timer = drivers / port.device.name / "latency_timer"
        kept_ms = _milliseconds(timer)
        if not os.access(port.device, os.R_OK | os.W_OK):
            line = f"{title}: permission denied"
            yield Finding("serial ports", "lack", line, _permission(port.device))
        elif kept_ms > SLOW_MS:
            line = f"{title}: keeps answers for {kept_ms} ms"
            yield Finding("serial ports", "lack", line, f"echo 1 | sudo tee {timer}")
        else:
            yield Finding("serial ports", "ok", title)


def _milliseconds(timer: Path) -> int:
    """What a file of an adapter's settings says; 0 where there is none, or no longer."""
    try:
        return int(timer.read_text())
    except (OSError, ValueError):
        return 0


def _permission(device: Path) -> str:
    """How this user comes to read and write a device file."""
    try:
        group = device.group()
        for_group = device.stat().st_mode & 0o060 == 0o060
    except FileNotFoundError:
        return "plug it in again"
    except KeyError:  # of the host of a container
        group, for_group = "", False
    if not for_group or group == "root":
        return "give a group of yours the device by a udev rule; in a container: --group-add"
    return f"sudo usermod -aG {group} $USER, then log in again"


SERIAL_DRIVERS = Path("/sys/bus/usb-serial/devices")


def device_files(folder: Path = Path("/dev")) -> Iterator[Finding]:
    """Cameras and SpaceMice that are there and may not be read."""
    for pattern, what in (("video*", "cameras"), ("hidraw*", "SpaceMouse")):
        there = sorted(folder.glob(pattern))
        refused = [path for path in there if not os.access(path, os.R_OK | os.W_OK)]
        if refused:
            names = ", ".join(map(str, refused))
            line = f"{names}: permission denied"
            yield Finding(what, "lack", line, _permission(refused[0]))
        elif there:
            yield Finding(what, "ok", ", ".join(map(str, there)))


URGENT_NICE = -18
REAL_TIME = 40
"""What `xlvla.ros.priority` asks for, which cannot be imported where ROS is missing."""


def scheduling() -> Iterator[Finding]:
    """Whether control loops may run before other programs."""
    processors = f"{len(os.sched_getaffinity(0))} processors"
    if may_hasten():
        line = f"{processors}, control loops may run before other programs"
        yield Finding("scheduling", "ok", line)
        return
    remedy = (
        f"'$USER - nice {URGENT_NICE}' and '$USER - rtprio {REAL_TIME}' in "
        "/etc/security/limits.d/xlvla.conf, then log in again"
    )
    line = f"{processors}; control loops wait for other programs: late on a busy machine"
    yield Finding("scheduling", "lack", line, remedy)


def may_hasten() -> bool:
    """Whether this user may make a process urgent."""
    import resource

    if os.geteuid() == 0:
        return True
    nice, _ = resource.getrlimit(resource.RLIMIT_NICE)
    real_time, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    # The limit of niceness is kept as 20 less the nice value.
    return nice >= 20 - URGENT_NICE and real_time >= REAL_TIME


def clock() -> Iterator[Finding]:
    synchronised = is_synchronised()
    if synchronised is None:
        return
    if synchronised:
        yield Finding("clock", "ok", "synchronised with a time server")
        return
    line = "not synchronised: a rig on two machines refuses stamps of the other"
    yield Finding("clock", "lack", line, "sudo timedatectl set-ntp true")


_UNSYNCHRONISED = 5
"""What adjtimex(2) returns of such a clock (TIME_ERROR)."""


def is_synchronised() -> bool | None:
    """Whether the kernel takes its clock for synchronised; None where it does not say."""
    try:
        adjust = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    asked = ctypes.create_string_buffer(512)  # a struct timex of zeros only asks
    state = int(adjust(asked))
    return None if state < 0 else state != _UNSYNCHRONISED


LEAST_GB = 5.0


def disk(folder: Path | None) -> Iterator[Finding]:
    """How much is free where the command was called; None where that folder is gone."""
    if folder is None:
        yield Finding("disk", "fault", FOLDER_GONE)
        return
    free_gb = shutil.disk_usage(folder).free / 1e9
    where = f"{free_gb:.1f} GB free in {folder}"
    if free_gb > LEAST_GB:
        yield Finding("disk", "ok", where)
    else:
        yield Finding("disk", "lack", f"{where}: recordings end when it is full", "free some space")


def _here() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def gpu() -> Iterator[Finding]:
    """Whether there is a GPU, and whether torch can use it."""
    asked = shutil.which("nvidia-smi")
    if not asked:
        yield Finding("GPU", "ok", "none: the shipped policy needs none")
        return
    try:
        found = _said(asked, "-L")
    except (OSError, subprocess.SubprocessError) as error:
        line = f"{asked} does not answer: {error}; the shipped policy needs no GPU"
        yield Finding("GPU", "lack", line, "install or load the driver again, or reboot")
        return
    if not found:
        yield Finding("GPU", "ok", "none: the shipped policy needs none")
        return
    torch_version = _version("torch")
    if torch_version.endswith("+cpu"):
        remedy = "install torch with CUDA, see pytorch.org"
        yield Finding("GPU", "lack", f"{found}, but torch {torch_version} cannot use it", remedy)
    else:
        yield Finding("GPU", "ok", found)


def _said(*command: str) -> str:
    """What a program prints; raises where it fails, with its first line."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise subprocess.SubprocessError(said[0] if said else f"exit code {done.returncode}")
    return done.stdout.strip()


def examined() -> Iterator[Finding]:
    """Everything, one after the other."""
    yield from python()
    found = list(packages())
    yield from found
    working = {finding.what for finding in found if finding.level == "ok"}
    yield from shell(os.environ)
    yield from own_entries()
    if not environment.faults():  # the ROS domain may be one of them
        shares = list(shared())
        yield from shares
        waits = any(finding.level == "fault" for finding in shares)
        if "rclpy" in working and not waits:
            yield from node()
    if "serial" in working:
        yield from serial_ports(usb_ports(), SERIAL_DRIVERS)
    yield from device_files()
    yield from scheduling()
    yield from clock()
    yield from disk(_here())
    yield from gpu()
