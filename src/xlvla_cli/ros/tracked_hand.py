"""An operator's hand as a rig's source of teleoperation sees it, without the rig."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator

import numpy as np
import typer

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.ros import participant
from xlvla.types import Side
from xlvla_drivers import registry
from xlvla_drivers.device import LinkLost
from xlvla_drivers.teleop.operator import TeleopSource

LOOK_S = 0.05
PAUSE_S = 1.0
"""Between attempts to reach a source."""
THERE_S = 60.0
"""How long it is waited for."""


class TrackedHand:
    """One hand of the operator, of a source that is open."""

    def __init__(self, source: TeleopSource, side: Side):
        self._source = source
        self._side: Side = side

    def seen(self, seconds: float) -> list[np.ndarray]:
        """Keypoints [21, 3] m of every sample that comes within the time.

        Raises:
            LinkLost: the source is gone.
        """
        found: list[np.ndarray] = []
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            sample = self._source.read(min(LOOK_S, left_s))
            tracked = sample.sides.get(self._side) if sample else None
            if tracked is not None and tracked.keypoints is not None and tracked.finite:
                found.append(tracked.keypoints)
        return found


@contextlib.contextmanager
def tracked_hand(rig: Rig, side: Side, domain: int | None) -> Generator[TrackedHand]:
    """The hand of a side; its source is waited for, and closed on leaving.

    Raises:
        XlvlaError: the source cannot be reached.
    """
    node = participant.node_of_its_own("calibration", domain)
    try:
        source = registry.source(rig, node)
        try:
            _open(source)
            yield TrackedHand(source, side)
        finally:
            source.close()
    finally:
        participant.leave(node)


def _open(source: TeleopSource) -> None:
    give_up_s = time.monotonic() + THERE_S
    said = ""
    while True:
        try:
            source.open()
        except LinkLost as error:
            if time.monotonic() > give_up_s:
                raise XlvlaError(f"no hand is tracked: {error}") from None
            if str(error) != said:
                said = str(error)
                typer.echo(f"waiting: {said}")
            source.close()
            time.sleep(PAUSE_S)
        else:
            return
