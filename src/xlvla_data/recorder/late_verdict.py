"""The verdict on a bag whose recorder ended before it could judge it."""

from __future__ import annotations

import struct

from xlvla import rig_file
from xlvla.types import SECOND
from xlvla_data.bag.reader import Bag
from xlvla_data.recorder.expected_streams import stream
from xlvla_data.recorder.stream_statistics import StreamStatistics
from xlvla_data.verdict import Span, Verdict, judge


def judged(bag: Bag) -> tuple[Verdict, float]:
    """What is to be said of a bag, by the rig on its card, and how long it is by what is promised
    to come all the time [s].

    Raises:
        XlvlaError: the rig on its card is none of this version, or the bag is damaged.
    """
    rig = rig_file.from_document(dict(bag.info.rig), f"the rig of {bag.folder}")
    by_topic = {name: StreamStatistics(stream(rig, topic)) for name, topic in bag.topics.items()}
    began_ns = ended_ns = 0
    for message in bag.messages(raw=True):
        began_ns = began_ns or message.log_ns
        ended_ns = message.log_ns
        try:
            by_topic[message.topic].add(
                message.content, message.stamp_ns, message.log_ns, message.sequence
            )
        except (struct.error, IndexError, ValueError):
            by_topic[message.topic].complain("a message cannot be read")
    tracks = [statistics.track() for statistics in by_topic.values()]
    steady = [track.stamps for track in tracks if track.claim_hz and len(track.stamps)]
    seconds = (
        (max(int(s.max()) for s in steady) - min(int(s.min()) for s in steady)) / SECOND
        if steady
        else 0.0
    )
    return judge(tracks, Span(began_ns, ended_ns)), seconds
