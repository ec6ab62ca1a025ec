from fractions import Fraction

from av import Packet, VideoCodecContext, VideoFrame

class VideoStream:
    width: int
    height: int
    pix_fmt: str
    frames: int
    time_base: Fraction | None
    average_rate: Fraction | None

    @property
    def codec_context(self) -> VideoCodecContext: ...
    def encode(self, frame: VideoFrame | None = None) -> list[Packet]: ...
