"""The verdict on a bag whose recorder ended before it could judge it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from xlvla import rig_file
from xlvla.types import SECOND
from xlvla_data.bag.reader import Bag
from xlvla_data.recorder.expected_streams import stream
from xlvla_data.recorder.stream_statistics import StreamStatistics
from xlvla_data.verdict import Span, Track, Verdict, judge


def judged(bag: Bag) -> tuple[Verdict, float]:
    """The verdict on a bag, by the rig on its card, and its duration [s] by the stamps of the
    streams that have a rate.

    Raises:
        XlvlaError: the rig on its card is none of this version, or the bag is damaged.
    """
    rig = rig_file.from_document(dict(bag.info.rig), f"the rig of {bag.folder}")
    by_topic = {name: StreamStatistics(stream(rig, topic)) for name, topic in bag.topics.items()}
    began_ns = 0
    ended_ns = 0
    for message in bag.messages(raw=True):
        if not began_ns:
            began_ns = message.log_ns
        ended_ns = message.log_ns
        statistics = by_topic[message.topic]
        try:
            statistics.add(message.content, message.stamp_ns, message.log_ns, message.sequence)
        except (struct.error, IndexError, ValueError):
            statistics.complain("a message cannot be read")
    tracks = [statistics.track() for statistics in by_topic.values()]
    return judge(tracks, Span(began_ns, ended_ns)), _duration_s(tracks)


def _duration_s(tracks: Sequence[Track]) -> float:
    """From the first to the last stamp of the streams that have a rate [s]."""
    steady = [track.stamps for track in tracks if track.claim_hz and len(track.stamps)]
    if not steady:
        return 0.0
    first_ns = min(int(stamps.min()) for stamps in steady)
    last_ns = max(int(stamps.max()) for stamps in steady)
    return (last_ns - first_ns) / SECOND
