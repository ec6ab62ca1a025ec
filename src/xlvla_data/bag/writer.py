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
"""Reserved from the start, so that a full disk still takes the end of a bag: its summary and
`metadata.yaml`.
"""


class BagWriter:
    """A bag that is being recorded; for one thread.

    Nothing is on the disk before a `flush`; call it once a second. The bag is locked as long as the
    writer lives, so that no other process repairs it.
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
        """Writes everything to the disk.

        Raises:
            OSError: it cannot be written; what was added since the last flush is lost.
        """
        self.file.flush()

    def close(self) -> None:
        """Ends the bag.

        Raises:
            OSError: not even its end fits; the bag can be repaired once there is space.
        """
        (self.folder / SPARE).unlink(missing_ok=True)
        self.file.close(self._notes)
        document = {"rosbag2_bagfile_information": self._information()}
        files.write_text(self.folder / METADATA, as_yaml(document))

    def _notes(self) -> Metadata:
        """What rosbag2 looks for in the file itself."""
        return Metadata("rosbag2", {"serialized_metadata": as_yaml(self._information())})

    def _information(self) -> dict[str, Any]:
        facts = FileFacts(mcap_path(self.folder).name, self.file.counts, *self.file.span_ns)
        return information([facts], self._topics, self._distro)
