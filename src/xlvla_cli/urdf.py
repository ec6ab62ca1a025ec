"""`xlvla urdf`: prints the URDF of a hand, an arm, an arm with a hand, or a whole rig."""

from __future__ import annotations

from typing import Annotated

import typer

from xlvla_cli.options import HandSide


def register(app: typer.Typer) -> None:
    app.command("urdf")(urdf)


def urdf(
    arm: Annotated[str, typer.Option(help="Arm of the catalogue.")] = "",
    hand: Annotated[str, typer.Option(help="Hand of the catalogue.")] = "",
    side: HandSide = "right",
    rig: Annotated[str, typer.Option(help="A whole rig instead: its name or YAML file.")] = "",
) -> None:
    """Print the URDF of a hand, an arm, an arm with a hand on its flange, or a rig."""
    typer.echo(description(arm, hand, side, rig).rstrip("\n"))


def description(arm: str, hand: str, side: str, rig: str) -> str:
    """URDF text of what the options chose."""
    from xlvla import catalog
    from xlvla.errors import XlvlaError, unknown
    from xlvla.rig_file import load
    from xlvla.robot import arm_with_hand, rig_description
    from xlvla.types import SIDES, Side

    if bool(rig) == bool(arm or hand):
        raise XlvlaError("say either --rig NAME, or --arm and --hand, or one of these two")
    if rig:
        return rig_description(load(rig)).text
    sides: dict[str, Side] = {known: known for known in SIDES}
    if side not in sides:
        raise unknown("side", side, SIDES)
    chosen = sides[side]
    if arm and hand:
        return arm_with_hand(catalog.arm(arm), catalog.hand(hand), chosen).text
    path = catalog.arm(arm).on(chosen).urdf_path if arm else catalog.hand(hand).urdf_path(chosen)
    return path.read_text()
