"""Pictures as mp4 and back."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from xlvla.errors import XlvlaError
from xlvla.files import replacing
from xlvla.text import plain
from xlvla_data.jpeg import DEEP, MOST_PIXELS

OPTIONS = {"preset": "veryfast", "crf": "20", "g": "2", "bf": "0"}
"""A key frame every two frames, so that any frame is near one."""


def write(path: Path, pictures: Iterable[np.ndarray], fps: float) -> int:
    """Writes RGB uint8 [H, W, 3] atomically as H.264; returns how many there were. Raises
    XlvlaError where they are not all of one size.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with replacing(path) as fresh, av.open(str(fresh), "w", format="mp4") as file:
        stream = None
        count = 0
        for picture in pictures:
            count += 1
            if stream is None:
                stream = file.add_stream("libx264", rate=rate, options=OPTIONS)
                stream.height = picture.shape[0]
                stream.width = picture.shape[1]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1
            if picture.shape != (stream.height, stream.width, 3):
                raise XlvlaError(
                    f"picture {count - 1} is {list(picture.shape)}, those before are "
                    f"{[stream.height, stream.width, 3]}"
                )
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
        rate_hz: where there is one for every frame, frames per second; None takes them as they
            come.
    """

    path: Path
    start_s: float
    frames: int
    step: int = 1
    skipped: int = 0
    rate_hz: float | None = None

    def part(self, first: int, last: int) -> Clip:
        """The pictures from `first` to before `last`."""
        return replace(self, skipped=self.skipped + first, frames=last - first)

    def __len__(self) -> int:
        return -(-self.frames // self.step)

    def __iter__(self) -> Iterator[np.ndarray]:
        if not self.skipped:
            return read(self.path, self.start_s, self.frames, self.step, self.rate_hz)
        wanted = self.skipped + self.frames
        pictures = read(self.path, self.start_s, wanted, rate_hz=self.rate_hz)
        return islice(pictures, self.skipped, None, self.step)

    def __getitem__(self, chosen: slice) -> Clip:
        if chosen.start or chosen.stop is not None:
            raise NotImplementedError("a clip is iterated from its beginning: clip[::step]")
        return replace(self, step=self.step * (chosen.step or 1))


def read(
    path: Path,
    start_s: float = 0.0,
    frames: int | None = None,
    step: int = 1,
    rate_hz: float | None = None,
) -> Iterator[np.ndarray]:
    """Every `step`-th of `frames` pictures from `start_s` on, RGB uint8 [H, W, 3].

    Args:
        rate_hz: at which there is a picture for every frame; None takes them as they come.

    Raises:
        XlvlaError: the file is missing, damaged or ends too early, or a picture is not that of its
            frame.
    """
    with _opened(path) as (file, stream):
        yield from _pictures(file, stream, path, start_s, frames, step, rate_hz)


def count(path: Path) -> int:
    """How many pictures a video says it has; raises XlvlaError where it cannot be read."""
    with _opened(path) as (_, stream):
        return stream.frames


def times(path: Path) -> tuple[np.ndarray, float]:
    """When a video's pictures are shown [N] s, in order, and half of their mean period [s]; raises
    XlvlaError where it cannot be read.
    """
    with _opened(path) as (file, stream):
        stamps = [packet.pts for packet in file.demux(stream) if packet.pts is not None]
        return np.sort(np.array(stamps, float)) * _tick_s(stream), _half_period_s(stream)


@contextmanager
def _opened(path: Path) -> Generator[tuple[InputContainer, VideoStream]]:
    """A video and its stream of colour pictures; raises XlvlaError for what is wrong with it."""
    try:
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            # A codec that is not known has none, though the package's stubs do not say so
            if not getattr(stream, "codec_context", None):
                raise ValueError("its codec is unknown")
            stream.codec_context.thread_count = 1
            if stream.codec_context.width * stream.codec_context.height > MOST_PIXELS:
                raise ValueError("its pictures are too large")
            # Depth maps would be cut to 8 bits and look like colours
            if DEEP.match(stream.codec_context.pix_fmt or ""):
                raise XlvlaError(
                    f"video {path} holds depth maps ({stream.codec_context.pix_fmt}), no colours"
                )
            yield file, stream
    except (FFmpegError, IndexError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise XlvlaError(f"video {path} cannot be read: {plain(error, 200)}") from None


def _tick_s(stream: VideoStream) -> float:
    """The unit of a stream's stamps [s]."""
    if not stream.time_base:
        raise ValueError("its pictures have no times")
    return float(stream.time_base)


def _half_period_s(stream: VideoStream) -> float:
    """Half of the mean time between pictures [s]."""
    if not stream.average_rate:
        raise ValueError("it has no rate")
    return 0.5 / float(stream.average_rate)


def _pictures(
    file: InputContainer,
    stream: VideoStream,
    path: Path,
    start_s: float,
    frames: int | None,
    step: int,
    rate_hz: float | None,
) -> Iterator[np.ndarray]:
    half_s = _half_period_s(stream)
    if start_s > 0:
        file.seek(int(start_s / _tick_s(stream)), stream=stream)
    count = 0
    for frame in file.decode(stream):
        # Seeking goes to a key frame at or before the time
        if frame.time < start_s - half_s:
            continue
        if frames is not None and count >= frames:
            return
        if rate_hz is not None:
            late_s = frame.time - start_s - count / rate_hz
            # Counted, the pictures behind it would be those of other frames or episodes
            if abs(late_s) * rate_hz > 0.5:
                raise XlvlaError(
                    f"video {path}: picture {count} from {start_s:.2f} s on is {late_s:+.2f} s "
                    "from its frame: `xlvla data import` takes pictures by their own time"
                )
        if count % step == 0:
            yield frame.to_ndarray(format="rgb24")
        count += 1
    if frames is not None and count < frames:
        raise XlvlaError(f"video {path} has {count} of {frames} pictures")
