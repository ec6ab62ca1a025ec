"""Retargeting of an operator's fingers to a robot's hand, frame by frame: through the latent, for
every hand, or by dex-retargeting.
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
from xlvla.operator_hand import OperatorHand
from xlvla.types import Side

Array = NDArray[np.floating[Any]]


class Fingers(Protocol):
    """Retargeting to one side of a robot's hand.

    Attributes:
        names: the hand's joints, in the order of what `joints` gives.
        latent: [L] of the last call's result.
    """

    names: tuple[str, ...]

    @property
    def latent(self) -> Array: ...

    def joints(self, keypoints: Array) -> Array:
        """Joints [J] rad, within the range of commands, for the operator's keypoints [21, 3] m in
        any frame.

        Raises:
            XlvlaError: the keypoints are no hand (`xlvla.human.hand_axes`); nothing has changed
                then.
        """
        ...


def fingers(
    method: teleop.Fingers,
    hand: Hand,
    side: Side,
    codec: Codec,
    operator: OperatorHand | None = None,
) -> Fingers:
    """Retargeting by a method to one side of a hand, from the hand of an operator who was
    calibrated or not.
    """
    made = DexFingers(hand, side, codec) if method == "dex" else CodecFingers(hand, side, codec)
    return made if operator is None else CalibratedFingers(made, side, operator)


class CalibratedFingers:
    """Retargeting from keypoints without what the tracker gets wrong about this operator.

    Attributes:
        fingers: what the keypoints are passed on to.
    """

    def __init__(self, fingers: Fingers, side: Side, operator: OperatorHand):
        self.names = fingers.names
        self.fingers = fingers
        self._side: Side = side
        self._operator = operator

    @property
    def latent(self) -> Array:
        return self.fingers.latent

    def joints(self, keypoints: Array) -> Array:
        return self.fingers.joints(self._operator.corrected(self._side, keypoints))


class CodecFingers:
    """Retargeting through the latent: the operator's hand is one more embodiment of the codec, so
    that one stream drives every hand.
    """

    def __init__(self, hand: Hand, side: Side, codec: Codec, people: HumanCodec | None = None):
        self.names = codec.joints(hand.name, side)
        self._hand = hand.name
        self._codec = codec
        self._side: Side = side
        self._people = people or HumanCodec.load(codec)
        self._lower, self._upper = hand.command_range(side)
        self.latent: Array = np.zeros(codec.latent_dim, np.float32)

    def joints(self, keypoints: Array) -> Array:
        self.latent = self._people.encode(self._side, keypoints)
        joints = self._codec.decode(self._hand, self._side, self.latent)
        return np.clip(joints, self._lower, self._upper)


Kind = Literal["dexpilot", "vector"]
"""Optimisers of the package: with a prior that closes pinches, and without."""

WRISTS = {"ability": "base", "allegro": "mount", "inspire": "base"}
"""Hands the package has configurations for, with the link of our URDFs that is their wrist."""


class DexFingers:
    """Retargeting by dex-retargeting: each frame is optimised, starting from the one before.

    The package's own configurations are used, with our URDFs, without its low-pass filter, which
    would lag by some 70 ms at 60 Hz, and with keypoints of a hand of middle size, which its scales
    assume.
    """

    def __init__(self, hand: Hand, side: Side, codec: Codec, kind: Kind = "dexpilot"):
        if hand.name not in WRISTS:
            raise XlvlaError(
                f"dex-retargeting knows no hand '{hand.name}': it knows {', '.join(WRISTS)}; "
                "`fingers: codec` drives every hand"
            )
        self.names = hand.joint_names(side)
        self._hand = hand.name
        self._codec = codec
        self._side: Side = side
        self._retargeting = _retargeting(hand, side, kind)
        # The keypoints between which the optimiser compares vectors.
        self._origins, self._ends = self._retargeting.optimizer.target_link_human_indices
        self._columns = [self._retargeting.joint_names.index(name) for name in self.names]
        self._lower, self._upper = hand.command_range(side)
        self.latent: Array = np.zeros(codec.latent_dim, np.float32)

    def joints(self, keypoints: Array) -> Array:
        points = human.normalised(self._side, keypoints)
        if self._side == "left":
            points = points * human.MIRROR
        vectors = points[self._ends] - points[self._origins]
        optimised = self._retargeting.retarget(vectors)[self._columns]
        joints = np.clip(optimised, self._lower, self._upper)
        self.latent = self._codec.encode(self._hand, self._side, joints)
        return joints

    def begin(self) -> None:
        """Forgets the last frame, from which the next one would start."""
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
    path = constants.get_default_config_path(
        constants.RobotName[hand.name],
        constants.RetargetingType[kind],
        constants.HandType[side],
    )
    assert path is not None
    wrist = WRISTS[hand.name]
    # The package expects the tips in the order of the human fingers.
    tip_links = hand.tip_links(side)
    tips = [tip_links[finger] for finger in sorted(tip_links, key=lambda name: human.TIPS[name])]
    overrides: dict[str, Any] = {
        "urdf_path": str(hand.urdf_path(side)),
        "target_joint_names": list(hand.joint_names(side)),
        "low_pass_alpha": 1.0,
    }
    if kind == "vector":
        overrides["target_origin_link_names"] = [wrist] * len(tips)
        overrides["target_task_link_names"] = tips
    else:
        overrides["wrist_link_name"] = wrist
        overrides["finger_tip_link_names"] = tips
    return RetargetingConfig.load_from_file(Path(path), overrides).build()
