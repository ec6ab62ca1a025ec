"""Teleoperation: what an operator does becomes chunks for motion, as fast as it is seen."""

from __future__ import annotations

import contextlib
import json
import queue
import sys
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import numpy as np
from std_msgs.msg import String

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.ros import convert, forms, priority, statuses, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import Side
from xlvla_drivers import registry
from xlvla_drivers.device import LinkLost
from xlvla_drivers.ros.teleop_side import TeleopSide
from xlvla_drivers.teleop.fingers import fingers
from xlvla_drivers.teleop.operator import Sample

SOURCE = "teleop"
"""How motion knows whose chunks these are."""

LOOK_S = 0.01
LOOKS_S = 0.03
"""How often silence, motion and orders are noticed while no sample comes, and how often it is
looked where the robot is.
"""

HASTE = 1.4
"""A tracker that is up to so much faster than `rate_hz` is followed at its own rate; of a faster
one samples are passed over.
"""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0
"""Between attempts to reach a source that is gone, doubled every time."""

STATUS_S = 0.2
CLUTCH_TIMEOUT_S = 3.0
SWITCH_S = 0.0005
"""How long a thread of a source may keep the one that follows from running."""


class TeleopNode(RigNode):
    """One thread reads the source and follows, a sample at a time; services only leave orders for
    it.
    """

    def __init__(self) -> None:
        super().__init__("teleop")
        self._orders: queue.Queue[tuple[bool, Future[str]]] = queue.Queue()
        self._link = "connecting"
        self._last_published = ""
        self._last_published_s = 0.0

    def configure(self) -> None:
        if self.rig.teleop is None:
            raise XlvlaError(
                f"rig '{self.rig.name}' has no `teleop` section, so it cannot be teleoperated"
            )
        self.teleop = self.rig.teleop
        sys.setswitchinterval(SWITCH_S)
        self.health.fact("scheduling", priority.hasten())
        codec = Codec.load()
        self._sides: dict[Side, TeleopSide] = {
            side: TeleopSide(
                self, side, fingers(self.teleop.fingers, self.rig.hand(side), side, codec), SOURCE
            )
            for side in self.rig.sides
        }
        self._source = registry.source(self.rig, self)
        self._motion = Reader(self, topics.MOTION_STATUS, statuses.MOTION)
        self._resets = Reader(self, topics.RESET, forms.reset(self.clock.now_ns))
        self._status, self._latent = (
            self.publisher(topics.TELEOP_STATUS),
            self.publisher(topics.TELEOP_LATENT),
        )
        self._buttons = self.publisher(topics.BUTTON)
        self._state: dict[str, Any] = {
            "plays": False,
            "state": "no status from motion yet",
            "source": "",
        }
        self._valid_since_ns = self._seen_ns = self._looked_ns = 0
        self._followed_s = dict.fromkeys(self._sides, 0.0)
        self.serve(topics.TELEOP_CLUTCH, self._on_clutch)

    def work(self, stop: threading.Event) -> None:
        pause_s = FIRST_PAUSE_S
        while not stop.is_set():
            try:
                self._source.open()
                self._link = ""
                pause_s = FIRST_PAUSE_S
                while not stop.is_set():
                    self._turn(self._source.read(LOOK_S))
            except LinkLost as error:
                self._lose(str(error))
            finally:
                self._source.close()
            give_up_s = time.monotonic() + pause_s
            while not stop.is_set() and time.monotonic() < give_up_s:
                self._turn(None)
                stop.wait(LOOK_S)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _turn(self, sample: Sample | None) -> None:
        """What is done for every sample, and now and then without one."""
        now_ns = self.clock.now_ns()
        if now_ns < 0:  # a simulation has not begun
            return
        self._listen()
        if sample is not None:
            self.health.tick("samples")
            self._follow(sample, now_ns)
        looks = not 0 <= now_ns - self._looked_ns < LOOKS_S * SECOND
        self._looked_ns = now_ns if looks else self._looked_ns
        for side in self._sides.values():
            with self._stopping(side, now_ns):
                side.follower.expire(now_ns / SECOND)
                if looks:
                    side.look(now_ns, self._valid_since_ns)
        while not self._orders.empty():
            self._obey(*self._orders.get(), now_ns)
        self._tell()

    def _follow(self, sample: Sample, now_ns: int) -> None:
        now_s = time.monotonic()
        waited_ns = time.monotonic_ns() - sample.received_ns
        self._seen_ns = seen_ns = max(
            now_ns - waited_ns, self._seen_ns + 1
        )  # a simulation's time may pass more slowly
        for key, tracked in sample.sides.items():
            if key not in self._sides or now_s < self._followed_s[key] + 1 / (
                HASTE * self.teleop.rate_hz
            ):
                continue
            side, self._followed_s[key] = self._sides[key], now_s
            with self._stopping(side, now_ns):
                side.follower.see(tracked, now_ns / SECOND, sample.stamp_s)
            if side.follower.follows:
                side.drive(seen_ns)
                self.health.took(
                    "sample to chunk", (time.monotonic_ns() - sample.received_ns) / SECOND
                )
            side.tell(seen_ns)
            self.health.tick(f"{key}")
        self._press(sample.buttons)
        if any(side.follower.follows for side in self._sides.values()):
            latents: dict[Side, np.ndarray] = {
                key: side.follower.fingers.latent[None] for key, side in self._sides.items()
            }
            self._latent.publish(convert.latents(latents))

    @contextlib.contextmanager
    def _stopping(self, side: TeleopSide, now_ns: int):
        """Where a side disengages from the operator, the robot is commanded to hold."""
        followed = side.follower.follows
        yield
        if followed and not side.follower.follows:
            self.health.counts[f"{side.side} disengaged"] += 1
            self.warn(f"{side.side} {side.follower.why}")
            side.drive(now_ns)

    def _press(self, buttons: tuple[str, ...]) -> None:
        for button in buttons:
            self._buttons.publish(String(data=button))
            if button == "clutch":
                closed = any(side.follower.follows for side in self._sides.values())
                self._orders.put((not closed, Future()))

    def _listen(self) -> None:
        """Where the simulation was reset or motion does not play, nothing begun before
        continues.
        """
        if (reset := self._resets.newest()) is not None:
            self._valid_since_ns = reset.began_ns
            self._forget("open: the simulation was reset")
        if (state := self._motion.newest()) is not None:
            self._state = state
            if not self._state["plays"]:
                self._forget(f"open: motion: {self._state['state']}")
            elif self._state["source"] not in ("", SOURCE):
                self._forget(f"open: '{self._state['source']}' drives")

    def _forget(self, why: str) -> None:
        for side in self._sides.values():
            if side.follower.follows:
                side.follower.forget(why)
            side.follower.goal = None

    def _lose(self, why: str) -> None:
        """The connection to the source is gone."""
        self.health.counts["connections lost"] += not self._link
        self._link, now_ns = why, self.clock.now_ns()
        self.warn(why)
        for side in self._sides.values():
            with self._stopping(side, now_ns):
                side.follower.lose(why)
        self._tell()

    def _on_clutch(self, request: Any) -> str:
        asked: Future[str] = Future()
        self._orders.put((bool(request.data), asked))
        try:
            return asked.result(CLUTCH_TIMEOUT_S)
        except FutureTimeout:
            asked.cancel()  # a clutch must not close later, when nobody expects it
            raise XlvlaError(f"teleoperation is not ready: {self._link or 'it is busy'}") from None

    def _obey(self, close: bool, asked: Future[str], now_ns: int) -> None:
        if not asked.set_running_or_notify_cancel():
            return
        try:
            asked.set_result(self._close(now_ns) if close else self._open(now_ns))
        except XlvlaError as error:
            self.warn(str(error))
            asked.set_exception(error)

    def _close(self, now_ns: int) -> str:
        """Every tracked side follows from where it is; those that follow already go on."""
        if not self._state["plays"]:
            raise XlvlaError(f"motion plays nothing: {self._state['state']}")
        if self._state["source"] not in ("", SOURCE):
            raise XlvlaError(
                f"'{self._state['source']}' drives until motion is engaged anew, or '{SOURCE}' is "
                f"said on {topics.SOURCE.name}"
            )
        waiting = [side for side in self._sides.values() if not side.follower.follows]
        refused = [line for side in waiting if (line := self._refused(side, now_ns))]
        following = [key for key, side in self._sides.items() if side.follower.follows]
        if not following:
            raise XlvlaError("; ".join(refused))
        return "; ".join(
            [f"{' and '.join(following)} {'follow' if following[1:] else 'follows'}", *refused]
        )

    def _refused(self, side: TeleopSide, now_ns: int) -> str:
        """Closes a side's clutch; why not, where it cannot."""
        try:
            here = side.here(now_ns, self._valid_since_ns)
            if here is None:
                raise XlvlaError(f"{side.side}: it is not known where the robot is")
            side.follower.close(here, now_ns / SECOND)
        except XlvlaError as error:
            return str(error)
        return ""

    def _open(self, now_ns: int) -> str:
        for side in self._sides.values():
            if side.follower.follows:
                side.follower.open()
                side.drive(now_ns)
        return "the robot stays where it is"

    def _tell(self) -> None:
        """The status, at every change and now and then."""
        sides = {key: self._of_side(key) for key in self._sides}
        now_s = time.monotonic()
        status = json.dumps(sides) + self._link
        if status == self._last_published and now_s < self._last_published_s + STATUS_S:
            return
        self._last_published = status
        self._last_published_s = now_s
        figures = self.health.figures()
        latency = {
            name: float(figures.get(f"sample to chunk {name} [ms]", "nan"))
            for name in ("p50", "p99")
        }
        status = {
            "source": self.teleop.source,
            "address": self._source.address,
            "link": self._link,
            "sides": sides,
            "rate_hz": float(figures.get("samples [Hz]", 0)),
        }
        shown = {name: value for name, value in latency.items() if np.isfinite(value)}
        self._status.publish(String(data=json.dumps(status | {"latency_ms": shown})))
        well = not self._link and all(side["clutched"] for side in sides.values())
        (self.health.ok if well else self.health.warn)(
            self._link or "; ".join(f"{k} {s['why'] or 'follows'}" for k, s in sides.items())
        )

    def _of_side(self, key: Side) -> dict[str, Any]:
        follower = self._sides[key].follower
        return {
            "tracked": follower.tracked,
            "clutched": follower.follows,
            "strained": follower.strained,
            "why": follower.why,
        }


def main() -> None:
    run(TeleopNode)


if __name__ == "__main__":
    main()
