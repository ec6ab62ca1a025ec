"""`xlvla codec replay`: a demonstration of one hand, replayed by the others through the latent (the
paper's Table 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla.types import CHUNK_HZ, FIRST_EVALUATION_SEED, PARTS, Part, Side
from xlvla_cli.codec import Weights
from xlvla_cli.options import Hands, SimulatedRig, Tasks, chosen

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from xlvla.rig import Rig
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

WAYS = ("codec", "supervised", "dex")

SLACK = CHUNK_HZ // 4
"""Frames by which a contact may come earlier or later and still be kept."""

Contacts = frozenset[tuple[Side, str]]
"""Which side touches which thing."""
Touched = Sequence[Contacts]
"""The same by frame."""
Actions = Mapping[Side, Mapping[Part, np.ndarray]]
"""Commands [F, J] rad by side and part."""


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
    """One replay.

    Args:
        kept: share of the source's contacts that the target has too.
        hits: share of frames with self-contact.
        stage: share of the task that was done.
        why: what kept it from beginning; all figures are zero then.
    """

    way: str
    task: str
    source: str
    target: str
    seed: int
    kept: float = 0.0
    hits: float = 0.0
    success: bool = False
    stage: float = 0.0
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
    from xlvla_cli.bench.figures import save
    from xlvla_cli.sim import choose_hands, simulated_rig

    console = screen.console()
    names = choose_hands(hands)
    movers = _movers(chosen("way to another hand", ways, WAYS), names, weights, cache, console)
    scores: list[Score] = []
    for task in paper.tasks(tasks):
        base = simulated_rig(rig, task)
        rigs: dict[str, Rig] = {}
        recorded: dict[str, list[Recorded]] = {}
        for name in names:
            rigs[name] = rig_file.with_choices(base, hands=dict.fromkeys(base.sides, name))
            recorded[name] = list(record(rigs[name], episodes, typer.echo))
        for source, target in permutations(names, 2):
            with console.status(f"{paper.code(task)}: {source} on {target}"):
                scores += scored(recorded[source], rigs[target], movers)
    save(out, [asdict(score) for score in scores], indent=1)
    if not scores:
        raise XlvlaError(
            "no demonstration succeeded, so there is nothing to replay: ask for more --episodes or "
            "another task"
        )
    console.print(_table(scores))
    console.print(f"written: {out}", highlight=False)


def record(
    rig: Rig, episodes: int, say: Callable[[str], None] = lambda line: None
) -> Iterator[Recorded]:
    """Good demonstrations of the expert; others are left out, and `say` gets a line of each."""
    from xlvla.codec import Codec
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

    world = World(rig, render=False)
    expert = Expert(rig, Codec.load())
    for seed in range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + episodes):
        recorded = _demonstrated(world, expert, seed)
        if isinstance(recorded, str):
            say(f"{_hand(rig)}, seed {seed}: left out: {plain(recorded)}")
        else:
            yield recorded


def _demonstrated(world: World, expert: Expert, seed: int) -> Recorded | str:
    """One demonstration, and what was touched in every frame; why, where it failed."""
    from xlvla_sim.demonstration import demonstrate

    frames: list[Contacts] = []

    def watch(world: World) -> None:
        frames.append(touched(world))

    try:
        demonstration = demonstrate(world, expert, seed, watch=watch)
    except XlvlaError as error:  # an arm cannot follow
        return str(error)
    if not demonstration.good:
        return demonstration.ending
    return Recorded(world.rig, seed, demonstration.script.actions, frames)


def touched(world: World) -> Contacts:
    """Which side touches which thing that can be moved, now."""
    import mujoco

    model = world.model
    contacts: set[tuple[Side, str]] = set()
    for joint in np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE):
        thing = model.body(model.jnt_bodyid[joint]).name
        for side in world.rig.sides:
            if world.state.touches_robot(thing, side):
                contacts.add((side, thing))
    return frozenset(contacts)


def scored(recorded: Sequence[Recorded], target: Rig, movers: Mapping[str, Any]) -> Iterator[Score]:
    """Every recorded episode on the target's hands, each way."""
    from xlvla_sim.world import World

    world = World(target, render=False)
    for episode in recorded:
        for way, mover in movers.items():
            score = Score(
                way=way,
                task=target.sim.task if target.sim else "",
                source=_hand(episode.rig),
                target=_hand(target),
                seed=episode.seed,
            )
            try:
                actions = moved(episode, target, mover)
            except XlvlaError as error:
                # Out of the target's reach.
                yield replace(score, why=str(error))
                continue
            frames = play(world, episode.seed, actions)
            status = world.status()
            yield replace(
                score,
                kept=kept(episode.touched, frames),
                hits=_self_contact(_hand(target), actions),
                success=status.success,
                stage=status.stage,
            )


