"""Serves one Dex3-1 to its driver, in a process that may talk DDS: `python -m
xlvla_drivers.hands.dex3_server lo@1 left '{}' DESCRIPTOR`.

It talks to `dex3.Driver` as `paxini_server.py` does. Nothing is sent to the hand before the driver
has said where to go; then the newest target is sent at a steady rate. When the driver has gone the
motors are let go.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from typing import Any, cast

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import SECOND, Side
from xlvla_drivers import thread_clock
from xlvla_drivers.arms import g1_dds as dds
from xlvla_drivers.arms.g1 import HEAR_S, split_address
from xlvla_drivers.arms.g1_robot import GONE_S, RIVAL_S
from xlvla_drivers.device import LinkLost
from xlvla_drivers.hands import dex3_frames as wire
from xlvla_drivers.hands.dex3 import Options
from xlvla_drivers.hands.paxini_server import Link
from xlvla_drivers.punctuality import Punctuality

LISTEN_S = 0.002
"""How long after its arrival a state is passed on at most."""
RELEASES = 5
RELEASE_S = 0.02
"""The release is sent so often, so far apart, since nothing says that it has arrived."""


class ServedHand:
    """A hand on its topics; heard and commanded by whoever calls.

    Attributes:
        state: the newest sound state as the driver is told it; empty before the first.
        counts: what the link had to survive.
    """

    def __init__(self, address: str, side: Side, options: Options):
        self.state: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()
        self._options = options
        self._topic = wire.command_topic(side)
        self._state_topic = wire.state_topic(side)
        self._bus = dds.Bus(*split_address(address))
        self._reader = self._bus.reader(self._state_topic, dds.HandState)
        self._rivals = self._bus.reader(self._topic, dds.HandCmd)
        self._writer: Any = None
        self._target: np.ndarray | None = None
        self._punctuality = Punctuality()
        self._sent_ns = 0
        self._heard_s = 0.0

    def wait(self) -> None:
        """Until it has spoken and nobody else turns out to command it.

        Raises:
            LinkLost: it does not speak.
            XlvlaError: somebody else commands it.
        """
        until_s = time.monotonic() + HEAR_S
        while not self.listen():
            if time.monotonic() > until_s:
                raise LinkLost(
                    f"no {self._state_topic} within {HEAR_S:.0f} s: is the hand on, and this its "
                    "robot's network interface?"
                )
            time.sleep(LISTEN_S)
        time.sleep(RIVAL_S)
        if list(dds.samples(self._rivals)):
            raise XlvlaError(f"another program writes {self._topic}: end it")
        self._writer = self._bus.writer(self._topic, dds.HandCmd)
        self.listen()

    def is_there(self) -> bool:
        """Whether it has spoken within `GONE_S`, by the clock that stands still where this process
        could not run.
        """
        return thread_clock.now_s() - self._heard_s < GONE_S

    def listen(self) -> bool:
        """Whether it has said something new since; what came is in `state`."""
        news = False
        for data, sent_ns in dds.samples(self._reader):
            state = wire.decode_state(data)
            if state is None or len(state.motors) != wire.MOTORS:
                self.counts["truncated"] += 1
                continue
            is_late = self._punctuality.is_late(sent_ns / SECOND, time.monotonic())
            self.counts["late"] += is_late
            if sent_ns <= self._sent_ns:
                self.counts["duplicated" if sent_ns == self._sent_ns else "unexpected"] += 1
                continue
            self._sent_ns = sent_ns
            self._heard_s = thread_clock.now_s()
            self.state = _told(state)
            news = True
        return news

    def follow(self, target: list[float]) -> None:
        """Goes to positions [7] rad from now on."""
        wanted = np.array(target, dtype=float)
        if np.isfinite(wanted).all():
            self._target = wanted

    def command(self) -> None:
        """Sends where to go; a hand with an error is told to stay where it is."""
        if self._target is None:
            return
        if any(self.state["motor_errors"]) or any(self.state["errors"]):
            self._target = np.array(self.state["q"])
        self._send(wire.command(self._target, self._options.kp, self._options.kd))

    def close(self) -> None:
        """Lets the motors go, where they have been driven."""
        if self._target is None:
            return
        for _ in range(RELEASES):
            self._send(wire.release())
            time.sleep(RELEASE_S)

    def _send(self, data: bytes) -> None:
        self._writer.write(dds.HandCmd.of(data))


def _told(state: wire.HandState) -> dict[str, Any]:
    """A state as lines of JSON hold it."""
    motors = state.motors
    return {
        "at": time.monotonic(),
        "stamp": time.time_ns(),
        "q": motors["q"].tolist(),
        "dq": motors["dq"].tolist(),
        "torque": motors["tau_est"].tolist(),
        "temperature": motors["temperature"].tolist(),
        "motor_errors": motors["motorstate"].tolist(),
        "errors": state.rest["error"].tolist(),
        "pressure": state.sensors["pressure"].tolist(),
    }


def serve(link: Link, hand: ServedHand, period_s: float) -> None:
    """Until the driver has gone; LinkLost where the hand has."""
    next_s = time.monotonic()
    while not link.gone.is_set():
        target = link.take("target")
        if target is not None:
            hand.follow(target)
        if time.monotonic() >= next_s:
            next_s = max(next_s + period_s, time.monotonic())
            hand.command()
        if hand.listen():
            link.say(state={**hand.state, "counts": hand.counts})
        elif not hand.is_there():
            raise LinkLost(f"silent for {GONE_S:.0f} s")
        time.sleep(LISTEN_S)


def main() -> None:
    address, side, options, descriptor = sys.argv[1:]
    chosen = Options(**json.loads(options))
    link = Link(int(descriptor))
    hand: ServedHand | None = None
    try:
        hand = ServedHand(address, cast(Side, side), chosen)
        hand.wait()
        link.say(ready=side)
        serve(link, hand, 1 / chosen.rate_hz)
    except LinkLost as error:
        link.say(lost=str(error))
    except XlvlaError as error:
        link.say(unusable=str(error))
    if hand is not None:
        hand.close()


if __name__ == "__main__":
    main()
    os._exit(0)  # DDS takes seconds to take its leave
