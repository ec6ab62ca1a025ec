"""Writes pictures as a video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xlvla.errors import XlvlaError

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream


class Film:
    """An H.264 file at a constant rate, with a caption in the picture; a context manager. Nothing
    is written without a picture.
    """

    def __init__(self, path: Path, rate_hz: int):
        try:
            import av
            import cv2
        except ImportError as error:
            raise XlvlaError(f"a video needs {error.name}: pip install 'xlvla[show,sim]'") from None
        self._av = av
        self._cv2 = cv2
        self.path = path
        self.rate_hz = rate_hz
        self.frames = 0
        self._file: OutputContainer | None = None
        self._stream: VideoStream | None = None

    def add(self, rgb: np.ndarray, caption: str = "") -> None:
        """Appends a picture [H, W, 3] of even width and height; the first one's size is the
        film's.
        """
        if self._file is None or self._stream is None:
            height, width, _ = rgb.shape
            self._file, self._stream = self._open(width, height)
        picture = self._captioned(rgb, caption)
        frame = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._file.mux(self._stream.encode(frame))
        self.frames += 1

    def _open(self, width: int, height: int) -> tuple[OutputContainer, VideoStream]:
        file = self._av.open(str(self.path), "w")
        options = {"preset": "veryfast", "crf": "22"}
        stream = file.add_stream("libx264", rate=self.rate_hz, options=options)
        stream.width = width
        stream.height = height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        return file, stream

    def _captioned(self, rgb: np.ndarray, caption: str) -> np.ndarray:
        picture = np.ascontiguousarray(rgb)
        if not caption:
            return picture
        picture = picture.copy()
        # The caption stands on a darker stripe, so that it is read on any picture.
        picture[:28] = picture[:28] // 3
        self._cv2.putText(
            picture,
            caption,
            (10, 19),
            self._cv2.FONT_HERSHEY_SIMPLEX,
            0.5,
            (255, 255, 255),
            1,
            self._cv2.LINE_AA,
        )
        return picture

    def close(self) -> None:
        if self._file is None or self._stream is None:
            return
        self._file.mux(self._stream.encode())
        self._file.close()
        self._file = None
        self._stream = None

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
