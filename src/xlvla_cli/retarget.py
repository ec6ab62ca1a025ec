"""`xlvla retarget`: recorded episodes for other hands and arms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla.types import PARTS, Part, Side
from xlvla_cli.options import CodecWeights

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.codec import Codec
    from xlvla.retarget import Moved, Retargeter
    from xlvla.rig import Rig
    from xlvla_data.episode import Episode
    from xlvla_data.store import Stored


def register(app: typer.Typer) -> None:
    app.command("retarget")(retarget)


def retarget(
    data: Annotated[
        Path, typer.Argument(help="LeRobot data set of recorded episodes, or folder of them.")
    ],
    to: Annotated[str, typer.Option(help="Hand to move to: one for both sides, or left,right.")],
    out: Annotated[Path, typer.Option(help="Folder for the new data sets.")] = Path(
        "out/retargeted"
    ),
    rig: Annotated[str, typer.Option(help="Rig they were recorded on.")] = "bimanual",
    to_rig: Annotated[
        str | None, typer.Option(help="Target rig, if its arms differ or are mounted elsewhere.")
    ] = None,
    weights: CodecWeights = None,
    keep_images: Annotated[
        bool, typer.Option(help="Keep the camera images, which show the source's hands.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="JSON file for the residuals.")] = None,
) -> None:
    """Move episodes to other hands: through the latent, the arms keeping wrist rotation and pinch
    midpoint.

    What is there is not made again; an episode of the same name made of another is an error.
    """
    from xlvla import catalog
    from xlvla.codec import Codec
    from xlvla_data import store

    source = rig_file.load(rig)
    target = rig_file.load(to_rig or rig)
    source.refuse_incomplete("retargeting")
    target.refuse_incomplete("retargeting")
    codec = Codec.load(weights)
    for name in to.split(","):
        codec.require(catalog.hand(name.strip()).name)
    rows: list[dict[str, Any]] = []
    failed = skipped = 0
    episodes = store.find(data)
    made = Made(out)
    for stored in episodes:
        try:
            recorded = stored.read()
            hands = _hands(to, recorded)
            if made.before(stored, hands):
                skipped += 1
                continue
            found, missed = move(
                recorded, source, rig_file.with_choices(target, hands=hands), codec, keep_images
            )
            root = made.add(found, stored)
            rows += [{"episode": f"{root.name} from {stored.name}", **row} for row in missed]
        except XlvlaError as error:
            typer.echo(plain(f"{stored.name}: {error}"), err=True)
            failed += 1
    _say(rows, report)
    if skipped:
        typer.echo(f"{skipped} were there before")
    if failed:
        raise XlvlaError(f"{failed} of {len(episodes)} episodes could not be moved")


class Made:
    """Episodes of other hands in a folder: which were made before, and of what."""

    def __init__(self, folder: Path):
        from xlvla_data import store

        self._folder = folder
        self._store = store.Store(folder)
        self._sources = {
            self._place(stored, stored.hands, stored.source): stored.source
            for stored in store.there(folder)
        }

    def before(self, stored: Stored, hands: Mapping[Side, str]) -> bool:
        """Whether that of an episode for these hands is there; raises XlvlaError where another one
        has its name.
        """
        place = self._place(stored, hands, stored.content)
        source = self._sources.get(place)
        if source not in (None, stored.content):
            raise XlvlaError(
                f"{place[0]} has another episode called '{place[1]}': choose another --out"
            )
        return source is not None

    def add(self, found: Episode, stored: Stored) -> Path:
        """Writes what was made of an episode; the data set it is in now."""
        from dataclasses import replace

        self._sources[self._place(stored, found.info.hands, stored.content)] = stored.content
        return self._store.add(replace(found, info=replace(found.info, source=stored.content)))

    def _place(self, stored: Stored, hands: Mapping[Side, str], source: str) -> tuple[Path, str]:
        from xlvla_data import store

        return store.root_of(self._folder, stored.task, hands), stored.key_with(hands) or source


def _say(rows: list[dict[str, Any]], report: Path | None) -> None:
    """What is left, on the screen and in a file."""
    import json

    from xlvla import files, screen

    if rows:
        screen.console().print(_table(rows))
    for line in _held(rows):
        typer.echo(plain(line))
    if report:
        files.write_text(report, json.dumps(rows, indent=2) + "\n")


def move(
    recorded: Episode, source: Rig, target: Rig, codec: Codec, images: bool = False
) -> tuple[Episode, list[dict[str, Any]]]:
    """An episode of the target rig's hands, and by side how far it misses the recorded one.

    `success` is unknown: nobody has seen the new hand do it. A step of the measured path is limited
    like one of the actions.
    """
    from dataclasses import replace

    info = recorded.info
    rate_hz = recorded.info.rate_hz
    action = {}
    measured = {}
    executed = {}
    latent = {}
    residuals = []
    for side in info.hands:
        retargeter = _retargeter(recorded, source, target, side, codec)
        wanted, seen = (
            retargeter(*_path(recorded, source, side, kind), rate_hz)
            for kind in ("action", "measured")
        )
        action[side], measured[side] = (
            {"arm": moved.arm, "hand": moved.hand} for moved in (wanted, seen)
        )
        if recorded.executed:
            moved = retargeter(*_path(recorded, source, side, "executed"), rate_hz)
            executed[side] = {"arm": moved.arm, "hand": moved.hand}
        latent[side] = codec.encode(target.hand(side).name, side, wanted.hand)
        residuals.append(
            {
                "side": side,
                "from": info.hands[side],
                "to": target.hand(side).name,
                **_missed(wanted),
            }
        )
    joints = {side: {part: target.joint_names(side, part) for part in PARTS} for side in action}
    hands = {side: target.hand(side).name for side in action}
    new = replace(info, hands=hands, joints=joints, success=None, codec=codec.hash)
    return replace(
        recorded,
        info=new,
        pictures=recorded.pictures if images else {},
        action=action,
        measured=measured,
        latent=latent,
        executed=executed,
    ), residuals


def _retargeter(
    recorded: Episode, source: Rig, target: Rig, side: Side, codec: Codec
) -> Retargeter:
    from xlvla.retarget import Limb, Retargeter

    for rig in (source, target):
        if side not in rig.sides:
            raise XlvlaError(
                f"the episode has a {side} side, rig '{rig.name}' has none: choose another --rig "
                "or --to-rig"
            )
    worn = rig_file.with_choices(source, hands={side: recorded.info.hands[side]})
    return Retargeter(Limb(worn, side), Limb(target, side), codec)


def _path(recorded: Episode, rig: Rig, side: Side, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Arm [F, N] and hand [F, J] rad of an episode, in the order of the catalogue."""
    worn = rig_file.with_choices(rig, hands={side: recorded.info.hands[side]})
    arm, hand = (
        _columns(recorded, worn, side, part)(getattr(recorded, kind)[side][part]) for part in PARTS
    )
    return arm, hand


