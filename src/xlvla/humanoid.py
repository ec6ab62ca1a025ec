"""What a humanoid is to a rig: the body whose limbs its arms are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xlvla import urdf
from xlvla.paths import share

PREFIX = "body_"
"""What the names of a humanoid's links and joints begin with in an assembled rig."""


@dataclass(frozen=True)
class Humanoid:
    """Facts of one humanoid without its arms, as `urdf/humanoids/NAME/NAME.urdf` describes it: it
    stands with every joint at zero.

    Args:
        limbs: the arms of the catalogue that are its limbs.
        torso: link that the root of every limb coincides with.
        waist: joints between the legs and the torso, in the order of every vector of them.
        stands_m: height of its root above the soles of its feet.
        stiffness, damping: with which its waist is held [Nm/rad, Nm s/rad].
        natural: range [rad] in which a scripted expert moves a joint of the left limb, where that
            is less than the joint can; the right limb is its mirror. Its natural posture is zero.
    """

    name: str
    title: str
    limbs: tuple[str, ...]
    torso: str
    waist: tuple[str, ...]
    stands_m: float
    stiffness: float
    damping: float
    natural: Mapping[str, tuple[float, float]]

    @property
    def urdf_path(self) -> Path:
        return share("urdf") / f"humanoids/{self.name}/{self.name}.urdf"

    @property
    def urdf_model(self) -> urdf.Urdf:
        """Its URDF, parsed."""
        return urdf.load(self.urdf_path)

    @property
    def description(self) -> urdf.Description:
        return self.urdf_model.description


def in_rig(name: str) -> str:
    """The name a link or joint of a humanoid bears in an assembled rig.

    >>> in_rig("torso_link")
    'body_torso_link'
    """
    return PREFIX + name
