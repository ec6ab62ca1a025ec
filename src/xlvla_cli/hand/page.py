"""A hand as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from xlvla.hand import Hand
from xlvla.types import SIDES
from xlvla_data.report import style

if TYPE_CHECKING:
    from xlvla_sim.hand_import.pictures import HandPictures

OWN_CSS = """
.views { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 10px; }
.views figure { margin: 0; }
.views img { width: 100%; border: 1px solid #eef1f5; border-radius: 6px; display: block; }
figcaption { text-align: center; padding-top: 4px; }
h3 { font-size: 15px; margin: 14px 0 8px; color: #5a6270; }
.bar { position: relative; width: 190px; height: 10px; background: #eef1f5; border-radius: 5px; }
.bar i { position: absolute; top: 0; height: 10px; padding: 0; margin: 0; background: #3573b9;
  border-radius: 5px; }
.bar b { position: absolute; top: -3px; width: 2px; height: 16px; background: #2b303a; }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin: 0 4px 0 12px; }
"""
CLOSING = (0.0, 0.25, 0.5, 0.75, 1.0)
SCALE_RAD = np.pi
"""Half the width of a limit's bar; a sliding joint's is 0.1 m."""
SCALE_M = 0.1


def document(hand: Hand) -> str:
    """The page's text."""
    from xlvla_sim.hand_import.pictures import HandPictures

    sides = [HandPictures(hand, side) for side in reversed(SIDES)]
    body = "\n".join([_head(hand, sides), _shapes(sides), _closing(sides), _pinches(sides)])
    body += _limits(hand, sides)
    for pictures in sides:
        pictures.close()
    return style.document(hand.title, body, OWN_CSS)


def _head(hand: Hand, sides: list[HandPictures]) -> str:
    tree = sides[0].tree
    coupled = [joint for joint in tree.joints if joint.mimic]
    shapes = sum(len(link.surfaces) for link in tree.links.values())
    mass = sum(link.inertial.mass for link in tree.links.values() if link.inertial)
    tiles = {
        "joints": str(len(hand.joints)),
        "coupled joints": str(len(coupled)),
        "fingers": str(len(hand.tips)),
        "shapes of a side": str(shapes),
        "kg of a side": f"{mass:.2f}",
        "driver": hand.driver,
    }
    shown = "".join(
        f"<div class=tile><b>{escape(value)}</b><span>{name}</span></div>"
        for name, value in tiles.items()
    )
    faults = "".join(f"<p>{escape(fault)}</p>" for fault in hand.faults())
    heading = f"<h1>{escape(hand.title)} <small>({escape(hand.name)})</small></h1>"
    return f"<header>{heading}<div class=tiles>{shown}</div>{faults}</header>"


def _shapes(sides: list[HandPictures]) -> str:
    views = ""
    for pictures in sides:
        for where, azimuth in _views(pictures):
            picture = pictures.picture(pictures.open, azimuth, shapes=True)
            views += _figure(picture, f"{pictures.side}, {where}")
    mesh = "the maker's mesh in grey, " if sides[0].has_mesh else ""
    keys = (
        "<span class=key style='background:#3573b9'></span>"
        "<span class=key style='background:#269e85;margin-left:0'></span> shapes"
        "<span class=key style='background:#e6261f'></span> tips"
        "<span class=key style='background:#d93333'></span> x, out of the palm"
        "<span class=key style='background:#33a640'></span> y"
        "<span class=key style='background:#3359e6'></span> z, along the fingers"
    )
    note = f"<p>Open; {mesh}axes at the flange and at the palm. {keys}</p>"
    return f"<section><h2>Shapes and frames</h2><div class=views>{views}</div>{note}</section>"


def _views(pictures: HandPictures) -> tuple[tuple[str, float], ...]:
    """Where a hand is seen from: its palm, and the side of its thumb."""
    thumb = 90.0 if pictures.side == "right" else -90.0
    return ("the palm", 0.0), ("the thumb's side", thumb)


def _closing(sides: list[HandPictures]) -> str:
    rows = ""
    for pictures in sides:
        views = ""
        oblique = 35.0 if pictures.side == "right" else -35.0
        for share in CLOSING:
            picture = pictures.picture(pictures.closing(share), oblique)
            views += _figure(picture, f"{share:.0%}")
        rows += f"<h3>{pictures.side}</h3><div class=views>{views}</div>"
    note = "<p>All joints together, from the open hand to a fist.</p>"
    return f"<section><h2>Closing</h2>{rows}{note}</section>"


def _pinches(sides: list[HandPictures]) -> str:
    rows = ""
    for pictures in sides:
        views = ""
        oblique = 40.0 if pictures.side == "right" else -40.0
        for finger, (q, gap) in pictures.pinches.items():
            picture = pictures.picture(q, oblique)
            views += _figure(picture, f"thumb and {finger}: {1000 * gap:.0f} mm apart")
        rows += f"<h3>{pictures.side}</h3><div class=views>{views}</div>"
    note = "<p>The nearest that the tips come to each other, as points.</p>"
    return f"<section><h2>Pinches</h2>{rows}{note}</section>"


def _limits(hand: Hand, sides: list[HandPictures]) -> str:
    tables = ""
    for pictures in sides:
        heads = ("joint", "limits", "", "velocity", "effort", "followed by")
        head = "".join(f"<th>{word}</th>" for word in heads)
        rows = "".join(_rows(hand, pictures))
        tables += f"<h3>{pictures.side}</h3><table><tr>{head}</tr>{rows}</table>"
    return f"<section><h2>Joints</h2>{tables}</section>"


def _rows(hand: Hand, pictures: HandPictures) -> Iterator[str]:
    """The row of every commanded joint."""
    tree = pictures.tree
    lower, upper = hand.command_range(pictures.side)
    for name, low, high in zip(hand.joint_names(pictures.side), lower, upper, strict=True):
        joint = tree.by_name[name]
        slides = joint.type == "prismatic"
        unit = "m" if slides else "rad"
        scale = SCALE_M if slides else SCALE_RAD
        left, right = (50 + 50 * np.clip(value / scale, -1, 1) for value in (low, high))
        bar = (
            f"<div class=bar><i style='left:{left:.1f}%;width:{right - left:.1f}%'></i>"
            "<b style='left:50%'></b></div>"
        )
        degrees = "" if slides else f" ({np.degrees(low):.0f} to {np.degrees(high):.0f} deg)"
        followers: list[str] = []
        for other in tree.joints:
            master, factor, _ = tree.coupling(other)
            if other.mimic and master.name == name:
                followers.append(f"{other.name} x {factor:.3g}")
        yield (
            f"<tr><td>{escape(name)}</td>"
            f"<td class=number>{low:.3g} to {high:.3g} {unit}{degrees}</td><td>{bar}</td>"
            f"<td class=number>{joint.velocity:.3g} {unit}/s</td>"
            f"<td class=number>{joint.effort:.3g} {'N' if slides else 'Nm'}</td>"
            f"<td class=sentence>{escape(', '.join(followers)) or '-'}</td></tr>"
        )


def _figure(picture: np.ndarray, caption: str) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f"<figure><img src='data:image/png;base64,{data}' alt='{escape(caption)}'>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
