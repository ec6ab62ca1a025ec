"""Damaged files: a small sound one, changed a few hundred times by a seed, read as a command reads
it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xlvla.errors import RigError, XlvlaError

FEW = 16
COUNT = 300

SEEDS = pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(FEW), id="a few"),
        pytest.param(range(FEW, COUNT), id="the rest", marks=pytest.mark.long),
    ],
)
"""Of a test that reads a file for each seed."""

WORDS = (
    b"",
    b"0",
    b"-1",
    b"1e309",
    b"nan",
    b"9" * 400,
    b"\xff\xfe",
    b"\x00",
    b"{",
    b"]",
    b"<",
    b'"',
)
"""What stands in place of something else."""


def mutated(content: bytes, seed: int) -> bytes:
    """Something else than the content, which is not empty: with one to three pieces of damage,
    which are flipped bits, a cut tail, a piece missing, twice, or replaced.
    """
    rng = random.Random(seed)
    damaged = content
    # A tail may be cut off behind the end, or a piece replaced by the same
    while damaged == content:
        damaged = _damaged(content, rng)
    return damaged


def _damaged(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(damaged) + 1)
        size = rng.choice((1, 1, 4, 30))
        kind = rng.randrange(6)
        if kind == 0 and damaged:
            damaged[at % len(damaged)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del damaged[at:]
        elif kind == 2:
            del damaged[at : at + size]
        elif kind == 3:
            damaged[at:at] = damaged[at : at + size]
        elif kind == 4:
            damaged[at : at + size] = rng.choice(WORDS)
        else:
            damaged[at : at + size] = rng.randbytes(size)
    return bytes(damaged)


def outcomes(
    path: Path, read: Callable[[], object], seeds: range = range(COUNT)
) -> Iterator[tuple[int, str | None]]:
    """For every seed the line that reading the damaged file ended in, None where it was read.

    Whatever else is raised goes through. The file is whole again afterwards.
    """
    content = path.read_bytes()
    try:
        for seed in seeds:
            path.write_bytes(mutated(content, seed))
            try:
                read()
            except RigError as error:
                assert all("\n" not in line for line in error.faults), (seed, error.faults)
                yield seed, str(error)
            except XlvlaError as error:
                assert "\n" not in str(error), (seed, str(error))
                yield seed, str(error)
            else:
                yield seed, None
    finally:
        path.write_bytes(content)


def survived(path: Path, read: Callable[[], object], seeds: range = range(COUNT)) -> Counter[bool]:
    """How many mutations were read, and how many ended in a line that names the file."""
    counts: Counter[bool] = Counter()
    for seed, line in outcomes(path, read, seeds):
        if line is not None:
            assert path.name in line or path.parent.name in line, (seed, line)
        counts[line is None] += 1
    return counts
