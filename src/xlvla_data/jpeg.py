"""Compressed pictures as arrays and back, by the codecs that videos need anyway."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError

from xlvla.errors import XlvlaError

PNG = b"\x89PNG"


class Decoder:
    """Decodes JPEG and PNG, one picture after the other."""

    def __init__(self) -> None:
        self._codecs: dict[str, av.VideoCodecContext] = {}

    def __call__(self, data: bytes) -> np.ndarray:
        """RGB uint8 [H, W, 3]; raises XlvlaError where that is no picture."""
        name = "png" if data.startswith(PNG) else "mjpeg"
        if name not in self._codecs:
            codec = av.VideoCodecContext.create(name, "r")
            codec.thread_count = 1
            self._codecs[name] = codec
        try:
            (frame,) = self._codecs[name].decode(av.Packet(data))
            return frame.to_ndarray(format="rgb24")
        except (FFmpegError, ValueError):
            raise XlvlaError(f"a compressed image of {len(data)} bytes cannot be read") from None


def encode(picture: np.ndarray, quality: int = 4) -> bytes:
    """JPEG of an RGB picture uint8 [H, W, 3]; `quality` from 2, the best, to 31."""
    codec = av.VideoCodecContext.create("mjpeg", "w")
    codec.height, codec.width = picture.shape[:2]
    codec.pix_fmt = "yuvj420p"
    codec.time_base = Fraction(1, 1)
    codec.qmin = quality
    codec.qmax = quality
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    packets = [*codec.encode(frame), *codec.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
