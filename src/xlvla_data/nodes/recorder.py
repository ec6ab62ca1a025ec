"""The recorder: a process of its own that subscribes to the rig's topics and records episodes."""

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
from xlvla.robot import rig_description
from xlvla.ros import forms, statuses, topics
from xlvla.ros.forms import Form
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla.run import stopped_because
from xlvla.types import PARTS, Part, Side
from xlvla_data.bag.card import EpisodeCard
from xlvla_data.recorder.episode_control import EpisodeControl
from xlvla_data.recorder.recording import Recording
from xlvla_data.recorder.repair import repair_all
from xlvla_data.recorder.session import Session
from xlvla_data.recorder.transforms import Transforms
from xlvla_data.ros.intake import Intake, too_large
from xlvla_data.verdict import Issue

T = TypeVar("T")

TAKE_S = 0.01
"""How often messages are taken."""

STATUS_S = 1.0
"""How often the status is published."""

SLOW_DISK = 0.25
"""Share of the memory for waiting messages, from which on the operator is warned."""

STATUS_FINDINGS = 5
"""How many findings the status has."""


class RecorderNode(RigNode):
    """One thread takes messages, one per episode writes them, and the executor's thread serves the
    operator and judges.
    """

    def __init__(self) -> None:
        super().__init__("recorder")

    def configure(self) -> None:
        if self.rig.recorder is None:
            raise XlvlaError(
                f"rig '{self.rig.name}' has no `recorder` section, so there is no "
                "folder for episodes"
            )
        self._config = self.rig.recorder
        self._codec = Codec.load().hash
        self._root = Path(self._config.folder).expanduser().resolve()
        self._transforms = Transforms(rig_description(self.rig).description)
        self._intake = Intake(self, self.rig)
        for line in too_large(self.rig):
            self.warn(line)
        self._status = self.publisher(topics.RECORDER_STATUS)
        self._cues = self.publisher(topics.CUE)
        self._control = EpisodeControl(
            session=Session(self._root, self._config.least_free_gb),
            begin=self._begin,
            facts=self._facts,
            sentence=self._sentence,
            cue=self._cue,
            confirm_s=self._config.confirm_s,
        )
        # Streams whose red findings were cued already
        self._warned: set[str] = set()
        self._serve()
        self.every(STATUS_S, self._publish_status)

    def _serve(self) -> None:
        control = self._control
        self.serve(topics.RECORDER_START, lambda request: self._done(control.start()))
        self.serve(topics.RECORDER_STOP, lambda request: self._done(control.stop()))
        self.serve(topics.RECORDER_DISCARD, lambda request: self._done(control.discard()))
        self.serve(topics.RECORDER_MARK, lambda request: self._mark(bool(request.data)))
        self.serve(topics.RECORDER_RELABEL, lambda request: self._done(control.relabel()))
        self.listen(topics.BUTTON, forms.WORDS, self._pressed)

    def _mark(self, success: bool) -> str:
        return self._done(self._control.mark(success))

    def _pressed(self, button: str) -> None:
        self._done(self._control.press(button))

    def work(self, stop: threading.Event) -> None:
        threading.Thread(target=self._repair, name="repair", daemon=True).start()
        while not stop.wait(TAKE_S):
            messages = self._intake.take()
            recording = self._control.recording
            if recording is not None and messages:
                recording.take(messages)
            self.health.tick("looks")

    def deactivate(self) -> None:
        """The rig ends: so does the episode."""
        died = stopped_because(Path(self.parameter("rig")))
        if died:
            self._end(Issue("red", died))
        else:
            self._end(Issue("yellow", "the rig was stopped during the episode"))

    def _end(self, why: Issue) -> None:
        """Ends the episode, unless the operator just did."""
        with contextlib.suppress(XlvlaError):
            self._control.stop(why)

    def _begin(self, folder: Path) -> Recording:
        """A recording that begins with the newest messages of the latched topics."""
        self._warned.clear()
        recording = Recording(
            folder,
            card=self._card(),
            streams=self._intake.streams,
            least_free_bytes=self._config.least_free_gb * 1e9,
            distro=os.environ.get("ROS_DISTRO", "jazzy"),
            transforms=self._transforms,
        )
        recording.take(list(self._intake.newest.values()))
        return recording

    def _card(self) -> EpisodeCard:
        """The card of an episode that begins now."""
        rig = self.rig
        document = rig.document()
        document_text = json.dumps(document, sort_keys=True)
        joints: dict[Side, dict[Part, list[str]]] = {}
        for side in rig.sides:
            joints[side] = {part: list(rig.joint_names(side, part)) for part in PARTS}
        rates_hz: dict[str, float] = {}
        for stream in self._intake.streams:
            if stream.claim_hz:
                rates_hz[stream.topic.name] = stream.claim_hz
        return EpisodeCard(
            name="",
            state="recording",
            task=rig.sim.task if rig.sim else self._config.task,
            instruction=self._sentence(),
            hands={side: station.hand.type for side, station in rig.sides.items()},
            joints=joints,
            rates_hz=rates_hz,
            rig=document,
            rig_hash=hashlib.sha256(document_text.encode()).hexdigest()[:16],
            codec=self._codec,
            simulated=rig.sim is not None,
            version=__version__,
        )

    def _sentence(self) -> str:
        """The instruction: the newest published, else the recorder's, else the policy's."""
        published = self._newest(topics.INSTRUCTION, forms.WORDS)
        if published:
            return published
        if self._config.instruction:
            return self._config.instruction
        if self.rig.policy:
            return self.rig.policy.instruction
        return ""

    def _facts(self) -> dict[str, Any]:
        """Seed and success of the simulation's episode."""
        status = self._newest(topics.SIM_STATUS, statuses.SIM) or {}
        return {key: status[key] for key in ("seed", "success") if key in status}

    def _newest(self, topic: topics.Topic, form: Form[T]) -> T | None:
        """The newest message of a latched topic; None before the first, and where it is invalid."""
        newest = self._intake.newest.get(topic.name)
        if newest is None:
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

    def _done(self, line: str) -> str:
        """Publishes the status at once after a request; returns the request's line."""
        self._publish_status()
        return line

    def _publish_status(self) -> None:
        recording = self._control.recording
        if recording is None:
            self._publish_idle()
        else:
            self._publish_recording(recording)

    def _publish_idle(self) -> None:
        self.health.ok("idle")
        last = self._control.last
        self._publish(
            {
                "state": "stopped" if last else "idle",
                "episode": last.name if last else "",
                "folder": str(last or self._root),
                "instruction": self._sentence(),
            }
        )

    def _publish_recording(self, recording: Recording) -> None:
        """Publishes how the recording is; ends it where it cannot go on."""
        verdict = recording.verdict(live=True)
        spool = recording.spool
        written_mb = round(spool.written / 1e6, 1)
        self._warn_once(verdict.findings)
        self.health.fact("written [MB]", written_mb)
        self.health.ok(f"recording {recording.folder.name}, {verdict.colour}")
        self._publish(
            {
                "state": "recording",
                "episode": recording.folder.name,
                "folder": str(recording.folder),
                "duration_s": round(recording.duration_s, 1),
                "verdict": verdict.colour,
                "findings": verdict.lines[:STATUS_FINDINGS],
                "written_mb": written_mb,
                "instruction": recording.card.instruction,
            }
        )
        if spool.fault:
            self.warn(spool.fault)
            self._end(Issue("red", spool.fault))
        elif spool.waiting > SLOW_DISK:
            self.warn(f"the disk is slow: {spool.waiting:.0%} of what may wait for it waits")

    def _warn_once(self, findings: tuple[Issue, ...]) -> None:
        """Cues the streams that have turned red since the last time; the status has the rest."""
        red: dict[str, str] = {}
        for issue in findings:
            if issue.colour == "red":
                stream, _, _ = issue.line.partition(":")
                red[stream] = issue.line
        new = [line for stream, line in red.items() if stream not in self._warned]
        self._warned |= red.keys()
        if not new:
            return
        others = len(new) - 1
        self._cue("warn", f"{new[0]} (and {others} more)" if others else new[0])

    def _publish(self, status: dict[str, Any]) -> None:
        self._status.publish(String(data=json.dumps(status)))


def main() -> None:
    run(RecorderNode)


if __name__ == "__main__":
    main()
