"""Rows instead of products, and hands by what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest

from xlvla.codec import Codec

TAUGHT = Codec.load().hands
"""The hands that the shipped codec knows; a new entry of the catalogue is none until it is
taught.
"""

SIDES = ("right", "left")


def rows(*columns: Sequence[Any]) -> list[Any]:
    """Every combination of the columns' values as parameters of a test.

    `make test` runs the rows in which every value occurs once (the first of every column, the
    second of every column, and so on, shorter columns from their beginning again); the others are
    long.
    """
    longest = max(len(column) for column in columns)
    kept = [tuple(column[k % len(column)] for column in columns) for k in range(longest)]
    return [
        pytest.param(*values, marks=() if values in kept else pytest.mark.long)
        for values in product(*columns)
    ]


def pairs(names: Sequence[str]) -> list[Any]:
    """Every ordered pair of two different names as parameters; `make test` runs those in which each
    name is first once and second once.
    """
    after = [*names[1:], names[0]]
    return [row for row in rows(names, after) if row.values[0] != row.values[1]]
