"""The ROS graph of a rig as data; launchers turn it into processes.

`xlvla run` and `launch/*.launch.py` read the same list, so both start the same nodes with the same parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

from xlvla.errors import XlvlaError
from xlvla.rig import Rig


@dataclass(frozen=True)
class NodeSpec:
    """One node: the module `{package}.nodes.{executable}`; `part` says which part of the rig it serves ('' for all of it)."""

    package: str
    executable: str
    name: str
    part: str = ""
    namespace: str = ""

    @property
    def module(self) -> str:
        return f"{self.package}.nodes.{self.executable}"

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}"

    def params(self, rig_path: str) -> dict[str, str | bool]:
        """The node's ROS parameters; everything else it reads from the rig itself."""
        return {"rig": rig_path, "part": self.part}


def nodes(rig: Rig) -> list[NodeSpec]:
    """The nodes a rig needs, every one of them required: if one dies, the rig stops."""
    return [*_body(rig), NodeSpec("xlvla", "joint_states", "joint_states"), NodeSpec("xlvla_drivers", "motion", "motion"), *_mind(rig)]


def _body(rig: Rig) -> list[NodeSpec]:
    if rig.sim:
        return [NodeSpec("xlvla_sim", "sim", "sim")]
    wanted = sorted({rig.arm(side).driver for side in rig.sides} | {rig.hand(side).driver for side in rig.sides})
    raise XlvlaError(f"rig '{rig.name}' asks for real hardware, but this version has no drivers for {', '.join(wanted)}: use sim")


def _mind(rig: Rig) -> list[NodeSpec]:
    return [NodeSpec("xlvla_policy", "policy", "policy", part=rig.policy.type)] if rig.policy else []
