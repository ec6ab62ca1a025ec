"""Where the files that are not code live: in a checkout, in a wheel, in a ROS 2 share folder, or
where XLVLA_SHARE says.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from xlvla.errors import XlvlaError


@cache
def share(folder: str) -> Path:
    """The folder `urdf`, `launch`, ... wherever this installation keeps it."""
    package = Path(__file__).resolve().parent
    ament = [prefix / "share" / "xlvla" for prefix in package.parents[2:6]]
    roots = [package / "share", package.parents[1], *ament]
    if "XLVLA_SHARE" in os.environ:
        roots.insert(0, Path(os.environ["XLVLA_SHARE"]))
    for root in roots:
        if (root / folder).is_dir():
            return root / folder
    raise XlvlaError(
        f"no folder '{folder}' under {', '.join(map(str, roots[:3]))}, ...: set XLVLA_SHARE to the "
        "folder that holds it"
    )
