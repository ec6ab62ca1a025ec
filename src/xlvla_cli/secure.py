"""`xlvla secure`: keys and permissions for exactly the graph of a rig."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from xlvla_cli.options import RigArgument


def register(app: typer.Typer) -> None:
    app.command()(secure)


def secure(
    rig: RigArgument = "bimanual",
    out: Annotated[
        Path, typer.Option(help="Folder of the keystore; existing keys are kept.")
    ] = Path("keystore"),
    domain: Annotated[
        int | None, typer.Option(min=0, max=231, help="ROS domain instead of ROS_DOMAIN_ID.")
    ] = None,
) -> None:
    """Write an SROS2 keystore for a rig: an enclave for every node and the operator, each with the
    topics it may publish and subscribe.
    """
    from xlvla.errors import XlvlaError
    from xlvla.rig_file import load
    from xlvla.run import interruptible
    from xlvla.security import KEYSTORE, OPERATOR, OVERRIDE, enclave, refusal
    from xlvla_cli.ros import keystore
    from xlvla_cli.ros.access import access

    chosen = load(rig)
    if chosen.teleop and chosen.teleop.source == "manus":
        raise XlvlaError(
            "the topics of MANUS's own gloves driver are not known here, so a rig with teleop "
            "source 'manus' cannot be secured"
        )
    number = int(os.environ.get("ROS_DOMAIN_ID") or 0) if domain is None else domain
    with interruptible():
        enclaves = access(chosen)
    try:
        keystore.write(out, enclaves, number)
    except OSError as error:
        raise XlvlaError(f"cannot write the keystore {out}: {error}") from None
    operator = enclave(chosen, OPERATOR)
    typer.echo(
        f"{out}: {len(enclaves)} enclaves of rig '{chosen.name}' on ROS domain {number}: "
        f"{', '.join(enclaves)}"
    )
    typer.echo(
        "every shell: export ROS_SECURITY_ENABLE=true ROS_SECURITY_STRATEGY=Enforce "
        f"{KEYSTORE}={out.resolve()}"
    )
    typer.echo(f"ros2, and commands beside a running rig: export {OVERRIDE}={operator}")
    typer.echo(f"keep {out / 'private'} off the robot: its keys can sign any permission")
    if why := refusal(out, operator):
        typer.echo(f"not on this machine: {why}")
