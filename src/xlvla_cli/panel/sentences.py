"""The sentences that a rig's policy was trained on."""

from __future__ import annotations

from pathlib import Path

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.rig import Rig


def trained_sentences(rig: Rig) -> tuple[str, ...]:
    """By the card of the weights; none where there is no card, or it names none."""
    if rig.policy is None or rig.policy.server or rig.policy.type in catalog.own_policies():
        return ()
    from xlvla_policy.vla.rig_fit import instructions, shipped

    named = rig.policy.checkpoint
    try:
        return instructions(Path(named) if named else shipped(rig.policy.type))
    except (XlvlaError, OSError):
        return ()
