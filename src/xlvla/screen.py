"""The terminal view of a running rig: one line that changes, and lines that stay."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from xlvla.text import RepeatFilter, plain, plain_lines

_LEVEL = re.compile(r"^(DEBUG|INFO|WARN|ERROR|FATAL): ")
_LEVELS = {"ok": "green", "warning": "yellow"}
WIDTH = 160
"""Columns of what is written to a file or a pipe: a table of figures fits."""

MOST_LINES = 500
"""Different lines of nodes within two seconds: libraries print to a node's terminal, too."""

LONGEST_PART = 2000
"""Characters of a part of a line that stays."""

_COLOURS = {"WARN": "yellow", "ERROR": "red", "FATAL": "red"}


class Plain(Console):
    """A console that shows text as it is: square brackets are no markup, and codes that move a
    terminal's cursor are spelled out.

    Names, sentences and what nodes say come from files, messages and other programs. A style is a
    `rich.text.Text`.
    """

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain_lines(text), **options)


def console(*, quiet: bool = False) -> Console:
    """As wide as the terminal; where there is none, wide enough for any table."""
    return Plain(quiet=quiet, width=None if sys.stdout.isatty() else WIDTH)


class Screen:
    """A context manager; `verbose` also shows what nodes say at level INFO."""

    def __init__(self, shown: Console | None = None, *, verbose: bool = False):
        self.console = shown or console()
        self._verbose = verbose
        self._status = Status("", console=self.console)
        self._shown: tuple[str | Text, ...] = ()
        self._repeat_filter = RepeatFilter(most=MOST_LINES)

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._status.stop()

    def waiting(self, nodes: list[str]) -> None:
        self.now(f"waiting for {', '.join(nodes)}")

    def now(self, line: str, *more: Text) -> None:
        """Changes the line that changes, and those below it."""
        shown = (line, *more)
        if shown == self._shown:
            return
        self._shown = shown
        line_end = Text("\n", no_wrap=True, overflow="ellipsis")
        self._status.update(line_end.join([styled(line), *more]))

    def say(self, *parts: str | tuple[str, str]) -> None:
        """A line that stays; a part may be a pair of text and style."""
        self.console.print(styled(*parts), soft_wrap=True)

    def on_output(self, node: str, line: str) -> None:
        """A line that a node printed."""
        # Why a node ended, the launcher says in its own words.
        if line.startswith(f"{node}: "):
            return
        prefix = _LEVEL.match(line)
        level = prefix[1] if prefix else ""
        if level in ("DEBUG", "INFO") and not self._verbose:
            return
        if not self._repeat_filter(f"{node} {line}"):
            return
        message = line[prefix.end() :] if prefix else line
        self.say((f"{node:>12} ", "dim"), (message, _COLOURS.get(level, "default")))


def styled(*parts: str | tuple[str, str]) -> Text:
    """A line made of texts and of pairs of text and style, whoever they came from."""
    line = Text()
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        line.append(plain(text, longest=LONGEST_PART), style)
    return line


def number(figures: Mapping[str, str], key: str) -> float | None:
    """A figure of a node's diagnostics; None where it is missing or no number."""
    try:
        value = float(figures[key])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None


def rig_line(status: dict[str, Any], figures: dict[str, dict[str, str]]) -> str:
    """Simulated time, what the policy and motion report about themselves, and whatever is not
    well.
    """
    policy = figures.get("policy", {})
    motion = figures.get("motion", {})
    parts = [f"{status['time_s']:6.1f} s  {status['text']}"] if status else []
    chunk_ms = number(policy, "observation to chunk p50 [ms]")
    if chunk_ms is not None:
        parts.append(f"chunk after {chunk_ms:.0f} ms")
    rate_hz = number(motion, "control [Hz]")
    if rate_hz is not None:
        parts.append(f"control {rate_hz:.0f} Hz, {motion.get('', '')}")
    if status.get("real_time_factor"):
        parts.append(f"{status['real_time_factor']:.2f} x real time")
    return "  |  ".join(parts) or "running"


def teleop_line(status: dict[str, Any], motion: dict[str, str]) -> Text:
    """Whose movements the robot follows, how often they come, and how long they take to a chunk and
    to the command.
    """
    source = f"{status['source']} {status['address']}  {status['rate_hz']:.0f} Hz  "
    parts: list[str | tuple[str, str]] = ["  ", (f"{'teleop':<11}", "cyan"), source]
    if status["link"]:
        parts.append((f"{status['link']}  ", "red"))
    for side, state in status["sides"].items():
        if not state["clutched"]:
            word = state["why"]
        elif state["strained"]:
            word = "strained"
        else:
            word = "follows"
        parts.append((f"{side} {word}  ", "green" if word == "follows" else "yellow"))
    latencies = _teleop_latencies(status["latency_ms"], motion)
    return styled(*parts, (", ".join(latencies), "dim"))


def _teleop_latencies(to_chunk_ms: Mapping[str, float], motion: Mapping[str, str]) -> list[str]:
    """How long the operator's movements take to a chunk, and to the slowest part's command."""
    latencies: list[str] = []
    for name in ("p50", "p99"):
        if name in to_chunk_ms:
            latencies.append(f"to chunk {to_chunk_ms[name]:.1f} ms {name}")
    to_command_ms: list[float] = []
    for key in motion:
        if key.endswith("observation to command p99 [ms]"):
            value = number(motion, key)
            if value is not None:
                to_command_ms.append(value)
    if to_command_ms:
        latencies.append(f"to command {max(to_command_ms):.1f} ms p99")
    return latencies


def recorder_line(status: dict[str, Any]) -> Text:
    """What is being recorded, or was last, and the worst that is to be said of it."""
    if status.get("state") != "recording":
        return styled(
            "  ",
            (f"{'recorder':<11}", "cyan"),
            f"{status.get('episode') or 'no episode yet'}",
            ("  not recording", "dim"),
        )
    verdict = str(status["verdict"])
    findings = status["findings"]
    worst = f"  {findings[0]}" if findings else ""
    facts = f"{status['episode']}  {status['duration_s']:6.1f} s  {status['written_mb']:.1f} MB  "
    return styled("  ", (f"{'RECORDING':<11}", "bold red"), facts, (verdict + worst, verdict))


def device_line(part: str, level: str, message: str, figures: dict[str, str]) -> Text:
    """A device in one line: what its driver said of it, how often and how fast it is read."""
    pace = f"{number(figures, 'states [Hz]') or 0.0:4.0f} Hz"
    p50 = number(figures, "read p50 [ms]")
    p99 = number(figures, "read p99 [ms]")
    read = "" if p50 is None or p99 is None else f"read {p50:.2f} ({p99:.2f}) ms"
    return styled(
        "  ", (f"{part:<11}", "cyan"), f"{pace}  {read:<24}", (message, _LEVELS.get(level, "red"))
    )
