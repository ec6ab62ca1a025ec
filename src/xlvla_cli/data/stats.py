"""`xlvla data stats`: what episodes there are, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla_cli.data import Folders, Hands, Success, Tasks, Verdict, print_notes

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla_data.store import Stored
    from xlvla_data.summary import Group

LIGHTS = ("green", "yellow", "red")
QUANTILES = ("min", "q01", "q50", "q99", "max")


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
    print_notes(episodes)


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
    by_task = groups(episodes)
    for group in by_task:
        count = len(group.durations_s)
        rows.add_row(group.task or "-", group.hands, str(count), *_figures(group))
    if len(by_task) > 1:
        rows.add_section()
        minutes = 0.0
        won = 0
        judged = 0
        verdicts = Counter[str]()
        for group in by_task:
            minutes += sum(group.durations_s) / 60
            group_won, group_judged = _won(group)
            won += group_won
            judged += group_judged
            verdicts.update(group.verdicts)
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
    lengths = sorted(group.durations_s)
    won, judged = _won(group)
    spread = f"{lengths[0]:.1f}"
    if len(lengths) > 1:
        spread += f" - {lengths[-1]:.1f}"
    return [
        f"{sum(lengths) / 60:.1f}",
        spread,
        f"{won}/{judged}" if judged else "-",
        _lights(group.verdicts),
        str(group.sessions or "-"),
    ]


def _lights(verdicts: Mapping[str, int]) -> str:
    """`5 green, 1 red`."""
    counts = [f"{verdicts[light]} {light}" for light in LIGHTS if verdicts.get(light)]
    return ", ".join(counts) or "-"


def _won(group: Group) -> tuple[int, int]:
    """Successes, and of how many episodes it is known."""
    won = group.success.get("yes", 0)
    return won, won + group.success.get("no", 0)


def _features(episodes: Sequence[Stored]) -> Table:
    from xlvla_cli.tables import table
    from xlvla_data.lerobot import layout
    from xlvla_data.summary import features

    rows = table(
        "Features", "feature", "hands", "numbers", "smallest", "largest", "mean", "deviation"
    )
    for column in rows.columns[2:]:
        column.justify = "right"
    for key, feature, hands, statistics in features(episodes):
        shape = str(feature.size)
        if feature.dtype in layout.PICTURES:
            shape = "x".join(map(str, feature.shape))
        rows.add_row(
            key,
            ", ".join(hands),
            shape,
            f"{statistics['min'].min():.4g}",
            f"{statistics['max'].max():.4g}",
            f"{statistics['mean'].mean():.4g}",
            f"{statistics['std'].mean():.4g}",
        )
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
    limits: dict[str, Any] = {}
    for episode in episodes:
        limits |= ranges(episode.hands, episode.data.info.own.get("joints", {}))
    for key, feature, _, statistics in features(episodes):
        if key != layout.ACTION:
            continue
        for index, name in enumerate(feature.names or ()):
            values = [statistics[quantile][index] for quantile in QUANTILES]
            lower = "-"
            upper = "-"
            used = "-"
            limit = limits.get(name)
            if limit:
                lower = f"{limit.lower:.2f}"
                upper = f"{limit.upper:.2f}"
                used = f"{(values[-1] - values[0]) / (limit.upper - limit.lower):.0%}"
            rows.add_row(name, lower, *(f"{value:.2f}" for value in values), upper, used)
    return rows
