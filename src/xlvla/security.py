"""DDS security of a rig's graph, where a shell asks for it: enclaves, and whether this installation
can.

ROS 2 reads it from the environment (SROS2): ROS_SECURITY_ENABLE, ROS_SECURITY_STRATEGY and
ROS_SECURITY_KEYSTORE, a folder that `xlvla secure` writes. Every node of a rig then is its own
enclave, `/RIG/NODE`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from xlvla.errors import XlvlaError
from xlvla.graph import NodeSpec
from xlvla.rig import Rig

ENABLE = "ROS_SECURITY_ENABLE"
STRATEGY = "ROS_SECURITY_STRATEGY"
KEYSTORE = "ROS_SECURITY_KEYSTORE"
OVERRIDE = "ROS_SECURITY_ENCLAVE_OVERRIDE"

OPERATOR = "operator"
TRACKER = "tracker"
"""Enclaves of whoever is no node of the rig: `xlvla run` and the commands beside it; a tracker with
a ROS driver of its own.
"""

LACKING = "This Fast DDS version doesn't have the security libraries"
"""What Fast DDS says that was built without."""

_TRIAL = "import rclpy; rclpy.init(); rclpy.create_node('trial')"
_TRIAL_S = 60.0


def enclave(rig: Rig, name: str) -> str:
    """Where a node of a rig, or its operator, has its keys below `enclaves/` of a keystore."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rig.name):
        raise XlvlaError(
            f"the rig's name '{rig.name}' cannot be that of an enclave: letters, digits and _ "
            "only, no digit first"
        )
    return f"/{rig.name}/{name}"


def is_asked_for(shell: Mapping[str, str]) -> bool:
    return shell.get(ENABLE) == "true"


def arguments(rig: Rig, spec: NodeSpec, shell: Mapping[str, str]) -> list[str]:
    """ROS arguments that give a node its enclave, where the shell asks for security."""
    return ["--enclave", enclave(rig, spec.name)] if is_asked_for(shell) else []


def faults(rig: Rig, specs: Iterable[NodeSpec], shell: Mapping[str, str]) -> list[str]:
    """Why these nodes of a rig cannot be secured as the shell asks; tries it."""
    if not is_asked_for(shell):
        return []
    keystore = shell.get(KEYSTORE, "")
    if not keystore:
        return [
            f"{ENABLE}=true, but {KEYSTORE} is not set: write a keystore with `xlvla secure "
            f"{rig.name}`"
        ]
    names = [*(spec.name for spec in specs), OPERATOR]
    try:
        missing = [
            name
            for name in names
            if not (enclave_folder(Path(keystore), enclave(rig, name)) / "key.pem").is_file()
        ]
    except XlvlaError as error:
        return [str(error)]
    if missing:
        return [
            f"{keystore} has no enclave of rig '{rig.name}' for {', '.join(missing)}: write them "
            f"with `xlvla secure {rig.name}`"
        ]
    return [why] if (why := refusal(Path(keystore), enclave(rig, OPERATOR))) else []


def enclave_folder(keystore: Path, name: str) -> Path:
    return keystore / "enclaves" / name.lstrip("/")


def refusal(keystore: Path, name: str) -> str:
    """Why this installation makes no node in an enclave of a keystore; '' where it does."""
    environment = os.environ | {
        ENABLE: "true",
        STRATEGY: "Enforce",
        KEYSTORE: str(keystore.resolve()),
        OVERRIDE: name,
    }
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRIAL],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TRIAL_S,
        )
    except subprocess.TimeoutExpired:
        return f"no node was made in enclave {name} within {_TRIAL_S:.0f} s"
    if LACKING in tried.stderr:
        return (
            "this ROS 2 cannot be secured: its Fast DDS was built without security, as that of the "
            "pip wheels; a ROS 2 of packages can"
        )
    lines = [line for line in tried.stderr.splitlines() if line.strip()]
    return (
        f"no node can be made in enclave {name} of {keystore}: "
        f"{lines[-1] if lines else 'it says nothing'}"
        if tried.returncode
        else ""
    )
