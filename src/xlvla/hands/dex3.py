"""Unitree Dex3-1: three fingers, 7 motors, all joints driven. The thumb opposes index and middle
finger from between them.
"""

from xlvla.hand import Hand

HAND = Hand(
    name="dex3",
    title="Unitree Dex3-1",
    # The order of the motors in the device's messages, on both sides.
    joints=(
        "{side}_hand_thumb_0_joint",
        "{side}_hand_thumb_1_joint",
        "{side}_hand_thumb_2_joint",
        "{side}_hand_middle_0_joint",
        "{side}_hand_middle_1_joint",
        "{side}_hand_index_0_joint",
        "{side}_hand_index_1_joint",
    ),
    tips={
        "thumb": "{side}_hand_thumb_tip",
        "index": "{side}_hand_index_tip",
        "middle": "{side}_hand_middle_tip",
    },
    palm="{side}_hand_palm_link",
    driver="dex3",
)
