"""`xlvla watch`: the topics of a running graph, from any terminal, without a ROS installation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla_cli.options import Domain

if TYPE_CHECKING:
    from xlvla.ros.reader import Raw, Reader
    from xlvla_cli.ros.topic_viewer import TopicViewer

LOOK_S = 0.01
SILENT_S = 3.0
"""That nothing comes is said after so long."""


def register(app: typer.Typer) -> None:
    app.command("watch")(watch)


def watch(
    topic: Annotated[
        str, typer.Argument(help="left/arm/joint_states, motion/status, ...; all if not given.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="End after one message.")] = False,
    rate: Annotated[
        bool, typer.Option("--rate", help="Messages and bytes a second instead of contents.")
    ] = False,
    domain: Domain = None,
) -> None:
    """Show what is published on a topic, or which topics are; ends at Ctrl-C."""
    from xlvla.run import ended_by_signals
    from xlvla_cli.ros.topic_viewer import TopicViewer

    with ended_by_signals(), TopicViewer(domain) as viewer:
        if not topic:
            _list(viewer)
            return
        reader = viewer.subscribe(viewer.find(topic))
        if rate:
            _print_rate(reader, once)
        else:
            _print_messages(viewer, reader, once)


def _list(viewer: TopicViewer) -> None:
    from xlvla import screen
    from xlvla.text import plain
    from xlvla_cli.tables import table

    published = viewer.published()
    if not published:
        raise viewer.nothing
    found = table("Topics", "topic", "type", "published by")
    for topic in published:
        types = ", ".join(plain(kind).replace("/msg/", "/") for kind in topic.types)
        found.add_row(plain(topic.name), types, ", ".join(plain(name) for name in topic.publishers))
    screen.console().print(found)


def _print_messages(viewer: TopicViewer, reader: Reader[Any], once: bool) -> None:
    from xlvla_cli.ros.topic_viewer import lines

    began_ns = time.time_ns()
    came_s = time.monotonic()
    while True:
        for raw in reader.every_raw():
            came_s = time.monotonic()
            message = reader.read(raw)
            if message is None:  # its refusal is in the log
                continue
            typer.echo(_heading(reader.topic.name, raw, began_ns))
            for line in lines(message):
                typer.echo(f"  {line}")
            if once:
                return
        came_s = _told_if_silent(viewer, reader.topic.name, came_s)
        time.sleep(LOOK_S)


def _print_rate(reader: Reader[Any], once: bool) -> None:
    """Once a second: messages and bytes, and how long the slowest was on its way."""
    began_ns = time.time_ns()
    while True:
        end_s = time.monotonic() + 1
        came: list[Raw] = []
        while time.monotonic() < end_s:
            came += reader.every_raw()
            time.sleep(LOOK_S)
        size = sum(len(raw.data) for raw in came)
        on_their_way_ns = [raw.came_ns - raw.sent_ns for raw in came if raw.sent_ns >= began_ns]
        line = f"{len(came):5d} Hz  {size / 1e3:9.1f} kB/s"
        if on_their_way_ns:
            line += f"  at most {max(on_their_way_ns) / 1e6:.1f} ms on its way"
        typer.echo(line)
        if once:
            return


def _heading(name: str, raw: Raw, began_ns: int) -> str:
    sent = time.strftime("%H:%M:%S", time.localtime(raw.sent_ns / 1e9))
    milliseconds = raw.sent_ns // 1_000_000 % 1000
    if raw.sent_ns < began_ns:  # its publisher keeps it for whoever comes later
        return f"{name}  sent {sent}.{milliseconds:03d}, before this began"
    on_its_way_ms = (raw.came_ns - raw.sent_ns) / 1e6
    return f"{name}  sent {sent}.{milliseconds:03d}, {on_its_way_ms:.1f} ms on its way"


def _told_if_silent(viewer: TopicViewer, name: str, came_s: float) -> float:
    """Since when nothing has come, or when that was said."""
    if time.monotonic() < came_s + SILENT_S:
        return came_s
    there = "its publisher is there" if viewer.is_published(name) else "nobody publishes it now"
    typer.echo(f"{name}: nothing for {SILENT_S:.0f} s, {there}", err=True)
    return time.monotonic()
