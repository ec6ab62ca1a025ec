"""One pose of one hand, shown by every other hand.

An encoder turns the joints of an XHand into the 32 numbers that all hands share; the decoder of
each hand turns these numbers into its own joints. What is kept are the lines from the thumb's tip
to the other fingertips, so a pinch stays a pinch.

Prints the size of the latent, then a line per hand: the distance [mm] from the tip of its thumb to
the tip of its index finger, and its joints [rad].
"""

import numpy as np

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.kinematics import fingertips

SIDE = "right"
PINCH = {
    "right_hand_thumb_bend_joint": 1.16,
    "right_hand_thumb_rota_joint1": 1.02,
    "right_hand_index_joint1": 1.31,
    "right_hand_index_joint2": 0.39,
}
"""Joints of an XHand [rad]; those not named are at zero, where the finger is straight."""


def pinch_mm(hand: str, joints: np.ndarray) -> float:
    """Distance [mm] of the tips of thumb and index finger at these joints [J] rad."""
    tips = fingertips(catalog.hand(hand), SIDE, joints)
    return 1000 * float(np.linalg.norm(tips["thumb"] - tips["index"]))


def main() -> None:
    np.set_printoptions(linewidth=150, suppress=True)
    codec = Codec.load()
    pose = np.array([PINCH.get(name, 0.0) for name in codec.joints("xhand", SIDE)])
    latent = codec.encode("xhand", SIDE, pose)
    print(f"latent: {len(latent)} numbers for {len(pose)} joints of an xhand")
    print(f"{'the pose':8} {pinch_mm('xhand', pose):4.1f} mm  {np.round(pose, 2)}")
    for name in codec.hands:
        joints = codec.decode(name, SIDE, latent)
        print(f"{name:8} {pinch_mm(name, joints):4.1f} mm  {np.round(joints, 2)}")


if __name__ == "__main__":
    main()
