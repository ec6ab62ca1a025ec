"""What a command line may choose otherwise than a rig's file: its fields are options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xlvla import rig_file

if TYPE_CHECKING:
    from xlvla.rig import Rig
    from xlvla.types import Side


@dataclass(frozen=True)
class RigChoices:
    """Choices that replace a rig's own; None keeps them.

    Args:
        left_hand: hand on the left arm instead of the rig's.
        right_hand: hand on the right arm instead of the rig's.
        sim: simulation or hardware, overriding the rig.
        policy: policy instead of the rig's; none is no policy.
        checkpoint: weights of the policy instead of the shipped ones.
        instruction: the task instruction.
        seed: seed of the first simulated episode.
        speed: simulated seconds per second; 0 is as fast as possible.
        network: accept nodes of other machines or not, overriding the rig and the shell.
        operator: who drives by hand, as `xlvla calibrate operator` knows them.
        namespace: ROS namespace of the rig, so that several share a domain.
    """

    left_hand: str | None = None
    right_hand: str | None = None
    sim: bool | None = None
    policy: str | None = None
    checkpoint: str | None = None
    instruction: str | None = None
    seed: int | None = None
    speed: float | None = field(default=None, metadata={"min": 0.0})
    network: bool | None = None
    operator: str | None = None
    namespace: str | None = None


def with_choices(rig: Rig, choices: RigChoices) -> Rig:
    """The rig with these choices; raises RigError where one does not fit."""
    hands: dict[Side, str | None] = {"left": choices.left_hand, "right": choices.right_hand}
    return rig_file.with_choices(
        rig,
        hands=hands,
        sim=choices.sim,
        policy=choices.policy,
        checkpoint=choices.checkpoint,
        instruction=choices.instruction,
        seed=choices.seed,
        speed=choices.speed,
        network=choices.network,
        operator=choices.operator,
        namespace=choices.namespace,
    )
