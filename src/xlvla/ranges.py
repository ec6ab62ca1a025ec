"""Which numbers a field of a configuration may hold; it stands in the field's type:
`rate_hz: Annotated[float, Range(20, 1000)]`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """From `least` to `most`, both included, in the unit of the field."""

    least: float
    most: float

    def fault(self, value: float) -> str | None:
        """What is wrong with a number, or None.

        >>> Range(0.01, 1).fault(50.0)
        'must be from 0.01 to 1, is 50.0'
        """
        if self.least <= value <= self.most:
            return None
        # A whole number may have thousands of digits, more than Python writes.
        short = isinstance(value, float) or abs(value) < 10**15
        return f"must be {self}, is {value if short else 'a number of more than 15 digits'}"

    def __str__(self) -> str:
        return f"from {self.least:.12g} to {self.most:.12g}"
