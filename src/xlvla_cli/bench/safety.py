"""`xlvla bench safety`: a hundred thousand unsafe chunks, and how near anything comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla_cli.options import Fresh, Seed, Workers, listed

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla_cli.bench.adversary.result_file import ResultFile
    from xlvla_cli.bench.adversary.scenarios import Kind, Scenario
    from xlvla_cli.bench.adversary.summary import Summary
    from xlvla_cli.tables import Columns

OUT = Path("out/bench/safety.json")

MOST_FAULTS = 20
"""Scenarios whose faults are listed; of the rest only their number is."""

CAPTION = (
    "room: a distance less its stop, negative also where a scenario began nearer\n"
    "worst: furthest below the stop, or below where it began if that was nearer"
)


def register(app: typer.Typer) -> None:
    app.command("safety")(safety)


def safety(
    chunks: Annotated[
        int, typer.Option(min=1, help="Minimum number of chunks to offer.")
    ] = 100_000,
    seed: Seed = 0,
    workers: Workers = 1,
    kind: Annotated[
        list[str] | None, typer.Option(help="Kind of scenario; repeatable. All by default.")
    ] = None,
    hands: Annotated[
        str,
        typer.Option(
            help="Hands, separated by commas; left+right for two. All and mixed ones if not given."
        ),
    ] = "",
    out: Annotated[
        Path,
        typer.Option(
            help="JSON file for the figures; scenarios it already holds are not repeated."
        ),
    ] = OUT,
    fresh: Fresh = False,
    fixed: Annotated[
        bool,
        typer.Option(
            help="Also play the fixed scenarios, next to the results of an earlier build."
        ),
    ] = True,
    unsafe_baseline: Annotated[
        bool, typer.Option("--unsafe-baseline", help="The same with distance checks switched off.")
    ] = False,
) -> None:
    """Try to make arms collide: every command, and the motion between commands, is checked
    independently; exit code 1 on any violation.
    """
    from xlvla import screen
    from xlvla.motion import MotionConfig
    from xlvla_cli.bench.adversary.fixed import play_all
    from xlvla_cli.bench.adversary.result_file import ResultFile
    from xlvla_cli.bench.adversary.rig_variants import rig_variants
    from xlvla_cli.bench.adversary.scenarios import planned
    from xlvla_cli.bench.adversary.summary import summed
    from xlvla_cli.bench.adversary.trial import motion_digest
    from xlvla_cli.workers import cores

    watched = not unsafe_baseline
    kinds = _kinds(kind)
    todo = planned(seed, kinds, rig_variants(listed(hands)), MotionConfig().stale_s, chunks)
    about = {"watched": watched, "motion": motion_digest()}
    result_file = ResultFile(out, about, fresh=fresh)
    _try(todo, result_file, watched, workers or cores())
    results = {scenario.key: result_file.results[scenario.key] for scenario in todo}
    summaries = summed(results, kinds)
    fixed_results = play_all(watched) if fixed else []
    result_file.close(
        {
            "chunks": chunks,
            "seed": seed,
            "kinds": [summary.plain() for summary in summaries],
            "fixed": fixed_results,
        }
    )
    console = screen.console()
    if fixed_results:
        console.print(_compared(fixed_results))
    console.print(_table(summaries))
    for line in _lines(summaries[-1]):
        console.print(line, markup=False, highlight=False)
    console.print(f"written: {out}", highlight=False)
    if summaries[-1].faults:
        raise typer.Exit(1)


def _kinds(names: list[str] | None) -> list[Kind]:
    """The kinds of these names, all where none are given."""
    from xlvla.errors import unknown
    from xlvla_cli.bench.adversary.scenarios import KINDS

    if not names:
        return list(KINDS)
    for name in names:
        if name not in KINDS:
            raise unknown("kind of scenario", name, KINDS)
    return [kind for kind in KINDS if kind in names]


def _try(todo: Sequence[Scenario], result_file: ResultFile, watched: bool, workers: int) -> None:
    """Tries the scenarios that have no results yet."""
    from xlvla import screen
    from xlvla.errors import XlvlaError
    from xlvla.run import interruptible
    from xlvla_cli.progress import progress_bar

    waiting = [scenario for scenario in todo if scenario.key not in result_file.results]
    total = sum(scenario.chunks for scenario in todo)
    left = sum(scenario.chunks for scenario in waiting)
    try:
        with interruptible(), progress_bar(screen.console()) as progress:
            finished = len(todo) - len(waiting)
            if finished:
                progress.console.print(
                    f"{finished} of {len(todo)} scenarios are in {result_file.path} already"
                )
            bar = progress.add_task("chunks", total=total, completed=total - left)
            for scenario, figures in _results(waiting, watched, workers):
                result_file.enter(scenario.key, figures)
                progress.update(
                    bar,
                    advance=scenario.chunks,
                    description=f"chunks ({scenario.kind}, {scenario.variant.name})",
                )
    except KeyboardInterrupt:
        raise XlvlaError(
            f"stopped; what is finished is in {result_file.path}, and the same command goes on "
            "from there"
        ) from None


def _results(
    waiting: Sequence[Scenario], watched: bool, workers: int
) -> Iterator[tuple[Scenario, dict[str, Any]]]:
    from xlvla_cli.bench.adversary.trial import try_out
    from xlvla_cli.workers import finished, pool

    jobs = [(scenario, watched) for scenario in waiting]
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job[0], try_out(job)
        return
    with pool(workers) as processes:
        try:
            for (scenario, _), figures in finished(processes, try_out, jobs, ahead=2 * workers):
                yield scenario, figures
        except BaseException:
            processes.shutdown(wait=True, cancel_futures=True)
            raise


def _compared(fixed: Sequence[dict[str, Any]]) -> Table:
    from xlvla_cli.bench.adversary.fixed import BEFORE, COMMIT
    from xlvla_cli.tables import table

    rows = table(
        "Smallest commanded distance on the rig 'bimanual'",
        "what is asked",
        "stop mm",
        f"{COMMIT} mm",
        "today mm",
        "chunks today",
    )
    for entry in fixed:
        name = entry["name"]
        played = f"{entry['accepted']} played"
        if entry["refused"]:
            played += f", {entry['refused']} refused"
        rows.add_row(
            name,
            f"{1e3 * entry['stop_m']:+.1f}",
            f"{BEFORE[name]:+.1f}",
            f"{1e3 * entry['distance_m']:+.1f}",
            played,
        )
    return rows


def _table(summaries: Sequence[Summary]) -> Table:
    from xlvla_cli.bench.adversary.trial import percentile_ms
    from xlvla_cli.tables import table_of

    columns: Columns[Summary] = (
        ("kind", lambda summary: summary.kind),
        ("offered", lambda summary: f"{summary.offered:,}"),
        ("played", lambda summary: f"{summary.accepted:,}"),
        ("braked", lambda summary: f"{summary.braked:,}"),
        ("slowed", lambda summary: f"{summary.slowed / max(summary.ticks, 1):.0%}"),
        ("least room mm", _least_room),
        ("between", lambda summary: summary.nearest["gap"] if summary.nearest else "-"),
        ("worst mm", _worst),
        ("limits", lambda summary: "exceeded" if any(summary.excess.values()) else "kept"),
        ("tick ms p50", lambda summary: f"{percentile_ms(summary.took, 0.5):.2f}"),
        ("p99", lambda summary: f"{percentile_ms(summary.took, 0.99):.2f}"),
        ("faults", lambda summary: str(len(summary.faults))),
    )
    shown = table_of("Unsafe chunks", columns, summaries)
    shown.caption = CAPTION
    return shown


def _least_room(summary: Summary) -> str:
    room_m = summary.nearest["room_m"] if summary.nearest else 0.0
    return f"{1e3 * room_m:+.2f}"


def _worst(summary: Summary) -> str:
    below_m = summary.breach["below_m"] if summary.breach else 0.0
    return f"{1e3 * below_m:.2f}"


def _lines(total: Summary) -> Iterator[str]:
    """What does not fit into a table."""
    from xlvla_cli.bench.adversary.trial import ALLOWED_M

    reasons = [f"{name} {count:,}" for name, count in total.refused.most_common()]
    refused = ", ".join(reasons) or "none"
    yield f"{total.scenarios:,} scenarios, {total.ticks:,} ticks; chunks refused: {refused}"
    if total.breach and total.breach["below_m"] > 0:
        yield (
            f"worst: {total.breach['gap']}, {1e3 * total.breach['below_m']:.2f} mm; up to "
            f"{1e3 * ALLOWED_M:g} mm count as kept"
        )
    followed = total.led_back - len(total.stuck)
    yield (
        f"{followed} of {total.led_back} followed their own path back when told to; "
        f"{len(total.unsettled)} never came to rest alone"
    )
    for key, lines in list(total.faults.items())[:MOST_FAULTS]:
        yield f"{key}: {'; '.join(lines)}"
    if len(total.faults) > MOST_FAULTS:
        yield f"and {len(total.faults) - MOST_FAULTS} more"
