"""Pictures as mp4 and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from xlvla.errors import XlvlaError
from xlvla.files import replacing

OPTIONS = {"preset": "veryfast", "crf": "20", "g": "2", "bf": "0"}
"""A key frame every two frames, so that any frame is near one."""


def write(path: Path, pictures: Iterable[np.ndarray], fps: int) -> int:
    """Writes RGB uint8 [H, W, 3] atomically as H.264; returns how many there were."""
    with replacing(path) as fresh, av.open(str(fresh), "w", format="mp4") as file:
        stream = None
        count = 0
        for picture in pictures:
            count += 1
            if stream is None:
                stream = file.add_stream("libx264", rate=fps, options=OPTIONS)
                stream.height = picture.shape[0]
                stream.width = picture.shape[1]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            file.mux(stream.encode(frame))
        if stream is not None:
            file.mux(stream.encode())
    return count


@dataclass(frozen=True)
class Clip:
    """Some pictures of a video, decoded while they are iterated.

    Args:
        start_s: time of the first picture in the video.
        frames: how many pictures.
        step: every n-th of them.
        skipped: how many pictures from `start_s` on come before them.
    """

    path: Path
    start_s: float
    frames: int
    step: int = 1
    skipped: int = 0

    def part(self, first: int, last: int) -> Clip:
        """The pictures from `first` to before `last`."""
        return replace(self, skipped=self.skipped + first, frames=last - first)

    def __len__(self) -> int:
        return -(-self.frames // self.step)

    def __iter__(self) -> Iterator[np.ndarray]:
        if not self.skipped:
            return read(self.path, self.start_s, self.frames, self.step)
        pictures = read(self.path, self.start_s, self.skipped + self.frames)
        return islice(pictures, self.skipped, None, self.step)

    def __getitem__(self, chosen: slice) -> Clip:
        if chosen.start or chosen.stop is not None:
            raise NotImplementedError("a clip is iterated from its beginning: clip[::step]")
        return replace(self, step=self.step * (chosen.step or 1))


def read(
    path: Path, start_s: float = 0.0, frames: int | None = None, step: int = 1
) -> Iterator[np.ndarray]:
    """Every `step`-th of `frames` pictures from `start_s` on, RGB uint8 [H, W, 3].

    Raises:
        XlvlaError: the file is missing, damaged or ends too early.
    """
    try:
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            stream.codec_context.thread_count = 1
            yield from _pictures(file, stream, path, start_s, frames, step)
    except (FFmpegError, IndexError) as error:
        raise XlvlaError(f"video {path} cannot be read: {error}") from None


def count(path: Path) -> int:
    """How many pictures a video says it has; raises XlvlaError where it cannot be read."""
    try:
        with av.open(str(path)) as file:
            return file.streams.video[0].frames
    except (FFmpegError, IndexError) as error:
        raise XlvlaError(f"video {path} cannot be read: {error}") from None


def times(path: Path) -> tuple[np.ndarray, float]:
    """When a video's pictures are shown [N] s, in order, and half of their mean period [s]; raises
    XlvlaError where it cannot be read.
    """
    try:
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            assert stream.time_base is not None and stream.average_rate is not None
            stamps = [packet.pts for packet in file.demux(stream) if packet.pts is not None]
            times_s = np.sort(np.array(stamps, float)) * float(stream.time_base)
            half_s = 0.5 / float(stream.average_rate)
            return times_s, half_s
    except (FFmpegError, IndexError) as error:
        raise XlvlaError(f"video {path} cannot be read: {error}") from None


def _pictures(
    file: InputContainer,
    stream: VideoStream,
    path: Path,
    start_s: float,
    frames: int | None,
    step: int,
) -> Iterator[np.ndarray]:
    assert stream.time_base is not None and stream.average_rate is not None
    half_s = 0.5 / float(stream.average_rate)
    if start_s > 0:
        file.seek(int(start_s / stream.time_base), stream=stream)
    count = 0
    for frame in file.decode(stream):
        # Seeking goes to a key frame at or before the time
        if frame.time < start_s - half_s:
            continue
        if frames is not None and count >= frames:
            return
        if count % step == 0:
            yield frame.to_ndarray(format="rgb24")
        count += 1
    if frames is not None and count < frames:
        raise XlvlaError(f"video {path} has {count} of {frames} pictures")
