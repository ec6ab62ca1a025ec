"""`xlvla bench recorder`: what recording costs, and whether it keeps up with everything at its full
rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla.types import SECOND
from xlvla_cli.options import FiguresOut, OwnDomain

if TYPE_CHECKING:
    from xlvla.rig import Rig
    from xlvla.run import Supervisor
    from xlvla_cli.ros.operator import Operator

RIG = "bimanual_emulated"


def register(app: typer.Typer) -> None:
    app.command("recorder")(recorder)


def recorder(
    seconds: Annotated[float, typer.Option(min=2.0, help="Duration of a recorded episode.")] = 20.0,
    hz: Annotated[
        float,
        typer.Option(min=10.0, help="Rate of joint states and commands of each of the four parts."),
    ] = 200.0,
    camera_hz: Annotated[float, typer.Option(min=1.0, help="Rate of the camera.")] = 30.0,
    width: Annotated[
        int,
        typer.Option(
            min=64, help="Width of the camera's raw pictures; their height is three quarters of it."
        ),
    ] = 320,
    domain: OwnDomain = None,
    out: FiguresOut = None,
) -> None:
    """Record a stream of everything a bimanual rig says, raw pictures included: disk, processor,
    lost messages, time to stop.
    """
    import tempfile

    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.bench.figures import save
    from xlvla_cli.tables import table

    if domain is None:
        domain = own_domain()
    with Screen() as screen, interruptible(), tempfile.TemporaryDirectory() as folder:
        screen.now("recording")
        figures = _measured(_rig(folder, hz, camera_hz, width), seconds, domain)
        shown = table("Recorder", "what", "figure")
        for name, figure in figures.items():
            text = f"{figure:.3g}" if isinstance(figure, float) else str(figure)
            shown.add_row(name, text)
        screen.console.print(shown)
    save(out, figures)


def _rig(folder: str, hz: float, camera_hz: float, width: int) -> Rig:
    """The emulated rig at these rates; only its recorder is started."""
    document = rig_file.with_choices(rig_file.load(RIG), policy="none").document()
    for side in document["sides"].values():
        for part in side.values():
            part["device"]["rate_hz"] = hz
    document["motion"]["rate_hz"] = hz
    camera = document["cameras"]["front"]
    camera["rate_hz"] = camera_hz
    camera["publish"] = [width, width * 3 // 4]
    document["recorder"] = {"folder": folder, "least_free_gb": 1e-3}
    return rig_file.from_document(document, RIG)


def _measured(rig: Rig, seconds: float, domain: int) -> dict[str, Any]:
    import time

    from xlvla import graph
    from xlvla.ros import topics
    from xlvla.run import Supervisor
    from xlvla_cli.ros.operator import Operator
    from xlvla_data.bag.card import read_episode_card
    from xlvla_data.bag.layout import mcap_path
    from xlvla_data.bag.reader import bags

    assert rig.recorder is not None
    with (
        Operator(domain=domain) as operator,
        Supervisor(rig, graph.chosen(rig, only=["recorder"]), domain=domain) as supervisor,
    ):
        supervisor.wait_ready()
        streams = list(_everything(operator.node, rig))
        idle = _share(operator, supervisor, streams, 3.0)
        operator.call(topics.RECORDER_START)
        busy = _share(operator, supervisor, streams, seconds)
        called_s = time.monotonic()
        operator.call(topics.RECORDER_STOP)
        stop_s = time.monotonic() - called_s
        (folder,) = bags(Path(rig.recorder.folder))
        card = read_episode_card(folder)
        written = mcap_path(folder).stat().st_size
    messages = sum(figures["messages"] for figures in card.figures.values())
    lost = sum(figures["lost"] for figures in card.figures.values())
    span_s = (card.ended_ns - card.began_ns) / SECOND
    return {
        "messages a second": messages / span_s,
        "lost of those sent": lost / max(messages + lost, 1),
        "written [MB/s]": written / span_s / 1e6,
        "processor, listening [share of one]": idle,
        "processor, recording [share of one]": busy,
        "time to stop [s]": stop_s,
        "verdict": card.verdict,
        "findings": "; ".join(card.findings) or "none",
    }


@dataclass
class PublishedStream:
    """Something that is published at a rate."""

    period_s: float
    publish: Callable[[int], None]
    due: float = 0.0


def _everything(node: Any, rig: Rig) -> Iterator[PublishedStream]:
    """What drivers, motion and a camera would publish; the arms move slowly, and every picture is
    another one.
    """
    import numpy as np

    from xlvla.ros import convert, topics

    for side, part in rig.parts:
        start = np.array([rig.start(side)[name] for name in rig.joint_names(side, part)])
        for topic in (topics.joint_states(side, part), topics.command(side, part)):
            message = convert.JointMessage(rig.joint_names(side, part))
            publisher = node.create_publisher(topic.type, topic.relative, topic.qos)

            def pose(
                ns: int,
                message: Any = message,
                publisher: Any = publisher,
                start: np.ndarray = start,
            ) -> None:
                publisher.publish(message.fill(ns, start + 0.1 * np.sin(ns / SECOND), start))

            yield PublishedStream(1 / rig.motion.rate_hz, pose)
    for name, camera in rig.cameras.items():
        wide, high = camera.publish
        ramp = np.linspace(0, 255, wide * high * 3).reshape(high, wide, 3).astype(np.uint8)
        shown = node.create_publisher(
            topics.image(name).type, topics.image(name).relative, topics.image(name).qos
        )

        def picture(
            ns: int, shown: Any = shown, ramp: np.ndarray = ramp, name: str = name, wide: int = wide
        ) -> None:
            shown.publish(convert.image(np.roll(ramp, ns // 10**6 % wide, axis=1), ns, name))

        yield PublishedStream(1 / camera.rate_hz, picture)


def _share(
    operator: Operator, supervisor: Supervisor, streams: list[PublishedStream], seconds: float
) -> float:
    """Publishes everything at its rate for some time; the share of a processor that the recorder
    used meanwhile.
    """
    import time

    from xlvla_cli.bench.processor import processor_s

    recorder = supervisor.nodes[0].process.pid
    began = time.monotonic()
    before = processor_s(recorder)
    while (now := time.monotonic()) < began + seconds:
        supervisor.check()
        for stream in streams:
            if now >= stream.due:
                stream.publish(time.time_ns())
                stream.due = max(stream.due + stream.period_s, now - stream.period_s)
        operator.figures()
        time.sleep(0.0005)
    return (processor_s(recorder) - before) / (time.monotonic() - began)
