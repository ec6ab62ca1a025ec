"""Small episodes that a robot could have done: arms and hands swing, a bright bar wanders through
the picture.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import typer
from typer.testing import CliRunner

from xlvla import rig_file
from xlvla.codec import Codec
from xlvla.types import CHUNK_HZ, PARTS, SIDES
from xlvla_cli import data as commands
from xlvla_data.convert import STAMPS
from xlvla_data.episode import Column, Episode, EpisodeInfo

HEIGHT = 48
WIDTH = 64
commands.register(typer.Typer())


@cache
def only(command) -> typer.Typer:
    """`xlvla data` with one of its commands: typer builds every command anew at each run."""
    group = typer.Typer(name="data")
    registered = commands.sub.registered_commands
    group.registered_commands = [known for known in registered if known.name == command]
    app = typer.Typer()
    app.add_typer(group)
    return app


def run(command, *options):
    """Output and exit code of `xlvla data ...`, or what it raises."""
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(
        only(command), ["data", command, *map(str, options)]
    )
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output, done.exit_code


@cache
def codec() -> Codec:
    return Codec.load()


def episode(seed=0, frames=40, hands=("inspire", "inspire"), task="push_cans", **facts) -> Episode:
    rig = rig_file.with_choices(
        rig_file.load("bimanual"), hands=dict(zip(SIDES, hands, strict=True))
    )
    joints = {side: {part: rig.joint_names(side, part) for part in PARTS} for side in SIDES}
    phase = np.sin(np.arange(1, frames + 1) / frames * np.pi + 0.1 * seed)[:, None]
    action = {side: {part: _swing(rig, side, part, phase) for part in PARTS} for side in SIDES}
    measured = {
        side: {part: np.concatenate([rows[:1], rows[:-1]]) for part, rows in parts.items()}
        for side, parts in action.items()
    }
    latent = {
        side: codec().encode(rig.hand(side).name, side, action[side]["hand"]) for side in SIDES
    }
    info = EpisodeInfo(
        task,
        "Push the two tomato cans together.",
        dict(zip(SIDES, hands, strict=True)),
        joints,
        CHUNK_HZ,
        seed,
        True,
        codec().hash,
    )
    return Episode(
        replace(info, **facts),
        {"front": [picture(frame, seed) for frame in range(frames)]},
        action,
        measured,
        latent,
    )


def touched(made) -> Episode:
    """With forces, and an operator's hands and leader arm."""
    rng = np.random.default_rng(made.info.seed)

    def column(*names):
        return Column(rng.normal(size=(made.frames, len(names))).astype(np.float32), names)

    points = tuple(f"point{number}.{axis}" for number in range(21) for axis in "xyz")
    others = {f"operator.keypoints.{side}": column(*points) for side in SIDES}
    others |= {
        f"operator.wrist.{side}": column("x", "y", "z", "qx", "qy", "qz", "qw") for side in SIDES
    }
    others |= {
        "observation.tactile.left": column("palm[0,1]", "thumb"),
        "operator.leader.right": column("elbow", "wrist"),
    }
    return replace(made, others=others)


def stamped(made) -> Episode:
    """With the stamps a conversion keeps."""
    times = np.arange(made.frames) * 50_000_000
    values = np.stack([times, times, times, times + 50_000_000], 1)
    column = Column(values, ("frame", "camera.front", "left.arm.state", "left.arm.command"))
    return replace(made, others={**made.others, STAMPS: column})


def _swing(rig, side, part, phase):
    if part == "arm":
        return np.array(
            [rig.home(side)[name] for name in rig.joint_names(side, part)]
        ) + 0.2 * phase * np.linspace(-1, 1, 7)
    lower, upper = rig.hand(side).command_range(side)
    return lower + (0.5 + 0.3 * phase) * (upper - lower)


def picture(frame, seed=0):
    """RGB [48, 64, 3]: where the bar is says which frame it is."""
    made = np.full((HEIGHT, WIDTH, 3), (40, 60 + 20 * (seed % 5), 90), np.uint8)
    column = (4 * frame) % (WIDTH - 8)
    made[:, column : column + 8] = (230, 200, 60)
    return made


def bar(shown):
    """The column where the bar of a picture begins."""
    return int(np.argmax(shown[..., 0].mean(0) > 135))
