"""Paxini DexH13: four fingers, 16 joints. The vendor drives 13 motors; the distal joints of three
fingers follow.
"""

from xlvla.hand import Hand

HAND = Hand(
    name="paxini",
    title="Paxini DexH13",
    joints=tuple(
        f"{{side}}_{finger}_joint_{i}"
        for finger in ("index", "middle", "ring", "thumb")
        for i in range(4)
    ),
    tips={"thumb": "thumb_tip", "index": "index_tip", "middle": "middle_tip", "ring": "ring_tip"},
    palm="{side}_palm_link",
    driver="paxini",
)
