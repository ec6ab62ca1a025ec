"""Policies on the Hub: the weights file with its tokenizer and a card."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open

from xlvla.checksum import CHECKSUM
from xlvla.errors import XlvlaError
from xlvla.hub import client
from xlvla.hub import pull as pulling
from xlvla.hub import push as pushing
from xlvla.hub.pull import Look, Pulled
from xlvla.hub.push import CARD, MARK, Content, Pushed
from xlvla.text import plain
from xlvla_policy.training import card as cards
from xlvla_policy.vla import checkpoint, stream, tokenizer
from xlvla_policy.vla.checkpoint import ModelCard

WEIGHTS = ".safetensors"


def push(weights: Path, name: str, *, public: bool = False, license: str = "") -> Pushed:
    """Puts a policy's weights file, its tokenizer and its card into the repository `user/name`.

    Raises:
        XlvlaError: it is no policy or damaged, or cannot be pushed.
    """
    to = client.repository("model", name)
    checksum, card = read(weights)
    contents: dict[str, Content] = {weights.name: weights}
    words = tokenizer.beside(weights)
    if words.is_file():
        contents[words.name] = words
    contents[CARD] = readme(to.name, weights.name, checksum, card, license).encode()
    return pushing.push(contents, to, public=public)


def pull(name: str, to: Path) -> tuple[Path, Pulled]:
    """Brings the policy of `user/name` or `user/name@revision` to a folder; returns its weights
    file.

    Raises:
        XlvlaError: it is no policy of xlvla, is damaged, or cannot be pulled.
    """
    source = client.repository("model", name)

    def weights_in(paths: Collection[str]) -> str:
        found = [path for path in paths if path.endswith(WEIGHTS) and "/" not in path]
        if len(found) != 1:
            raise XlvlaError(
                f"{source} is no policy of xlvla: it has {len(found)} files {WEIGHTS}, one is "
                "wanted; `xlvla weights import` reads pi0's"
            )
        return found[0]

    def accept(paths: Collection[str], look: Look) -> None:
        weights_in(paths)

    pulled = pulling.pull(source, to, accept)
    weights = to / weights_in([path.name for path in to.glob(f"*{WEIGHTS}")])
    read(weights)
    return weights, pulled


def read(weights: Path) -> tuple[str, ModelCard]:
    """Checksum and card of a whole weights file; XlvlaError where it is none."""
    if not weights.is_file():
        raise XlvlaError(f"no policy weights at {weights}: name the file that training wrote")
    try:
        with safe_open(weights, "np") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise XlvlaError(f"{weights} is not a safetensors file: {plain(error, 200)}") from None
    card = checkpoint.read_model_card(weights, metadata)
    checksum = metadata.get(CHECKSUM, "")
    if not stream.intact(weights, checksum):
        raise XlvlaError(f"{weights} was changed after it was written, or has not come whole")
    return checksum, card


def readme(repository: str, name: str, checksum: str, card: ModelCard, license: str = "") -> str:
    """The card for the Hub: our model card with the Hub's block of YAML before it."""
    about: dict[str, Any] = {}
    if license:
        about["license"] = license
    about |= {
        "library_name": "xlvla",
        "pipeline_tag": "robotics",
        "tags": ["robotics", "vision-language-action", "xlvla", *_hands(card)],
    }
    data_sets = [place.partition("@")[0] for place in card.data.get("hub", ())]
    if data_sets:
        about["datasets"] = data_sets
    lines = [
        f"---\n{yaml.safe_dump(about, sort_keys=False)}---",
        "",
        MARK,
        "",
        "```",
        f"xlvla policy pull {repository} --to out/policy",
        f"xlvla eval --policy out/policy/{name}",
        "```",
        "",
        *cards.lines(name, checksum, card),
    ]
    return "\n".join(lines) + "\n"


def _hands(card: ModelCard) -> list[str]:
    pairs: Mapping[str, int] = card.data.get("hands", {})
    return list(dict.fromkeys(hand for pair in pairs for hand in pair.split("+")))
