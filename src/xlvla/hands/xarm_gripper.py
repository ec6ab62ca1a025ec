"""UFACTORY xArm Gripper: two parallel fingers and one motor, a pinch of thumb and index finger."""

from xlvla.hand import Hand

HAND = Hand(
    name="xarm_gripper",
    title="UFACTORY xArm Gripper",
    joints=("drive_joint",),
    tips={"thumb": "thumb_tip", "index": "index_tip"},
    palm="gripper_base",
    driver="xarm_gripper",
)
