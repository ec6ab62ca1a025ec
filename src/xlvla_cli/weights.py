"""`xlvla weights`: published weights to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Published weights to start training from.")


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="weights")


@app.callback()
def weights() -> None:
    """Published weights to start training from."""


@app.command("import")
def import_command(
    source: Annotated[
        Path,
        typer.Argument(
            help="pi0 weights: openpi's PyTorch or lerobot's pi0_base, a .safetensors file or its "
            "folder."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("out/pi0.safetensors"),
    preset: Annotated[
        str,
        typer.Option(
            help="The model they are for: pi0 (latent actions) or pi0_base (pi0 as published)."
        ),
    ] = "pi0",
    projections: Annotated[
        str,
        typer.Option(
            help="Layers that read and write frames: same, fresh (train new ones) or slice."
        ),
    ] = "same",
    precision: Annotated[
        str, typer.Option(help="Precision to keep: bfloat16, float32, float16.")
    ] = "bfloat16",
) -> None:
    """Bring published pi0 weights into our model, every weight accounted for."""
    import resource
    import time

    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from xlvla import screen
    from xlvla_policy.vla import config, pretrained

    shape = config.preset(preset)
    began = time.monotonic()
    total = pretrained.size_bytes(shape, precision)
    console = screen.console()
    with Progress(
        "importing", BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console
    ) as bar:
        task = bar.add_task("", total=total)
        done = pretrained.convert(
            source,
            out,
            shape,
            projections=projections,
            precision=precision,
            wrote=lambda size: bar.advance(task, size),
        )
    console.print(
        f"{out}: {len(done.taken)} weights taken over, {len(done.cut)} of them cut, "
        f"{len(done.fresh)} left to training"
    )
    for taken, other in done.differing:
        console.print(
            f"  {other} differs from {taken}, to which it should be tied: the latter is taken, "
            "since pi0 reads words through it"
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    console.print(
        f"  {out.stat().st_size / 1e9:.2f} GB in {time.monotonic() - began:.0f} s, "
        f"{memory / 1e9:.2f} GB of memory at most"
    )
    for title, names in (
        ("cut", done.cut),
        ("left to training", done.fresh),
        ("not used", done.unused),
    ):
        if names:
            console.print(f"  {title}: {', '.join(names)}")
