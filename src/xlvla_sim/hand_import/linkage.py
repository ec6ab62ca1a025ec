"""Closed linkages: joints that follow a motor because two links meet in a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares  # pyright: ignore

from xlvla.urdf import Mimic
from xlvla_sim.hand_import.tree import Joint, Tree, applied

POSES = 9
"""Positions of a motor at which its linkage is solved."""


@dataclass(frozen=True)
class Closure:
    """A point [3] m of one link meets a point of another."""

    first: str
    first_point: np.ndarray
    second: str
    second_point: np.ndarray

    def gap(self, tree: Tree, q: Mapping[str, float]) -> np.ndarray:
        first = applied(tree.pose(self.first, q), self.first_point[None])[0]
        return first - applied(tree.pose(self.second, q), self.second_point[None])[0]


def solved(tree: Tree, closures: Sequence[Closure]) -> Tree:
    """The description with its closed linkages as couplings: a line each, the nearest to what the
    linkage does over the motor's range; the distance is in the notes.

    Of a closure's free joints the motor is the nearest to the root, on the first side.
    """
    for closure in closures:
        tree = _coupled(tree, closure)
    return tree


def _coupled(tree: Tree, closure: Closure) -> Tree:
    chains = (tree.chain(closure.first), tree.chain(closure.second))
    shared = {joint.name for joint in chains[0]} & {joint.name for joint in chains[1]}
    ways = [[joint for joint in chain if joint.name not in shared] for chain in chains]
    motors = tree.masters([*ways[0], *ways[1]])
    if len(motors) < 2:
        return tree
    motor = next((joint for joint in motors if np.isfinite([joint.lower, joint.upper]).all()), None)
    if motor is None:
        return tree
    passive = [joint for joint in motors if joint.name != motor.name]
    at = np.linspace(motor.lower, motor.upper, POSES)
    start = int(np.argmin(np.abs(at)))
    positions = np.zeros((POSES, len(passive)))
    order = [*range(start, POSES), *range(start - 1, -1, -1)]
    for index in order:
        near = index if index == start else index - int(np.sign(index - start))
        positions[index] = _closed(tree, closure, motor, at[index], passive, positions[near])
    notes = list(tree.notes)
    joints = {joint.name: joint for joint in tree.joints}
    for column, joint in enumerate(passive):
        factor, offset = np.polyfit(at, positions[:, column], 1)
        error = float(np.abs(positions[:, column] - factor * at - offset).max())
        mimic = Mimic(motor.name, float(factor), float(offset))
        joints[joint.name] = replace(joint, mimic=mimic)
        notes.append(
            f"joint {joint.name} follows {motor.name} {factor:+.3g} times through a linkage, at "
            f"most {error:.3f} rad beside it"
        )
    return replace(tree, joints=tuple(joints.values()), notes=tuple(notes))


def _closed(
    tree: Tree,
    closure: Closure,
    motor: Joint,
    value: float,
    passive: Sequence[Joint],
    start: np.ndarray,
) -> np.ndarray:
    """Positions of the passive joints that close the linkage."""

    def gap(positions: np.ndarray) -> np.ndarray:
        q = {motor.name: value}
        for joint, position in zip(passive, positions, strict=True):
            q[joint.name] = position
        # Gaps in millimetres; what does not move the gap stays where it was.
        return np.concatenate([1000 * closure.gap(tree, q), 0.01 * (positions - start)])

    return least_squares(gap, start).x
