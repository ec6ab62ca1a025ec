"""The makers' triangles beside a hand's URDF, for pictures: one file per side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xlvla_sim.hand_import.tree import Surface, Tree


def save(file: Path, tree: Tree) -> None:
    """Writes what collides of every link, or what is seen of one that does not collide."""
    arrays: dict[str, Any] = {}
    for link in tree.links.values():
        for number, surface in enumerate(link.surfaces):
            arrays[f"{link.name}|{number}|points"] = surface.points.astype(np.float32)
            arrays[f"{link.name}|{number}|faces"] = surface.faces.astype(np.int32)
    np.savez_compressed(file, **arrays)


def load(file: Path) -> dict[str, list[Surface]]:
    """Surfaces by link; none where there is no file, as of a hand of the catalogue."""
    found: dict[str, list[Surface]] = {}
    if not file.is_file():
        return found
    with np.load(file) as arrays:
        for key in arrays.files:
            link, number, kind = key.rsplit("|", 2)
            if kind == "points":
                surface = Surface(arrays[key], arrays[f"{link}|{number}|faces"])
                found.setdefault(link, []).append(surface)
    return found
