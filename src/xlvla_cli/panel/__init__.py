"""`xlvla panel`: the operator's page in a browser, for a rig that runs."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla_cli.dataclass_options import options_of
from xlvla_cli.options import Domain, RigArgument
from xlvla_cli.rig_choices import RigChoices, with_choices

if TYPE_CHECKING:
    from xlvla.rig import Rig
    from xlvla_cli.panel.server import Place

LOOK_S = 0.03
"""Between two looks at the graph: no picture of a camera at 30 Hz waits longer."""

OF_A_RUN = ("seed", "speed")
"""Choices that change nothing on the page."""


def register(app: typer.Typer) -> None:
    app.command("panel")(panel)


@options_of(skip=OF_A_RUN, choices=RigChoices)
def panel(
    rig: RigArgument = "bimanual",
    *,
    host: Annotated[
        str, typer.Option(help="Address to serve at; any but this machine's needs a certificate.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve at.")] = 8460,
    certificate: Annotated[
        str, typer.Option(help="PEM file of a certificate, with which it serves https.")
    ] = "",
    key: Annotated[str, typer.Option(help="PEM file of the certificate's key.")] = "",
    stop_when_lost: Annotated[
        bool, typer.Option(help="E-stop when the browser that drives is gone.")
    ] = False,
    domain: Domain = None,
    choices: Mapping[str, Any],
) -> None:
    """Serve a page from which a running rig is watched and driven, until Ctrl-C."""
    from xlvla import security
    from xlvla.network import reach
    from xlvla.ros.supervision import follow_parent, started
    from xlvla.run import interruptible
    from xlvla_cli.panel.server import Place

    follow_parent()
    started()
    resolved = with_choices(rig_file.load(rig), RigChoices(**choices))
    scope = reach(resolved.network, os.environ, insisted="network" in choices)
    scope.apply(os.environ)
    if security.is_asked_for(os.environ):
        os.environ[security.OVERRIDE] = security.enclave(resolved, security.OPERATOR)
    with interruptible():
        with contextlib.suppress(KeyboardInterrupt):
            serve(resolved, Place(host, port, certificate, key), domain, stop_when_lost)
        typer.echo("stopped")


def serve(rig: Rig, place: Place, domain: int | None, stop_when_lost: bool) -> None:
    """Serves the page of a rig until it is interrupted."""
    from xlvla_cli.panel.page import Page
    from xlvla_cli.panel.sentences import trained_sentences
    from xlvla_cli.panel.server import PanelServer
    from xlvla_cli.ros.operator import Operator
    from xlvla_cli.ros.panel_feed import PanelFeed
    from xlvla_cli.ros.panel_orders import PanelOrders

    server = PanelServer(place)
    with Operator(domain=domain, namespace=rig.namespace) as operator, _asked_to_end() as asked:
        feed = PanelFeed(operator, rig)
        orders = PanelOrders(operator, rig)
        lost = (lambda: orders.stop(lambda obeyed, line: None)) if stop_when_lost else None
        page = Page(server, rig, orders, trained_sentences(rig), lost)
        typer.echo(f"the panel of {rig.name} is at {server.address}")
        try:
            while not asked:
                began_s = time.monotonic()
                orders.follow()
                page.show(feed.look(pictures=page.looked_at))
                for _, line in feed.cues():
                    page.note(line)
                for line in operator.refused():
                    page.note(line, "orange")
                time.sleep(max(0.0, began_s + LOOK_S - time.monotonic()))
        finally:
            server.stop()


@contextlib.contextmanager
def _asked_to_end() -> Iterator[list[int]]:
    """The signals to end that came so far. None is raised meanwhile: an exception that a signal
    raises somewhere in a library may be lost there.
    """
    asked: list[int] = []
    before: dict[int, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, lambda caught, frame: asked.append(caught))
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
