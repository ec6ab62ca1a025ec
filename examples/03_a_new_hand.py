"""A hand of your own joins the latent of all others.

A hand is one entry and a URDF per side: `hands/tripod.py` names joints and fingertips of
`hands/tripod_left.urdf` and `hands/tripod_right.urdf`. XLVLA_HANDS names the folder; then commands
know the hand, too: `xlvla list`, `xlvla sim render --hands tripod`.

Prints what the entry says and what is wrong with it. Then teaches the hand the latent and prints
how it follows an XHand that closes to a pinch: the distance [mm] of the tips of thumb and index
finger, and its joints [rad]. It is a first look with a small part of the usual training: `xlvla
codec add tripod` takes some three minutes.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from xlvla import catalog
from xlvla.codec import SHIPPED, Codec
from xlvla.kinematics import fingertips
from xlvla_policy.latent.new_hand import NewHandTrainer, add
from xlvla_policy.latent.recipe import TIPS
from xlvla_policy.latent.training import on_threads

WEIGHTS = Path("tripod.safetensors")
FIRST_LOOK = replace(TIPS, orthogonal=False, batch=64, pool=16384, templates=256, clear=0.0)
XHAND_PINCH = np.array([1.16, 1.02, 0.0, 0.0, 1.31, 0.39, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])


def pinch_mm(hand: str, joints: np.ndarray) -> float:
    """Distance [mm] of the tips of thumb and index finger at these joints [J] rad."""
    tips = fingertips(catalog.hand(hand), "right", joints)
    return 1000 * float(np.linalg.norm(tips["thumb"] - tips["index"]))


def main() -> None:
    os.environ["XLVLA_HANDS"] = str(Path(__file__).with_name("hands"))
    hand = catalog.hand("tripod")
    print(f"{hand.title}: joints {', '.join(hand.joints)}; fingers {', '.join(hand.tips)}")
    print(f"faults: {'; '.join(hand.faults()) or 'none'}")

    on_threads(1)
    add(NewHandTrainer(SHIPPED, hand.name, steps=150, recipe=FIRST_LOOK), WEIGHTS)
    codec = Codec.load(WEIGHTS)
    print(f"{WEIGHTS}: {', '.join(codec.hands)}")
    for closed in (0.5, 0.75, 1.0):
        xhand = closed * XHAND_PINCH
        tripod = codec.decode(hand.name, "right", codec.encode("xhand", "right", xhand))
        print(f"xhand {pinch_mm('xhand', xhand):4.0f} mm", end=", ")
        print(f"tripod {pinch_mm('tripod', tripod):4.0f} mm  {np.round(tripod, 2)}")


if __name__ == "__main__":
    main()
