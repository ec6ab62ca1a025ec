"""What the operator at the terminal of a running rig can do, and the status of its devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.ros import forms, statuses, topics
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side
from xlvla_cli.ros.operator import Operator

LEGEND = "keys: e engage, d disengage, space e-stop, r recover and reset, h go home, n new scene"
RECORDER_LEGEND = (
    "t begin or end a take, x discard it or take it back, s success, f failure, l relabel"
)
TELEOP_LEGEND = "c closes and opens the clutch"
BUTTONS = {"t": "record", "x": "discard", "s": "success", "f": "failure", "l": "relabel"}
"""The recorder's buttons by key; what comes of one is a cue."""

LEVELS = {0: "ok", 1: "warning", 2: "fault"}
"""Of a DiagnosticStatus: OK, WARN, ERROR."""


@dataclass(frozen=True)
class DeviceStatusLine:
    """What a driver last reported of its device; `level` is ok, warning or fault, `stopped` names
    the node that stopped it.
    """

    level: str
    line: str
    stopped: str | None = None


class Controls:
    """Orders by key, and the newest status of every device, of the recorder and of
    teleoperation.
    """

    def __init__(self, operator: Operator, rig: Rig):
        self._operator = operator
        self._rig = rig
        self._readers: dict[tuple[Side, Part], Reader] = {}
        if not rig.sim:
            for side, part in rig.parts:
                topic = topics.device(side, part)
                self._readers[side, part] = Reader(operator.node, topic, forms.DEVICE)
        self._statuses: dict[tuple[Side, Part], DeviceStatusLine] = {}
        self._cues = Reader(operator.node, topics.CUE, forms.WORDS)
        self._recorder = Reader(operator.node, topics.RECORDER_STATUS, statuses.RECORDER)
        self._recording: dict[str, Any] = {}
        self._teleop = Reader(operator.node, topics.TELEOP_STATUS, statuses.TELEOP)
        self._following = dict[str, Any]()
        if rig.teleop:
            operator.prepare(topics.TELEOP_CLUTCH)
        for service in (topics.ESTOP, topics.ENGAGE, topics.MOTION_RESET, topics.HOME):
            operator.prepare(service)

    def devices(self) -> dict[tuple[Side, Part], DeviceStatusLine]:
        for key, reader in self._readers.items():
            if (status := reader.newest()) is not None:
                self._statuses[key] = DeviceStatusLine(
                    LEVELS.get(status.level, "fault"), status.text, status.stopped_by
                )
        return self._statuses

    @property
    def legend(self) -> str:
        legends = [LEGEND]
        if self._rig.teleop:
            legends.append(TELEOP_LEGEND)
        if self._rig.recorder:
            legends.append(RECORDER_LEGEND)
        return ", ".join(legends)

    def cues(self) -> list[tuple[str, str]]:
        """What the operator is to hear and read since the last call: names of sounds, and
        lines.
        """
        cues: list[tuple[str, str]] = []
        for text in self._cues.every():
            sound, colon, line = text.partition(": ")
            if colon and sound.isalpha():
                cues.append((sound, line))
            else:
                cues.append(("", text))
        return cues

    def recording(self) -> dict[str, Any]:
        """The recorder's newest status; empty where there is none."""
        self._recording = self._recorder.newest() or self._recording
        return self._recording

    def following(self) -> dict[str, Any]:
        """The newest status of teleoperation; empty where there is none."""
        self._following = self._teleop.newest() or self._following
        return self._following

    def _clutched(self) -> bool:
        """Whether the clutch of any side is closed."""
        sides = self.following().get("sides", {})
        return any(side["clutched"] for side in sides.values())

    def press(self, key: str) -> str:
        """Does what a key stands for; one line on what came of it, '' for a key that stands for
        nothing here.
        """
        try:
            match key:
                case " ":
                    return self._operator.estop()
                case "e" | "d":
                    return self._operator.call(topics.ENGAGE, data=key == "e")
                case "r":
                    return "; ".join([*self._recover(), self._operator.end_stop()])
                case "h":
                    return self._operator.call(topics.HOME)
                case "n" if self._rig.sim or self._rig.mirrored:
                    self._operator.reset()
                    return "a new scene"
                case "c" if self._rig.teleop:
                    return self._operator.call(topics.TELEOP_CLUTCH, data=not self._clutched())
                case _ if self._rig.recorder and key in BUTTONS:
                    self._operator.press(BUTTONS[key])
                    return ""
                case _:
                    self._operator.type(key)
                    return ""
        except XlvlaError as error:
            return str(error)

    def _recover(self) -> list[str]:
        """Clears the faults of the devices that have any; to be stopped is none."""
        lines: list[str] = []
        for (side, part), status in self.devices().items():
            warned = status.level == "warning" and not status.stopped
            if status.level == "fault" or warned:
                answer = self._operator.call(topics.recover(side, part))
                lines.append(f"{side} {part}: {answer}")
        return lines
