"""`xlvla calibrate operator`: half a minute of touches, and a robot's fingers meet where the
operator's do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from xlvla.errors import XlvlaError
from xlvla_cli.options import Domain, HandSide

if TYPE_CHECKING:
    import numpy as np

    from xlvla.operator_hand import OperatorHand
    from xlvla.rig import Rig
    from xlvla.types import Finger, Side

HOLD_S = 3.5
"""For each touch; there are two of each finger."""
BEGIN = 0.35
"""Part of that in which a touch is on its way."""
TRIES = 3
SEEN_S = 60.0
"""How long a hand is waited for."""

Touches = Mapping["Finger", "np.ndarray"]
"""Keypoints [N, 21, 3] m by finger, while it touched the thumb."""


class Tracker(Protocol):
    """Who sees the hand."""

    def seen(self, seconds: float) -> list[np.ndarray]:
        """Keypoints [21, 3] m of the hand, of every sample that comes within the time."""
        ...


def register(app: typer.Typer) -> None:
    app.command("operator")(operator)


def operator(
    name: Annotated[str, typer.Argument(help="Who; another calibration of this name is replaced.")],
    rig: Annotated[str, typer.Option(help="Rig whose teleoperation sees the hand.")],
    side: HandSide = "right",
    domain: Domain = None,
) -> None:
    """Fit what a tracker gets wrong about your hand: you touch thumb and fingers for half a minute.

    The rig must not be running, and nothing moves. Of two rounds of touches one is fitted, and the
    other tells what it is worth.
    """
    from xlvla import operator_hand
    from xlvla.rig_file import load
    from xlvla_cli.ros.tracked_hand import tracked_hand
    from xlvla_cli.sound import play

    loaded = load(rig)
    chosen = _side(loaded, side)
    operator_hand.path_of(name)

    def say(sound: str, line: str) -> None:
        play(sound)
        typer.echo(line)

    with tracked_hand(loaded, chosen, domain) as tracker:
        fitted, kept = walk(tracker, chosen, say)
    hand = operator_hand.fit(chosen, fitted)
    if not _show(hand, chosen, kept):
        typer.echo("they are no nearer than without it: nothing is stored")
        raise typer.Exit(1)
    path = operator_hand.save(name, hand)
    typer.echo(
        f"stored in {path}; used by `xlvla run RIG --operator {name}`, or by `operator: {name}` "
        "under the rig's `teleop`"
    )


def walk(
    tracker: Tracker, side: Side, say: Callable[[str, str], None], hold_s: float = HOLD_S
) -> tuple[Touches, Touches]:
    """Leads through two rounds of touches; those to fit, and those to hold back.

    Args:
        say: called with a sound and a line.

    Raises:
        XlvlaError: no hand is seen, or a finger does not touch the thumb, whatever is said.
    """
    say("ask", f"hold your {side} hand before the tracker, open")
    give_up_s = time.monotonic() + SEEN_S
    while not tracker.seen(0.5):
        if time.monotonic() > give_up_s:
            raise XlvlaError(f"no {side} hand was seen for {SEEN_S:.0f} s")
    return _round(tracker, side, say, hold_s), _round(tracker, side, say, hold_s)


def _round(tracker: Tracker, side: Side, say: Callable[[str, str], None], hold_s: float) -> Touches:
    from xlvla.operator_hand import OPPOSING

    return {finger: _touch(tracker, side, finger, say, hold_s) for finger in OPPOSING}


def _touch(
    tracker: Tracker, side: Side, finger: Finger, say: Callable[[str, str], None], hold_s: float
) -> np.ndarray:
    """Samples [N, 21, 3] m of a touch; asks again where it was none."""
    import numpy as np

    from xlvla.operator_hand import touching

    why = ""
    for _ in range(TRIES):
        say(
            "start",
            f"touch thumb and {finger} finger, tip to tip, and slowly bend and stretch both while "
            "they touch",
        )
        tracker.seen(BEGIN * hold_s)
        seen = np.array(tracker.seen((1 - BEGIN) * hold_s))
        try:
            touching(side, finger, seen)
        except XlvlaError as error:
            why = str(error)
            say("bad", why)
        else:
            return seen
    raise XlvlaError(why)


def _side(rig: Rig, side: str) -> Side:
    """The side, where the rig's teleoperation sees a hand there."""
    from xlvla.errors import unknown
    from xlvla_drivers import registry

    if rig.teleop is None:
        raise XlvlaError(f"rig '{rig.name}' has no `teleop` section: choose a rig that has one")
    registry.refuse_made_up_hand(rig.teleop.source)
    for known in rig.sides:
        if known == side:
            return known
    raise unknown("side", side, rig.sides)


def _show(hand: OperatorHand, side: Side, kept: Touches) -> bool:
    """Prints lengths, and how far apart touching tips are without and with the calibration, on
    touches that were not fitted; whether they are nearer.
    """
    from xlvla import screen
    from xlvla.operator_hand import AS_TRACKED, OPPOSING, gap_m
    from xlvla.types import FINGERS
    from xlvla_cli.tables import table

    before = {finger: gap_m(AS_TRACKED, side, finger, kept[finger]) for finger in OPPOSING}
    after = {finger: gap_m(hand, side, finger, kept[finger]) for finger in OPPOSING}
    shown = table(
        "Tips that touch are apart, on the round that was held back",
        "finger",
        "length",
        "as tracked [mm]",
        "calibrated [mm]",
    )
    for finger, length in zip(FINGERS, hand.lengths, strict=True):
        gaps = [f"{1000 * gaps[finger]:.1f}" if finger in gaps else "" for gaps in (before, after)]
        shown.add_row(finger, f"x {length:.3f}", *gaps)
    mean = [f"{1000 * sum(gaps.values()) / len(gaps):.1f}" for gaps in (before, after)]
    shown.add_row("mean", "", *mean)
    screen.console().print(shown)
    return sum(after.values()) < sum(before.values())
