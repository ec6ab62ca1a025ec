"""Universal Robots UR5e."""

from xlvla.arm import Arm

JOINTS = (
    "shoulder_pan_joint",
    "shoulder_lift_joint",
    "elbow_joint",
    "wrist_1_joint",
    "wrist_2_joint",
    "wrist_3_joint",
)

ARM = Arm(
    name="ur5e",
    title="Universal Robots UR5e",
    joints=JOINTS,
    flange="tool0",
    driver="ros2_control",
    acceleration=10.0,  # none is published; gentle
    home={
        "left": dict(zip(JOINTS, (2.854, -2.122, -2.397, 1.104, 1.848, -0.076), strict=True)),
        "right": dict(zip(JOINTS, (0.288, -1.020, 2.397, 2.038, -1.848, -3.066), strict=True)),
    },
)
