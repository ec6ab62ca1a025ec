"""A recorded grasp of one hand, moved to another hand on the same arm.

`recorded_grasp.csv` holds 6 s of an xArm7 with an XHand that reaches for a can and lifts it: a
column of seconds, then one per joint [rad], named as in the rig. The hand goes through the latent
that all hands share. The arm is solved anew, so that the wrist keeps its rotation and what is held
between thumb and fingers stays where it was.

Writes a file of the same form for an Allegro hand; prints how far it misses the recorded one.
Recorded episodes in LeRobot's format are moved by a command: `xlvla retarget FOLDER --to allegro`.
"""

from pathlib import Path

import numpy as np

from xlvla import rig_file
from xlvla.codec import Codec
from xlvla.retarget import Limb, Retargeter

RECORDED = Path(__file__).with_name("recorded_grasp.csv")
WRITTEN = Path("retargeted_grasp.csv")
SIDE = "right"


def read(path: Path) -> dict[str, np.ndarray]:
    """The columns of a file by name."""
    with path.open() as file:
        names = file.readline().strip().split(",")
        columns = np.loadtxt(file, delimiter=",", unpack=True)
    return dict(zip(names, columns, strict=True))


def main() -> None:
    source_rig = rig_file.load("bimanual")
    target_rig = rig_file.with_choices(source_rig, hands={SIDE: "allegro"})
    retarget = Retargeter(Limb(source_rig, SIDE), Limb(target_rig, SIDE), Codec.load())

    recorded = read(RECORDED)
    seconds = recorded["time_s"]
    arm = np.column_stack([recorded[name] for name in source_rig.joint_names(SIDE, "arm")])
    hand = np.column_stack([recorded[name] for name in source_rig.joint_names(SIDE, "hand")])
    moved = retarget(arm, hand, rate_hz=1 / (seconds[1] - seconds[0]))

    names = ["time_s", *target_rig.joint_names(SIDE, "arm"), *target_rig.joint_names(SIDE, "hand")]
    rows = np.column_stack([seconds, moved.arm, moved.hand])
    np.savetxt(WRITTEN, rows, "%.4f", delimiter=",", header=",".join(names), comments="")

    print(f"{len(rows)} frames, {hand.shape[1]} hand joints -> {moved.hand.shape[1]}")
    print(f"pinch midpoint: at most {1000 * moved.position.max():.2f} mm off")
    print(f"wrist rotation: at most {np.degrees(moved.rotation.max()):.2f} deg off")
    print(f"arm joints: at most {np.abs(moved.arm - arm).max():.2f} rad from the recorded ones")
    print(f"frames out of reach: {moved.held.sum()}, slowed down: {moved.slowed.sum()}")
    print(f"written: {WRITTEN}")


if __name__ == "__main__":
    main()
