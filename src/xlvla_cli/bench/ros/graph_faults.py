"""Faults around a running rig: what became of one, and when it was reported."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from xlvla.errors import XlvlaError
from xlvla.node_process import Listener
from xlvla.ros.convert import SECOND
from xlvla.shared_memory import FIRST_OF_DOMAIN_0, PORTS_OF_A_DOMAIN, unfinished_ports
from xlvla_cli.bench.ros.swinging_arm import StatusLine, first_line

BRAKES_RAD = 0.1
"""What an arm that swings may go until it rests, and how far it may be from its path."""

RESTS_S = 1.5
"""How long an arm that was told to rest is watched."""


@dataclass(frozen=True)
class GraphFault:
    """What became of one fault.

    Args:
        line: what was reported.
        reported_s: from the fault until that was sent; None where nothing was.
        moved_rad: how far the arm went, or leapt where the fault names it; None where no arm is in
            it.
        allowed_rad: how far it may.
        wrong: what is not as it should be, '' where all is.
    """

    fault: str
    line: str
    reported_s: float | None
    moved_rad: float | None
    allowed_rad: float
    wrong: str


def tried(fault: str, cause: Callable[[], GraphFault]) -> GraphFault:
    """What became of a fault; a rig that fails over it is an outcome, too."""
    try:
        return cause()
    except XlvlaError as error:
        return GraphFault(fault, str(error), None, None, 0.0, "the rig did not go on")


class Log:
    """A listener to the nodes of a session: what they print goes on to another one, and is kept.

    Attributes:
        lines: by whom, and when [ns, system clock].
    """

    def __init__(self, listener: Listener):
        self.lines = list[StatusLine]()
        self._listener = listener

    def __call__(self, name: str, line: str) -> None:
        self.lines.append(StatusLine(name, line.removeprefix("WARN: "), time.time_ns()))
        self._listener(name, line)

    def first_line(self, who: str, text: str, since_ns: int) -> StatusLine | None:
        """The first line of a node from then on that holds a text."""
        # A copy: nodes go on printing from threads of their own.
        return first_line(list(self.lines), who, text, since_ns)


def after(line: StatusLine | None, since_ns: int) -> float | None:
    """How long [s] after a time a line was sent; None where there is none."""
    return None if line is None else (line.sent_ns - since_ns) / SECOND


def not_reported(reported_s: float | None, within_s: float) -> str:
    """What is wrong where something is not reported in time; '' where it is."""
    if reported_s is None:
        return "nothing is reported"
    if reported_s > within_s:
        return f"reported after more than {within_s:.1f} s"
    return ""


def leftovers() -> GraphFault:
    """What killed processes leave in shared memory, by stand-ins of a few bytes in a folder of
    their own.
    """
    domain = 3
    own = FIRST_OF_DOMAIN_0 + PORTS_OF_A_DOMAIN * domain
    healthy = {
        f"fastrtps_port{own}": b"\x02\0\0\0",
        f"sem.fastrtps_port{own}_mutex": b"",
        "fastrtps_0123456789abcdef": b"",
    }
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in healthy.items():
            (folder / file).write_bytes(content)
        blamed = unfinished_ports(domain, folder)
        unfinished = folder / "fastrtps_port7000"
        unfinished.touch()
        began_s = time.monotonic()
        ports = unfinished_ports(domain, folder)
        reported_s = time.monotonic() - began_s
    wrong = ""
    if blamed:
        wrong = f"{blamed[0].name} is blamed"
    elif ports != [unfinished]:
        wrong = "it is not named"
    return GraphFault(
        "leftovers in shared memory",
        ", ".join(port.name for port in ports),
        reported_s,
        None,
        0.0,
        wrong,
    )
