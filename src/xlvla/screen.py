"""What somebody at the terminal sees of a running rig: one line that changes, and lines that stay."""

from __future__ import annotations

import re
import sys
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.text import Text

_LEVEL = re.compile(r"^(DEBUG|INFO|WARN|ERROR|FATAL): ")
_LEVELS = {"ok": "green", "warning": "yellow"}
WIDTH = 160
"""Columns of what is written to a file or a pipe: a table of figures fits."""
_COLOURS = {"WARN": "yellow", "ERROR": "red", "FATAL": "red"}


def console(*, quiet: bool = False) -> Console:
    """As wide as the terminal; where there is none, wide enough for any table."""
    return Console(highlight=False, quiet=quiet, width=None if sys.stdout.isatty() else WIDTH)


class Screen:
    """A context manager; `verbose` also shows what nodes say at level INFO."""

    def __init__(self, shown: Console | None = None, *, verbose: bool = False):
        self.console = shown or console()
        self._verbose = verbose
        self._status = Status("", console=self.console)
        self._shown: tuple[str | Text, ...] = ()

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._status.stop()

    def waiting(self, nodes: list[str]) -> None:
        self.now(f"waiting for {', '.join(nodes)}")

    def now(self, line: str, *more: Text) -> None:
        """Changes the line that changes, and those below it."""
        shown = (line, *more)
        if shown != self._shown:
            self._shown = shown
            self._status.update(Text("\n", no_wrap=True, overflow="ellipsis").join([Text(line), *more]))

    def say(self, line: str) -> None:
        """A line that stays, in rich's markup."""
        self.console.print(line, soft_wrap=True)

    def heard(self, node: str, line: str) -> None:
        """A line that a node printed."""
        if line.startswith(f"{node}: "):  # why it ended: the launcher says so in its own words
            return
        level = _LEVEL.match(line)
        if level and level[1] in ("DEBUG", "INFO") and not self._verbose:
            return
        colour = _COLOURS.get(level[1], "default") if level else "default"
        self.console.print(f"[dim]{node:>12}[/] [{colour}]{escape(line[level.end() :] if level else line)}[/]", soft_wrap=True)


def rig_line(status: dict[str, Any], figures: dict[str, dict[str, str]]) -> str:
    """Simulated time, what the policy and motion report about themselves, and whatever is not well."""
    policy, motion = figures.get("policy", {}), figures.get("motion", {})
    parts = [f"{status['time_s']:6.1f} s  {status['text']}"] if status else []
    if "observation to chunk p50 [ms]" in policy:
        parts.append(f"chunk after {float(policy['observation to chunk p50 [ms]']):.0f} ms")
    if "control [Hz]" in motion:
        parts.append(f"control {float(motion['control [Hz]']):.0f} Hz, {motion['']}")
    if status.get("real_time_factor"):
        parts.append(f"{status['real_time_factor']:.2f} x real time")
    return "  |  ".join(parts) or "running"


def teleop_line(said: dict[str, Any], motion: dict[str, str]) -> Text:
    """Whose movements the robot follows, how often they come, and how long they take to a chunk and to the command."""
    parts: list[Any] = ["  ", (f"{'teleop':<11}", "cyan"), f"{said['source']} {said['address']}  {said['rate_hz']:.0f} Hz  "]
    parts += [(f"{said['link']}  ", "red")] if said["link"] else []
    for side, state in said["sides"].items():
        word = ("strained" if state["strained"] else "follows") if state["clutched"] else state["why"]
        parts.append((f"{side} {word}  ", "green" if word == "follows" else "yellow"))
    to_command = [float(value) for key, value in motion.items() if key.endswith("observation to command p99 [ms]")]
    took = [f"to chunk {said['latency_ms'][name]:.1f} ms {name}" for name in ("p50", "p99") if name in said["latency_ms"]]
    took += [f"to command {max(to_command):.1f} ms p99"] if to_command else []
    return Text.assemble(*parts, (", ".join(took), "dim"))


def recorder_line(said: dict[str, Any]) -> Text:
    """What is being recorded, or was last, and the worst that is to be said of it."""
    if said.get("state") != "recording":
        return Text.assemble("  ", (f"{'recorder':<11}", "cyan"), f"{said.get('episode') or 'no take yet'}", ("  not recording", "dim"))
    verdict, findings = str(said["verdict"]), said["findings"]
    worst = f"  {findings[0]}" if findings else ""
    facts = f"{said['episode']}  {said['duration_s']:6.1f} s  {said['written_mb']:.1f} MB  "
    return Text.assemble("  ", (f"{'RECORDING':<11}", "bold red"), facts, (verdict + worst, verdict))


def device_line(part: str, level: str, said: str, figures: dict[str, str]) -> Text:
    """A device in one line: what its driver said of it, how often and how fast it is read."""
    pace = f"{float(figures.get('states [Hz]', 0)):4.0f} Hz"
    read = f"read {figures['read p50 [ms]']} ({figures['read p99 [ms]']}) ms" if "read p50 [ms]" in figures else ""
    return Text.assemble("  ", (f"{part:<11}", "cyan"), f"{pace}  {read:<24}", (said, _LEVELS.get(level, "red")))
