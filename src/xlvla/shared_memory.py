"""What Fast DDS leaves behind in shared memory when a process is killed at a bad moment.

Fast DDS makes a file per port, `fastrtps_port7000`, grows it, fills it, and last marks it as whole
in its first word. Whoever opens a port that is there waits until it is whole. A process that is
killed between these steps leaves a port that will never be whole, so that every later participant
waits for ever. Ports below `FIRST_OF_DOMAIN_0` are opened by participants of every domain, the
others by those of one.

All else that is left behind is harmless: a port whose lock file (`_el`, `_sl`) lies beside it
unlocked is made anew by whoever comes next, a semaphore (`sem.`) of a dead process costs two
seconds once, a segment (`fastrtps_` and 16 digits) is never opened again.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Iterable
from pathlib import Path

from xlvla.errors import XlvlaError

FOLDER = Path("/dev/shm")
LOOK_AGAIN_S = 1.0
"""A process makes a port whole within milliseconds."""

FIRST_OF_DOMAIN_0 = 7400
PORTS_OF_A_DOMAIN = 250

_PORT = re.compile(r"fastrtps_port(\d+)")
_WHOLE = 2
"""The first word of a port that can be used."""


def refuse_unfinished_ports(domain: int, folder: Path = FOLDER) -> None:
    """Raises XlvlaError, with what to type, where a participant of this ROS domain would wait for
    ever.
    """
    unfinished = unfinished_ports(domain, folder)
    if not unfinished:
        return
    remove = shlex.join(["rm", *(str(port) for port in unfinished)])
    waiting = sorted(_holders(unfinished))
    ended = (
        f"; processes {', '.join(map(str, waiting))} wait for it already: end them, too"
        if waiting
        else ""
    )
    raise XlvlaError(
        "a process that was killed left shared memory unfinished, for which nodes would wait for "
        f"ever: {remove}{ended}"
    )


def unfinished_ports(domain: int, folder: Path = FOLDER) -> list[Path]:
    """Ports a participant of this ROS domain may open that stay unfinished; takes long only where
    there is one.
    """
    found = [port for port in _ports(folder) if _concerns(port, domain) and _unfinished(port)]
    if found:
        time.sleep(LOOK_AGAIN_S)  # somebody may just be making it
    return [port for port in found if _unfinished(port)]


def _ports(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if _PORT.fullmatch(path.name))
    except OSError:  # no shared memory here
        return []


def _concerns(port: Path, domain: int) -> bool:
    match = _PORT.fullmatch(port.name)
    assert match is not None
    first = FIRST_OF_DOMAIN_0 + PORTS_OF_A_DOMAIN * domain
    return int(match[1]) < FIRST_OF_DOMAIN_0 or first <= int(match[1]) < first + PORTS_OF_A_DOMAIN


def _unfinished(port: Path) -> bool:
    """Whether the port is not whole, and nothing says so to whoever opens it; False where it cannot
    be looked into.
    """
    if not (
        port.is_file() and os.access(port, os.R_OK | os.W_OK)
    ):  # Fast DDS cannot open it either, and does not wait
        return False
    try:
        with port.open("rb") as file:
            mark = file.read(4)
        return int.from_bytes(mark, "little") < _WHOLE and not _made_anew(port)
    except OSError:  # it went away
        return False


def _made_anew(port: Path) -> bool:
    """Whether its lock file, which nobody holds, makes Fast DDS discard the port."""
    locks = [
        lock for ending in ("_el", "_sl") if (lock := port.with_name(port.name + ending)).exists()
    ]
    return bool(locks) and not _holders(locks)


def _holders(files: Iterable[Path]) -> set[int]:
    """Processes that have one of the files open or mapped, as far as this user may see."""
    wanted = {str(file) for file in files}
    holders = set[int]()
    for process in Path("/proc").iterdir():
        if (
            process.name.isdigit()
            and process.name != str(os.getpid())
            and wanted & _files_of(process)
        ):
            holders.add(int(process.name))
    return holders


def _files_of(process: Path) -> set[str]:
    try:
        opened = {os.readlink(link) for link in (process / "fd").iterdir()}
        mapped = {
            line.split(maxsplit=5)[-1] for line in (process / "maps").read_text().splitlines()
        }
        return opened | mapped
    except OSError:  # another user's, or it has ended
        return set()
