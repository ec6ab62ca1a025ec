"""The plots of a report, drawn on matplotlib's axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
"""Label and colour by outcome; None where it was not marked."""


def durations(axes: Axes, episodes: Sequence[Stored]) -> None:
    """How long episodes are, by how they ended."""
    every = [stored.duration_s for stored in episodes]
    bins = np.linspace(0.95 * min(every), 1.05 * max(every), min(30, 6 + len(every)))
    lengths: list[list[float]] = []
    labels: list[str] = []
    colours: list[str] = []
    for success, (label, colour) in ENDED.items():
        some = [stored.duration_s for stored in episodes if stored.success is success]
        if some:
            lengths.append(some)
            labels.append(label)
            colours.append(colour)
    axes.hist(lengths, bins.tolist(), stacked=True, color=colours, label=labels)
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
    commanded = episode.action[side][part]
    measured = episode.measured[side][part]
    for index, name in enumerate(names):
        colour = COLOURS[index % len(COLOURS)]
        line = "-" if index < len(COLOURS) else ":"
        label = name.removeprefix(f"{side}_{part}_")
        axes.plot(seconds, commanded[:, index], line, color=colour, lw=1.3, label=label)
        axes.plot(seconds, measured[:, index], "--", color=colour, lw=0.8, alpha=0.6)
    title = f"{side} {part}"
    if part == "hand":
        title += f", {episode.info.hands[side]}"
    axes.set_title(title, loc="left")
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
    """The sides and parts of an episode that have joints."""
    joints = sample.episode.info.joints
    having: list[tuple[Side, Part]] = []
    for side in sorted(joints):
        for part in PARTS:
            if joints[side][part]:
                having.append((side, part))
    return having


@dataclass(frozen=True)
class Used:
    """Commands of a joint [rad]: the smallest, the 1st and the 99th percentile, and the largest."""

    smallest: float
    q01: float
    q99: float
    largest: float


def spans(
    axes: Axes, title: str, by_joint: Mapping[str, Used], limits: Mapping[str, Range]
) -> None:
    """How much of its range every joint uses: all commands, and the middle 98 % of them, between
    its limits.
    """
    names = list(by_joint)
    for row, name in enumerate(names):
        used = by_joint[name]
        low = used.smallest
        high = used.largest
        if name in limits:
            low = limits[name].lower
            high = limits[name].upper
        width = max(high - low, 1e-9)
        smallest = (used.smallest - low) / width
        q01 = (used.q01 - low) / width
        q99 = (used.q99 - low) / width
        largest = (used.largest - low) / width
        axes.barh(row, 1, color="#eceff3", height=0.62)
        axes.barh(row, largest - smallest, left=smallest, color="#a9c4e4", height=0.62)
        axes.barh(row, q99 - q01, left=q01, color=COLOURS[0], height=0.62)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xticks([0, 0.5, 1], ["lower limit", "", "upper limit"])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-0.03, 1.03)
    axes.set_title(title, loc="left")
    plain(axes, grid=False)


def used(data: Sequence[Stored]) -> dict[str, Used]:
    """The commands of every joint."""
    from xlvla_data.summary import features

    by_joint: dict[str, Used] = {}
    for key, feature, _, stats in features(data):
        if key != layout.ACTION:
            continue
        for index, name in enumerate(feature.names or ()):
            by_joint[name] = Used(
                smallest=float(stats["min"][index]),
                q01=float(stats["q01"][index]),
                q99=float(stats["q99"][index]),
                largest=float(stats["max"][index]),
            )
    return by_joint


def strip(axes: Axes, pictures: Sequence[np.ndarray], title: str) -> None:
    """Pictures side by side."""
    gap = np.full((pictures[0].shape[0], 4, 3), 255, np.uint8)
    pieces = [pictures[0]]
    for picture in pictures[1:]:
        pieces += [gap, picture]
    axes.imshow(np.concatenate(pieces, 1))
    axes.set_title(title, loc="left")
    axes.axis("off")


def plain(axes: Axes, *, grid: bool = True) -> None:
    """Without a frame."""
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, colors=INK)
    if grid:
        axes.grid(color="#e6e9ee", linewidth=0.8)
    axes.set_axisbelow(True)
