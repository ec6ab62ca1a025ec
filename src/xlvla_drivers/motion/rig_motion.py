"""All sides of a rig in one motion, commanded so that it can always stop before anything meets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xlvla.rig import Rig
from xlvla.types import Side
from xlvla_drivers.motion.braking import AtRest, Braking
from xlvla_drivers.motion.clearance import AHEAD_S, Clearance, Verdict
from xlvla_drivers.motion.player import Player, Proposal
from xlvla_drivers.motion.sides import side_player
from xlvla_drivers.motion.speed_scaling import Beat, SpeedScaling
from xlvla_drivers.motion.way import Way

STILL_RAD = 1e-3
"""A side that has no command yet counts as moved externally when a joint is further than this from
where it was.
"""

LEAST_PACE = 0.1
"""However near something is, its chunk creeps on, so that one which leads away again is not held
for ever. This cannot break a distance: a command that would is not given at any pace.
"""

REJOINS = 0.5
"""The pace that distances must allow to all sides before those that kept still go on: at less they
would only follow the one that made room.
"""

LONGEST_ALONE_S = 2.0
"""After a side has gone alone for so long, all are tried together at whatever pace: one that never
rests would keep the others from a place near it.
"""

STANDS = Beat(rate=0.0)
"""The beat of a chunk that waits."""


@dataclass
class Turn:
    """A side that goes alone while the others keep still.

    Attributes:
        lasted_s: for how long it has, since all were last tried together at whatever pace.
        rejoins: until the next look at the distances all are tried together.
    """

    side: Side
    lasted_s: float = 0.0
    rejoins: bool = False


class RigMotion:
    """The players of a rig's sides and what they may do together.

    Before a command is given, the way to it and the stop that would follow are judged as a whole.
    Where they would bring anything nearer than its stop, the stop that was judged with the command
    before is played instead, to rest. So there is always a way to rest that keeps all distances:
    the rig is in an invariant safe set, as in fail-safe trajectory planning and with the SaRA
    shield.

    Two sides may bar each other's way: one would go away, the other comes after it. From rest, the
    one that can go then goes alone, while the others and their chunks wait, until all can go
    together again.

    Attributes:
        players: by side.
        pace: how fast chunks are played.
        verdict: the newest look at the distances; None before the first.
        braking: a command was not given; the rig comes to rest before it is tried again.
        braked: how often that began in more than creeping motion.
        watched: how many distances are kept.
    """

    def __init__(self, rig: Rig):
        self.players: dict[Side, Player] = {side: side_player(rig, side) for side in rig.sides}
        self.pace = SpeedScaling()
        self.verdict: Verdict | None = None
        self.braking = False
        self.braked = 0
        self._turn: Turn | None = None
        # Sides that have not been tried alone since all together could not go on, from rest.
        self._untried: list[Side] = []
        self._clearance = Clearance(rig)
        self.watched = len(self._clearance.distances.gaps)
        self._look_every_s = 1 / rig.motion.guard_hz
        # Infinite until the first look after a release.
        self._since_look_s = np.inf
        self._resting_positions: dict[Side, np.ndarray] = {}

    def step(
        self, now_s: float, dt: float, measured: Mapping[Side, np.ndarray | None]
    ) -> dict[Side, np.ndarray]:
        """The commands [N] rad of this tick, of the sides that have any.

        A side begins with its first chunk, where it was measured. While it is not known where all
        sides are, nothing begins and what moves brakes.

        Args:
            now_s: time in the clock of the chunks' stamps.
            dt: what passed since the last tick; it is never negative.
            measured: where sides are [N] rad that have no command yet.
        """
        here = self._here(measured)
        if here is None:
            return self._brake(dt)
        for side, player in self.players.items():
            if not player.started and player.has_chunk(now_s):
                player.start(here[side])
        if not any(player.started for player in self.players.values()):
            return {}
        looked = self._look_around(here, dt)
        # A stop ends once the rig rests and has looked at the distances from there, and no side is
        # left to be tried alone.
        if self.braking and looked and self.rests and not self._untried:
            self.braking = False
        if self.braking:
            return self._try_next(now_s, here, dt)
        beat = self.pace.step(self._allowed, dt)
        proposed: dict[Side, Proposal] = {}
        for side, player in self.players.items():
            if player.started:
                proposed[side] = player.propose(now_s, dt, beat)
        together = self._turn is None or self._turn.rejoins or self.rests
        if together and self._clearance.passes(_way(here, _stops(proposed))):
            self._turn = None
            return {side: self.players[side].take(proposal) for side, proposal in proposed.items()}
        turn = self._turn
        if turn is not None and turn.side in proposed and not self.rests:
            proposal = proposed[turn.side]
            if self._may_go(turn.side, here, proposal, dt):
                return self._go_alone(turn, proposal, dt)
        self._turn = None
        self.braking = True
        if self.rests and len(proposed) > 1:
            self._untried = list(proposed)
        elif beat.rate > 2 * LEAST_PACE and not self.rests:
            self.braked += 1
        return self._brake(dt)

    def _try_next(
        self, now_s: float, here: Mapping[Side, np.ndarray], dt: float
    ) -> dict[Side, np.ndarray]:
        """A step of the stop; at rest one side is tried alone, where any is left to try: a tick in
        which all were tried would take longer than a period.
        """
        if not (self.rests and self._untried):
            return self._brake(dt)
        side = self._untried.pop(0)
        beat = self.pace.step(self._allowed, dt)
        proposal = self.players[side].propose(now_s, dt, beat)
        if proposal.step.rests or not self._may_go(side, here, proposal, dt):
            return self._stop_all(dt, beat)
        self.braking = False
        self._untried.clear()
        self._turn = Turn(side)
        return self._go_alone(self._turn, proposal, dt)

    def _may_go(
        self, side: Side, here: Mapping[Side, np.ndarray], proposal: Proposal, dt: float
    ) -> bool:
        """Whether one side's command keeps all distances while the others stop."""
        stops: dict[Side, Braking] = {}
        for each, player in self.players.items():
            if each == side:
                stops[each] = proposal.step.stop
            elif player.started:
                stops[each] = player.stopping(dt)
        return self._clearance.passes(_way(here, stops))

    def _go_alone(self, turn: Turn, proposal: Proposal, dt: float) -> dict[Side, np.ndarray]:
        """Commands one side's proposal, and a step of their stops to the others.

        Their chunks wait: if time went on they would have to be caught up with at full speed.
        """
        turn.lasted_s += dt
        commands: dict[Side, np.ndarray] = {}
        for side, player in self.players.items():
            if side == turn.side:
                commands[side] = player.take(proposal)
            elif player.started:
                commands[side] = player.brake(dt, STANDS)
        return commands

    def _here(self, measured: Mapping[Side, np.ndarray | None]) -> dict[Side, np.ndarray] | None:
        """Where all sides are [N] rad, by their commands or as measured; None where that is not
        known of one.
        """
        here: dict[Side, np.ndarray] = {}
        for side, player in self.players.items():
            pose = player.position if player.started else measured.get(side)
            if pose is None:
                return None
            here[side] = pose
        return here

    def _look_around(self, here: Mapping[Side, np.ndarray], dt: float) -> bool:
        """Looks at the distances when it is time to; returns whether it was."""
        pose = np.concatenate(list(here.values()))
        self._notice(here, pose)
        self._since_look_s += dt
        if self._since_look_s < self._look_every_s:
            return False
        self._since_look_s = 0.0
        self.verdict = self._look(here, pose, None)
        turn = self._turn
        if turn is None:
            return True
        turn.rejoins = self.verdict.pace > REJOINS
        if turn.lasted_s > LONGEST_ALONE_S:
            turn.lasted_s = 0.0
            turn.rejoins = True
        if not turn.rejoins:
            self.verdict = self._look(here, pose, turn.side)
        return True

    def _look(
        self, here: Mapping[Side, np.ndarray], pose: np.ndarray, alone: Side | None
    ) -> Verdict:
        """The distances that chunks lead to; of one side's, if it goes alone."""
        ahead = [self._ahead(here, seconds, alone) for seconds in AHEAD_S]
        return self._clearance.look(pose, ahead, self.pace.beat.rate)

    def _ahead(
        self, here: Mapping[Side, np.ndarray], seconds: float, alone: Side | None
    ) -> np.ndarray:
        """Where chunks want the rig [N] rad after this many more seconds of their time; where one
        side goes alone, the others stay.
        """
        poses: list[np.ndarray] = []
        for side, player in self.players.items():
            goes = player.started and alone in (None, side)
            pose = player.ahead(seconds) if goes else here[side]
            poses.append(pose)
        return np.concatenate(poses)

    def _notice(self, here: Mapping[Side, np.ndarray], pose: np.ndarray) -> None:
        """Updates the positions of sides that have no command, and detects whether they were moved
        externally.
        """
        resting: dict[Side, np.ndarray] = {}
        for side, player in self.players.items():
            if not player.started:
                resting[side] = here[side]
        if self._since_look_s == np.inf:
            self._resting_positions = resting
            self._clearance.begin(pose)
        elif self._was_moved(resting):
            # Sides with a command did not move externally: they are at their commands before and
            # after.
            before: list[np.ndarray] = []
            for side, where in here.items():
                position = self._resting_positions[side] if side in resting else where
                before.append(position)
            self._resting_positions = resting
            self._clearance.carried(np.concatenate(before), pose)

    def _was_moved(self, resting: Mapping[Side, np.ndarray]) -> bool:
        for side, where in resting.items():
            moved = np.abs(where - self._resting_positions[side])
            if moved.max() > STILL_RAD:
                return True
        return False

    @property
    def _allowed(self) -> float:
        """The pace that the newest look allows."""
        if self.verdict is None:
            return 0.0
        return max(self.verdict.pace, LEAST_PACE)

    def _brake(self, dt: float) -> dict[Side, np.ndarray]:
        """A step of the stop. At rest the chunks' time goes on: what they want later may be
        possible.
        """
        wanted = self._allowed if self.braking and self.rests else 0.0
        return self._stop_all(dt, self.pace.step(wanted, dt))

    def _stop_all(self, dt: float, beat: Beat) -> dict[Side, np.ndarray]:
        """A step of every side's stop, while the chunks' time goes on at a beat."""
        commands: dict[Side, np.ndarray] = {}
        for side, player in self.players.items():
            if player.started:
                commands[side] = player.brake(dt, beat)
        return commands

    @property
    def goes_alone(self) -> Side | None:
        """The side that goes while the others keep still; None where none does."""
        # Other threads ask, too, and the turn may end meanwhile.
        turn = self._turn
        return None if turn is None else turn.side

    @property
    def rests(self) -> bool:
        """No command moves anything."""
        return all(player.rests for player in self.players.values())

    def hold(self) -> None:
        """Drops all chunks; what moves brakes and stays."""
        self._turn = None
        self._untried.clear()
        for player in self.players.values():
            player.hold()

    def release(self) -> None:
        """Forgets chunks and commands: each side starts again from where it is measured then."""
        for player in self.players.values():
            player.release()
        self.braking = False
        self._turn = None
        self._untried.clear()
        self._since_look_s = np.inf
        self.verdict = None


def _stops(proposed: Mapping[Side, Proposal]) -> dict[Side, Braking]:
    """The stops that would follow."""
    return {side: proposal.step.stop for side, proposal in proposed.items()}


def _way(here: Mapping[Side, np.ndarray], stops: Mapping[Side, Braking]) -> Way:
    """From where all sides are through the stops of those that move; the others stay at rest."""
    pieces: list[Braking | AtRest] = []
    for side, pose in here.items():
        pieces.append(stops.get(side, AtRest(pose)))
    return Way(np.concatenate(list(here.values())), pieces)
