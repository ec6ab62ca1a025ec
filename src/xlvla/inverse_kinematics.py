"""Inverse kinematics of one link inside joint limits: near a configuration, or from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pinocchio as pin  # pyright: ignore
from eigenpy import LLT  # pyright: ignore

STARTS = 4096
"""Configurations all over the joints' range whose poses are known; the nearest are begun from."""

TRIES = 256
"""Of the starts, so many are tried before a pose counts as out of reach."""

TURN_M = 0.2
"""Metres that a radian counts as where a start is chosen."""

AWAY_M2 = 0.005
"""Square metres that a square radian away from the posture counts as where a start is chosen."""

CLOSE_M = 0.05
CLOSE_RAD = 0.25
PATIENCE = 100
"""So close to the target a start is given so many more steps: beside singular poses and limits the
last centimetres take long.
"""

LEAST_DAMPING = 1e-6
FAR_DAMPING = 1e-2
"""More damping of joint changes for every unit [m2 + rad2] of the squared error, up to one."""


@dataclass(frozen=True)
class IkResult:
    """A solution [N] with what is left: position [m] and rotation [rad] error; `ok` when both are
    within tolerance.
    """

    q: np.ndarray
    position_error: float
    rotation_error: float
    ok: bool


@dataclass(frozen=True)
class Manner:
    """How a pose is sought.

    Args:
        iterations: at most so many steps.
        step: no joint moves further [rad] in one of them.
        drift: share of the way to the posture that redundancy goes in each.
        tolerance_m, tolerance_rad: errors that are near enough.
    """

    iterations: int
    step: float
    drift: float
    tolerance_m: float
    tolerance_rad: float


class MovingLink:
    """Where one link of a robot is, and how it moves.

    Args:
        model, data: pinocchio's; data changes with every move.
        frame: pinocchio's id of the link's frame.
        spread, offset: joints of the model are `spread @ q + offset`.

    Attributes:
        position: [3] m in the root's frame, since the last move.
        rotation: [3, 3], since the last move.
    """

    def __init__(
        self,
        model: pin.Model,
        data: pin.Data,
        frame: int,
        spread: np.ndarray,
        offset: np.ndarray,
    ):
        self._model = model
        self._data = data
        self._frame = frame
        self._spread = spread
        self._offset = offset
        # An arm on its own: its joints are the model's
        self._alone = np.array_equal(spread, np.eye(len(offset))) and not offset.any()
        place = data.oMf[frame]
        # Both look into pinocchio's memory
        self.position: np.ndarray = place.translation
        self.rotation: np.ndarray = place.rotation

    def move(self, q: np.ndarray) -> None:
        """Moves the commanded joints to q [N]."""
        full = q if self._alone else self._spread @ q + self._offset
        pin.computeJointJacobians(self._model, self._data, full)
        pin.updateFramePlacement(self._model, self._data, self._frame)

    def jacobian(self) -> np.ndarray:
        """Jacobian [6, N] there, linear then angular, along the root's axes."""
        full = pin.getFrameJacobian(self._model, self._data, self._frame, pin.LOCAL_WORLD_ALIGNED)
        return full if self._alone else full @ self._spread

    def left(self, T_root_target: np.ndarray) -> np.ndarray:
        """What is left [6] to a pose [4, 4]: metres, then the rotation vector, along the root's
        axes.
        """
        error = np.empty(6)
        error[:3] = T_root_target[:3, 3] - self.position
        error[3:] = pin.log3(T_root_target[:3, :3] @ self.rotation.T)
        return error


