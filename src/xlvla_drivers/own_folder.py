"""The folder for sockets, links and keys that only this user's programs may find."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from xlvla.errors import XlvlaError


def own_folder() -> Path:
    """Made where it is not there; XlvlaError where somebody else put something in its place.

    The folder for temporary files belongs to everybody, so what bears our name there is ours only
    if it is a folder, belongs to us, and nobody else could write into it.
    """
    path = Path(tempfile.gettempdir()) / f"xlvla-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        pass
    except OSError as error:
        raise XlvlaError(f"cannot make the folder {path}: {error.strerror}") from None
    found = path.lstat()
    why = ""
    if not stat.S_ISDIR(found.st_mode):
        why = "is no folder"
    elif found.st_uid != os.getuid():
        why = f"belongs to another user ({found.st_uid})"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        why = "can be written by other users"
    if why:
        raise XlvlaError(
            f"{path} {why}, so nothing is looked for or put there: remove it, or set TMPDIR to a "
            "folder of your own"
        )
    path.chmod(0o700)
    return path
