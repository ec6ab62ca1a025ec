"""Sentences to token ids with a sentencepiece model: a small bundled one, or PaliGemma's own when
the user has it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import sentencepiece

from xlvla.errors import XlvlaError
from xlvla.text import plain

SHIPPED = Path(__file__).parents[1] / "weights" / "words.model"

HASH_LENGTH = 12


@dataclass(frozen=True)
class Tokenizer:
    """One sentencepiece model; `hash` identifies it, since a policy only understands the tokens it
    was trained with.
    """

    processor: sentencepiece.SentencePieceProcessor
    max_words: int
    hash: str

    @property
    def vocabulary(self) -> int:
        return self.processor.get_piece_size()

    def encode(self, sentence: str) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask [max_words] of begin, sentence, newline, padding, pi0's form of a prompt.

        Raises:
            XlvlaError: an empty sentence, or one that is too long.
        """
        text = " ".join(sentence.replace("_", " ").split())
        if not text:
            raise XlvlaError(
                "the instruction is empty: give a sentence such as 'Push the cans together.'"
            )
        begin = self.processor.bos_id()
        newline = self.processor.encode("\n")
        ids = [begin, *self.processor.encode(text), *newline]
        if len(ids) > self.max_words:
            raise XlvlaError(
                f"the instruction takes {len(ids)} tokens, this policy reads at most "
                f"{self.max_words}: '{text}'"
            )
        padded = np.zeros(self.max_words, np.int64)
        padded[: len(ids)] = ids
        mask = np.arange(self.max_words) < len(ids)
        return padded, mask


def beside(weights: Path) -> Path:
    """Path of the tokenizer of weights that were trained with another than the bundled one; of an
    exported folder, inside.
    """
    if weights.is_dir():
        return weights / "words.model"
    return weights.with_suffix(".words")


def of(weights: Path, max_words: int, hash: str) -> Tokenizer:
    """The tokenizer with the hash of the one that weights were trained with: the bundled one, or
    the one that lies beside them.
    """
    return load(max_words, file_of(weights, hash))


def file_of(weights: Path, hash: str) -> Path:
    """The sentencepiece model that weights were trained with; XlvlaError where it is not there."""
    available: dict[str, Path] = {}
    for path in (beside(weights), SHIPPED):
        if path.is_file():
            # Only the one that is meant is read, whatever lies there.
            available[_hash(path.read_bytes())] = path
    if hash not in available:
        raise XlvlaError(
            f"policy weights {weights} were trained with tokenizer {hash}, here are "
            f"{' and '.join(available)}: put its sentencepiece model at {beside(weights)}"
        )
    return available[hash]


@cache
def load(max_words: int, path: Path = SHIPPED) -> Tokenizer:
    """The tokenizer in a sentencepiece model file."""
    if not path.is_file():
        raise XlvlaError(f"no sentencepiece model at {path}")
    content = path.read_bytes()
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    # UnicodeDecodeError, a ValueError: the library quotes bytes of the file as if they were text.
    except (RuntimeError, ValueError) as error:
        reason = plain(error, 200)
        raise XlvlaError(f"{path} is not a sentencepiece model: {reason}") from None
    if processor.get_piece_size() == 0 or processor.bos_id() < 0:
        raise XlvlaError(f"{path} is not a sentencepiece model with a piece for a sentence's begin")
    return Tokenizer(processor, max_words, _hash(content))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]
