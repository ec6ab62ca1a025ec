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
    for axes, which, name in zip(
        figure.subplots(1, 2),
        ("sr", "psr"),
        ("SR: success rate", "PSR: partial success rate"),
        strict=True,
    ):
        cells = [[table.cell(task, pair) for pair in hands] for task in tasks]
        values = np.array(
            [
                [np.nan if cell is None else getattr(cell.rate, which) for cell in row]
                for row in cells
            ]
        )
        axes.imshow(values, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
        axes.set_xticks(range(len(hands)), [pair.replace("+", "+\n") for pair in hands])
        axes.set_yticks(range(len(tasks)), [code(task) for task in tasks])
        axes.set_title(name, fontsize=10)
        axes.set_xticks(np.arange(len(hands) - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(len(tasks) - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white")
        axes.tick_params(which="both", length=0)
        for y, row in enumerate(cells):
            for x, cell in enumerate(row):
                _write(axes, x, y, cell, which)
    figure.colorbar(
        figure.axes[0].images[0], ax=figure.axes, shrink=0.9, format=lambda value, _: f"{value:.0%}"
    )
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=140)


def _write(axes: Any, x: int, y: int, cell: Cell | None, which: str) -> None:
    """The figure and its interval, in a cell."""
    if cell is None:
        return
    value, (low, high) = getattr(cell.rate, which), getattr(cell.rate, f"{which}_interval")
    style = {"ha": "center", "va": "center", "color": "black" if 0.12 < value < 0.88 else "white"}
    axes.text(x, y - 0.12, f"{value:.0%}", fontsize=10, weight="bold", **style)
    axes.text(x, y + 0.24, f"{100 * low:.0f}-{100 * high:.0f}", fontsize=7, **style)
    if cell.held_out:
        from matplotlib.patches import Rectangle

        axes.add_patch(
            Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, fill=False, edgecolor="black", linewidth=2)
        )
