"""`xlvla policy`: carry a policy away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Policies: export one.")


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="policy")


@app.callback()
def policy() -> None:
    """Policies: export one."""


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("out/policy"),
    weights: Annotated[
        Path | None, typer.Option(help="Weights file; the shipped one if not given.")
    ] = None,
    words: Annotated[
        int | None,
        typer.Option(
            min=4,
            help="Maximum number of tokens of an instruction; the policy's own limit if not given.",
        ),
    ] = None,
) -> None:
    """Export a policy and the codec as ONNX; set a rig's policy.checkpoint to the folder to run
    it.
    """
    from xlvla.codec import Codec
    from xlvla_policy.policies.xlvla import SHIPPED
    from xlvla_policy.vla.export import export

    written = export(weights or SHIPPED, Codec.load(), out, words=words)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    typer.echo(f"{out}: {len(written)} files, {size / 1e6:.1f} MB")
