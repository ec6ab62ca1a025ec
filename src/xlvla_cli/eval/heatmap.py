"""The table as a picture: a square per task and hand, SR beside PSR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xlvla.paper import code
from xlvla_cli.eval.table import Cell, Table


def draw(table: Table, path: Path, title: str) -> None:
    """Writes a PNG; cells that were held out have a frame."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tasks = table.tasks
    hands = table.hands
    figure = Figure(
        figsize=(2.6 + 2 * max(1.9, 1.05 * len(hands)), 1.7 + 0.48 * len(tasks)),
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_map(left, table, "sr", "SR: success rate")
    _draw_map(right, table, "psr", "PSR: partial success rate")
    figure.colorbar(
        left.images[0], ax=figure.axes, shrink=0.9, format=lambda value, _: f"{value:.0%}"
    )
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=140)


def _draw_map(axes: Any, table: Table, which: str, title: str) -> None:
    """One of the two rates, a square per task and hand."""
    tasks = table.tasks
    hands = table.hands
    values = np.full((len(tasks), len(hands)), np.nan)
    for y, task in enumerate(tasks):
        for x, pair in enumerate(hands):
            cell = table.cell(task, pair)
            if cell is not None:
                values[y, x] = getattr(cell.rate, which)
                _write(axes, x, y, cell, which)
    axes.imshow(values, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
    axes.set_xticks(range(len(hands)), [pair.replace("+", "+\n") for pair in hands])
    axes.set_yticks(range(len(tasks)), [code(task) for task in tasks])
    axes.set_title(title, fontsize=10)
    # The minor grid draws white lines between the squares.
    axes.set_xticks(np.arange(len(hands) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(tasks) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white")
    axes.tick_params(which="both", length=0)


def _write(axes: Any, x: int, y: int, cell: Cell, which: str) -> None:
    """The rate and its interval, in a square."""
    value = getattr(cell.rate, which)
    low, high = getattr(cell.rate, f"{which}_interval")
    colour = "black" if 0.12 < value < 0.88 else "white"
    style = {"ha": "center", "va": "center", "color": colour}
    axes.text(x, y - 0.12, f"{value:.0%}", fontsize=10, weight="bold", **style)
    axes.text(x, y + 0.24, f"{100 * low:.0f}-{100 * high:.0f}", fontsize=7, **style)
    if cell.held_out:
        from matplotlib.patches import Rectangle

        axes.add_patch(
            Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, fill=False, edgecolor="black", linewidth=2)
        )