class LinkIk:
    """Damped least squares for one link (Nakamura and Hanafusa 1986), in which a joint that stands
    at its limit takes no part in steps that lead beyond it.

    Args:
        lower, upper: limits [N] rad.
    """

    def __init__(self, link: MovingLink, lower: np.ndarray, upper: np.ndarray):
        self._link = link
        self._lower = lower
        self._upper = upper

    def near(
        self, T_root_target: np.ndarray, q0: np.ndarray, posture: np.ndarray, manner: Manner
    ) -> IkResult:
        """The configuration that is found from q0 [N] on; redundancy drifts to `posture` [N]."""
        q = np.clip(q0, self._lower, self._upper)
        error = self._error(T_root_target, q)
        for _ in range(manner.iterations):
            if _met(error, manner):
                break
            q = self._step(q, error, posture, manner)
            error = self._error(T_root_target, q)
        return IkResult(
            q=q,
            position_error=float(np.linalg.norm(error[:3])),
            rotation_error=float(np.linalg.norm(error[3:])),
            ok=_met(error, manner),
        )

    def anywhere(self, T_root_target: np.ndarray, posture: np.ndarray, manner: Manner) -> IkResult:
        """A configuration that is found from starts whose pose is near the target and which are
        near `posture` [N]; where none leads there, the one that comes nearest.
        """
        patient = replace(manner, iterations=PATIENCE, drift=0.0)
        best: IkResult | None = None
        for start in self._starts_for(T_root_target, posture):
            found = self.near(T_root_target, start, posture, manner)
            if not found.ok and found.position_error < CLOSE_M and found.rotation_error < CLOSE_RAD:
                found = self.near(T_root_target, found.q, found.q, patient)
            if found.ok:
                return found
            if best is None or found.position_error < best.position_error:
                best = found
        assert best is not None
        return best

    def _error(self, T_root_target: np.ndarray, q: np.ndarray) -> np.ndarray:
        """What is left [6] at q [N]."""
        self._link.move(q)
        return self._link.left(T_root_target)

    def _step(
        self, q: np.ndarray, error: np.ndarray, posture: np.ndarray, manner: Manner
    ) -> np.ndarray:
        """The configuration [N] one step on from q [N], where `error` [6] is left."""
        jacobian = self._link.jacobian()
        drift = manner.drift * (posture - q)
        damping = LEAST_DAMPING + FAR_DAMPING * min(1.0, float(error @ error))
        while True:
            normal = jacobian @ jacobian.T
            normal.flat[:: len(error) + 1] += damping
            # The drift's part in the null space, and what moves the link
            change = drift + jacobian.T @ LLT(normal).solve(error - jacobian @ drift)
            furthest = max(change.max(), -change.min())
            if furthest > manner.step:
                change *= manner.step / furthest
            following = np.minimum(np.maximum(q + change, self._lower), self._upper)
            stuck = (following == q) & (change != 0.0)
            if not stuck.any():
                return following
            # The others share what a joint at its limit cannot do; fewer are left every time
            jacobian = jacobian * ~stuck
            drift = drift * ~stuck

    def _starts_for(self, T_root_target: np.ndarray, posture: np.ndarray) -> Iterator[np.ndarray]:
        """Configurations to begin from, the most promising first: the posture and known starts."""
        starts, table, sizes = self._starts
        target = _features(T_root_target[:3, 3], T_root_target[:3, :3])
        # Squared distances, but for what is the same for all of them: the target's own part
        scores = sizes - table @ np.concatenate([target, posture])
        here = self._features_at(posture)
        apart = here - 2.0 * target
        first = int(np.argmin(scores))
        if here @ apart - AWAY_M2 * (posture @ posture) <= scores[first]:
            yield posture
        yield starts[first]
        for number in np.argsort(scores)[1:TRIES]:
            yield starts[number]

    @cached_property
    def _starts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Configurations [S, N]; twice the features of their poses, and the configurations
        themselves as they count, [S, 12 + N]; and what these are squared [S].
        """
        # A joint that turns further comes by the same poses again
        lower = np.maximum(self._lower, -np.pi)
        upper = np.minimum(self._upper, np.pi)
        starts = np.random.default_rng(0).uniform(lower, upper, (STARTS, len(lower)))
        poses = np.array([self._features_at(start) for start in starts])
        sizes = np.sum(poses**2, axis=1) + AWAY_M2 * np.sum(starts**2, axis=1)
        return starts, np.hstack([2.0 * poses, 2.0 * AWAY_M2 * starts]), sizes

    def _features_at(self, q: np.ndarray) -> np.ndarray:
        self._link.move(q)
        return _features(self._link.position, self._link.rotation)


def _features(position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Numbers [12] of a pose whose squared distance is the one that starts are chosen by."""
    # The matrices of rotations that are a small angle apart differ by its square root of two
    return np.concatenate([position, (TURN_M / np.sqrt(2.0)) * rotation.ravel()])


def _met(error: np.ndarray, manner: Manner) -> bool:
    position, rotation = error[:3], error[3:]
    return bool(
        position @ position < manner.tolerance_m**2
        and rotation @ rotation < manner.tolerance_rad**2
    )