def _hand(rig: Rig) -> str:
    """The hand of all sides."""
    first = next(iter(rig.sides))
    return rig.hand(first).name


def _self_contact(hand: str, actions: Actions) -> float:
    """Share of frames in which a hand touches itself, mean over sides."""
    from xlvla_policy.latent.baselines.path_retargeting import self_contact

    shares = [self_contact(hand, side, parts["hand"]) for side, parts in actions.items()]
    return float(np.mean(shares))


def moved(episode: Recorded, target: Rig, mover: Any) -> Actions:
    """The episode's commands on another rig's arms and hands; raises XlvlaError where those do not
    reach.
    """
    from xlvla.retarget import Limb, Retargeter

    actions: dict[Side, Mapping[Part, np.ndarray]] = {}
    for side, parts in episode.actions.items():
        retarget = Retargeter(Limb(episode.rig, side), Limb(target, side), mover)
        path = retarget(parts["arm"], parts["hand"], CHUNK_HZ)
        actions[side] = {"arm": path.arm, "hand": path.hand}
    return actions


def play(world: World, seed: int, actions: Actions) -> Touched:
    """Plays commands in an episode's world, from where they begin; what is touched by frame."""
    from xlvla_sim.expert import Script, play_frame

    before: dict[Side, Mapping[Part, np.ndarray]] = {}
    start: dict[str, float] = {}
    for side, parts in actions.items():
        before[side] = {part: parts[part][0] for part in PARTS}
        for part, positions in before[side].items():
            names = world.rig.joint_names(side, part)
            start |= dict(zip(names, positions.tolist(), strict=True))
    world.reset(seed, start)
    script = Script(actions, before)
    frames: list[Contacts] = []
    for frame in range(script.frames):
        frames.append(touched(world))
        play_frame(world, script, frame)
    return frames


def kept(source: Touched, target: Touched, slack: int = SLACK) -> float:
    """Share of the source's contacts, frame by frame, that the target has at most `slack` frames
    away; 1 where there are none.
    """
    count = 0
    shared = 0
    for frame, contacts in enumerate(source):
        near = target[max(0, frame - slack) : frame + slack + 1]
        count += len(contacts)
        shared += len(contacts & frozenset().union(*near))
    return shared / count if count else 1.0


def _movers(
    ways: Sequence[str], hands: Sequence[str], weights: Path | None, cache: Path, console: Console
) -> dict[str, Any]:
    """What stands in the codec's place, by way."""
    from xlvla.codec import Codec
    from xlvla_cli.codec.supervised import supervised_codec
    from xlvla_policy.latent.baselines.dex import missing
    from xlvla_policy.latent.baselines.path_retargeting import Dex, RightOnly

    # Refused before the supervised codec is trained, which takes minutes.
    dex_missing = missing() if "dex" in ways else ""
    if dex_missing:
        raise XlvlaError(dex_missing)
    movers: dict[str, Any] = {}
    for way in ways:
        if way == "codec":
            movers[way] = Codec.load(weights)
        elif way == "supervised":
            movers[way] = RightOnly(supervised_codec(hands, cache, console))
        else:
            movers[way] = Dex()
    return movers


def _table(scores: Sequence[Score]) -> Table:
    """Means by way, over all replays and over those on one hand."""
    from rich.table import Table

    table = Table(
        "way",
        "on",
        "replays",
        "contact kept",
        "self-contact",
        "success",
        "PSR",
        "out of reach",
        title="Replay on the other hands",
    )
    for way in dict.fromkeys(score.way for score in scores):
        of_way = [score for score in scores if score.way == way]
        table.add_section()
        table.add_row(way, "all", *_means(of_way))
        for target in dict.fromkeys(score.target for score in of_way):
            on_target = [score for score in of_way if score.target == target]
            table.add_row("", target, *_means(on_target))
    table.caption = (
        "contact kept: of the source's contacts frame by frame, the share that the target has "
        "within 0.25 s"
    )
    return table


def _means(scores: Sequence[Score]) -> list[str]:
    out_of_reach = sum(bool(score.why) for score in scores)
    return [
        str(len(scores)),
        f"{np.mean([score.kept for score in scores]):.0%}",
        f"{np.mean([score.hits for score in scores]):.0%}",
        f"{np.mean([score.success for score in scores]):.0%}",
        f"{np.mean([score.stage for score in scores]):.0%}",
        str(out_of_reach),
    ]
