"""`xlvla bench safety`: a hundred thousand chunks that mean harm, and how near anything comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla_cli.bench.adversary.scenarios import Kind, Scenario
    from xlvla_cli.bench.adversary.summary import Summary

OUT = Path("out/bench/safety.json")


def register(app: typer.Typer) -> None:
    app.command("safety")(safety)


def safety(
    chunks: Annotated[
        int, typer.Option(min=1, help="Minimum number of chunks to offer.")
    ] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is one per core.")] = 1,
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
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard existing results.")] = False,
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
    from xlvla_cli.bench.adversary.scenarios import planned
    from xlvla_cli.bench.adversary.summary import summed
    from xlvla_cli.bench.adversary.trial import motion_digest
    from xlvla_cli.bench.adversary.workplaces import workplaces
    from xlvla_cli.workers import cores

    kinds = _kinds(kind)
    places = workplaces([words.strip() for words in hands.split(",") if words.strip()])
    todo = planned(seed, kinds, places, MotionConfig().stale_s, chunks)
    result_file = ResultFile(
        out, {"watched": not unsafe_baseline, "motion": motion_digest()}, fresh=fresh
    )
    _try(todo, result_file, not unsafe_baseline, workers or cores())
    summaries = summed(
        {scenario.key: result_file.results[scenario.key] for scenario in todo}, kinds
    )
    known = play_all(not unsafe_baseline) if fixed else []
    result_file.close(
        {
            "chunks": chunks,
            "seed": seed,
            "kinds": [one.plain() for one in summaries],
            "fixed": known,
        }
    )
    console = screen.console()
    if known:
        console.print(_compared(known))
    console.print(_table(summaries))
    for line in _lines(summaries[-1]):
        console.print(line, markup=False, highlight=False)
    console.print(f"written: {out}", highlight=False)
    if summaries[-1].faults:
        raise typer.Exit(1)


def _kinds(chosen: list[str] | None) -> list[Kind]:
    from xlvla.errors import unknown
    from xlvla_cli.bench.adversary.scenarios import KINDS

    for name in chosen or ():
        if name not in KINDS:
            raise unknown("kind of scenario", name, KINDS)
    return [kind for kind in KINDS if not chosen or kind in chosen]


def _try(todo: Sequence[Scenario], result_file: Any, watched: bool, workers: int) -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from xlvla import screen
    from xlvla.errors import XlvlaError
    from xlvla.run import interruptible

    waiting = [scenario for scenario in todo if scenario.key not in result_file.results]
    done = sum(scenario.chunks for scenario in todo if scenario.key in result_file.results)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with interruptible(), Progress(*columns, console=screen.console()) as progress:
            if done:
                progress.console.print(
                    f"{len(todo) - len(waiting)} of {len(todo)} scenarios are "
                    f"in {result_file.path} "
                    "already"
                )
            bar = progress.add_task(
                "chunks", total=sum(scenario.chunks for scenario in todo), completed=done
            )
            for scenario, figures in _results(waiting, watched, workers):
                result_file.enter(scenario.key, figures)
                progress.update(
                    bar,
                    advance=scenario.chunks,
                    description=f"chunks ({scenario.kind}, {scenario.place.name})",
                )
    except KeyboardInterrupt:
        raise XlvlaError(
            f"stopped; what is finished is in {result_file.path}, and the same command "
            "goes on from "
            "there"
        ) from None


def _results(
    waiting: Sequence[Scenario], watched: bool, workers: int
) -> Iterator[tuple[Scenario, dict[str, Any]]]:
    from xlvla_cli.bench.adversary.trial import try_out
    from xlvla_cli.workers import finished, pool

    if workers == 1 or len(waiting) < 2:
        yield from ((scenario, try_out((scenario, watched))) for scenario in waiting)
        return
    with pool(workers) as processes:
        try:
            jobs = [(scenario, watched) for scenario in waiting]
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
        played = f"{entry['accepted']} played" + (
            f", {entry['refused']} refused" if entry["refused"] else ""
        )
        figures = (1e3 * entry["stop_m"], BEFORE[entry["name"]], 1e3 * entry["distance_m"])
        rows.add_row(entry["name"], *(f"{figure:+.1f}" for figure in figures), played)
    return rows


def _table(summaries: Sequence[Summary]) -> Table:
    from xlvla_cli.bench.adversary.trial import percentile_ms
    from xlvla_cli.tables import table

    heads = (
        "kind",
        "offered",
        "played",
        "braked",
        "slowed",
        "least room mm",
        "between",
        "worst mm",
        "limits",
        "tick ms p50",
        "p99",
        "faults",
    )
    rows = table("Chunks that mean harm", *heads)
    for one in summaries:
        nearest = one.nearest or {}
        breach = one.breach or {}
        rows.add_row(
            one.kind,
            f"{one.offered:,}",
            f"{one.accepted:,}",
            f"{one.braked:,}",
            f"{one.slowed / max(one.ticks, 1):.0%}",
            f"{1e3 * nearest.get('room_m', 0):+.2f}",
            nearest.get("gap", "-"),
            f"{1e3 * breach.get('below_m', 0):.2f}",
            "exceeded" if any(one.excess.values()) else "kept",
            f"{percentile_ms(one.took, 0.5):.2f}",
            f"{percentile_ms(one.took, 0.99):.2f}",
            str(len(one.faults)),
        )
    rows.caption = (
        "room: a distance less its stop, negative also where a scenario began nearer\n"
        "worst: furthest below the stop, or below where it began if that was nearer"
    )
    return rows


def _lines(total: Summary) -> Iterator[str]:
    """What does not fit into a table."""
    from xlvla_cli.bench.adversary.trial import ALLOWED_M

    reasons = (
        ", ".join(f"{name} {number:,}" for name, number in total.refused.most_common()) or "none"
    )
    yield f"{total.scenarios:,} scenarios, {total.ticks:,} ticks; chunks refused: {reasons}"
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
    for key, wrong in list(total.faults.items())[:20]:
        yield f"{key}: {'; '.join(wrong)}"
    if len(total.faults) > 20:
        yield f"and {len(total.faults) - 20} more"
