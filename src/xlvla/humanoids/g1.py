"""Unitree G1 with 29 joints: pelvis, waist, torso, head and legs."""

from xlvla.humanoid import Humanoid

HUMANOID = Humanoid(
    name="g1",
    title="Unitree G1",
    limbs=("g1",),
    torso="torso_link",
    waist=("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint"),
    # As the driver holds it (`body_kp`, `body_kd`).
    stiffness=300.0,
    damping=3.0,
)
