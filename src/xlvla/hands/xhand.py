"""RobotEra XHand1: 12 motors, fully actuated."""

from xlvla.hand import Hand

HAND = Hand(
    name="xhand",
    title="RobotEra XHand1",
    joints=(
        "{side}_hand_thumb_bend_joint",
        "{side}_hand_thumb_rota_joint1",
        "{side}_hand_thumb_rota_joint2",
        "{side}_hand_index_bend_joint",
        "{side}_hand_index_joint1",
        "{side}_hand_index_joint2",
        "{side}_hand_mid_joint1",
        "{side}_hand_mid_joint2",
        "{side}_hand_ring_joint1",
        "{side}_hand_ring_joint2",
        "{side}_hand_pinky_joint1",
        "{side}_hand_pinky_joint2",
    ),
    tips={
        "thumb": "{side}_hand_thumb_rota_tip",
        "index": "{side}_hand_index_rota_tip",
        "middle": "{side}_hand_mid_tip",
        "ring": "{side}_hand_ring_tip",
        "little": "{side}_hand_pinky_tip",
    },
    palm="{side}_hand_link",
    driver="xhand",
)
