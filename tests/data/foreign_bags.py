"""Bags as other programs write them: without chunks, with channels inside chunks, in several files,
compressed.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import yaml
from mcap.reader import NonSeekingReader
from mcap.writer import Writer

from xlvla_data.bag.card import CARD
from xlvla_data.bag.layout import METADATA
from xlvla_data.bag.reader import Bag


def rewrite(
    source: Path, folder: Path, *, files: int = 1, described: bool = False, **options
) -> Path:
    """The same messages in a bag of the mcap package's writer, split into files of equal numbers of
    messages.
    """
    folder.mkdir(parents=True)
    shutil.copy(source / CARD, folder)
    bag = Bag(source)
    messages = list(bag.messages(raw=True))
    names = [f"{source.name}_{number}.mcap" for number in range(files)]
    for number, name in enumerate(names):
        some = messages[len(messages) * number // files : len(messages) * (number + 1) // files]
        write(folder / name, bag, some, options)
    if described:
        document = yaml.safe_load((source / METADATA).read_text())
        document["rosbag2_bagfile_information"]["relative_file_paths"] = names
        (folder / METADATA).write_text(yaml.safe_dump(document))
    return folder


def write(path: Path, bag: Bag, messages, options) -> None:
    """A file with these messages of a bag, by the mcap package's writer."""
    made = Writer(str(path), **options)
    made.start(profile="ros2", library="somebody")
    channels = {}
    for message in messages:
        topic = bag.topics[message.topic]
        if message.topic not in channels:
            schema = made.register_schema(
                name=topic.type, encoding="ros2msg", data=topic.definition.encode()
            )
            told = {"offered_qos_profiles": topic.qos, "topic_type_hash": topic.type_hash}
            channels[message.topic] = made.register_channel(message.topic, "cdr", schema, told)
        made.add_message(
            channels[message.topic],
            message.log_ns,
            message.content,
            message.sent_ns,
            message.sequence,
        )
    made.finish()


def plainly(path: Path) -> Counter[tuple[str, int, bytes]]:
    """The messages of a file that another reader gets, going through it to the end or to where it
    fails.
    """
    found = Counter()
    with path.open("rb") as file:
        try:
            for _, channel, message in NonSeekingReader(file, validate_crcs=True).iter_messages(
                log_time_order=False
            ):
                found[channel.topic, message.log_time, message.data] += 1
        except Exception:  # it fails in many ways
            pass
    return found
