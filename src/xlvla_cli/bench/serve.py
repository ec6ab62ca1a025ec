"""`xlvla bench serve`: what a policy behind openpi's websocket costs beside the direct call."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla_cli.options import FiguresOut

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.policy import Observation
    from xlvla.rig import Rig

ROWS = {
    "direct": "the direct call",
    "served": "over the wire, from request to chunk",
    "beside": "of this, all but the model",
}
PATIENCE_S = 60.0
"""Longest wait for an answer: nothing is measured by giving up."""


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    policy: Annotated[
        str, typer.Argument(help="A policy of the catalogue (`xlvla list`), or its weights.")
    ] = "xlvla",
    rig: Annotated[str, typer.Option(help="Rig of the policy.")] = "bimanual",
    rounds: Annotated[int, typer.Option(min=2, help="Chunks to time.")] = 200,
    out: FiguresOut = None,
) -> None:
    """Time a policy's chunks when it is called and when `xlvla serve` is asked, in turn."""
    from xlvla.run import interruptible
    from xlvla.screen import Screen
    from xlvla_cli.bench.figures import save

    with Screen() as screen, interruptible():
        screen.now("loading the policy twice")
        figures = _measured(rig, policy, rounds, screen)
        screen.console.print(_table(figures, f"{policy} for {rig}"))
    save(out, figures)


def _measured(rig: str, policy: str, rounds: int, screen: Any) -> dict[str, Any]:
    """Milliseconds of each row, and the largest difference of the two chunks [rad]."""
    import numpy as np

    from xlvla import catalog
    from xlvla_cli.serve import chosen
    from xlvla_policy.policies.openpi import load

    with _server(rig, policy) as address:
        local = chosen(rig, policy, None, None)
        assert local.policy is not None
        called = catalog.policy(local.policy.type)(local)
        asked = load(_asking(local, address, called.frames, called.rate_hz))
        times: dict[str, list[float]] = {row: [] for row in ROWS}
        difference = 0.0
        for turn in range(rounds + 1):
            screen.now(f"chunk {turn} of {rounds}")
            observation = _observation(local, called.frames, turn)
            began_s = time.perf_counter()
            here = called.predict(observation)
            called_s = time.perf_counter()
            there = asked.predict(observation)
            answered_s = time.perf_counter()
            for side, parts in here.positions.items():
                for part, rows in parts.items():
                    off = np.abs(rows - there.positions[side][part]).max()
                    difference = max(difference, float(off))
            if turn == 0:  # connects, and is no decision like the others
                continue
            served_ms = 1e3 * (answered_s - called_s)
            times["direct"].append(1e3 * (called_s - began_s))
            times["served"].append(served_ms)
            times["beside"].append(served_ms - asked.infer_ms)
        asked.close()
    return {"difference_rad": difference, **{row: _spread(values) for row, values in times.items()}}


def _spread(values: list[float]) -> dict[str, float]:
    import numpy as np

    p50, p99 = np.percentile(values, (50, 99))
    return {"p50": float(p50), "p99": float(p99), "max": max(values), "count": len(values)}


@contextlib.contextmanager
def _server(rig: str, policy: str) -> Iterator[str]:
    """`xlvla serve` as a process; its address."""
    from xlvla.errors import XlvlaError

    command = [sys.executable, "-u", "-m", "xlvla", "serve", policy, "--rig", rig, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"ws://\S+:\d+", process.stdout.readline())
            if found is None:
                raise XlvlaError("xlvla serve did not start; it says why above")
            yield found[0].rstrip(":")
        finally:
            process.terminate()


def _asking(rig: Rig, address: str, frames: int, rate_hz: float) -> Rig:
    """The same rig with the server's policy."""
    from dataclasses import replace

    from xlvla.rig_parts import PolicyConfig, PolicyServer

    server = PolicyServer(address, frames, rate_hz, timeout_s=PATIENCE_S, executed="executed")
    return replace(rig, policy=PolicyConfig(type="openpi", server=server))


def _observation(rig: Rig, frames: int, seed: int) -> Observation:
    """Noise for every camera, and a robot that stands somewhere."""
    import numpy as np

    from xlvla.policy import Observation
    from xlvla.types import Part, Side

    assert rig.policy is not None
    generator = np.random.default_rng(seed)
    images: dict[str, np.ndarray] = {}
    for name, camera in rig.cameras.items():
        width, height = camera.publish
        images[name] = generator.integers(0, 256, (height, width, 3), np.uint8)
    executed: dict[Side, dict[Part, np.ndarray]] = {side: {} for side in rig.sides}
    for side, part in rig.parts:
        lower, upper = rig.limits(side, part)
        # As the wire has it.
        pose = generator.uniform(lower, upper).astype(np.float32).astype(float)
        executed[side][part] = np.tile(pose, (frames, 1))
    return Observation(0, images, rig.policy.instruction, executed)


def _table(figures: dict[str, Any], title: str) -> Table:
    from xlvla_cli.bench.figures import spread_cells
    from xlvla_cli.tables import table

    filled = table(title, "what", "p50 ms", "p99 ms", "max ms", "chunks")
    for row, words in ROWS.items():
        filled.add_row(words, *spread_cells(figures[row]))
    filled.caption = f"largest difference of the two chunks: {figures['difference_rad']:.1e} rad"
    return filled
