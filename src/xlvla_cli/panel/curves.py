"""Curves of the last seconds: where a joint is, where it was commanded, and how far apart they
are.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import viser
from viser import uplot

from xlvla.rig import Rig
from xlvla_cli.panel.seen import Seen

WINDOW_S = 20.0
SAMPLES = 400

COLOURS = ("#0c8599", "#e8590c", "#5f3dc4", "#2b8a3e")


class Curves:
    """Draws into the part of the page in which it is made."""

    def __init__(self, gui: viser.GuiApi, rig: Rig):
        self._parts = {
            f"{side} {part}": rig.joint_names(side, part)
            for side, part in rig.parts
            if rig.joint_names(side, part)
        }
        self._joints = [name for names in self._parts.values() for name in names]
        self._index = {name: number for number, name in enumerate(self._joints)}
        self._rows: deque[np.ndarray] = deque(maxlen=SAMPLES)
        self._chosen = gui.add_dropdown("Joint", self._joints)
        labels = {"measured": COLOURS[0], "commanded": COLOURS[1]}
        self._positions = _plot(gui, "Position [rad]", labels)
        gui.add_html(_heading("Farthest joint from its command [mrad]"))
        self._errors = _plot(gui, "", dict(zip(self._parts, COLOURS, strict=False)))

    def add(self, seen: Seen) -> None:
        """Keeps where all joints are now. One that nobody has commanded yet counts as commanded to
        where it is, as in motion; uPlot's curves have no gaps.
        """
        measured = [seen.measured.get(name) for name in self._joints]
        if None not in measured:
            commanded = [seen.commanded.get(name, seen.measured[name]) for name in self._joints]
            self._rows.append(np.array([seen.now_s, *measured, *commanded], dtype=float))

    def draw(self) -> None:
        """Shows what was kept."""
        rows = np.array(self._rows)
        if len(rows) < 2:
            return
        rows = rows[rows[:, 0] > rows[-1, 0] - WINDOW_S]
        times_s = rows[:, 0] - rows[-1, 0]
        measured, commanded = np.split(rows[:, 1:], 2, axis=1)
        joint = self._index[self._chosen.value]
        self._positions.data = _contiguous(times_s, measured[:, joint], commanded[:, joint])
        far_mrad = 1e3 * np.abs(measured - commanded)
        errors: list[np.ndarray] = []
        for names in self._parts.values():
            columns = [self._index[name] for name in names]
            errors.append(far_mrad[:, columns].max(axis=1))
        self._errors.data = _contiguous(times_s, *errors[: len(COLOURS)])


def _contiguous(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Columns as viser sends them: by their memory."""
    return tuple(np.ascontiguousarray(column) for column in columns)


def _plot(gui: viser.GuiApi, title: str, lines: dict[str, str]) -> viser.GuiUplotHandle:
    if title:
        gui.add_html(_heading(title))
    nothing = np.zeros(2)
    series = [uplot.Series(label="s")]
    series += [uplot.Series(label=name, stroke=colour, width=2) for name, colour in lines.items()]
    return gui.add_uplot(
        (np.array([-1.0, 0.0]), *(nothing for _ in lines)),
        tuple(series),
        scales={"x": uplot.Scale(time=False, auto=True)},
        aspect=2.0,
    )


def _heading(text: str) -> str:
    return f'<div class="xlvla-small">{text}</div>'
