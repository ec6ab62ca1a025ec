"""The plots of a report, drawn on matplotlib's axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xlvla.types import PARTS, Part, Side
from xlvla_data.bodies import Range
from xlvla_data.lerobot import layout
from xlvla_data.report.gather import Cloud, Sample
from xlvla_data.store import Stored

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2c6fbb", "#d1603d", "#3f8f5a", "#8a5aa8", "#c2912e", "#4aa3a8", "#b0457b")
GREY = "#c9ced6"
INK = "#2b303a"
ENDED = {True: ("success", "#3f8f5a"), False: ("failure", "#c8452f"), None: ("not said", "#8a93a1")}


def durations(axes: Axes, episodes: Sequence[Stored]) -> None:
    """How long episodes are, by how they ended."""
    lengths = {
        ended: [stored.duration_s for stored in episodes if stored.success is ended]
        for ended in ENDED
    }
    every = [length for some in lengths.values() for length in some]
    bins = np.linspace(0.95 * min(every), 1.05 * max(every), min(30, 6 + len(every)))
    shown = [ended for ended, some in lengths.items() if some]
    axes.hist(
        [lengths[ended] for ended in shown],
        bins.tolist(),
        stacked=True,
        color=[ENDED[e][1] for e in shown],
        label=[ENDED[e][0] for e in shown],
    )
    axes.set(xlabel="length [s]", ylabel="episodes")
    axes.locator_params(axis="y", integer=True)
    axes.legend(frameon=False)
    plain(axes)


def coverage(axes: Axes, side: Side, clouds: Sequence[Cloud], hands: Sequence[str]) -> None:
    """The latents of a side's hands over those of random poses."""
    for cloud in clouds:
        axes.scatter(*cloud.random.T, s=5, color=GREY, alpha=0.35, linewidths=0, rasterized=True)
    for cloud in clouds:
        colour = COLOURS[hands.index(cloud.hand) % len(COLOURS)]
        axes.scatter(
            *cloud.recorded.T,
            s=7,
            color=colour,
            alpha=0.55,
            linewidths=0,
            label=cloud.hand,
            rasterized=True,
        )
    axes.set(title=f"{side} hand", xlabel="first axis", ylabel="second axis")
    axes.legend(frameon=False, markerscale=2.5, loc="best")
    axes.set_aspect("equal", adjustable="datalim")
    plain(axes)


def joints(axes: Axes, sample: Sample, side: Side, part: Part) -> None:
    """Commands of a part's joints (lines) and what was measured (dashes) over an episode."""
    episode = sample.episode
    seconds = np.arange(episode.frames) / episode.info.rate_hz
    names = episode.info.joints[side][part]
    for index, name in enumerate(names):
        colour = COLOURS[index % len(COLOURS)]
        line = "-" if index < len(COLOURS) else ":"
        axes.plot(
            seconds,
            episode.action[side][part][:, index],
            line,
            color=colour,
            lw=1.3,
            label=name.removeprefix(f"{side}_{part}_"),
        )
        axes.plot(
            seconds, episode.measured[side][part][:, index], "--", color=colour, lw=0.8, alpha=0.6
        )
    axes.set_title(
        f"{side} {part}" + (f", {episode.info.hands[side]}" if part == "hand" else ""), loc="left"
    )
    axes.legend(
        frameon=False,
        fontsize=6.5,
        ncols=1 + len(names) // 9,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        handlelength=1.2,
    )
    axes.set(xlabel="s", ylabel="rad", xlim=(0, max(seconds[-1], 0.1)))
    plain(axes)


def parts(sample: Sample) -> list[tuple[Side, Part]]:
    return [
        (side, part)
        for side in sorted(sample.episode.info.joints)
        for part in PARTS
        if sample.episode.info.joints[side][part]
    ]


def spans(
    axes: Axes,
    title: str,
    found: Mapping[str, tuple[float, float, float, float]],
    limits: Mapping[str, Range],
) -> None:
    """How much of its range every joint uses: all commands, and the middle 98 % of them, between
    its limits.
    """
    names = list(found)
    for row, name in enumerate(names):
        low, high = (
            (limits[name].lower, limits[name].upper)
            if name in limits
            else (found[name][0], found[name][3])
        )
        smallest, usual, most, largest = (
            (value - low) / max(high - low, 1e-9) for value in found[name]
        )
        axes.barh(row, 1, color="#eceff3", height=0.62)
        axes.barh(row, largest - smallest, left=smallest, color="#a9c4e4", height=0.62)
        axes.barh(row, most - usual, left=usual, color=COLOURS[0], height=0.62)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xticks([0, 0.5, 1], ["lower limit", "", "upper limit"])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-0.03, 1.03)
    axes.set_title(title, loc="left")
    plain(axes, grid=False)


def used(data: Sequence[Stored]) -> dict[str, tuple[float, float, float, float]]:
    """Smallest command, the range of the middle 98 % and the largest, by joint."""
    from xlvla_data.summary import features

    found = {}
    for key, feature, _, stats in features(data):
        if key == layout.ACTION:
            rows = np.stack([stats[word] for word in ("min", "q01", "q99", "max")], 1)
            found |= {
                name: tuple(map(float, row))
                for name, row in zip(feature.names or (), rows, strict=True)
            }
    return found


def strip(axes: Axes, pictures: Sequence[np.ndarray], title: str) -> None:
    """Pictures side by side."""
    gap = np.full((pictures[0].shape[0], 4, 3), 255, np.uint8)
    axes.imshow(np.concatenate([piece for picture in pictures for piece in (picture, gap)][:-1], 1))
    axes.set_title(title, loc="left")
    axes.axis("off")


def plain(axes: Axes, *, grid: bool = True) -> None:
    """Without a frame."""
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, colors=INK)
    if grid:
        axes.grid(color="#e6e9ee", linewidth=0.8)
    axes.set_axisbelow(True)
