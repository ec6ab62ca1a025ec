"""`xlvla sim render`: look at the expert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from xlvla import rig_file
from xlvla.types import CHUNK_HZ
from xlvla_cli.options import SimulatedRig
from xlvla_cli.sim import choose_hands, simulated_rig


def register(app: typer.Typer) -> None:
    app.command("render")(render)


def render(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out/sim"),
    task: Annotated[str, typer.Option(help="Task to show.")] = "push_cans",
    hands: Annotated[str, typer.Option(help="Hands, separated by commas, or 'all'.")] = "all",
    rig: SimulatedRig = "bimanual",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episode.")] = 0,
) -> None:
    """Show the expert: per hand a video and a contact sheet of what the cameras see and of the
    scene.
    """
    import cv2

    from xlvla.codec import Codec
    from xlvla.film import Film
    from xlvla_sim.demonstration import demonstrate
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

    out.mkdir(parents=True, exist_ok=True)
    base = simulated_rig(rig, task)
    codec = Codec.load()
    for name in choose_hands(hands):
        chosen = rig_file.with_choices(base, hands=dict.fromkeys(base.sides, name))
        world = World(chosen)
        scene = []
        demonstration = demonstrate(
            world,
            Expert(chosen, codec),
            seed,
            watch=lambda world, scene=scene: scene.append(world.view(640, 480)),
        )
        with Film(out / f"{task}-{name}.mp4", CHUNK_HZ) as film:
            for picture in scene:
                film.add(picture, f"{name}: {world.task.sentence}")
        rows = [_strip(images) for images in (*demonstration.images.values(), scene)]
        cv2.imwrite(str(out / f"{task}-{name}.png"), np.concatenate(rows)[..., ::-1])
        print(f"{name}: {demonstration.status.text}, {out / task}-{name}.mp4 and .png")
        world.close()


def _strip(images: list[np.ndarray], columns: int = 6) -> np.ndarray:
    """Pictures at even times side by side, two rows of 320 x 240."""
    import cv2

    chosen = [images[index] for index in np.linspace(0, len(images) - 1, 2 * columns).astype(int)]
    small = [cv2.resize(image, (320, 240), interpolation=cv2.INTER_AREA) for image in chosen]
    return np.concatenate(
        [np.concatenate(small[:columns], axis=1), np.concatenate(small[columns:], axis=1)]
    )
