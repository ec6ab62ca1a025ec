"""The policy's observations of the graph, or why there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from xlvla.types import Part, Side
from xlvla_policy.history import History


class NotYet(XlvlaError):
    """There is no observation now; the line names what it waits for."""


SILENT_S = 0.5
"""A topic without a message for this long is silent."""
COMMANDS = 800
"""Depth of the queue of commands: they are read at a fraction of their rate."""


class FreshTopic:
    """The newest message of a topic, as long as it is fresh."""

    def __init__(self, node: RigNode, topic: Topic, form: Form[Any]):
        self.name = topic.name
        self._reader = Reader(node, topic, form)
        self._publishers: Callable[[], int] = lambda: node.count_publishers(topic.relative)
        self._message: Any = None
        # Monotonic time at which the message came.
        self._came_at = 0.0

    def fresh(self, clock: Callable[[], int], oldest_ns: int) -> Any:
        """The newest message; NotYet where its stamp is before `oldest_ns`, or there is none."""
        message = self._reader.newest()
        now_ns = clock()
        if message is not None:
            self._accept(message, now_ns)
        # One of the future is from before the clock was set back.
        latest_ns = now_ns + forms.FUTURE_NS
        if self._message is None or not oldest_ns <= self._stamp_ns() <= latest_ns:
            raise NotYet(f"waiting for {self.name}: {self._reason(now_ns)}")
        return self._message

    def clear(self) -> None:
        """Forgets the newest message."""
        self._message = None

    def _accept(self, message: Any, now_ns: int) -> None:
        """Keeps a message; refuses one that is stamped in the future."""
        try:
            convert.timely_ns(message.header.stamp, now_ns, forms.FUTURE_NS)
        except XlvlaError as error:
            self._reader.refuse(error)
            return
        self._message = message
        self._came_at = time.monotonic()

    def _stamp_ns(self) -> int:
        return convert.nanoseconds(self._message.header.stamp)

    def _reason(self, now_ns: int) -> str:
        """Why there is no fresh message."""
        has_publisher = self._publishers() > 0
        if self._message is None:
            if has_publisher:
                return "it has a publisher, but nothing has come yet"
            return "no node publishes it"
        if not has_publisher:
            return "no node publishes it any more"
        if time.monotonic() - self._came_at > SILENT_S:
            return "it has fallen silent"
        age_s = (now_ns - self._stamp_ns()) / SECOND
        return f"its messages are stamped {age_s:.0f} s ago: do the clocks of all machines agree?"


class PartState:
    """The state of one part as a policy observes it: the newest measured pose and the commands that
    were in force.
    """

    def __init__(self, node: RigNode, policy: Policy, side: Side, part: Part):
        self._frames = policy.frames
        self._rate_hz = policy.rate_hz
        self._names = node.rig.joint_names(side, part)
        self._history = History(policy.frames / policy.rate_hz)
        form = forms.command(self._names)
        commands = topics.command(side, part).history(COMMANDS)
        self._measured = FreshTopic(node, topics.joint_states(side, part), form)
        self._commands = Reader(node, commands, form)

    def clear(self) -> None:
        """Forgets pose and commands."""
        self._history.clear()
        self._measured.clear()

    def listen(self, clock: Callable[[], int], valid_since_ns: int, reset_id: int) -> None:
        """Collects commands; those from before the clock was set back are forgotten."""
        if self._history.newest_ns > clock() + forms.FUTURE_NS:
            self._history.clear()
        for message in self._commands.every():
            try:
                stamp_ns = convert.timely_ns(message.header.stamp, clock(), forms.FUTURE_NS)
                origin = command_session.take_origin(message)
                before_reset = stamp_ns < valid_since_ns
                # 0: a command that does not name a reset.
                of_another_reset = origin.reset_id not in (0, reset_id)
                if before_reset or of_another_reset:
                    continue
                self._history.add(stamp_ns, convert.positions(message, self._names))
            except XlvlaError as error:
                self._commands.refuse(error)

    def measured(self, clock: Callable[[], int], oldest_ns: int) -> np.ndarray:
        """The newest pose [J]; refuses one measured before `oldest_ns`."""
        message = self._measured.fresh(clock, oldest_ns)
        with _naming(self._measured.name):
            return convert.positions(message, self._names)

    def executed(self, stamp_ns: int, pose: np.ndarray) -> np.ndarray:
        """Commands [T, J] up to `stamp_ns`; before the first command the pose [J]."""
        return self._history.as_of(stamp_ns, self._frames, self._rate_hz, before=pose)


class Observer:
    """Every camera and part of a rig. What is stamped before the last reset is discarded.

    Stamps are compared with the clock as it is once a message was read: an observer waits for the
    processor, and what comes meanwhile is not of the future.
    """

    def __init__(self, node: RigNode, policy: Policy, max_age_s: float):
        rig = node.rig
        self._clock = node.clock.now_ns
        self._max_age_ns = round(max_age_s * SECOND)
        self._images: dict[str, FreshTopic] = {}
        for name, camera in rig.cameras.items():
            width, height = camera.publish
            topic = camera_publisher.seen(name, camera)
            self._images[name] = FreshTopic(node, topic, forms.picture(width, height))
        self._parts: dict[Side, dict[Part, PartState]] = {}
        for side in rig.sides:
            parts = rig.parts_of(side)
            self._parts[side] = {part: PartState(node, policy, side, part) for part in parts}
        self._resets = Reader(node, topics.RESET, forms.reset(node.clock.now_ns))
        self._reset_id = 0
        self.valid_since_ns = 0

    def heed_reset(self) -> bool:
        """Whether the simulation was reset since the last call."""
        reset = self._resets.newest()
        if reset is None:
            return False
        self.valid_since_ns = reset.began_ns
        self._reset_id = reset.id
        for parts in self._parts.values():
            for part in parts.values():
                part.clear()
        for image in self._images.values():
            image.clear()
        return True

    def listen(self) -> None:
        """Collects commands."""
        for parts in self._parts.values():
            for part in parts.values():
                part.listen(self._clock, self.valid_since_ns, self._reset_id)

    def observe(self, instruction: str, previous: tuple[Chunk, ...], delay_s: float) -> Observation:
        """The newest image of every camera with the commands in force at the newest stamp.

        Raises:
            NotYet: something is missing or old.
            XlvlaError: something is not what its topic promises.
        """
        now_ns = self._clock()
        oldest_ns = max(self.valid_since_ns, now_ns - self._max_age_ns)
        # All must be there before any image is decoded.
        messages = {
            camera: topic.fresh(self._clock, oldest_ns) for camera, topic in self._images.items()
        }
        stamps_ns: list[int] = []
        images: dict[str, np.ndarray] = {}
        for camera, message in messages.items():
            stamps_ns.append(convert.nanoseconds(message.header.stamp))
            with _naming(self._images[camera].name):
                images[camera] = convert.picture(message)
        stamp_ns = max(stamps_ns, default=now_ns)
        executed: dict[Side, dict[Part, np.ndarray]] = {}
        measured: dict[Side, dict[Part, np.ndarray]] = {}
        for side, parts in self._parts.items():
            executed[side] = {}
            measured[side] = {}
            for name, part in parts.items():
                pose = part.measured(self._clock, oldest_ns)
                measured[side][name] = pose
                executed[side][name] = part.executed(stamp_ns, pose)
        return Observation(stamp_ns, images, instruction, executed, previous, delay_s, measured)


@contextmanager
def _naming(topic: str) -> Iterator[None]:
    """Errors in reading a message name its topic."""
    try:
        yield
    except XlvlaError as error:
        raise XlvlaError(f"{topic}: {error}") from None
