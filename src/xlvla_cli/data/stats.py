"""`xlvla data stats`: what episodes there are, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.data import Folders, Hands, Success, Tasks, Verdict

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla_data.store import Stored
    from xlvla_data.summary import Group

LIGHTS = ("green", "yellow", "red")


def register(app: typer.Typer) -> None:
    app.command("stats")(stats)


def stats(
    datasets: Folders,
    hands: Hands = "",
    tasks: Tasks = "",
    verdict: Verdict = "",
    success: Success = "",
    joints: Annotated[
        bool, typer.Option("--joints", help="Every joint's range beside its limits.")
    ] = False,
) -> None:
    """Count episodes by task and hands, with durations, successes and verdicts; then the range of
    every feature.
    """
    from xlvla import screen
    from xlvla_data import selection

    episodes = selection.find(datasets, selection.parse(hands, tasks, verdict, success))
    console = screen.console()
    console.print(_counts(episodes))
    console.print(_joints(episodes) if joints else _features(episodes))


def _counts(episodes: Sequence[Stored]) -> Table:
    from xlvla_cli.tables import table
    from xlvla_data.summary import groups

    rows = table(
        "Episodes",
        "task",
        "hands",
        "episodes",
        "minutes",
        "length s",
        "success",
        "verdicts",
        "sessions",
    )
    for column in rows.columns[2:]:
        column.justify = "right"
    found = groups(episodes)
    for group in found:
        rows.add_row(group.task or "-", group.hands, str(len(group.durations_s)), *_figures(group))
    if len(found) > 1:
        rows.add_section()
        minutes = sum(sum(group.durations_s) for group in found) / 60
        won, judged = (sum(_won(group)[index] for group in found) for index in (0, 1))
        verdicts = sum((Counter(group.verdicts) for group in found), Counter[str]())
        rows.add_row(
            "all",
            "",
            str(len(episodes)),
            f"{minutes:.1f}",
            "",
            f"{won}/{judged}",
            _lights(verdicts),
            "",
        )
    return rows


def _figures(group: Group) -> list[str]:
    lengths, (won, judged) = sorted(group.durations_s), _won(group)
    spread = f"{lengths[0]:.1f} - {lengths[-1]:.1f}" if len(lengths) > 1 else f"{lengths[0]:.1f}"
    return [
        f"{sum(lengths) / 60:.1f}",
        spread,
        f"{won}/{judged}" if judged else "-",
        _lights(group.verdicts),
        str(group.sessions or "-"),
    ]


def _lights(verdicts: Mapping[str, int]) -> str:
    """`5 green, 1 red`."""
    return (
        ", ".join(f"{count} {light}" for light in LIGHTS if (count := verdicts.get(light, 0)))
        or "-"
    )


def _won(group: Group) -> tuple[int, int]:
    """Successes, and of how many episodes it is known."""
    won = group.success.get("yes", 0)
    return won, won + group.success.get("no", 0)


def _features(episodes: Sequence[Stored]) -> Table:
    from xlvla_cli.tables import table
    from xlvla_data.summary import features

    rows = table(
        "Features", "feature", "hands", "numbers", "smallest", "largest", "mean", "deviation"
    )
    for column in rows.columns[2:]:
        column.justify = "right"
    for key, feature, hands, found in features(episodes):
        shape = (
            "x".join(map(str, feature.shape)) if feature.dtype == "video" else str(feature.shape[0])
        )
        figures = (
            found["min"].min(),
            found["max"].max(),
            found["mean"].mean(),
            found["std"].mean(),
        )
        rows.add_row(key, ", ".join(hands), shape, *(f"{value:.4g}" for value in figures))
    rows.caption = (
        "joints in rad, keypoints in m, pictures in 0..1; mean and deviation are over a feature's "
        "numbers"
    )
    return rows


def _joints(episodes: Sequence[Stored]) -> Table:
    from xlvla_cli.tables import table
    from xlvla_data.bodies import ranges
    from xlvla_data.lerobot import layout
    from xlvla_data.summary import features

    rows = table(
        "Commanded joints [rad]",
        "joint",
        "limit",
        "smallest",
        "1 %",
        "middle",
        "99 %",
        "largest",
        "limit",
        "used",
    )
    for column in rows.columns[1:]:
        column.justify = "right"
    known = {
        name: limit
        for each in episodes
        for name, limit in ranges(each.hands, each.data.info.own.get("joints", {})).items()
    }
    for key, feature, _, found in features(episodes):
        for index, name in enumerate(feature.names or ()) if key == layout.ACTION else ():
            values = [found[word][index] for word in ("min", "q01", "q50", "q99", "max")]
            limit = known.get(name)
            ends = [f"{limit.lower:.2f}", f"{limit.upper:.2f}"] if limit else ["-", "-"]
            used = f"{(values[4] - values[0]) / (limit.upper - limit.lower):.0%}" if limit else "-"
            rows.add_row(name, ends[0], *(f"{value:.2f}" for value in values), ends[1], used)
    return rows
