"""Kinova Gen3 with seven joints."""

from math import radians

from xlvla.arm import Arm

JOINTS = tuple(f"joint_{i}" for i in range(1, 8))

ARM = Arm(
    name="gen3",
    title="Kinova Gen3",
    joints=JOINTS,
    flange="end_effector_link",
    driver="ros2_control",
    acceleration=radians(297.94),  # user guide, of its large joints; the small ones allow 572.95
    home={
        "left": dict(zip(JOINTS, (-0.003, 1.158, 0.151, 1.743, 0.103, -1.076, 1.402), strict=True)),
        "right": dict(
            zip(JOINTS, (-0.092, 1.153, -0.169, 1.734, -0.220, -1.082, -1.356), strict=True)
        ),
    },
)
