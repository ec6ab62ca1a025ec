"""dex-retargeting (pip install dex-retargeting), whose optimisers solve for each frame, starting
from the one before.

Everything is left as the package has it (scaling 1, its Huber and regularisation constants, its
tolerances) but the low-pass filter, which is off as in its `offline` configurations: it would only
add lag.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import Finger, Side
from xlvla_policy.latent.embodiment import Embodiment

SETTLE = 6
"""Solutions, each from the one before, for a pose that has no frame before it."""


def missing() -> str:
    """One line that says why the package cannot be used here; empty where it can."""
    try:
        importlib.import_module("dex_retargeting.retargeting_config")
    except ImportError as error:
        return f"dex-retargeting cannot be used ({error}): pip install dex-retargeting six"
    return ""


@dataclass(frozen=True)
class Kind:
    """One of the package's optimisers: its configuration, and which lines between points it is
    given.

    Args:
        options: of a wrist link and fingertip links, thumb first, to what the package's
            configuration takes.
        lines: of fingertips [F, 3] m, thumb first, in the wrist's frame, to its reference.
    """

    options: Callable[[str, list[str]], dict[str, Any]]
    lines: Callable[[np.ndarray], np.ndarray]


def _from_thumb(wrist: str, tips: list[str]) -> dict[str, Any]:
    return _vectors([tips[0]] * (len(tips) - 1), tips[1:])


def _from_wrist(wrist: str, tips: list[str]) -> dict[str, Any]:
    return _vectors([wrist] * len(tips), tips)


def _vectors(origins: list[str], tasks: list[str]) -> dict[str, Any]:
    # Of a human hand's points, which are not used here.
    indices = np.zeros((2, len(tasks)), dtype=int)
    return {
        "type": "vector",
        "target_origin_link_names": origins,
        "target_task_link_names": tasks,
        "target_link_human_indices": indices,
    }


def _dexpilot(wrist: str, tips: list[str]) -> dict[str, Any]:
    return {"type": "dexpilot", "wrist_link_name": wrist, "finger_tip_link_names": tips}


def _dexpilot_lines(tips: np.ndarray) -> np.ndarray:
    """Between every two fingertips, then from the wrist to each."""
    between = [first - second for first, second in combinations(tips, 2)]
    return np.array([*between, *tips])


def _thumb_lines(tips: np.ndarray) -> np.ndarray:
    return tips[1:] - tips[0]


def _wrist_lines(tips: np.ndarray) -> np.ndarray:
    return tips


KINDS = {
    "vector from thumb": Kind(_from_thumb, _thumb_lines),
    "vector from wrist": Kind(_from_wrist, _wrist_lines),
    "dexpilot": Kind(_dexpilot, _dexpilot_lines),
}
"""The first follows the very lines that are compared; the others follow what the package's own
configurations do.
"""


class DexRetargeting:
    """One of the package's optimisers for a pair of hands of one side."""

    def __init__(self, source: Embodiment, target: Embodiment, kind: str, side: Side = "right"):
        fault = missing()
        if fault:
            raise XlvlaError(fault)
        from dex_retargeting.retargeting_config import RetargetingConfig

        self._kind = KINDS[kind]
        self._source = source
        self._lower = target.lower.numpy()
        self._upper = target.upper.numpy()
        self._fingers: list[Finger] = [
            finger for finger in target.fingers if finger in source.fingers
        ]
        links = target.hand.tip_links(side)
        joints = list(target.hand.joint_names(side))
        wrist = target.hand.description(side).root
        tips = [links[finger] for finger in self._fingers]
        configuration = RetargetingConfig(
            urdf_path=str(target.hand.urdf_path(side)),
            target_joint_names=joints,
            low_pass_alpha=1.0,
            **self._kind.options(wrist, tips),
        )
        self._optimiser = configuration.build()
        # The package orders joints in its own way.
        self._columns = [self._optimiser.joint_names.index(joint) for joint in joints]

    def references(self, tips: np.ndarray) -> np.ndarray:
        """What it is asked to follow, from the source's fingertips [B, F, 3] m."""
        columns = [self._source.fingers.index(finger) for finger in self._fingers]
        return np.array([self._kind.lines(row) for row in tips[:, columns]])

    def follow(self, references: np.ndarray) -> np.ndarray:
        """Joints [B, J] rad along references of neighbouring frames."""
        self._optimiser.reset()
        return np.array([self._next(reference) for reference in references])

    def settle(self, references: np.ndarray) -> np.ndarray:
        """Joints [B, J] rad of references that have nothing to do with each other, each from the
        middle of the range.
        """
        return np.array([self._settled(reference) for reference in references])

    def _settled(self, reference: np.ndarray) -> np.ndarray:
        self._optimiser.reset()
        for _ in range(SETTLE - 1):
            self._next(reference)
        return self._next(reference)

    def _next(self, reference: np.ndarray) -> np.ndarray:
        q = self._optimiser.retarget(reference)[self._columns]
        return np.clip(q, self._lower, self._upper)
