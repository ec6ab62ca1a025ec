"""Unitree G1 with 29 joints: pelvis, waist, torso, head and legs."""

from xlvla.humanoid import Humanoid

HUMANOID = Humanoid(
    name="g1",
    title="Unitree G1",
    limbs=("g1",),
    torso="torso_link",
    waist=("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint"),
    stands_m=0.79,
    # As the driver holds it (`body_kp`, `body_kd`).
    stiffness=300.0,
    damping=3.0,
    # Further in, the upper arm is in the torso. At 1.57 the arm is straight, and beyond it bends
    # backwards.
    natural={"shoulder_roll_joint": (0.15, 2.2), "elbow_joint": (-1.0, 1.4)},
)
