"""The published pi0 weights: what they are called and which of ours each is.

Names are those of openpi's PyTorch port; lerobot's `pi0` and `pi0_base` put `model.` in front of
them. Of tied weights a file may hold either name, and the action expert's language head, which
the model never uses, is in the files too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from xlvla.errors import XlvlaError

_ROOT = "paligemma_with_expert."
_PALI = _ROOT + "paligemma.model."
_VISION = _PALI + "vision_tower.vision_model."

RENAMED = {
    _VISION + "encoder.layers.": "vision.layers.",
    _VISION: "vision.",
    _PALI + "multi_modal_projector.linear.": "vision.projector.",
    _PALI + "language_model.embed_tokens.": "language.embed_tokens.",
    # Tied to the embedding.
    _ROOT + "paligemma.lm_head.": "language.embed_tokens.",
    _PALI + "language_model.": "joint.experts.language.",
    _ROOT + "gemma_expert.model.": "joint.experts.action.",
}
"""The longest prefix counts; names without one are the same."""

UNUSED = (_ROOT + "gemma_expert.lm_head.weight",)
"""Never used by pi0."""

PROJECTIONS = ("state_proj.", "action_in_proj.", "action_out_proj.")
"""Layers that depend on the numbers of a frame, so cannot be taken over where frames differ."""

_SAME_NAME = re.compile(
    r"(state_proj|action_in_proj|action_time_mlp_in|action_time_mlp_out|action_out_proj)"
    r"\.(weight|bias)$"
)
_FIRST_PORT = _ROOT + "paligemma.language_model.model."
_PREFIXES = tuple(sorted(RENAMED, key=len, reverse=True))


@dataclass(frozen=True)
class Layout:
    """Contents of a file of published weights: its key by our name, and the keys not used."""

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
        if plain in UNUSED:
            unused.append(name)
            continue
        ours = our_name(plain)
        if ours is None:
            raise XlvlaError(f"no pi0 weights of a known layout: unknown tensor '{name}'")
        # Of tied weights one is enough.
        if ours in keys:
            unused.append(name)
        else:
            keys[ours] = name
    return Layout(keys, tuple(unused))


def our_name(published: str) -> str | None:
    """Our name of a published weight, None for one pi0 does not have."""
    for prefix in _PREFIXES:
        if published.startswith(prefix):
            return RENAMED[prefix] + published.removeprefix(prefix)
    if _SAME_NAME.match(published):
        return published
    return None


def published_names(ours: str) -> tuple[str, ...]:
    """Every name under which a published file may hold one of our weights."""
    matching = [our_prefix for our_prefix in RENAMED.values() if ours.startswith(our_prefix)]
    if not matching:
        return (ours,)
    longest = max(matching, key=len)
    rest = ours.removeprefix(longest)
    return tuple(prefix + rest for prefix, our_prefix in RENAMED.items() if our_prefix == longest)


def _refuse_others(names: list[str]) -> None:
    """Refuses weights of other models by what is peculiar to their names."""
    is_pi0 = False
    for name in names:
        plain = name.removeprefix("model.")
        if ".input_layernorm.dense." in plain or plain.startswith("time_mlp_"):
            raise XlvlaError(
                "these are pi0.5 weights (adaptive norms, no state token): this model is pi0; "
                "import pi0 or pi0_base weights"
            )
        if _FIRST_PORT in plain:
            raise XlvlaError(
                "these weights have the names of lerobot's first pi0 port, dropped in 2025: import "
                "lerobot/pi0_base or openpi's"
            )
        if plain.startswith(_ROOT):
            is_pi0 = True
    if not is_pi0:
        raise XlvlaError(
            f"no pi0 weights: no name begins with '{_ROOT}' (it has {', '.join(names[:3])}, ...)"
        )
