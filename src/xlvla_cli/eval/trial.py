"""A trial and its outcome, both small and picklable, so that any process of any machine may play
it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from xlvla import __version__
from xlvla.rig import Rig

Actor = Literal["policy", "expert"]
Film = Literal["none", "failures", "all"]
FILMS: tuple[Film, ...] = get_args(Film)
Route = Literal["direct", "ros"]
"""Through what an actor meets the world: directly in one process, or the ROS graph."""


@dataclass(frozen=True)
class Trial:
    """One episode to play.

    Args:
        rig: its hands, task, sentence and weights.
        delay_s: from an observation to its chunk's taking effect; what the ROS graph needs itself.
        threads: processor threads of the policy.
        film: of which trials pictures are wanted.
        mark: names everything that may change the outcome but the seed: weights, codec, rig, delay,
            code of the world.
        miss_m: how far beside where the expert's plan wants them its hands come.
    """

    rig: Rig
    actor: Actor
    seed: int
    delay_s: float = 0.0
    threads: int = 1
    film: Film = "none"
    mark: str = ""
    miss_m: float = 0.0

    @property
    def task(self) -> str:
        assert self.rig.sim is not None
        return self.rig.sim.task

    @property
    def hands(self) -> tuple[str, ...]:
        """Hands from left to right; two alike count as one."""
        return tuple(dict.fromkeys(self.rig.hand(side).name for side in sorted(self.rig.sides)))

    @property
    def key(self) -> str:
        return f"{self.mark}-{self.seed}"

    @property
    def name(self) -> str:
        return f"{self.task}-{'+'.join(self.hands)}-{self.seed}"

    def films(self, success: bool) -> bool:
        return self.film == "all" or (self.film == "failures" and not success)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Args:
        stage: share of the task's stages reached.
        text: the task's status.
        kind: of a failure, one of `xlvla_cli.eval.failure.KINDS`; '' of a success.
        facts: what happened to which thing and when, in words.
    """

    success: bool
    stage: float
    time_s: float
    text: str
    kind: str = ""
    facts: str = ""


def video_path(trial: Trial, folder: Path) -> Path:
    """Where an evaluation in a folder keeps the film of a trial."""
    return folder / "videos" / f"{trial.actor}-{trial.name}.mp4"


@dataclass(frozen=True)
class Result:
    """An outcome and perhaps a film of it, as the bytes of an MP4 file: it may have been played on
    another machine.
    """

    outcome: Outcome
    film: bytes | None = None


def facts(
    rig: Rig, actor: Actor, route: Route, codec: str, *, delay_s: float, threads: int
) -> Mapping[str, Any]:
    """Everything but the seed that may change the outcome of a trial."""
    document = asdict(rig)
    policy = document.pop("policy") or {}
    document["sim"].pop("seed")
    weights = policy.pop("checkpoint", None)
    entries: dict[str, Any] = {
        "version": __version__,
        "actor": actor,
        "route": route,
        "codec": codec,
        "world": world_digest(),
        "rig": document,
    }
    if actor == "policy":
        entries["weights"] = weights_digest(weights or str(shipped_weights(policy.get("type", ""))))
        entries["mind"] = policy_code_digest()
        entries["threads"] = threads
        entries["policy"] = policy
        if route == "direct":
            entries["delay_s"] = delay_s
    return entries


def shipped_weights(policy: str) -> Path:
    """The file of weights that comes with a policy of the catalogue."""
    from xlvla_policy.vla.rig_fit import shipped

    return shipped(policy)


def mark(facts: Mapping[str, Any]) -> str:
    return _digest(json.dumps(facts, sort_keys=True, default=str).encode())


@cache
def weights_digest(path: str) -> str:
    """Short SHA-256 of a weights file, or of all files of a folder."""
    weights = Path(path)
    files = sorted(weights.rglob("*")) if weights.is_dir() else [weights]
    contents = [file.read_bytes() for file in files if file.is_file()]
    return _digest(*contents)


@cache
def policy_code_digest() -> str:
    """Short SHA-256 of the code that turns observations into chunks, but for what trains it."""
    import xlvla_policy
    from xlvla import catalog

    folder = Path(xlvla_policy.__path__[0])
    files = [*folder.glob("*.py"), *folder.glob("policies/*.py"), *folder.glob("vla/*.py")]
    files += folder.glob("openpi/*.py")
    files += catalog.own_policies().values()
    contents = [file.read_bytes() for file in sorted(files)]
    return _digest(version("torch").encode(), *contents)


@cache
def world_digest() -> str:
    """Short SHA-256 of what makes the world and moves the robots in it: results of other code are
    not mixed with this one's.
    """
    import xlvla.arms
    import xlvla.hands
    import xlvla_drivers.motion
    import xlvla_sim
    from xlvla import catalog, codec, own_files
    from xlvla.paths import share
    from xlvla.types import SIDES

    packages = (xlvla.arms, xlvla.hands, xlvla_drivers.motion, xlvla_sim)
    folders = [Path(package.__path__[0]) for package in packages]
    folders.append(share("urdf"))
    files: list[Path] = []
    for folder in folders:
        for file in sorted(folder.rglob("*.*")):
            if file.suffix in (".py", ".urdf", ".xacro"):
                files.append(file)
    for name, entry in own_files.found("XLVLA_HANDS").items():
        files.append(entry)
        files.extend(catalog.hand(name).urdf_path(side) for side in SIDES)
    for name, entry in own_files.found("XLVLA_ARMS").items():
        files.append(entry)
        files.extend({catalog.arm(name).on(side).urdf_path for side in SIDES})
    if codec.in_use() != codec.SHIPPED:
        # The latent's hash does not tell whether a hand was added to it anew.
        files.append(codec.in_use())
    contents = [file.read_bytes() for file in files]
    return _digest(version("mujoco").encode(), *contents)


def _digest(*contents: bytes) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:12]
