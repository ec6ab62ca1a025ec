"""What the policy observes of the graph, or why there is nothing to decide on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.policy import Chunk, Observation, Policy
from xlvla.ros import camera_publisher, command_session, convert, forms, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.forms import Form
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.ros.topics import Topic
from xlvla.types import PARTS, Part, Side
from xlvla_policy.history import History


class NotYet(XlvlaError):
    """There is nothing to decide on now; the line says what is waited for."""


SILENT_S = 0.5


class FreshTopic:
    """A topic of which the newest message counts, as long as it is fresh."""

    def __init__(self, node: RigNode, topic: Topic, form: Form[Any]):
        self.name = topic.name
        self._reader = Reader(node, topic, form)
        self._publishers: Callable[[], int] = lambda: node.count_publishers(topic.name)
        self._message: Any = None
        self._came = 0.0

    def fresh(self, now_ns: int, oldest_ns: int) -> Any:
        """The newest message; NotYet where its stamp is before `oldest_ns`, or there is none."""
        if (message := self._reader.newest()) is not None:
            self._take(message, now_ns)
        if self._message is None or convert.nanoseconds(self._message.header.stamp) < oldest_ns:
            raise NotYet(f"waiting for {self.name}: {self._why(now_ns)}")
        return self._message

    def clear(self) -> None:
        self._message = None

    def _take(self, message: Any, now_ns: int) -> None:
        try:
            convert.timely_ns(message.header.stamp, now_ns, forms.FUTURE_NS)
        except XlvlaError as error:
            self._reader.refuse(error)
        else:
            self._message = message
            self._came = time.monotonic()

    def _why(self, now_ns: int) -> str:
        if not self._publishers():
            return "no node publishes it" + ("" if self._message is None else " any more")
        if self._message is None:
            return "it has a publisher, but nothing has come yet"
        if time.monotonic() - self._came > SILENT_S:
            return "it has fallen silent"
        age_s = (now_ns - convert.nanoseconds(self._message.header.stamp)) / SECOND
        return f"what comes is stamped {age_s:.0f} s ago: do the clocks of all machines agree?"


class PartState:
    """What is known of one part: the newest measured pose and the commands that were in force, as a
    policy observes them.
    """

    def __init__(self, node: RigNode, policy: Policy, side: Side, part: Part):
        self._frames = policy.frames
        self._rate_hz = policy.rate_hz
        self._names = node.rig.joint_names(side, part)
        self._history = History(policy.frames / policy.rate_hz)
        self._measured = FreshTopic(
            node, topics.joint_states(side, part), forms.command(self._names)
        )
        self._commands = Reader(
            node, topics.command(side, part).history(800), forms.command(self._names)
        )

    def clear(self) -> None:
        self._history.clear()
        self._measured.clear()

    def listen(self, now_ns: int, valid_since_ns: int, reset_id: str) -> None:
        """Collects commands."""
        for message in self._commands.every():
            try:
                stamp_ns = convert.timely_ns(message.header.stamp, now_ns, forms.FUTURE_NS)
                if stamp_ns >= valid_since_ns and command_session.decode(message.header.frame_id)[
                    1
                ] in (
                    "",
                    reset_id,
                ):
                    self._history.add(stamp_ns, convert.positions(message, self._names))
            except XlvlaError as error:
                self._commands.refuse(error)

    def executed(self, stamp_ns: int, now_ns: int, oldest_ns: int) -> np.ndarray:
        """Commands [T, J] up to `stamp_ns`; refuses a pose measured before `oldest_ns`."""
        pose = self._positions(self._measured.name, self._measured.fresh(now_ns, oldest_ns))
        return self._history.as_of(stamp_ns, self._frames, self._rate_hz, before=pose)

    def _positions(self, topic: str, message: Any) -> np.ndarray:
        return _read(topic, lambda message: convert.positions(message, self._names), message)


class Observer:
    """Every camera and part of a rig. What is stamped before the last reset is discarded."""

    def __init__(self, node: RigNode, policy: Policy, max_age_s: float):
        rig = node.rig
        self._max_age_ns = round(max_age_s * SECOND)
        self._images = {
            name: FreshTopic(
                node, camera_publisher.seen(name, camera), forms.picture(*camera.publish)
            )
            for name, camera in rig.cameras.items()
        }
        self._parts: dict[Side, dict[Part, PartState]] = {
            side: {part: PartState(node, policy, side, part) for part in PARTS}
            for side in rig.sides
        }
        self._resets = Reader(node, topics.RESET, forms.reset(node.clock.now_ns))
        self._reset_id = ""
        self.valid_since_ns = 0

    def heed_reset(self) -> bool:
        """Whether the simulation was reset since the last call."""
        reset = self._resets.newest()
        if reset is None:
            return False
        self.valid_since_ns = reset.began_ns
        self._reset_id = reset.name
        for kept in (*self._every_part(), *self._images.values()):
            kept.clear()
        return True

    def listen(self, now_ns: int) -> None:
        """Collects commands."""
        for part in self._every_part():
            part.listen(now_ns, self.valid_since_ns, self._reset_id)

    def observe(
        self, now_ns: int, instruction: str, previous: tuple[Chunk, ...], delay_s: float
    ) -> Observation:
        """The newest image of every camera with the commands in force at the newest stamp.

        Raises:
            NotYet: something is missing or old.
            XlvlaError: something is not what its topic promises.
        """
        oldest_ns = max(self.valid_since_ns, now_ns - self._max_age_ns)
        messages = {
            camera: stream.fresh(now_ns, oldest_ns) for camera, stream in self._images.items()
        }
        stamps = [convert.nanoseconds(message.header.stamp) for message in messages.values()]
        stamp_ns = max(stamps, default=now_ns)
        images = {
            camera: _read(self._images[camera].name, convert.picture, message)
            for camera, message in messages.items()
        }
        executed: dict[Side, dict[Part, np.ndarray]] = {
            side: {name: part.executed(stamp_ns, now_ns, oldest_ns) for name, part in parts.items()}
            for side, parts in self._parts.items()
        }
        return Observation(stamp_ns, images, instruction, executed, previous, delay_s)

    def _every_part(self) -> list[PartState]:
        return [part for parts in self._parts.values() for part in parts.values()]


def _read(topic: str, read: Callable[[Any], np.ndarray], message: Any) -> np.ndarray:
    """What a message says; the error says on which topic it came."""
    try:
        return read(message)
    except XlvlaError as error:
        raise XlvlaError(f"{topic}: {error}") from None
