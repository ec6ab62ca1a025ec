"""Writes pictures as a video."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np

from xlvla.errors import XlvlaError


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
        self._file = None

    def add(self, rgb: np.ndarray, caption: str = "") -> None:
        """Appends a picture [H, W, 3] of even width and height; the first one's size is the
        film's.
        """
        if self._file is None:
            self._open(rgb.shape[1], rgb.shape[0])
        frame = self._av.VideoFrame.from_ndarray(self._captioned(rgb, caption), format="rgb24")
        self._write(self._stream.encode(frame))
        self.frames += 1

    def _open(self, width: int, height: int) -> None:
        self._file = self._av.open(str(self.path), "w")
        self._stream = self._file.add_stream(
            "libx264", rate=self.rate_hz, options={"preset": "veryfast", "crf": "22"}
        )
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.codec_context.thread_count = 1

    def _captioned(self, rgb: np.ndarray, caption: str) -> np.ndarray:
        picture = np.ascontiguousarray(rgb)
        if not caption:
            return picture
        picture = picture.copy()
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

    def _write(self, packets) -> None:
        assert self._file is not None
        for packet in packets:
            self._file.mux(packet)

    def close(self) -> None:
        if self._file is not None:
            self._write(self._stream.encode())
            self._file.close()
            self._file = None

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
