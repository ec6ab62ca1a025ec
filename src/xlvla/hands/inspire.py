"""Inspire RH56DFX: 6 motors; the distal links follow by linkages."""

from xlvla.hand import Hand

HAND = Hand(
    name="inspire",
    title="Inspire RH56DFX",
    joints=(
        "thumb_proximal_yaw_joint",
        "thumb_proximal_pitch_joint",
        "index_proximal_joint",
        "middle_proximal_joint",
        "ring_proximal_joint",
        "pinky_proximal_joint",
    ),
    tips={
        "thumb": "thumb_tip",
        "index": "index_tip",
        "middle": "middle_tip",
        "ring": "ring_tip",
        "little": "pinky_tip",
    },
    palm="hand_base_link",
    driver="inspire",
)
