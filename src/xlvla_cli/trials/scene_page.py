"""The scene to be set, as a picture in a file that changes, and a page that shows it."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np

from xlvla import files

PICTURE = "scene.jpg"
PAGE = "scene.html"

RENEWED_MS = 400
"""How often the page looks for a newer picture."""

DOCUMENT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ margin: 0; background: #16191f; color: #e8ebf0; font: 17px/1.5 system-ui, sans-serif; }}
main {{ max-width: 1280px; margin: 0 auto; padding: 18px; }}
h1 {{ font-size: 22px; margin: 0 0 4px; }}
p {{ margin: 0 0 14px; color: #b4bcc8; }}
img {{ width: 100%; border-radius: 8px; display: block; }}
table {{ border-collapse: collapse; margin-top: 14px; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; padding: 3px 22px 3px 0; font-weight: normal; }}
th {{ color: #8d97a6; }}
</style></head><body><main><h1>{title}</h1><p>{line}</p>
<img id="scene" src="{picture}" alt="">
<table><tr><th>thing</th><th>x [cm]</th><th>y [cm]</th><th>turned [°]</th></tr>{rows}</table>
<script>
const picture = document.getElementById("scene");
setInterval(() => {{
  const newer = new Image();
  newer.onload = () => {{ picture.src = newer.src; }};
  newer.src = "{picture}?" + Date.now();
}}, {renewed});
</script></main></body></html>
"""


def write_page(
    folder: Path, title: str, line: str, places: list[tuple[str, float, float, float]]
) -> Path:
    """Writes the page of a trial.

    Args:
        places: name, x and y [m] in the rig's world, and turn [rad] of each thing.
    """
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{100 * x:.1f}</td><td>{100 * y:.1f}</td>"
        f"<td>{np.degrees(yaw):.0f}</td></tr>"
        for name, x, y, yaw in places
    )
    page = DOCUMENT.format(
        title=escape(title), line=escape(line), picture=PICTURE, rows=rows, renewed=RENEWED_MS
    )
    files.write_text(folder / PAGE, page)
    return folder / PAGE


def write_picture(folder: Path, rgb: np.ndarray) -> None:
    """Replaces the picture, RGB uint8 [H, W, 3]."""
    from xlvla_data import jpeg

    with files.replacing(folder / PICTURE) as fresh:
        fresh.write_bytes(jpeg.encode(rgb))
