"""UFACTORY xArm7."""

from math import radians

from xlvla.arm import Arm

ARM = Arm(
    name="xarm7",
    title="UFACTORY xArm7",
    joints=tuple(f"joint{i}" for i in range(1, 8)),
    flange="link7",
    driver="xarm7",
    acceleration=radians(1145),  # vendor data sheet
)
