"""How a report looks."""

from __future__ import annotations

from html import escape
from typing import Any

RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.edgecolor": "#2b303a",
    "axes.labelcolor": "#5a6270",
    "text.color": "#2b303a",
}
"""Settings of matplotlib; text stays text, so that a page is small and can be searched."""

CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1280px; padding: 28px; background: #f4f6f9; color: #2b303a;
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
header, section { background: #fff; border: 1px solid #e3e7ed; border-radius: 10px;
  padding: 20px 24px; margin: 0 0 18px; }
h1 { font-size: 24px; margin: 0 0 14px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 12px; overflow-wrap: anywhere; }
p { margin: 8px 0; color: #5a6270; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; }
.tile { background: #f4f6f9; border-radius: 8px; padding: 10px 18px; min-width: 110px; }
.tile b { display: block; font-size: 22px; line-height: 1.25; }
.tile span { color: #5a6270; font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: #5a6270; font-weight: 600; border-bottom: 1px solid #d5dae2;
  padding: 6px 10px; white-space: nowrap; }
td { border-bottom: 1px solid #eef1f5; padding: 6px 10px; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.sentence { color: #5a6270; }
td i { font-style: normal; border-radius: 9px; padding: 1px 9px; margin-right: 4px;
  font-size: 13px; }
i.green { background: #dcefe2; color: #22693b; }
i.yellow { background: #fbefcf; color: #7a5a08; }
i.red { background: #f9dcd7; color: #9c2d1b; }
.row { display: flex; flex-wrap: wrap; gap: 8px 20px; }
.plot { flex: 1 1 380px; min-width: 0; max-width: 620px; }
.three .plot { flex-basis: 300px; }
.plot svg { width: 100%; height: auto; }
figure { margin: 0 0 12px; }
figcaption { color: #5a6270; font-size: 13px; }
.strip { display: flex; gap: 4px; }
.strip img { flex: 1 1 0; min-width: 0; border-radius: 4px; }
"""

FILMS = """
.films { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 16px; }
.films video, .films .none { width: 100%; aspect-ratio: 4 / 3; background: #e3e7ed;
  border-radius: 6px; display: block; }
.films .none { display: grid; place-items: center; color: #5a6270; }
.films b { display: block; margin-top: 6px; }
"""
"""More of it, for pages with films."""

SHOWN = "#t=0.1"
"""What a film that was not begun shows: its first pictures, instead of nothing."""


def document(title: str, body: str, css: str = "") -> str:
    """A page in this manner; `body` is HTML, `css` what it has of its own."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{CSS}{css}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def film(source: str, caption: str) -> str:
    """A film at this address, '' where there is none; `caption` is HTML."""
    shown = "<div class=none>no film</div>"
    if source:
        shown = f'<video controls muted preload=metadata src="{escape(source)}{SHOWN}"></video>'
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"
