"""The published pi0 weights: what they are called and which of ours each is.

Three writers name them in their own way: openpi's PyTorch port; LeRobot's `pi0` and `pi0_base`,
which put `model.` in front; and transformers' own PI0. From transformers 5.6 on the image tower has
no `vision_model.` in its names, whoever writes. Of tied weights a file may hold either name, and
the action expert's language head, which the model never uses, is in the files too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from xlvla.errors import XlvlaError

_ROOT = "paligemma_with_expert."
_PALI = _ROOT + "paligemma.model."
_EXPERT = _ROOT + "gemma_expert."
_HEAD = _ROOT + "paligemma.lm_head."

_TRANSFORMERS = {"vlm.": _PALI, "dit.": _EXPERT + "model.", "embed_action_time.": ""}
"""Prefixes of transformers' own PI0, after `model.`, by those of openpi that they stand for."""

RENAMED = {
    _PALI + "vision_tower.vision_model.encoder.layers.": "vision.layers.",
    _PALI + "vision_tower.vision_model.": "vision.",
    _PALI + "vision_tower.encoder.layers.": "vision.layers.",
    _PALI + "vision_tower.": "vision.",
    _PALI + "multi_modal_projector.linear.": "vision.projector.",
    _PALI + "language_model.embed_tokens.": "language.embed_tokens.",
    # Tied to the embedding.
    _HEAD: "language.embed_tokens.",
    _PALI + "language_model.": "joint.experts.language.",
    _EXPERT + "model.": "joint.experts.action.",
}
"""The longest prefix counts; names without one are the same."""

UNUSED = (_EXPERT + "lm_head.weight", _EXPERT + "model.embed_tokens.weight")
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
    """Contents of a file of published weights.

    Args:
        keys: its key by our name.
        unused: its keys that are not used.
        tied: pairs of the key that is used and the other of weights that should be the same.
    """

    keys: dict[str, str]
    unused: tuple[str, ...]
    tied: tuple[tuple[str, str], ...] = ()


def layout(names: Iterable[str]) -> Layout:
    """Where a file keeps what; raises XlvlaError, naming the key, where it is no pi0 of a known
    layout.
    """
    names = sorted(names)
    _refuse_others(names)
    keys: dict[str, str] = {}
    heads: dict[str, str] = {}
    unused: list[str] = []
    for name in names:
        plain = _as_openpi(name)
        if plain in UNUSED:
            unused.append(name)
            continue
        ours = our_name(plain)
        if ours is None:
            raise XlvlaError(f"no pi0 weights of a known layout: unknown tensor '{name}'")
        if plain.startswith(_HEAD):
            heads[ours] = name
        elif ours in keys:
            raise XlvlaError(
                f"no pi0 weights of a known layout: '{keys[ours]}' and '{name}' are one weight"
            )
        else:
            keys[ours] = name
    # The embedding is what pi0 reads: training may have moved it alone.
    tied: list[tuple[str, str]] = []
    for ours, head in heads.items():
        if ours in keys:
            tied.append((keys[ours], head))
            unused.append(head)
        else:
            keys[ours] = head
    return Layout(keys, tuple(unused), tuple(tied))


def _as_openpi(name: str) -> str:
    """A key of any writer as openpi's port names it."""
    plain = name.removeprefix("model.")
    for theirs, prefix in _TRANSFORMERS.items():
        if plain.startswith(theirs):
            return prefix + plain.removeprefix(theirs)
    return plain


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
        plain = _as_openpi(name)
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
            f"no pi0 weights: no name begins with '{_ROOT}' or 'model.vlm.' (it has "
            f"{', '.join(names[:3])}, ...)"
        )
