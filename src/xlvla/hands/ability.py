"""PSYONIC Ability Hand: 6 motors; the distal link of each finger follows by a linkage."""

from xlvla.hand import Hand

HAND = Hand(
    name="ability",
    title="PSYONIC Ability Hand",
    joints=("thumb_q1", "thumb_q2", "index_q1", "middle_q1", "ring_q1", "pinky_q1"),
    tips={
        "thumb": "thumb_tip",
        "index": "index_tip",
        "middle": "middle_tip",
        "ring": "ring_tip",
        "little": "pinky_tip",
    },
    palm="thumb_base",
    driver="ability",
    # The published URDF allows 120 deg, the device 100 deg (vendor ICD).
    device_limits={
        "thumb_q1": (-1.74, 0.0),
        "thumb_q2": (0.0, 1.74),
        "index_q1": (0.0, 1.74),
        "middle_q1": (0.0, 1.74),
        "ring_q1": (0.0, 1.74),
        "pinky_q1": (0.0, 1.74),
    },
)
