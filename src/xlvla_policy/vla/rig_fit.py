"""Whether weights can drive a rig, from what their card says; without torch, since whoever checks a
rig waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from xlvla.errors import XlvlaError
from xlvla.files import reading_card
from xlvla.rig import Rig
from xlvla.text import plain
from xlvla_policy.vla import config as vla_config
from xlvla_policy.vla.config import VlaConfig

WEIGHTS = Path(__file__).parents[1] / "weights"
SHIPPED = WEIGHTS / "push_cans.safetensors"

EXPORTED = "policy.json"
"""The card of an exported folder."""


def shipped(policy: str) -> Path:
    """The weights that a policy of xlvla has where a rig names none: those of its name, otherwise
    the default ones.
    """
    own = WEIGHTS / f"{policy}.safetensors"
    return own if own.exists() else SHIPPED


def refuse_misfit(rig: Rig, path: Path) -> None:
    """Refuses a rig that the weights at `path`, a file or an exported folder, cannot drive.

    Raises:
        XlvlaError: what does not fit, or that there is no card.
    """
    with reading_card(path):
        card = _card(path)
        config = vla_config.from_document(card["config"])
        committed = int(card.get("committed", 0))
        blocks = list(card.get("statistics", ()))
    refuse_rig(rig, config, committed)
    _refuse_other_arms(rig, blocks)


def instructions(path: Path) -> tuple[str, ...]:
    """The sentences that the weights at `path`, a file or an exported folder, were trained on; none
    where their card names none. XlvlaError where there is no card.
    """
    with reading_card(path):
        return tuple(str(sentence) for sentence in _card(path)["data"].get("instructions", ()))


def refuse_rig(rig: Rig, config: VlaConfig, committed: int) -> None:
    """Refuses a rig that such weights cannot drive.

    Args:
        committed: longest action prefix [frames] they were trained with; 0 without.
    """
    rig.refuse_incomplete("this policy")
    refuse_other_sides(rig, config)
    if not set(config.cameras) & set(rig.cameras):
        known = ", ".join(rig.cameras) or "none"
        raise XlvlaError(
            f"this policy looks through {', '.join(config.cameras)}; the cameras of rig "
            f"'{rig.name}' are {known}"
        )
    if rig.policy and rig.policy.chunking == "prefix" and not committed:
        raise XlvlaError(
            "policy.chunking: these weights were not trained with action prefixes ('prefix'): "
            "train with `xlvla train policy --committed 0.5`, or choose guided, ensemble or plain"
        )


def refuse_other_sides(rig: Rig, config: VlaConfig) -> None:
    """Refuses a rig that has other sides than the policy."""
    if set(rig.sides) != set(config.sides):
        raise XlvlaError(
            f"this policy drives {' and '.join(config.sides)}; rig '{rig.name}' has "
            f"{' and '.join(rig.sides)}: choose weights that were trained with its sides, or "
            "policy: null"
        )


def _refuse_other_arms(rig: Rig, blocks: Sequence[str]) -> None:
    """Refuses arms that the weights were not trained with: their joints are no part of the latent.

    Args:
        blocks: names of what the weights' numbers are of, such as 'left arm xarm7'.
    """
    for side in rig.sides:
        known = [block for block in blocks if block.startswith(f"{side} arm ")]
        if known and f"{side} arm {rig.arm(side).name}" not in known:
            raise XlvlaError(
                f"these weights act on joints of {', '.join(known)}; the {side} arm of rig "
                f"'{rig.name}' is '{rig.arm(side).name}': train on demonstrations with it "
                "(`xlvla sim collect --rig`, `xlvla train policy`), or choose policy: null"
            )


def _card(path: Path) -> Mapping[str, Any]:
    if path.is_dir():
        return json.loads((path / EXPORTED).read_text())["card"]
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise XlvlaError(f"{path} is not a safetensors file: {plain(error, 200)}") from None
    return json.loads(metadata["card"])
