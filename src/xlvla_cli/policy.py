"""`xlvla policy`: carry a policy away, and fetch one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlvla_cli.hub import License, Public, Source, Target, folder_of, print_pulled, print_pushed

app = typer.Typer(no_args_is_help=True, help="Policies: export, push and pull one.")


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="policy")


@app.callback()
def policy() -> None:
    """Policies: export, push and pull one."""


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


@app.command("push")
def push_command(
    weights: Annotated[Path, typer.Argument(help="Weights file that training wrote.")],
    repository: Target,
    public: Public = False,
    license: License = "",
) -> None:
    """Push a policy with its tokenizer and a card to the Hugging Face Hub.

    HF_TOKEN or `hf auth login` says who pushes, HF_ENDPOINT to which server.
    """
    from xlvla.run import ended_by_signals
    from xlvla_policy import hub

    with ended_by_signals():
        print_pushed(hub.push(weights, repository, public=public, license=license))


@app.command("pull")
def pull_command(
    repository: Source,
    to: Annotated[
        Path | None, typer.Option(help="Folder to bring it to; out/NAME if not given.")
    ] = None,
) -> None:
    """Pull a policy from the Hugging Face Hub; prints its weights file, which `xlvla eval --policy`
    and a rig's policy.checkpoint take.

    What is there already is not fetched again, and an interrupted pull goes on where it was.
    """
    from xlvla.run import ended_by_signals
    from xlvla_policy import hub

    with ended_by_signals():
        print_pulled(*hub.pull(repository, to or folder_of(repository, "out")))
