"""The recorder: a process of its own that listens to the rig and keeps its episodes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any, TypeVar

from std_msgs.msg import String

from xlvla import __version__
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.ros import forms, statuses, topics
from xlvla.ros.forms import Form
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla.run import stopped_because
from xlvla.types import PARTS
from xlvla_data.bag.card import EpisodeCard
from xlvla_data.recorder.episode_control import EpisodeControl
from xlvla_data.recorder.recording import Recording
from xlvla_data.recorder.repair import repair_all
from xlvla_data.recorder.session import Session
from xlvla_data.ros.intake import Intake, too_large
from xlvla_data.verdict import COLOURS, Issue

T = TypeVar("T")

LISTEN_S = 0.01
TELL_S = 1.0

SLOW_DISK = 0.25
"""Share of what may wait for the disk, from which on the operator is warned."""


class RecorderNode(RigNode):
    """One thread listens, one per episode writes, and the executor's does what the operator asks
    for and judges.
    """

    def __init__(self) -> None:
        super().__init__("recorder")

    def configure(self) -> None:
        if self.rig.recorder is None:
            raise XlvlaError(
                f"rig '{self.rig.name}' has no `recorder` section, so there is no "
                "folder for episodes"
                ""
            )
        self._config = self.rig.recorder
        self._codec = Codec.load().hash
        self._root = Path(self._config.folder).expanduser().resolve()
        self._intake = Intake(self, self.rig)
        for line in too_large(self.rig):
            self.warn(line)
        self._status, self._cues = (
            self.publisher(topics.RECORDER_STATUS),
            self.publisher(topics.CUE),
        )
        session = Session(self._root, self._config.least_free_gb)
        self._control = EpisodeControl(
            session, self._begin, self._facts, self._sentence, self._cue, self._config.confirm_s
        )
        self._warned: set[str] = set()
        self._serve()
        self.every(TELL_S, self._tell)

    def _serve(self) -> None:
        control = self._control
        self.serve(topics.RECORDER_START, lambda request: self._log_line(control.start()))
        self.serve(topics.RECORDER_STOP, lambda request: self._log_line(control.stop()))
        self.serve(topics.RECORDER_DISCARD, lambda request: self._log_line(control.discard()))
        self.serve(
            topics.RECORDER_MARK, lambda request: self._log_line(control.mark(bool(request.data)))
        )
        self.serve(topics.RECORDER_RELABEL, lambda request: self._log_line(control.relabel()))
        self.listen(topics.BUTTON, forms.WORDS, self._pressed)

    def _pressed(self, button: str) -> None:
        self._log_line(self._control.press(button))

    def work(self, stop: threading.Event) -> None:
        threading.Thread(target=self._repair, name="repair", daemon=True).start()
        while not stop.wait(LISTEN_S):
            messages = self._intake.take()
            recording = self._control.recording
            if recording is not None and messages:
                recording.take(messages)
            self.health.tick("looks")

    def deactivate(self) -> None:
        """The rig ends: so does the episode."""
        died = stopped_because(Path(self.parameter("rig")))
        self._end(
            Issue("red", died)
            if died
            else Issue("yellow", "the rig was stopped during the episode")
        )

    def _end(self, why: Issue) -> None:
        """Ends the episode unless somebody just did."""
        with contextlib.suppress(XlvlaError):
            self._control.stop(why)

    def _begin(self, folder: Path) -> Recording:
        """A recording that begins with what was said once and still holds."""
        self._warned.clear()
        distro = os.environ.get("ROS_DISTRO", "jazzy")
        recording = Recording(
            folder, self._card(), self._intake.streams, self._config.least_free_gb * 1e9, distro
        )
        recording.take(list(self._intake.newest.values()))
        return recording

    def _card(self) -> EpisodeCard:
        rig = self.rig
        document = rig.document()
        return EpisodeCard(
            name="",
            state="recording",
            task=rig.sim.task if rig.sim else self._config.task,
            instruction=self._sentence(),
            hands={side: station.hand.type for side, station in rig.sides.items()},
            joints={
                side: {part: list(rig.joint_names(side, part)) for part in PARTS}
                for side in rig.sides
            },
            rates_hz={
                stream.topic.name: stream.claim_hz
                for stream in self._intake.streams
                if stream.claim_hz
            },
            rig=document,
            rig_hash=hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16],
            codec=self._codec,
            simulated=rig.sim is not None,
            version=__version__,
        )

    def _sentence(self) -> str:
        instruction = self._newest(topics.INSTRUCTION, forms.WORDS) or self._config.instruction
        return instruction or (self.rig.policy.instruction if self.rig.policy else "")

    def _facts(self) -> dict[str, Any]:
        """What the simulation says of its episode."""
        status = self._newest(topics.SIM_STATUS, statuses.SIM) or {}
        return {key: status[key] for key in ("seed", "success") if key in status}

    def _newest(self, topic: topics.Topic, form: Form[T]) -> T | None:
        """What was said last on a topic whose word holds until the next; None before the first, and
        of what is invalid.
        """
        if (newest := self._intake.newest.get(topic.name)) is None:
            return None
        try:
            return form(topic, newest.data)
        except XlvlaError as error:
            self.refuse(topic, error)
            return None

    def _repair(self) -> None:
        for attempt in repair_all(self._root):
            self.warn(
                f"{attempt.folder} was left behind by a recorder that was killed: {attempt.line}"
            )

    def _cue(self, word: str, line: str) -> None:
        self._cues.publish(String(data=f"{word}: {line}"))

    def _log_line(self, line: str) -> str:
        self._tell()
        return line

    def _tell(self) -> None:
        """Says how the recording is; ends it where it cannot go on."""
        recording = self._control.recording
        if recording is None:
            self.health.ok("idle")
            last = self._control.last
            where = {"episode": last.name if last else "", "folder": str(last or self._root)}
            self._say(
                {"state": "stopped" if last else "idle", **where, "instruction": self._sentence()}
            )
            return
        verdict = recording.verdict(live=True)
        spool = recording.spool
        self._warn_once(verdict.findings)
        self.health.fact("written [MB]", round(spool.written / 1e6, 1))
        self.health.ok(f"recording {recording.folder.name}, {verdict.colour}")
        status = {
            "state": "recording",
            "episode": recording.folder.name,
            "folder": str(recording.folder),
        }
        status |= {
            "duration_s": round(recording.duration_s, 1),
            "verdict": verdict.colour,
            "findings": verdict.lines[:5],
        }
        self._say(
            status
            | {
                "written_mb": round(spool.written / 1e6, 1),
                "instruction": recording.card.instruction,
            }
        )
        if spool.fault:
            self.warn(spool.fault)
            self._end(Issue("red", spool.fault))
        elif spool.waiting > SLOW_DISK:
            self.warn(f"the disk is slow: {spool.waiting:.0%} of what may wait for it waits")

    def _warn_once(self, findings: tuple[Issue, ...]) -> None:
        """Cues what has turned red since the last time; the rest of it is on the status."""
        red = {
            issue.line.partition(":")[0]: issue.line
            for issue in findings
            if issue.colour == COLOURS[-1]
        }
        new = [line for stream, line in red.items() if stream not in self._warned]
        self._warned |= red.keys()
        if new:
            self._cue("warn", new[0] + (f" (and {len(new) - 1} more)" if new[1:] else ""))

    def _say(self, status: dict[str, Any]) -> None:
        self._status.publish(String(data=json.dumps(status)))


def main() -> None:
    run(RecorderNode)


if __name__ == "__main__":
    main()
