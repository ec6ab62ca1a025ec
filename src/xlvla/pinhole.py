"""A camera as a pinhole: what its pictures show, by numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import radians, tan
from typing import TypeVar

import numpy as np

Kind = TypeVar("Kind", bound="Pinhole")


@dataclass(frozen=True)
class Pinhole:
    """Focal lengths and principal point of pictures of one size [px], without distortion."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    @classmethod
    def of_view(cls: type[Kind], fovy_deg: float, size: tuple[int, int]) -> Kind:
        """A lens that is known by its vertical field of view alone, for pictures of a width and a
        height [px].
        """
        width, height = size
        focal = height / 2 / tan(radians(fovy_deg) / 2)
        return cls(focal, focal, width / 2, height / 2, width, height)

    @property
    def matrix(self) -> np.ndarray:
        """The intrinsic matrix K [3, 3]."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])
