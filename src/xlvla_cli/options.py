"""Options that several commands have: the same name, the same meaning, the same help."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from xlvla.errors import unknown
from xlvla.text import listed as listed

RigArgument = Annotated[
    str, typer.Argument(help="A rig of the catalogue (`xlvla list`) or a rig's YAML file.")
]
SimulatedRig = Annotated[str, typer.Option(help="Rig to simulate.")]
HarmlessRigs = Annotated[
    list[str] | None,
    typer.Option(help="Rig, simulated or of emulated devices; repeatable. Both kinds by default."),
]

Domain = Annotated[
    int | None, typer.Option(min=0, max=101, help="ROS domain instead of ROS_DOMAIN_ID.")
]
Namespace = Annotated[
    str, typer.Option(help="ROS namespace of the rig, where it was started in one.")
]
OwnDomain = Annotated[
    int | None, typer.Option(min=0, max=101, help="ROS domain; by default one of its own.")
]
Simulated = Annotated[
    bool | None,
    typer.Option("--sim/--no-sim", help="Simulation or hardware, overriding the rig."),
]

Tasks = Annotated[
    str, typer.Option(help="Tasks, the paper's codes or names, separated by commas, or 'all'.")
]
Hands = Annotated[
    str, typer.Option(help="Hands, separated by commas, 'paper' for its four, or 'all'.")
]
HandSide = Annotated[str, typer.Option(help="left or right.")]

Checkpoint = Annotated[
    str | None, typer.Option(help="Weights of the policy instead of the shipped ones.")
]
CodecWeights = Annotated[
    Path | None, typer.Option(help="Weights file of the codec; the shipped one if not given.")
]
ComputeDevice = Annotated[
    str, typer.Option(help="cpu or cuda; cuda where there is one if not given.")
]
Views = Annotated[int, typer.Option(min=1, max=3, help="Cameras.")]

Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes; 0 is one per core.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard existing results.")]

WeightsOut = Annotated[Path, typer.Option(help="Weights file to write.")]
FiguresOut = Annotated[Path | None, typer.Option(help="JSON file for the figures.")]


def chosen(kind: str, text: str, known: Collection[str]) -> tuple[str, ...]:
    """The words between commas, all of them known; raises XlvlaError for another one and for
    none.
    """
    words = listed(text)
    for word in words or ("",):
        if word not in known:
            raise unknown(kind, word, known)
    return words
