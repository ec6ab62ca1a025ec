"""Compressed pictures as arrays and back, by the codecs that videos need anyway."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError

from xlvla.errors import XlvlaError

CODECS = {b"\x89PNG": "png", b"II*\0": "tiff", b"MM\0*": "tiff", b"RIFF": "webp", b"BM": "bmp"}
"""Codecs by the beginnings of compressed pictures; any other is JPEG."""

MOST_PIXELS = 1 << 26
"""Of a picture; a few bytes may say that there are more, before memory is taken."""

DEEP = re.compile(r"gray(f|\d\d)")
"""Formats of one channel of more than 8 bits, which depth maps have."""


class Decoder:
    """Decodes JPEG, PNG, TIFF, WebP and BMP, one picture after the other."""

    def __init__(self) -> None:
        self._codecs: dict[str, av.VideoCodecContext] = {}

    def __call__(self, data: bytes) -> np.ndarray:
        """RGB uint8 [H, W, 3]; raises XlvlaError where that is no picture, or no colours."""
        name = "mjpeg"
        for beginning, codec in CODECS.items():
            if data.startswith(beginning):
                name = codec
        try:
            (frame,) = self._codec(name).decode(av.Packet(data))
            # The stubs of the package lack this attribute
            pixels: str = frame.format.name  # pyright: ignore[reportAttributeAccessIssue]
            if not DEEP.match(pixels):
                return frame.to_ndarray(format="rgb24")
        except (FFmpegError, ValueError):
            raise XlvlaError(f"a compressed image of {len(data)} bytes cannot be read") from None
        raise XlvlaError(f"a depth map ({pixels}) is no picture in colour")

    def _codec(self, name: str) -> av.VideoCodecContext:
        """The codec of this name, made once where that is right."""
        if name in self._codecs:
            return self._codecs[name]
        codec = av.VideoCodecContext.create(name, "r")
        codec.thread_count = 1
        bounds = {"max_pixels": str(MOST_PIXELS)}
        codec.options = bounds  # pyright: ignore[reportAttributeAccessIssue]
        # PNG's adds a picture's first row to that of the last one
        # (findings/png_decoder_adds_pictures.sh)
        if name != "png":
            self._codecs[name] = codec
        return codec


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
