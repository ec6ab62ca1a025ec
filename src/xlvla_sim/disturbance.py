"""Disturbances of the expert's commands, so that demonstrations show the way back.

As in DART (Laskey et al., Noise Injection for Robust Imitation Learning, 2017): for short stretches
something else is executed than what the expert wants, and what the expert wants is what is learned
from. This expert wants to be on its plan, wherever it is, so chunks to learn from never hold a
disturbance to come. What the disturbance does to things it sees when it looks at the world next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import CHUNK_HZ, Part, Side
from xlvla_sim import wrist
from xlvla_sim.expert import Expert, Script

ASIDE = np.array([0.025, 0.025, 0.025, 0.10, 0.10, 0.10])
"""How far an arm's wrist is led aside, position [m] and angles [rad]; never down, where the table
is.
"""

FINGERS = 0.12
"""How far a hand's joints are led aside, as a share of their range."""

APART_S = (0.5, 2.5)
LONG_S = (0.6, 1.4)
"""Time between the stretches of an arm or a hand, and how long they are."""

STRENGTHS = (1.0, 0.5, 0.25)
"""What is tried where a disturbance would be quicker than the joints may be."""


@dataclass(frozen=True)
class Stretch:
    """When a side's arm or hand did not do what the expert wanted [s] from the episode's begin."""

    side: Side
    part: Part
    begin_s: float
    end_s: float

    def __str__(self) -> str:
        return f"{self.side} {self.part} {self.begin_s:.1f}-{self.end_s:.1f} s"


def disturbed(
    script: Script, expert: Expert, rng: np.random.Generator, begin_s: float
) -> tuple[Script, list[Stretch]]:
    """What is executed instead of a script that begins at `begin_s`, and when that is something
    else. It begins and ends as the script does, and keeps to the limits of the joints as the
    script does.
    """
    executed: dict[Side, Mapping[Part, np.ndarray]] = {}
    stretches: list[Stretch] = []
    for side, parts in script.actions.items():
        rows: dict[Part, np.ndarray] = {}
        for part, wanted in parts.items():
            whole = np.concatenate([script.before[side][part][None], wanted])
            for begin, end in _spans(len(wanted), rng):
                aside = _aside(expert, side, part, whole[(begin + end) // 2], rng)
                led = _led_aside(expert, side, part, whole, begin, end, aside)
                if led is not None:
                    whole = led
                    times = (begin_s + begin / CHUNK_HZ, begin_s + end / CHUNK_HZ)
                    stretches.append(Stretch(side, part, *times))
            rows[part] = whole[1:]
        executed[side] = rows
    return Script(executed, script.before), stretches


def _spans(frames: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """First and last row of every stretch of a script, whose row 0 is what is in force before."""
    begin = 0
    while True:
        begin += round(rng.uniform(*APART_S) * CHUNK_HZ)
        end = begin + round(rng.uniform(*LONG_S) * CHUNK_HZ)
        if end > frames:
            return
        yield begin, end
        begin = end


def _aside(
    expert: Expert, side: Side, part: Part, q: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """How far joints at q [N] rad are led aside [N]; not at all where an arm cannot go there."""
    if part == "hand":
        lower, upper = expert.rig.limits(side, part)
        return rng.uniform(-FINGERS, FINGERS, len(q)) * (upper - lower)
    by = rng.uniform(-1, 1, 6) * ASIDE
    by[2] = abs(by[2])
    try:
        return expert.beside(side, q, by) - q
    except XlvlaError:
        return np.zeros(len(q))


def _led_aside(
    expert: Expert,
    side: Side,
    part: Part,
    whole: np.ndarray,
    begin: int,
    end: int,
    aside: np.ndarray,
) -> np.ndarray | None:
    """Rows [T, N] that are led aside between two of them, less where the joints cannot be so quick;
    None where nothing is left of it.
    """
    lower, upper = expert.rig.limits(side, part)
    s = (np.arange(len(whole)) - begin) / (end - begin)
    # Goes aside in a third of the time, stays, and is back at its end.
    bump = wrist.minimum_jerk(3 * s) - wrist.minimum_jerk(3 * s - 2)
    for strength in STRENGTHS:
        wanted = whole + strength * bump[:, None] * aside
        led = np.clip(wanted, np.minimum(lower, whole), np.maximum(upper, whole))
        if not np.allclose(led, whole) and expert.can_follow(side, part, led):
            return led
    return None
