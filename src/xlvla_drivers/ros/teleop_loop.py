"""The loop of the teleoperation node: samples of an operator in, chunks for motion out."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any

import numpy as np
from std_msgs.msg import Bool, String

from xlvla import operator_hand
from xlvla.codec import Codec
from xlvla.control_source import POLICY, TELEOP
from xlvla.errors import XlvlaError
from xlvla.ros import convert, forms, statuses, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.teleop import TeleopConfig
from xlvla.types import Side
from xlvla_drivers import registry
from xlvla_drivers.device import LinkLost
from xlvla_drivers.ros.shown_pictures import ShownPictures
from xlvla_drivers.ros.teleop_side import TeleopSide
from xlvla_drivers.teleop.fingers import fingers
from xlvla_drivers.teleop.operator import Sample

LOOK_S = 0.01
"""How often silence, motion's status and requests are noticed while no sample comes."""

LOOKS_S = 0.03
"""How often joint states and commands are read."""

HASTE = 1.4
"""A tracker that is up to this much faster than `rate_hz` is followed at its own rate; of a faster
one samples are skipped.
"""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0
"""Between attempts to reach a source that is gone, doubled every time."""

STATUS_S = 0.2
"""The status is published at least this often."""

CLUTCH_TIMEOUT_S = 3.0

HAND_OVER_S = 2.0
"""Motion says within this that the robot has changed hands, or the request is withdrawn: a clutch
must not close later, when the operator does not expect it.
"""


@dataclass(frozen=True)
class HandOver:
    """The robot is being taken from the policy (True) or given back (False): motion must say so by
    `until_s` (monotonic) before the request for the clutch is answered.
    """

    taken: bool
    answer: Future[str]
    until_s: float


