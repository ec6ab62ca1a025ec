"""The ROS graph of a rig as data; launchers turn it into processes.

`xlvla run` and `launch/*.launch.py` read the same list, so both start the same nodes with the same
parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xlvla.errors import XlvlaError, unknown
from xlvla.rig import Rig


@dataclass(frozen=True)
class NodeSpec:
    """One node: the module `{package}.nodes.{executable}`; `part` says which part of the rig it
    serves ('' for all of it). `namespace` has no slash first or last.
    """

    package: str
    executable: str
    name: str
    part: str = ""
    simulated: bool = False
    namespace: str = ""

    @property
    def module(self) -> str:
        return f"{self.package}.nodes.{self.executable}"

    @property
    def full_name(self) -> str:
        """As `ros2 node list` writes it."""
        return f"{within(self.namespace)}/{self.name}"

    def params(self, rig_path: str) -> dict[str, str | bool]:
        """The node's ROS parameters; everything else it reads from the rig itself."""
        return {"rig": rig_path, "part": self.part, "use_sim_time": self.simulated}


def within(namespace: str) -> str:
    """What a namespace puts before the names in it.

    >>> within("lab/robot"), within("")
    ('/lab/robot', '')
    """
    inside = namespace.strip("/")
    return f"/{inside}" if inside else ""


def nodes(rig: Rig) -> list[NodeSpec]:
    """The nodes a rig needs, every one of them required: if one dies, the rig stops."""
    shared = [
        NodeSpec("xlvla", "joint_states", "joint_states"),
        NodeSpec("xlvla_drivers", "motion", "motion"),
    ]
    every = [*_body(rig), *shared, *_mind(rig), *_human(rig), *_pressed(rig), *_memory(rig)]
    namespace = rig.namespace.strip("/")
    return [replace(spec, simulated=bool(rig.sim), namespace=namespace) for spec in every]


def chosen(rig: Rig, only: Sequence[str] = (), without: Sequence[str] = ()) -> list[NodeSpec]:
    """The nodes of a rig that one machine starts: those named in `only`, or all but those in
    `without`; the rest run elsewhere.
    """
    every = nodes(rig)
    names = [spec.name for spec in every]
    for name in (*only, *without):
        if name not in names:
            raise unknown("node", name, names)
    kept = [spec for spec in every if (not only or spec.name in only) and spec.name not in without]
    if not kept:
        raise XlvlaError(f"no node of rig '{rig.name}' is left to start: it has {', '.join(names)}")
    return kept


def _body(rig: Rig) -> list[NodeSpec]:
    if rig.sim:
        return [NodeSpec("xlvla_sim", "sim", "sim")]
    drivers = [
        NodeSpec("xlvla_drivers", part, f"{side}_{part}", part=side) for side, part in rig.parts
    ]
    emulators = [NodeSpec("xlvla_drivers", "emulators", "emulators")] if rig.emulated else []
    return [*emulators, *drivers, *_eyes(rig)]


def _eyes(rig: Rig) -> list[NodeSpec]:
    """One node per camera; all the emulated ones look into one mirrored world."""
    real = [
        NodeSpec("xlvla_drivers", "camera", f"camera_{name}", part=name)
        for name in rig.cameras
        if name not in rig.mirrored
    ]
    return [*real, *([NodeSpec("xlvla_sim", "mirror", "mirror")] if rig.mirrored else [])]


def _human(rig: Rig) -> list[NodeSpec]:
    """Who drives by hand, and what follows them."""
    if rig.teleop is None:
        return []
    scripted = (
        [NodeSpec("xlvla_sim", "operator", "scripted_operator")] if rig.teleop.scripted else []
    )
    return [*scripted, NodeSpec("xlvla_drivers", "teleop", "teleop", part=rig.teleop.source)]


def _pressed(rig: Rig) -> list[NodeSpec]:
    """One node per pedal or gamepad."""
    return [
        NodeSpec("xlvla_drivers", "buttons", f"buttons_{name}", part=name) for name in rig.buttons
    ]


def _memory(rig: Rig) -> list[NodeSpec]:
    return [NodeSpec("xlvla_data", "recorder", "recorder")] if rig.recorder else []


def _mind(rig: Rig) -> list[NodeSpec]:
    return (
        [NodeSpec("xlvla_policy", "policy", "policy", part=rig.policy.type)] if rig.policy else []
    )
