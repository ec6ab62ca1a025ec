"""Franka Research 3."""

from xlvla.arm import Arm

JOINTS = tuple(f"fr3_joint{i}" for i in range(1, 8))

ARM = Arm(
    name="fr3",
    title="Franka Research 3",
    joints=JOINTS,
    flange="fr3_link8",
    driver="ros2_control",
    acceleration=10.0,  # of its control interface, which allows a jerk of 5000 rad/s^3
    home={
        "left": dict(zip(JOINTS, (-0.382, 0.617, 0.421, -2.078, 0.045, 3.961, 1.302), strict=True)),
        "right": dict(
            zip(JOINTS, (0.382, 0.617, -0.421, -2.078, -0.045, 3.961, -1.302), strict=True)
        ),
    },
)