class TeleopLoop:
    """Follows the operator on all sides of a rig.

    `run` has its own thread, which reads the source and follows, one sample at a time. `clutch` may
    be called by any thread: it leaves a request for the loop.
    """

    def __init__(self, node: RigNode, teleop: TeleopConfig):
        self._node = node
        self._teleop = teleop
        self._clock = node.clock
        self._health = node.health
        codec = Codec.load()
        operator = operator_hand.load(teleop.operator) if teleop.operator else None
        self._sides: dict[Side, TeleopSide] = {}
        for side in node.rig.sides:
            hand = None
            if "hand" in node.rig.parts_of(side):
                hand = fingers(teleop.fingers, node.rig.hand(side), side, codec, operator)
            self._sides[side] = TeleopSide(node, side, hand, TELEOP)
        self._source = registry.source(node.rig, node)
        self._pictures: ShownPictures | None = None
        if teleop.camera:
            self._pictures = ShownPictures(node, teleop.camera, self._source)
        self._motion = Reader(node, topics.MOTION_STATUS, statuses.MOTION)
        self._resets = Reader(node, topics.RESET, forms.reset(node.clock.now_ns))
        self._status = node.publisher(topics.TELEOP_STATUS)
        self._latent = node.publisher(topics.TELEOP_LATENT)
        self._buttons = node.publisher(topics.BUTTON)
        self._take_over = node.publisher(topics.TAKE_OVER)
        self._hand_over: HandOver | None = None
        # To close (True) or to open the clutch, and where the answer goes.
        self._requests: queue.Queue[tuple[bool, Future[str]]] = queue.Queue()
        # Why there are no samples; '' while the source is connected.
        self._link = "connecting"
        # The newest status of motion.
        self._state: dict[str, Any] = {
            "plays": False,
            "state": "no status from motion yet",
            "source": "",
            "taken_over": False,
        }
        # What is stamped before the last reset is discarded.
        self._valid_since_ns = 0
        self._seen_ns = 0
        self._looked_ns = 0
        self._followed_s = dict.fromkeys(self._sides, 0.0)
        self._last_published = ""
        self._last_published_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Follows until `stop` is set; a source that is gone is opened again."""
        if self._pictures is not None:
            shows = threading.Thread(target=self._pictures.run, args=(stop,), name="pictures")
            shows.daemon = True
            shows.start()
        pause_s = FIRST_PAUSE_S
        while not stop.is_set():
            try:
                self._source.open()
                self._link = ""
                pause_s = FIRST_PAUSE_S
                while not stop.is_set():
                    self._cycle(self._source.read(LOOK_S))
            except LinkLost as error:
                self._lose(str(error))
            finally:
                self._source.close()
            give_up_s = time.monotonic() + pause_s
            while not stop.is_set() and time.monotonic() < give_up_s:
                self._cycle(None)
                stop.wait(LOOK_S)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def clutch(self, close: bool) -> str:
        """Closes or opens the clutch of all sides; raises XlvlaError where it cannot."""
        answer: Future[str] = Future()
        self._requests.put((close, answer))
        try:
            return answer.result(CLUTCH_TIMEOUT_S)
        except FutureTimeout:
            # A clutch must not close later, when the operator does not expect it.
            answer.cancel()
            raise XlvlaError(f"teleoperation is not ready: {self._link or 'it is busy'}") from None

    @property
    def _any_follows(self) -> bool:
        return any(side.follower.follows for side in self._sides.values())

    def _cycle(self, sample: Sample | None) -> None:
        """What is done for every sample, and now and then without one."""
        now_ns = self._clock.now_ns()
        # A simulation has not begun.
        if now_ns < 0:
            return
        self._listen()
        if sample is not None:
            self._health.tick("samples")
            self._follow(sample, now_ns)
        # A clock that was set back counts as a time to look, too.
        looks = not 0 <= now_ns - self._looked_ns < LOOKS_S * SECOND
        if looks:
            self._looked_ns = now_ns
        for side in self._sides.values():
            with self._holding(side, now_ns):
                side.follower.expire(now_ns / SECOND)
                if looks:
                    side.look(now_ns, self._valid_since_ns)
        if self._hand_over is not None:
            self._finish(self._hand_over, now_ns)
        while self._hand_over is None and not self._requests.empty():
            close, answer = self._requests.get()
            self._answer(close, answer, now_ns)
        self._publish_status()

    def _follow(self, sample: Sample, now_ns: int) -> None:
        now_s = time.monotonic()
        waited_ns = time.monotonic_ns() - sample.received_ns
        if self._seen_ns > now_ns + forms.FUTURE_NS:
            # The clock was set back, and stamps with it.
            self._seen_ns = 0
        # Stamps rise even where a simulation's time passes more slowly.
        self._seen_ns = max(now_ns - waited_ns, self._seen_ns + 1)
        shortest_s = 1 / (HASTE * self._teleop.rate_hz)
        for key, tracked in sample.sides.items():
            if key not in self._sides or now_s < self._followed_s[key] + shortest_s:
                continue
            side = self._sides[key]
            self._followed_s[key] = now_s
            with self._holding(side, now_ns):
                side.follower.see(tracked, now_ns / SECOND, sample.stamp_s)
            if side.follower.follows:
                side.publish_chunk(self._seen_ns)
                took_ns = time.monotonic_ns() - sample.received_ns
                self._health.took("sample to chunk", took_ns / SECOND)
            side.publish_operator(self._seen_ns)
            self._health.tick(key)
        self._press(sample.buttons)
        if self._any_follows:
            self._publish_latents()

    def _publish_latents(self) -> None:
        latents: dict[Side, np.ndarray] = {}
        for key, side in self._sides.items():
            if side.follower.fingers is not None:
                latents[key] = side.follower.fingers.latent[None]
        if latents:
            self._latent.publish(convert.latents(latents))

    @contextlib.contextmanager
    def _holding(self, side: TeleopSide, now_ns: int) -> Iterator[None]:
        """Where a side disengages from the operator, the robot is commanded to hold."""
        followed = side.follower.follows
        yield
        if followed and not side.follower.follows:
            self._health.counts[f"{side.side} disengaged"] += 1
            self._node.warn(f"{side.side} {side.follower.why}")
            side.publish_chunk(now_ns)

    def _press(self, buttons: tuple[str, ...]) -> None:
        for button in buttons:
            self._buttons.publish(String(data=button))
            if button == "clutch":
                self._requests.put((not self._any_follows, Future()))

    def _listen(self) -> None:
        """Where the simulation was reset or motion does not play, nothing begun before
        continues.
        """
        reset = self._resets.newest()
        if reset is not None:
            self._valid_since_ns = reset.began_ns
            self._forget("open: the simulation was reset")
        state = self._motion.newest()
        if state is not None:
            self._state = state
            if not state["plays"]:
                self._forget(f"open: motion: {state['state']}")
            elif self._other_drives:
                self._forget(f"open: '{state['source']}' drives")

    @property
    def _other_drives(self) -> bool:
        return self._state["source"] not in ("", TELEOP)

    def _forget(self, why: str) -> None:
        for side in self._sides.values():
            if side.follower.follows:
                side.follower.forget(why)
            side.follower.goal = None

    def _lose(self, why: str) -> None:
        """The connection to the source is gone."""
        if not self._link:
            self._health.counts["connections lost"] += 1
        self._link = why
        now_ns = self._clock.now_ns()
        self._node.warn(why)
        for side in self._sides.values():
            with self._holding(side, now_ns):
                side.follower.lose(why)
        self._publish_status()

    def _answer(self, close: bool, answer: Future[str], now_ns: int) -> None:
        """Does what was asked for, unless the answer is not waited for any more."""
        if not answer.set_running_or_notify_cancel():
            return
        with self._refusing(answer):
            if close:
                self._begin(answer, now_ns)
            else:
                self._open(answer, now_ns)

    @contextlib.contextmanager
    def _refusing(self, answer: Future[str]) -> Iterator[None]:
        """An error is the answer."""
        try:
            yield
        except XlvlaError as error:
            self._node.warn(str(error))
            answer.set_exception(error)

    def _begin(self, answer: Future[str], now_ns: int) -> None:
        """Closes the clutch; before that, the robot is taken where it is the policy's."""
        self._require_play()
        source = self._state["source"]
        if self._other_drives and source != POLICY:
            raise XlvlaError(
                f"'{source}' drives until motion is engaged again, or "
                f"'{TELEOP}' is published on {topics.SOURCE.name}"
            )
        is_policys = source == POLICY or (self._node.rig.policy is not None and source != TELEOP)
        if not is_policys:
            answer.set_result(self._close(now_ns))
            return
        # Who cannot follow must not stop the policy.
        if not any(side.follower.tracked for side in self._sides.values()):
            raise XlvlaError(
                "; ".join(f"{key}: {side.follower.why}" for key, side in self._sides.items())
            )
        self._change_hands(True, answer)

    def _change_hands(self, taken: bool, answer: Future[str]) -> None:
        self._take_over.publish(Bool(data=taken))
        self._hand_over = HandOver(taken, answer, time.monotonic() + HAND_OVER_S)

    def _finish(self, hand_over: HandOver, now_ns: int) -> None:
        """Answers once motion has said who drives."""
        is_ours = self._state["source"] == TELEOP
        in_time = time.monotonic() < hand_over.until_s
        if in_time and is_ours != hand_over.taken:
            return
        self._hand_over = None
        with self._refusing(hand_over.answer):
            if is_ours != hand_over.taken:
                self._take_over.publish(Bool(data=False))
                raise XlvlaError(
                    f"motion did not hand over the robot: {self._state['state']}, "
                    f"'{self._state['source']}' drives"
                )
            if hand_over.taken:
                hand_over.answer.set_result(self._close(now_ns))
            else:
                hand_over.answer.set_result(f"the robot was given back to the {POLICY}")

    def _require_play(self) -> None:
        if not self._state["plays"]:
            raise XlvlaError(f"motion plays nothing: {self._state['state']}")

    def _close(self, now_ns: int) -> str:
        """Every tracked side follows from where it is; those that follow already go on."""
        self._require_play()
        refused: list[str] = []
        for side in self._sides.values():
            if side.follower.follows:
                continue
            try:
                self._close_side(side, now_ns)
            except XlvlaError as error:
                refused.append(str(error))
        following = [key for key, side in self._sides.items() if side.follower.follows]
        if not following:
            raise XlvlaError("; ".join(refused))
        verb = "follow" if len(following) > 1 else "follows"
        return "; ".join([f"{' and '.join(following)} {verb}", *refused])

    def _close_side(self, side: TeleopSide, now_ns: int) -> None:
        here = side.here(now_ns, self._valid_since_ns)
        if here is None:
            raise XlvlaError(f"{side.side}: it is not known where the robot is")
        side.follower.close(here, now_ns / SECOND)

    def _open(self, answer: Future[str], now_ns: int) -> None:
        """The robot stays where it is, or is given back to the policy it was taken from."""
        for side in self._sides.values():
            if side.follower.follows:
                side.follower.open()
                side.publish_chunk(now_ns)
        if self._state["taken_over"]:
            self._change_hands(False, answer)
        else:
            answer.set_result("the robot stays where it is")

    def _publish_status(self) -> None:
        """Publishes the status at every change, and every `STATUS_S`."""
        sides = {key: _side_status(side) for key, side in self._sides.items()}
        now_s = time.monotonic()
        state = json.dumps(sides) + self._link
        if state == self._last_published and now_s < self._last_published_s + STATUS_S:
            return
        self._last_published = state
        self._last_published_s = now_s
        figures = self._health.figures()
        latency: dict[str, float] = {}
        for name in ("p50", "p99"):
            milliseconds = float(figures.get(f"sample to chunk {name} [ms]", "nan"))
            if np.isfinite(milliseconds):
                latency[name] = milliseconds
        status = {
            "source": self._teleop.source,
            "address": self._source.address,
            "link": self._link,
            "sides": sides,
            "rate_hz": float(figures.get("samples [Hz]", 0)),
            "latency_ms": latency,
        }
        self._status.publish(String(data=json.dumps(status)))
        lines = [f"{key} {side['why'] or 'follows'}" for key, side in sides.items()]
        summary = self._link or "; ".join(lines)
        all_follow = all(side["clutched"] for side in sides.values())
        if all_follow and not self._link:
            self._health.ok(summary)
        else:
            self._health.warn(summary)


def _side_status(side: TeleopSide) -> dict[str, bool | str]:
    follower = side.follower
    return {
        "tracked": follower.tracked,
        "clutched": follower.follows,
        "strained": follower.strained,
        "why": follower.why,
    }
