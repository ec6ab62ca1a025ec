"""A hand of three fingers and four motors; the last joint of each finger is coupled in the URDF."""

from pathlib import Path

from xlvla.hand import Hand

HAND = Hand(
    name="tripod",
    title="Tripod, a made-up hand",
    joints=("thumb_turn", "thumb_bend", "index_bend", "middle_bend"),
    tips={"thumb": "thumb_tip", "index": "index_tip", "middle": "middle_tip"},
    palm="palm",
    driver="tripod",
    urdf=str(Path(__file__).with_name("tripod_{side}.urdf")),
)
