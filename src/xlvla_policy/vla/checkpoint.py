"""Weights of a policy as one checksummed safetensors file with everything they depend on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from xlvla.checksum import CHECKSUM
from xlvla.errors import XlvlaError
from xlvla.files import reading_card
from xlvla.text import plain
from xlvla_policy.vla import config as vla_config
from xlvla_policy.vla import normalise, stream
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.meta_model import outline
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.normalise import Statistics
from xlvla_policy.vla.stream import Entry

FORMAT = "xlvla-policy-2"


@dataclass(frozen=True)
class ModelCard:
    """What weights belong to.

    Args:
        codec, words: hashes of the codec and the tokenizer they were trained with.
        data: facts about the training, for people.
        committed: longest action prefix [frames] they were trained with; 0 without.
    """

    config: VlaConfig
    statistics: Statistics
    codec: str
    words: str
    data: Mapping[str, Any]
    committed: int = 0


def save(
    path: Path,
    weights: Mapping[str, Tensor],
    card: ModelCard,
    *,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Writes weights atomically: the file is complete or absent. Half precision is ample for
    weights trained in single.
    """
    entries: list[Entry] = []
    for name, value in weights.items():
        entries.append(Entry(name, tuple(value.shape), dtype, value.detach))
    return write(path, entries, card)


def write(path: Path, entries: Sequence[Entry], card: ModelCard) -> Path:
    """`save` for weights that are not all in memory."""
    return stream.write(path, entries, metadata(card), checksummed=True)


def metadata(card: ModelCard) -> dict[str, str]:
    """A card as the metadata of a file."""
    document = {
        "config": card.config.document(),
        "statistics": card.statistics.document(),
        "codec": card.codec,
        "words": card.words,
        "data": dict(card.data),
        "committed": card.committed,
    }
    return {"format": FORMAT, "card": json.dumps(document, sort_keys=True)}


def load(
    path: Path, *, codec: str | None = None, words: str | None = None
) -> tuple[Vla, ModelCard]:
    """Model (in evaluation mode) and card of a weights file.

    Args:
        codec, words: hashes of the codec and the tokenizer in use; None skips the check.

    Raises:
        XlvlaError: no such file, no weights of this version, weights of another codec's latents, or
            weights and a card that do not belong together.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
        card = read_model_card(path, metadata)
        if not stream.intact(path, metadata.get(CHECKSUM, "")):
            raise XlvlaError(
                f"{path} was changed after it was written: its weights and its card do not belong "
                "together"
            )
        agree(path, "codec", card.codec, codec)
        agree(path, "tokenizer", card.words, words)
        tensors: dict[str, Tensor] = {}
        for name in file.keys():  # noqa: SIM118 (a file is no mapping)
            tensors[name] = file.get_tensor(name).float()
    with reading_card(path):
        model = outline(card.config)
    try:
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise XlvlaError(
            f"{path} does not hold the weights its configuration describes: {reason}"
        ) from None
    return model.eval().requires_grad_(False), card


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise XlvlaError(
            f"no policy weights at {path}: train some with `xlvla train policy`, or name a file "
            "that exists"
        )
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise XlvlaError(f"{path} is not a safetensors file: {plain(error, 200)}") from None


def read_model_card(path: Path, metadata: Mapping[str, str]) -> ModelCard:
    """The card in the metadata of a file; XlvlaError where it is none of this version."""
    file_format = metadata.get("format", "not given")
    if file_format != FORMAT:
        raise XlvlaError(
            f"{path} holds no policy of this version: its format is '{file_format}', '{FORMAT}' is "
            "needed"
        )
    with reading_card(path):
        document = json.loads(metadata["card"])
        card = ModelCard(
            config=vla_config.from_document(document["config"]),
            statistics=normalise.from_document(document["statistics"]),
            codec=_text(document["codec"]),
            words=_text(document["words"]),
            data=dict(document["data"]),
            committed=int(document.get("committed", 0)),
        )
        misfit = normalise.misfit(card.statistics, card.config)
    if misfit:
        raise XlvlaError(f"{path}: its statistics do not belong to its configuration: {misfit}")
    return card


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} stands where a hash belongs")
    return value


def agree(path: Path, what: str, trained: str, used: str | None) -> None:
    """Refuses weights that were trained with another codec or tokenizer, by their hashes; None for
    the one in use skips the check.
    """
    if used is None or trained == used:
        return
    raise XlvlaError(
        f"policy weights {path} were trained with {what} {trained}, the one in use is {used}: "
        f"use that {what}, or train again with `xlvla train policy`"
    )
