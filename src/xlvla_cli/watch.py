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
    from xlvla_cli.ros.topic_viewer import TopicViewer

    with TopicViewer(domain) as viewer:
        if not topic:
            _list(viewer)
            return
        reader = viewer.subscribe(viewer.find(topic))
        if rate:
            _print_rate(reader, once)
        else:
            _print_messages(reader, once)


def _list(viewer: TopicViewer) -> None:
    from xlvla import screen
    from xlvla.text import plain
    from xlvla_cli.tables import table

    found = table("Topics", "topic", "type", "published by")
    for topic in viewer.published():
        types = ", ".join(plain(kind).replace("/msg/", "/") for kind in topic.types)
        found.add_row(plain(topic.name), types, ", ".join(plain(name) for name in topic.publishers))
    screen.console().print(found)


def _print_messages(reader: Reader[Any], once: bool) -> None:
    from xlvla_cli.ros.topic_viewer import lines

    came_s = time.monotonic()
    while True:
        for raw in reader.every_raw():
            came_s = time.monotonic()
            message = reader.read(raw)
            if message is None:  # its refusal is in the log
                continue
            typer.echo(_heading(reader.topic.name, raw))
            for line in lines(message):
                typer.echo(f"  {line}")
            if once:
                return
        came_s = _told_if_silent(reader, came_s)
        time.sleep(LOOK_S)


def _print_rate(reader: Reader[Any], once: bool) -> None:
    """Once a second: messages and bytes, and how long the oldest was on its way."""
    while True:
        end_s = time.monotonic() + 1
        came: list[Raw] = []
        while time.monotonic() < end_s:
            came += reader.every_raw()
            time.sleep(LOOK_S)
        size = sum(len(raw.data) for raw in came)
        late = max((raw.came_ns - raw.sent_ns for raw in came), default=0)
        typer.echo(
            f"{len(came):5d} Hz  {size / 1e3:9.1f} kB/s  at most {late / 1e6:.1f} ms on its way"
        )
        if once:
            return


def _heading(name: str, raw: Raw) -> str:
    sent = time.strftime("%H:%M:%S", time.localtime(raw.sent_ns / 1e9))
    milliseconds = raw.sent_ns // 1_000_000 % 1000
    on_its_way_ms = (raw.came_ns - raw.sent_ns) / 1e6
    return f"{name}  sent {sent}.{milliseconds:03d}, {on_its_way_ms:.1f} ms on its way"


def _told_if_silent(reader: Reader[Any], came_s: float) -> float:
    """Since when nothing has come, or when that was said."""
    if time.monotonic() < came_s + SILENT_S:
        return came_s
    typer.echo(f"{reader.topic.name}: nothing for {SILENT_S:.0f} s", err=True)
    return time.monotonic()
