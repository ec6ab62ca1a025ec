"""Errors a user can act on: one line that says what was asked, what is known and what to do."""

from __future__ import annotations

import difflib
import errno
import os
import re
import traceback
from collections.abc import Iterable

from xlvla.text import plain


class XlvlaError(Exception):
    """An error the user can fix; the command line prints it as one line, without a traceback."""


class RigError(XlvlaError):
    """A rig that cannot be used; `faults` holds one line per fault."""

    def __init__(self, faults: Iterable[str]):
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


def unknown(kind: str, name: object, known: Iterable[str]) -> XlvlaError:
    """The error for an unknown name, with the nearest known one."""
    return XlvlaError(unknown_line(kind, name, known))


def unknown_line(kind: str, name: object, known: Iterable[str]) -> str:
    """`unknown hand 'xhnad': known are ability, ...; did you mean 'xhand'?`"""
    known = list(known)
    return f"unknown {kind} '{name}': known are {', '.join(known) or 'none'}{nearest(name, known)}"


def nearest(name: object, known: Iterable[str]) -> str:
    """`; did you mean 'xhand'?`, or nothing."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


_OF_THE_MACHINE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENFILE,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOMEM,
    # A path that was named to write to leads through a file, or is one, or is a folder.
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
}


PACKAGES = {
    "libEGL": "libegl1 libegl-mesa0",
    "libGL": "libgl1 libgl1-mesa-dri",
    "libGLESv2": "libgles2",
    "libOSMesa": "libosmesa6",
    "libgomp": "libgomp1",
    "libhidapi-hidraw": "libhidapi-hidraw0",
    "libhidapi-libusb": "libhidapi-libusb0",
    "libusb-1.0": "libusb-1.0-0",
}
"""Debian's packages, by the libraries that Python's packages need and do not bring."""

_MISSING_LIBRARY = re.compile(r"(lib[\w.+-]+?)\.so(\S*): cannot open shared object file")


def missing_library(error: BaseException) -> str | None:
    """Which of the system's libraries an import lacks, as one line; None for any other error."""
    found = _MISSING_LIBRARY.search(str(error))
    if found is None or not isinstance(error, (ImportError, OSError)):
        return None
    name, version = found.groups()
    package = PACKAGES.get(name)
    advice = f"sudo apt-get install {package}" if package else "install the package that has it"
    return f"{name}.so{version} is not installed on this machine: {advice}"


FOLDER_GONE = "the folder this shell is in was removed: cd to one that is there"


def _is_somewhere() -> bool:
    """Whether the working directory is still there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def machine_line(error: BaseException) -> str | None:
    """What a full disk, a lack of rights or libraries, or a file in the way prevented, as one line;
    None for any other error.
    """
    lacking = missing_library(error)
    if lacking is not None:
        return lacking
    if not isinstance(error, OSError):
        return None
    if (
        error.errno == errno.ENOENT and error.filename is None
    ):  # `tempfile` found no folder it can write to, or none was asked for
        if not _is_somewhere():
            return FOLDER_GONE
        return f"{error.strerror}: is the disk full? TMPDIR names a folder elsewhere"
    if error.errno not in _OF_THE_MACHINE:
        return None
    reason = error.strerror or os.strerror(error.errno)
    return f"{error.filename}: {reason}" if error.filename else reason


def last_words(error: BaseException) -> str:
    """Why a process ends; of what is no mistake of the user's and no lack of the machine, a
    traceback is printed, too.
    """
    if isinstance(error, RigError):
        lines = error.faults
    elif isinstance(error, XlvlaError):
        lines = (str(error),)
    else:
        line = machine_line(error)
        if line is None:
            traceback.print_exception(error)
        lines = (line or str(error) or type(error).__name__,)
    return "\n".join(plain(line, longest=len(line)) for line in lines)
