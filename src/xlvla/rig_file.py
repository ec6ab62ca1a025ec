"""Rig files: a rig is loaded from YAML or the catalogue, checked, and changed by what the command
line chose.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from xlvla import catalog, rig_like
from xlvla.device import DeviceConfig
from xlvla.errors import RigError, XlvlaError, unknown
from xlvla.rig import Rig
from xlvla.rig_faults import rig_faults
from xlvla.rig_parts import PolicyConfig, SimConfig
from xlvla.server_map import SERVED
from xlvla.strict import build
from xlvla.types import NONE, Side


def load(name_or_path: str | Path) -> Rig:
    """The rig of the catalogue with that name, or in that YAML file; RigError lists every fault."""
    text = str(name_or_path)
    known = catalog.rigs()
    path = Path(text) if text.endswith((".yaml", ".yml")) else known.get(text)
    if path is None:
        raise unknown("rig", text, known)
    if not path.is_file():
        raise XlvlaError(f"no rig file at {path}")
    return from_document(rig_like.document(path), str(path))


def from_document(document: Any, source: str) -> Rig:
    """The rig in a parsed YAML document; `source` names it in faults. `policy: none` is no policy,
    as on the command line.
    """
    if isinstance(document, Mapping):
        content = cast(Mapping[str, Any], document)
        if content.get("policy") == "none":
            document = {**content, "policy": None}
    rig, faults = build(Rig, document, "rig")
    if rig is not None and not (faults and not rig.sides):
        faults += rig_faults(rig)
    if rig is None or faults:
        raise RigError(f"{source}: {fault.removeprefix('rig.')}" for fault in faults)
    return rig


def with_choices(
    rig: Rig,
    *,
    hands: Mapping[Side, str | None] | None = None,
    sim: bool | None = None,
    policy: str | None = None,
    checkpoint: str | None = None,
    instruction: str | None = None,
    seed: int | None = None,
    speed: float | None = None,
    network: bool | None = None,
    operator: str | None = None,
    namespace: str | None = None,
) -> Rig:
    """The rig with what the command line chose instead; None keeps the rig's own. `policy` 'none'
    starts no policy; a policy for a rig that has none has the usual settings.
    """
    document = dataclasses.asdict(rig)
    for side, hand in (hands or {}).items():
        if hand and side not in document["sides"]:
            raise XlvlaError(f"rig '{rig.name}' has no {side} side")
        if hand and hand != document["sides"][side]["hand"]["type"]:
            device = document["sides"][side]["hand"]["device"]
            document["sides"][side]["hand"] = {
                "type": hand,
                "device": None if hand == NONE else DeviceConfig.for_another(device),
            }
    if network is not None:
        document["network"] = network
    if namespace is not None:
        document["namespace"] = namespace
    if sim is not None:
        document["sim"] = (document["sim"] or dataclasses.asdict(SimConfig())) if sim else None
    _choose(document["sim"], seed=seed, speed=speed)
    _choose(document["teleop"], operator=operator)
    if policy == "none":
        document["policy"] = None
    elif policy is not None:
        document["policy"] = document["policy"] or dataclasses.asdict(PolicyConfig())
        if policy != SERVED:
            document["policy"]["server"] = None
    _choose(
        document["policy"],
        type=None if policy == "none" else policy,
        checkpoint=checkpoint,
        instruction=instruction,
    )
    return from_document(document, rig.name)


def _choose(section: dict[str, Any] | None, **choices: Any) -> None:
    chosen = {key: value for key, value in choices.items() if value is not None}
    if chosen and section is None:
        raise XlvlaError(f"{', '.join(chosen)} chosen, but this rig has nothing to apply it to")
    if section is not None:
        section.update(chosen)
