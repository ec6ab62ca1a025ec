"""The contests of `xlvla bench peers`."""

from __future__ import annotations

from xlvla_cli.bench.peers.contest import OURS, Contest

_HERE = "xlvla_cli.bench.peers"

CONTESTS = (
    Contest(
        name="write",
        title="MCAP writing, lz4, left to the system",
        unit="messages per CPU s",
        module=f"{_HERE}.bags",
        peers={
            "mcap": "write_mcap",
            "small-mcap": "write_small_mcap",
            "foxglove-sdk": "write_foxglove",
            OURS: "write_ours",
        },
        packages=("mcap", "small-mcap", "foxglove-sdk", "lz4"),
    ),
    Contest(
        name="write-fsync",
        title="MCAP writing, lz4, forced to the disk every 0.5 s",
        unit="messages per CPU s",
        module=f"{_HERE}.bags",
        peers={"small-mcap": "write_small_mcap_forced", OURS: "write_ours_forced"},
        packages=("small-mcap", "lz4"),
    ),
    Contest(
        name="read",
        title="MCAP reading, every message decoded",
        unit="messages per CPU s",
        module=f"{_HERE}.bags",
        peers={
            "mcap": "read_mcap",
            "small-mcap": "read_small_mcap",
            "rosbags": "read_rosbags",
            OURS: "read_ours",
        },
        packages=(
            "mcap",
            "mcap-ros2-support",
            "small-mcap",
            "mcap-ros2-support-fast",
            "rosbags",
            "lz4",
        ),
    ),
    Contest(
        name="ik",
        title="Inverse kinematics, poses over the whole range of an xArm7",
        unit="solves per CPU s",
        module=f"{_HERE}.arms",
        prepare="prepare_poses",
        peers={
            "pin-pink": "poses_pink",
            "roboplan, 2 restarts": "poses_roboplan",
            OURS: "poses_ours",
        },
        packages=("pin-pink", "roboplan", "pin", "daqp"),
    ),
    Contest(
        name="servo",
        title="Servo step of two xArm7",
        unit="steps per CPU s",
        module=f"{_HERE}.arms",
        prepare="prepare_path",
        peers={"pin-pink": "path_pink", "roboplan Oink": "path_roboplan", OURS: "path_ours"},
        packages=("pin-pink", "roboplan", "pin", "daqp"),
    ),
)
