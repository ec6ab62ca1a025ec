"""Unitree G1, one arm of the 29-joint robot, from the torso: the waist is believed at zero."""

from xlvla.arm import Arm, Impedance

ARM = Arm(
    name="g1",
    title="Unitree G1",
    joints=(
        "shoulder_pitch_joint",
        "shoulder_roll_joint",
        "shoulder_yaw_joint",
        "elbow_joint",
        "wrist_roll_joint",
        "wrist_pitch_joint",
        "wrist_yaw_joint",
    ),
    flange="flange",
    driver="g1",
    # None is published: as an xArm7, for which a fifth of the shoulder's torque is enough.
    acceleration=20.0,
    urdf="arms/g1/{side}.urdf",
    # Gains as the driver's defaults; the rotors' inertia is that of the published simulations.
    impedance=Impedance(
        stiffness=(60.0, 60.0, 60.0, 60.0, 40.0, 40.0, 40.0),
        damping=(1.5,) * 7,
        armature=0.01,
    ),
)
