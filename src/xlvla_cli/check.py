"""`xlvla check`: every fault of a rig at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from xlvla_cli.options import RigArgument

if TYPE_CHECKING:
    from xlvla.graph import NodeSpec
    from xlvla.rig import Rig


def register(app: typer.Typer) -> None:
    app.command("check")(check)


def check(rig: RigArgument = "bimanual") -> None:
    """Check a rig before anything starts; prints every fault and exits with 2, or one line that all
    is well.
    """
    from xlvla import security
    from xlvla.errors import RigError
    from xlvla.graph import nodes
    from xlvla.network import reach
    from xlvla.rig_file import load

    loaded = load(rig)
    specs = nodes(loaded)
    scope = reach(loaded.network, os.environ)
    faults = installation_faults(loaded)
    if scope.fault:
        faults.append(scope.fault)
    # What is only worth asking of a rig that could start.
    if not faults:
        faults = security.faults(loaded, specs, os.environ)
    if not faults:
        faults = _left_over_faults()
    if faults:
        raise RigError(f"{rig}: {fault}" for fault in faults)
    joints = sum(len(loaded.joint_names(side, part)) for side, part in loaded.parts)
    cameras = ", ".join(loaded.cameras) or "none"
    typer.echo(f"{loaded.name}: OK ({len(specs)} nodes, {joints} joints, cameras: {cameras})")
    typer.echo(f"{loaded.name}: speaks {scope.line}")


def _left_over_faults() -> list[str]:
    from xlvla import environment, shared_memory
    from xlvla.errors import XlvlaError

    try:
        if environment.shares_memory():
            shared_memory.refuse_unfinished_ports(environment.domain())
    except XlvlaError as error:
        return [str(error)]
    return []


def installation_faults(rig: Rig, specs: Sequence[NodeSpec] | None = None) -> list[str]:
    """What these nodes of a sound rig (None: all) cannot run without on this machine: drivers,
    codec, weights, simulator.
    """
    from xlvla import environment
    from xlvla.errors import XlvlaError
    from xlvla.graph import nodes

    try:
        here = {spec.package for spec in (specs or nodes(rig))}
    except XlvlaError as error:
        return [str(error)]
    draws = "xlvla_sim" in here and bool(rig.cameras)
    faults = [*environment.faults(draws=draws), *_module_faults(rig, here)]
    if rig.teleop and "xlvla_drivers" in here:
        faults += _follower_faults()
    if "xlvla_drivers" in here:
        faults += _driver_faults(rig)
    if "xlvla_policy" in here and not (rig.policy and rig.policy.server):
        faults += [*_codec_faults(rig), *_checkpoint_faults(rig)]
        faults += [] if faults else _weights_faults(rig)
    return faults


def _follower_faults() -> list[str]:
    """What following an operator needs."""
    from importlib.util import find_spec

    if find_spec("daqp") is not None:
        return []
    return ["daqp is not installed: pip install 'xlvla[teleop]'"]


def _driver_faults(rig: Rig) -> list[str]:
    from xlvla_drivers import registry

    return registry.faults(rig)


def _codec_faults(rig: Rig) -> list[str]:
    from xlvla import catalog
    from xlvla.codec import Codec
    from xlvla.errors import XlvlaError
    from xlvla.types import NONE

    # a policy of one's own may know nothing of the latent
    if rig.policy is None or rig.policy.type in catalog.own_policies():
        return []
    try:
        codec = Codec.load()
    except XlvlaError as error:
        return [str(error)]
    unknown_hands = sorted({rig.hand(side).name for side in rig.sides} - {*codec.hands, NONE})
    return [codec.unknown_line(name) for name in unknown_hands]


def _module_faults(rig: Rig, packages: set[str]) -> list[str]:
    """What is not installed of what nodes of these packages import."""
    from importlib.util import find_spec

    # A policy that a server decides for needs no torch here.
    asks = rig.policy is not None and rig.policy.server is not None

    modules = {
        "xlvla": ("rclpy", "ros"),
        "xlvla_sim": ("mujoco", "sim"),
        "xlvla_data": ("mcap", "data"),
        "xlvla_policy": ("websockets" if asks else "torch", "policy"),
    }
    faults: list[str] = []
    for package, (module, extra) in modules.items():
        imported = package == "xlvla" or package in packages
        if imported and find_spec(module) is None:
            fault = f"{module} is not installed: pip install 'xlvla[{extra}]'"
            if extra == "ros":
                fault += ", or source a ROS 2 installation"
            faults.append(fault)
    return faults


def _checkpoint_faults(rig: Rig) -> list[str]:
    from pathlib import Path

    if rig.policy is None:
        return []
    checkpoint = Path(rig.policy.checkpoint) if rig.policy.checkpoint else None
    if checkpoint and not checkpoint.exists():
        return [f"policy.checkpoint: no file at {checkpoint}"]
    if rig.policy.engine == "onnx" and not (checkpoint and checkpoint.is_dir()):
        return [
            "policy.engine: onnx runs an exported folder; write one with `xlvla policy export` and "
            "name it as policy.checkpoint"
        ]
    return []


def _weights_faults(rig: Rig) -> list[str]:
    """What the weights of the policy ask of a rig and it does not have."""
    from pathlib import Path

    from xlvla import catalog
    from xlvla.errors import XlvlaError

    if rig.policy is None or rig.policy.type in catalog.own_policies():
        return []
    from xlvla_policy.vla.rig_fit import refuse_misfit, shipped

    named = rig.policy.checkpoint
    path = Path(named) if named else shipped(rig.policy.type)
    try:
        refuse_misfit(rig, path)
    except XlvlaError as error:
        return [f"policy: {error}"]
    return []
