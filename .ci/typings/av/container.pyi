from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from types import TracebackType
from typing import Self

from av import Packet, VideoFrame
from av.video.stream import VideoStream

class Container:
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def close(self) -> None: ...

class Streams:
    @property
    def video(self) -> tuple[VideoStream, ...]: ...

class InputContainer(Container):
    @property
    def streams(self) -> Streams: ...
    def seek(self, offset: int, *, stream: VideoStream | None = None) -> None: ...
    def demux(self, stream: VideoStream) -> Iterator[Packet]: ...
    def decode(self, stream: VideoStream) -> Iterator[VideoFrame]: ...

class OutputContainer(Container):
    def add_stream(
        self, codec_name: str, rate: Fraction | int, options: Mapping[str, str] | None = None
    ) -> VideoStream: ...
    def mux(self, packets: Packet | Sequence[Packet]) -> None: ...