def _columns(
    recorded: Episode, rig: Rig, side: Side, part: Part
) -> Callable[[np.ndarray], np.ndarray]:
    """Puts an episode's columns into the order of the rig's joints."""
    names = rig.joint_names(side, part)
    columns = list(recorded.info.joints[side][part])
    missing = sorted(set(names) - set(columns))
    if missing:
        raise XlvlaError(
            f"the episode has no joint '{missing[0]}' of the {side} {part} of rig '{rig.name}': "
            "choose another --rig"
        )
    order = [columns.index(name) for name in names]
    return lambda values: values[:, order]


def _hands(to: str, recorded: Episode) -> dict[Side, str]:
    from xlvla import catalog

    names = [catalog.hand(name.strip()).name for name in to.split(",")]
    sides = sorted(recorded.info.hands)
    if len(names) not in (1, len(sides)):
        raise XlvlaError(
            f"--to names {len(names)} hands, the episode has {len(sides)}: name one for all, or "
            f"{','.join(sides)}"
        )
    return dict(zip(sides, names * (len(sides) if len(names) == 1 else 1), strict=True))


def _missed(moved: Moved) -> dict[str, list[Any]]:
    """By frame what is left, and the numbers of the frames in which the target did not follow."""
    sizes = {
        "midpoint_mm": (1000 * moved.position).round(4).tolist(),
        "wrist_deg": np.rad2deg(moved.rotation).round(4).tolist(),
        "arm_rad": moved.apart.round(4).tolist(),
    }
    return {
        **sizes,
        "held": np.flatnonzero(moved.held).tolist(),
        "slowed": np.flatnonzero(moved.slowed).tolist(),
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    """What is left by pair of hands, over all their episodes."""
    from itertools import chain

    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(
        title="pinch midpoint, wrist rotation and arm joints, target to source: mean, 95%, max",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
    )
    table.add_column("hands", no_wrap=True, min_width=22)
    for heading in ("midpoint mm", "wrist deg", "arm rad", "frames", "held", "slowed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pair in dict.fromkeys(_pair(row) for row in rows):
        mine = [row for row in rows if _pair(row) == pair]
        kinds = [
            np.array(list(chain.from_iterable(row[kind] for row in mine)))
            for kind in ("midpoint_mm", "wrist_deg", "arm_rad")
        ]
        sizes = [_spread(kind) for kind in kinds]
        stopped = [str(sum(len(row[kind]) for row in mine)) for kind in ("held", "slowed")]
        table.add_row(pair, *sizes, str(len(kinds[0])), *stopped)
    return table


def _spread(values: np.ndarray) -> str:
    """Mean, 95% and maximum; '-' of nothing, as of the joints of another arm."""
    if not values.size:
        return "-"
    return f"{values.mean():.2f} {np.percentile(values, 95):.2f} {values.max():.2f}"


def _pair(row: dict[str, Any]) -> str:
    return f"{row['side']} {row['from']} > {row['to']}"


def _held(rows: list[dict[str, Any]]) -> list[str]:
    """Where an arm could not follow, one line each."""
    from xlvla.retarget import spans

    return [
        f"{row['episode']}: the {row['side']} arm is held in frames {spans(row['held'])}"
        for row in rows
        if row["held"]
    ]
