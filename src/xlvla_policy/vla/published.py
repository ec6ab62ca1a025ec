"""The published pi0 weights: what they are called and which of ours each is.

Names are those of openpi's PyTorch port; lerobot's `pi0` and `pi0_base` put `model.` in front of
them. Of tied weights a file may hold either name, and the action expert's language head, which
nothing ever reads, is in the files too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from xlvla.errors import XlvlaError

_P = "paligemma_with_expert."
_PALI = _P + "paligemma.model."
_VISION = _PALI + "vision_tower.vision_model."

RENAMED = {
    _VISION + "encoder.layers.": "vision.layers.",
    _VISION: "vision.",
    _PALI + "multi_modal_projector.linear.": "vision.projector.",
    _PALI + "language_model.embed_tokens.": "language.embed_tokens.",
    _P + "paligemma.lm_head.": "language.embed_tokens.",  # tied
    _PALI + "language_model.": "joint.experts.language.",
    _P + "gemma_expert.model.": "joint.experts.action.",
}
"""The longest prefix counts; names without one are the same."""

DEAD = (_P + "gemma_expert.lm_head.weight",)
"""Never used by pi0."""

PROJECTIONS = ("state_proj.", "action_in_proj.", "action_out_proj.")
"""What depends on the numbers of a frame, so cannot be taken over where frames differ."""

_HEADS = re.compile(
    r"(state_proj|action_in_proj|action_time_mlp_in|action_time_mlp_out|action_out_proj)\.(weight|bias)$"
)
_PREFIXES = tuple(sorted(RENAMED, key=len, reverse=True))


@dataclass(frozen=True)
class Layout:
    """What a file of published weights holds: its key by our name, and what of it is not used."""

    keys: dict[str, str]
    unused: tuple[str, ...]


def layout(names: Iterable[str]) -> Layout:
    """Where a file keeps what; raises XlvlaError, naming the key, where it is no pi0 of a known
    layout.
    """
    names = sorted(names)
    _refuse_others(names)
    keys: dict[str, str] = {}
    unused: list[str] = []
    for name in names:
        plain = name.removeprefix("model.")
        ours = None if plain in DEAD else our_name(plain)
        if ours is None and plain not in DEAD:
            raise XlvlaError(f"no pi0 weights of a known layout: unknown tensor '{name}'")
        if ours is None or ours in keys:
            unused.append(name)
        else:
            keys[ours] = name
    return Layout(keys, tuple(unused))


def our_name(published: str) -> str | None:
    """Our name of a published weight, None for one pi0 does not have."""
    for prefix in _PREFIXES:
        if published.startswith(prefix):
            return RENAMED[prefix] + published.removeprefix(prefix)
    return published if _HEADS.match(published) else None


def published_names(ours: str) -> tuple[str, ...]:
    """Every name a published file may keep one of our weights under."""
    mine = [prefix for prefix, name in RENAMED.items() if ours.startswith(name)]
    longest = max((len(RENAMED[prefix]) for prefix in mine), default=0)
    return tuple(prefix + ours[longest:] for prefix in mine if len(RENAMED[prefix]) == longest) or (
        ours,
    )


def _refuse_others(names: list[str]) -> None:
    plain = [name.removeprefix("model.") for name in names]
    if any(".input_layernorm.dense." in name or name.startswith("time_mlp_") for name in plain):
        raise XlvlaError(
            "these are pi0.5 weights (adaptive norms, no state token): this model is pi0; import "
            "pi0 or pi0_base weights"
        )
    if any("paligemma_with_expert.paligemma.language_model.model." in name for name in plain):
        raise XlvlaError(
            "these weights have the names of lerobot's first pi0 port, dropped in 2025: import "
            "lerobot/pi0_base or openpi's"
        )
    if not any(name.startswith(_P) for name in plain):
        raise XlvlaError(
            f"no pi0 weights: no name begins with '{_P}' (it has {', '.join(names[:3])}, ...)"
        )
