"""`xlvla codec replay`: a demonstration of one hand, replayed by the others through the latent (the
paper's Table 4).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from xlvla import rig_file
from xlvla.errors import XlvlaError, unknown
from xlvla.types import CHUNK_HZ, FIRST_EVALUATION_SEED, PARTS, Part, Side
from xlvla_cli.codec import Weights
from xlvla_cli.options import Hands, SimulatedRig, Tasks

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from xlvla.rig import Rig
    from xlvla_sim.world import World

WAYS = ("codec", "supervised", "dex")
SLACK = CHUNK_HZ // 4
"""Frames by which a contact may come earlier or later and still be kept."""

Touched = Sequence[frozenset[tuple[Side, str]]]
"""By frame, which side touches which thing."""
Actions = Mapping[Side, Mapping[Part, np.ndarray]]


def register(app: typer.Typer) -> None:
    app.command("replay")(replay)


@dataclass(frozen=True)
class Recorded:
    """What a source's demonstration was."""

    rig: Rig
    seed: int
    actions: Actions
    touched: Touched


@dataclass(frozen=True)
class Score:
    """One replay; `kept` is the share of the source's contacts that the target has too, `hits` that
    of frames with self-contact, `why` what kept it from beginning.
    """

    way: str
    task: str
    source: str
    target: str
    seed: int
    kept: float
    hits: float
    success: bool
    stage: float
    why: str = ""


def replay(
    tasks: Tasks = "PC",
    hands: Hands = "paper",
    episodes: Annotated[int, typer.Option(min=1, help="Demonstrations per task and source.")] = 3,
    ways: Annotated[
        str,
        typer.Option(
            help="Retargeting methods: codec, supervised (LAD-style), dex (dex-retargeting)."
        ),
    ] = ",".join(WAYS),
    rig: SimulatedRig = "bimanual",
    weights: Weights = None,
    cache: Annotated[
        Path, typer.Option(help="Folder for the supervised codec, which is trained once.")
    ] = Path("out/bench"),
    out: Annotated[Path, typer.Option(help="File for the figures of every replay.")] = Path(
        "out/replay.json"
    ),
) -> None:
    """Replay demonstrations of each hand on the others: are contacts kept, does no hand touch
    itself, is the task done?
    """
    from xlvla import paper, screen
    from xlvla_cli.sim import choose_hands, simulated_rig

    console = screen.console()
    names = choose_hands(hands)
    scores = list[Score]()
    movers = _movers([way.strip() for way in ways.split(",")], names, weights, cache, console)
    for task in paper.tasks(tasks):
        base = simulated_rig(rig, task)
        worn = {
            name: rig_file.with_choices(base, hands=dict.fromkeys(base.sides, name))
            for name in names
        }
        recorded = {name: list(record(worn[name], episodes)) for name in names}
        for source, target in permutations(names, 2):
            with console.status(f"{paper.code(task)}: {source} on {target}"):
                scores += scored(recorded[source], worn[target], movers)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([asdict(score) for score in scores], indent=1) + "\n")
    if not scores:
        raise XlvlaError(
            "no demonstration succeeded, so there is nothing to replay: ask for more --episodes or "
            "another task"
        )
    console.print(_table(scores))
    console.print(f"written: {out}", highlight=False)


def record(rig: Rig, episodes: int) -> Iterable[Recorded]:
    """Good demonstrations of the expert, and what was touched when; failed ones are left out."""
    from xlvla.codec import Codec
    from xlvla_sim.demonstration import demonstrate
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

    world = World(rig, render=False)
    expert = Expert(rig, Codec.load())
    for seed in range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + episodes):
        seen: list[frozenset[tuple[Side, str]]] = []
        try:
            shown = demonstrate(
                world, expert, seed, watch=lambda world, seen=seen: seen.append(touched(world))
            )
        except XlvlaError:  # an arm cannot follow
            continue
        if shown.good:
            yield Recorded(rig, seed, shown.script.actions, seen)


def touched(world: World) -> frozenset[tuple[Side, str]]:
    """Which side touches which thing that can be moved, now."""
    import mujoco

    model = world.model
    things = [
        model.body(model.jnt_bodyid[joint]).name
        for joint in np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    ]
    return frozenset(
        (side, thing)
        for thing in things
        for side in world.rig.sides
        if world.state.touches_robot(thing, side)
    )


