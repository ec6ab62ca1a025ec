"""Writes a bag: a folder that `ros2 bag` plays."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcap.records import Metadata

from xlvla import files
from xlvla_data.bag.layout import METADATA, BagTopic, FileFacts, as_yaml, information, mcap_path
from xlvla_data.bag.mcap_file import McapFile

SPARE = ".spare"
SPARE_BYTES = 1 << 20
"""Kept from the start, so that a full disk still takes the end of a bag: its summary and what it
says of itself.
"""


class BagWriter:
    """A bag that is being recorded; for one thread.

    Nothing is on the disk before a `flush`; call it once a second. While it lives the bag is
    locked, so that nobody takes it for one that was left behind.
    """

    def __init__(self, folder: Path, topics: Sequence[BagTopic], distro: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._topics = topics
        self._distro = distro
        with contextlib.suppress(OSError):
            (folder / SPARE).write_bytes(bytes(SPARE_BYTES))
        self.file = McapFile(mcap_path(folder), topics)
        fcntl.flock(self.file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def add(self, topic: str, data: bytes, log_ns: int, sent_ns: int, sequence: int = 0) -> None:
        self.file.add(topic, data, log_ns, sent_ns, sequence)

    def flush(self) -> None:
        """Brings everything to the disk; OSError where it cannot, then what was added since the
        last time is lost.
        """
        self.file.flush()

    def close(self) -> None:
        """Ends the bag; OSError where not even its end fits, then it can be repaired once there is
        space.
        """
        (self.folder / SPARE).unlink(missing_ok=True)
        self.file.close(
            lambda: Metadata("rosbag2", {"serialized_metadata": as_yaml(self._information())})
        )
        files.write_text(
            self.folder / METADATA, as_yaml({"rosbag2_bagfile_information": self._information()})
        )

    def _information(self) -> dict[str, Any]:
        facts = FileFacts(mcap_path(self.folder).name, self.file.counts, *self.file.span_ns)
        return information([facts], self._topics, self._distro)
