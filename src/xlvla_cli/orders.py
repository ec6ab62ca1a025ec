"""`xlvla estop` and `xlvla call`: orders to a rig that runs, from any terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla.errors import XlvlaError, unknown
from xlvla_cli.options import Domain, Namespace

if TYPE_CHECKING:
    from xlvla.ros.topics import Service

WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
"""What is said to a service that is switched."""


def register(app: typer.Typer) -> None:
    app.command("estop")(estop)
    app.command("call")(call)


def estop(
    domain: Domain = None,
    namespace: Annotated[
        str | None, typer.Option(help="Only the rig in this ROS namespace; '/' is none.")
    ] = None,
) -> None:
    """Stop everything that moves on this ROS domain; `xlvla call motion/reset` ends the stop."""
    from xlvla_cli.ros.operator import Operator
    from xlvla_cli.ros.stop_everywhere import stop_everywhere

    if namespace is None:
        typer.echo("\n".join(stop_everywhere(domain)))
        return
    with Operator(domain=domain, namespace=namespace) as operator:
        typer.echo(operator.estop())


def call(
    service: Annotated[
        str, typer.Argument(help="motion/engage, motion/home, recorder/start, sim/reset, ...")
    ],
    value: Annotated[
        str, typer.Argument(help="on or off, for services that switch something.")
    ] = "",
    domain: Domain = None,
    namespace: Namespace = "",
) -> None:
    """Call a service of a running rig; `xlvla show` lists those of a rig."""
    from xlvla_cli.ros.operator import Operator

    wanted = known(service)
    fields: dict[str, Any] = switched(wanted, value)
    with Operator(domain=domain, namespace=namespace) as operator:
        typer.echo(operator.call(wanted, **fields) or "done")


def known(name: str) -> Service:
    """The service of that name, with or without its first slash."""
    from xlvla.ros import topics
    from xlvla.types import PARTS, SIDES

    services = [entry for entry in vars(topics).values() if isinstance(entry, topics.Service)]
    for side in SIDES:
        services += [topics.recover(side, part) for part in PARTS]
    by_name = {entry.name.lstrip("/"): entry for entry in services}
    if name.lstrip("/") not in by_name:
        raise unknown("service", name, by_name)
    return by_name[name.lstrip("/")]


def switched(service: Service, value: str) -> dict[str, bool]:
    """The fields of a request; refuses a word where none belongs, and none where one does."""
    switches = "data" in service.type.Request.get_fields_and_field_types()
    if not switches and value:
        raise XlvlaError(f"{service.name} is only called: leave out '{value}'")
    if not switches:
        return {}
    if value.lower() not in WORDS:
        raise XlvlaError(f"{service.name} is switched: say on or off after its name")
    return {"data": WORDS[value.lower()]}
