"""The policies of a series: found by what the command line calls them, known when they change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from xlvla import catalog, rig_file
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla_cli.eval import named_policy
from xlvla_cli.trials.series import Contender


def contenders(rig: Rig, names: Sequence[str]) -> tuple[Contender, ...]:
    """The policies that are compared; raises XlvlaError where one does not fit the rig, or is there
    twice.
    """
    found: list[Contender] = []
    for name in names:
        fitted = fit(rig, name)
        policy = _settings(fitted)
        found.append(Contender(name, policy, fingerprint(policy)))
    for number, one in enumerate(found):
        for other in found[:number]:
            if one.fingerprint == other.fingerprint:
                raise XlvlaError(
                    f"'{other.name}' and '{one.name}' are one policy: the same settings and weights"
                )
    return tuple(found)


def fit(rig: Rig, name: str) -> Rig:
    """The rig with a policy: one of the catalogue's, a weights file, or what another rig's file has
    as its `policy`.
    """
    if name.endswith((".yaml", ".yml")):
        policy = rig_file.load(name).policy
        if policy is None:
            raise XlvlaError(f"{name} has no `policy`")
        document = replace(rig, policy=policy).document()
        return rig_file.from_document(document, name)
    if name not in catalog.policies() and Path(name).exists():
        # The trials are run from any folder.
        name = str(Path(name).resolve())
    known = (*catalog.policies(), "or the path of a weights file or of a rig's YAML file")
    return named_policy(rig, name, known)


def acting(rig: Rig, contender: Contender, sentence: str) -> Rig:
    """The rig with a contender as its policy, which is told a sentence."""
    policy = {**contender.policy, "instruction": sentence}
    return rig_file.from_document({**rig.document(), "policy": policy}, rig.name)


def refuse_changed(contender: Contender) -> None:
    """Raises XlvlaError where weights or code are not what they were; it names no policy, since who
    scores is not to know which one comes.
    """
    if fingerprint(contender.policy) != contender.fingerprint:
        raise XlvlaError(
            "a policy of these trials has changed since they were drawn, in its weights or its "
            "file: put it back, or draw new trials in another folder"
        )


def fingerprint(policy: Mapping[str, Any]) -> str:
    """Short hash of a policy's settings, and of its weights or its own file."""
    from xlvla_cli.eval.trial import mark, shipped_weights, weights_digest

    kind = str(policy["type"])
    weights = policy.get("checkpoint")
    own = catalog.own_policies().get(kind)
    digests: list[str] = []
    if own is not None:
        digests.append(weights_digest(str(own)))
    if weights or not (own or policy.get("server")):
        path = Path(weights) if weights else shipped_weights(kind)
        if not path.exists():
            raise XlvlaError(f"the weights of a policy of these trials are not there: {path}")
        digests.append(weights_digest(str(path)))
    return mark({"policy": json.dumps(policy, sort_keys=True), "weights": digests})


def _settings(rig: Rig) -> dict[str, Any]:
    """A rig's policy but for its sentence, which is the task's."""
    assert rig.policy is not None
    settings = asdict(rig.policy)
    settings.pop("instruction")
    return json.loads(json.dumps(settings))