def scored(recorded: Sequence[Recorded], target: Rig, movers: Mapping[str, Any]) -> Iterable[Score]:
    """Every recorded episode on the target's hands, each way."""
    from xlvla_policy.latent.baselines.path_retargeting import self_contact
    from xlvla_sim.world import World

    world = World(target, render=False)
    hand = target.hand(next(iter(target.sides))).name
    for episode in recorded:
        source = episode.rig.hand(next(iter(target.sides))).name
        for way, mover in movers.items():
            score = Score(
                way,
                target.sim.task if target.sim else "",
                source,
                hand,
                episode.seed,
                0.0,
                0.0,
                False,
                0.0,
            )
            try:
                actions = moved(episode, target, mover)
            except XlvlaError as error:  # out of the target's reach
                yield replace(score, why=str(error))
                continue
            hits = float(
                np.mean(
                    [self_contact(hand, side, parts["hand"]) for side, parts in actions.items()]
                )
            )
            seen = play(world, episode.seed, actions)
            status = world.status()
            yield replace(
                score,
                kept=kept(episode.touched, seen),
                hits=hits,
                success=status.success,
                stage=status.stage,
            )


def moved(episode: Recorded, target: Rig, mover: Any) -> Actions:
    """The episode's commands on another rig's arms and hands."""
    from xlvla.retarget import Limb, Retargeter

    found: dict[Side, Mapping[Part, np.ndarray]] = {}
    for side, parts in episode.actions.items():
        path = Retargeter(Limb(episode.rig, side), Limb(target, side), mover)(
            parts["arm"], parts["hand"], CHUNK_HZ
        )
        found[side] = {"arm": path.arm, "hand": path.hand}
    return found


def play(world: World, seed: int, actions: Actions) -> Touched:
    """Plays commands in an episode's world, from where they begin; what is touched by frame."""
    from xlvla_sim.expert import Script, play_frame

    before: dict[Side, Mapping[Part, np.ndarray]] = {
        side: {part: parts[part][0] for part in PARTS} for side, parts in actions.items()
    }
    start: dict[str, float] = {}
    for side, parts in before.items():
        for part, positions in parts.items():
            start |= dict(zip(world.rig.joint_names(side, part), positions.tolist(), strict=True))
    world.reset(seed, start)
    script = Script(actions, before)
    seen = list[frozenset[tuple[Side, str]]]()
    for frame in range(script.frames):
        seen.append(touched(world))
        play_frame(world, script, frame)
    return seen


def kept(source: Touched, target: Touched, slack: int = SLACK) -> float:
    """Share of the source's contacts, frame by frame, that the target has at most `slack` frames
    away; 1 where there are none.
    """
    near = [
        frozenset().union(*target[max(0, frame - slack) : frame + slack + 1])
        for frame in range(len(source))
    ]
    count = sum(len(frame) for frame in source)
    return (
        sum(len(mine & theirs) for mine, theirs in zip(source, near, strict=True)) / count
        if count
        else 1.0
    )


def _movers(
    ways: Sequence[str], hands: Sequence[str], weights: Path | None, cache: Path, console: Console
) -> dict[str, Any]:
    """What stands in the codec's place, by way."""
    from xlvla.codec import Codec
    from xlvla_cli.codec.supervised import supervised_codec
    from xlvla_policy.latent.baselines.dex import missing
    from xlvla_policy.latent.baselines.path_retargeting import Dex, RightOnly

    if wrong := [way for way in ways if way not in WAYS]:
        raise unknown("way to another hand", wrong[0], WAYS)
    if "dex" in ways and (line := missing()):
        raise XlvlaError(line)
    makers = {
        "codec": lambda: Codec.load(weights),
        "supervised": lambda: RightOnly(supervised_codec(hands, cache, console)),
        "dex": Dex,
    }
    return {way: makers[way]() for way in ways}


def _table(scores: Sequence[Score]) -> Table:
    """Means by way, over all replays and over those on one hand."""
    from rich.table import Table

    titles = (
        "way",
        "on",
        "replays",
        "contact kept",
        "self-contact",
        "success",
        "PSR",
        "out of reach",
    )
    table = Table(*titles, title="Replay on the other hands")
    for way in dict.fromkeys(score.way for score in scores):
        mine = [score for score in scores if score.way == way]
        targets = dict.fromkeys(score.target for score in mine)
        table.add_section()
        table.add_row(way, "all", *_means(mine))
        for target in targets:
            table.add_row("", target, *_means([score for score in mine if score.target == target]))
    table.caption = (
        "contact kept: of the source's contacts frame by frame, the share that the target has "
        "within 0.25 s"
    )
    return table


def _means(scores: Sequence[Score]) -> list[str]:
    shares = [
        f"{np.mean([getattr(score, key) for score in scores]):.0%}"
        for key in ("kept", "hits", "success", "stage")
    ]
    return [str(len(scores)), *shares, str(sum(bool(score.why) for score in scores))]
