"""Wonik Allegro Hand V4: four fingers, 16 joints. Its codec was added to a latent that other hands
shaped.

The joints bear the device's numbers; on a left hand, which is the mirror image of the right, those
of the same finger.
"""

from xlvla.hand import Hand

HAND = Hand(
    name="allegro",
    title="Wonik Allegro Hand V4",
    joints=tuple(f"joint_{i}.0" for i in range(16)),
    tips={
        "thumb": "link_15.0_tip",
        "index": "link_3.0_tip",
        "middle": "link_7.0_tip",
        "ring": "link_11.0_tip",
    },
    palm="base_link",
    driver="allegro",
)
