"""What every camera is, and how its picture becomes the one a rig publishes.

A camera's driver is a module `cameras/<name>.py` with `Options`, a frozen dataclass that has all of
`CameraOptions`, and `Driver`, a class with the constructor and the methods of `CameraDevice`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.pinhole import Pinhole
from xlvla.types import SECOND

Size = tuple[int, int]
"""Width, height [px]."""


@dataclass(frozen=True)
class Intrinsics(Pinhole):
    """A pinhole with plumb-bob distortion (k1 k2 p1 p2 k3), for pictures of one size [px]."""

    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)

    def framed(self, size: Size) -> Intrinsics:
        """Those of the picture cropped and shrunk to `size` as `published` does."""
        left, top, width, height = _crop((self.width, self.height), size)
        x = size[0] / width
        y = size[1] / height
        return Intrinsics(
            fx=self.fx * x,
            fy=self.fy * y,
            cx=(self.cx - left) * x,
            cy=(self.cy - top) * y,
            width=size[0],
            height=size[1],
            distortion=self.distortion,
        )

    @property
    def turned(self) -> Intrinsics:
        """Those of the picture turned upside down."""
        # What is even in x and y stays; the tangential terms change their sign.
        k1, k2, p1, p2, k3 = self.distortion
        return replace(
            self,
            cx=self.width - self.cx,
            cy=self.height - self.cy,
            distortion=(k1, k2, -p1, -p2, k3),
        )


@dataclass(frozen=True)
class CameraOptions:
    """What a rig may say about any camera.

    Args:
        intrinsics: as measured, for the size captured, before any turning; without them those that
            the camera knows, or what the rig's field of view says.
        upside_down: it hangs the other way up.
    """

    intrinsics: Intrinsics | None = None
    upside_down: bool = False


@dataclass(frozen=True)
class ImageFrame:
    """One picture.

    Args:
        stamp_ns: when it was taken [ns, system clock]; when it arrived where the camera does not
            say.
        pixels: uint8 [H, W, 3].
        order: of the colours.
        number: the camera's own count, gaps in which are lost pictures; None where it does not
            count.
    """

    stamp_ns: int
    pixels: np.ndarray
    order: Literal["rgb", "bgr"] = "bgr"
    number: int | None = None

    @property
    def size(self) -> Size:
        return self.pixels.shape[1], self.pixels.shape[0]


class CameraDevice(Protocol):
    """One camera. Methods are called from one thread that may block on them.

    Attributes:
        rate_hz: pictures a second that it promises, once connected.
        intrinsics: what the camera itself knows about its lens, once connected; mostly nothing.
    """

    rate_hz: float
    intrinsics: Intrinsics | None

    def __init__(self, address: str, capture: Size, options: Any): ...

    def connect(self) -> None:
        """Begins to capture; LinkLost when the camera is not there, XlvlaError when it cannot do
        what the rig asks.
        """
        ...

    def read(self) -> ImageFrame:
        """The next picture; LinkLost when the camera is gone."""
        ...

    def disconnect(self) -> None:
        """Never raises."""
        ...


def published(frame: ImageFrame, size: Size, options: CameraOptions) -> np.ndarray:
    """RGB uint8 [H, W, 3]: cropped about the centre to the published shape and shrunk, as a
    simulated camera's is.
    """
    import cv2

    left, top, width, height = _crop(frame.size, size)
    picture = frame.pixels[top : top + height, left : left + width]
    if (width, height) != size:
        # Averaging keeps a shrunk picture free of moire; it would make an enlarged one blocky.
        how = cv2.INTER_AREA if width > size[0] else cv2.INTER_LINEAR
        picture = cv2.resize(picture, size, interpolation=how)
    if frame.order == "bgr":
        picture = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_BGR2RGB)
    if options.upside_down:
        picture = picture[::-1, ::-1]
    return np.ascontiguousarray(picture)


def published_intrinsics(
    captured: Size, size: Size, options: CameraOptions, known: Intrinsics | None, fovy_deg: float
) -> Intrinsics:
    """Of what `published` makes: what a rig says comes first, then what the camera knows, then the
    rig's field of view.
    """
    measured = options.intrinsics
    if measured and (measured.width, measured.height) != captured:
        raise XlvlaError(
            f"intrinsics are for {measured.width} x {measured.height}, but the camera captures "
            f"{captured[0]} x {captured[1]}"
        )
    lens = measured or known or Intrinsics.of_view(fovy_deg, captured)
    if options.upside_down:
        lens = lens.turned
    return lens.framed(size)


def system_time_ns(monotonic_s: float) -> int:
    """The system clock's time of a moment of the monotonic clock that just was; of now when it
    cannot be that.
    """
    age_s = time.monotonic() - monotonic_s
    if not 0 <= age_s < 1:
        age_s = 0.0
    return time.time_ns() - round(age_s * SECOND)


def _crop(captured: Size, wanted: Size) -> tuple[int, int, int, int]:
    """Left, top, width and height of the largest centred piece with the wanted shape."""
    width = min(captured[0], round(captured[1] * wanted[0] / wanted[1]))
    height = min(captured[1], round(captured[0] * wanted[1] / wanted[0]))
    left = (captured[0] - width) // 2
    top = (captured[1] - height) // 2
    return left, top, width, height
