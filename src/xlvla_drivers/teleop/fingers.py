"""From an operator's fingers to a robot's, frame by frame: through the latent, as every hand does,
or by dex-retargeting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from xlvla import human, teleop
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.hand import Hand
from xlvla.human_codec import HumanCodec
from xlvla.types import Side

Array = NDArray[np.floating[Any]]


class Fingers(Protocol):
    """One way for one side of a robot's hand.

    Attributes:
        names: the hand's joints, in the order of what `joints` gives.
        latent: [L] of the last call's result.
    """

    names: tuple[str, ...]
    latent: Array

    def joints(self, keypoints: Array) -> Array:
        """Joints [J] rad, within the command's range, for the operator's keypoints [21, 3] m in any
        frame.

        Raises:
            XlvlaError: the keypoints are no hand (`xlvla.human.hand_axes`); nothing has changed
                then.
        """
        ...


def fingers(way: teleop.Fingers, hand: Hand, side: Side, codec: Codec) -> Fingers:
    """A way for one side of a hand."""
    return DexFingers(hand, side, codec) if way == "dex" else CodecFingers(hand, side, codec)


class CodecFingers:
    """Through the latent: the operator's hand is one more embodiment of the codec, so that one
    stream drives every hand.
    """

    def __init__(self, hand: Hand, side: Side, codec: Codec, people: HumanCodec | None = None):
        self.names = codec.joints(hand.name, side)
        self._hand = hand.name
        self._codec = codec
        self._side: Side = side
        self._people = people or HumanCodec.load(codec)
        self._range = hand.command_range(side)
        self.latent: Array = np.zeros(codec.latent_dim, np.float32)

    def joints(self, keypoints: Array) -> Array:
        self.latent = self._people.encode(self._side, keypoints)
        return np.clip(self._codec.decode(self._hand, self._side, self.latent), *self._range)


Kind = Literal["dexpilot", "vector"]
"""Optimisers of the package: with a prior that closes pinches, and without."""
WRISTS = {"ability": "base", "allegro": "mount", "inspire": "base"}
"""Hands the package has configurations for, with the link of our URDFs that is their wrist."""


class DexFingers:
    """By dex-retargeting: each frame is optimised, starting from the one before.

    The package's own configurations with our URDFs, but for its low-pass filter, which would lag by
    some 70 ms at 60 Hz, and with hands of middle size, which its scales assume.
    """

    def __init__(self, hand: Hand, side: Side, codec: Codec, kind: Kind = "dexpilot"):
        if hand.name not in WRISTS:
            known = ", ".join(WRISTS)
            raise XlvlaError(
                f"dex-retargeting knows no hand '{hand.name}': it knows {known}; `fingers: codec` "
                "drives every hand"
            )
        self.names = hand.joint_names(side)
        self._hand = hand.name
        self._codec = codec
        self._side: Side = side
        self._retargeting = _retargeting(hand, side, kind)
        self._lines = self._retargeting.optimizer.target_link_human_indices
        self._columns = [self._retargeting.joint_names.index(name) for name in self.names]
        self._range = hand.command_range(side)
        self.latent: Array = np.zeros(codec.latent_dim, np.float32)

    def joints(self, keypoints: Array) -> Array:
        points = human.normalised(self._side, keypoints)
        if self._side == "left":
            points = points * human.MIRROR
        origins, ends = self._lines
        found = self._retargeting.retarget(points[ends] - points[origins])[self._columns]
        joints = np.clip(found, *self._range)
        self.latent = self._codec.encode(self._hand, self._side, joints)
        return joints

    def begin(self) -> None:
        """Forgets the last frame: the next one has nothing to do with it."""
        self._retargeting.reset()


def _retargeting(hand: Hand, side: Side, kind: Kind) -> Any:
    """The package's solver for a hand."""
    try:
        from dex_retargeting import constants
        from dex_retargeting.retargeting_config import RetargetingConfig
    except ImportError as error:
        raise XlvlaError(
            f"`fingers: dex` needs dex-retargeting ({error}): pip install dex-retargeting six"
        ) from None

    which = (
        constants.RobotName[hand.name],
        constants.RetargetingType[kind],
        constants.HandType[side],
    )
    path = constants.get_default_config_path(*which)
    assert path is not None
    tips = [
        link
        for _, link in sorted(hand.tip_links(side).items(), key=lambda item: human.TIPS[item[0]])
    ]
    links: dict[str, Any] = {"wrist_link_name": WRISTS[hand.name], "finger_tip_link_names": tips}
    if kind == "vector":
        links = {
            "target_origin_link_names": [WRISTS[hand.name]] * len(tips),
            "target_task_link_names": tips,
        }
    urdf = {
        "urdf_path": str(hand.urdf_path(side)),
        "target_joint_names": list(hand.joint_names(side)),
    }
    return RetargetingConfig.load_from_file(
        Path(path), {**urdf, **links, "low_pass_alpha": 1.0}
    ).build()
