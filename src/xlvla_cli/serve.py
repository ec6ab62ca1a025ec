"""`xlvla serve`: a policy for robots of others, over openpi's websocket."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import socket

    from xlvla.policy import Policy
    from xlvla.rig import Rig
    from xlvla_policy.openpi.server import PolicyServing

PORT = 8000
"""As openpi's own server."""


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    policy: Annotated[
        str, typer.Argument(help="A policy of the catalogue (`xlvla list`), or its weights.")
    ] = "xlvla",
    rig: Annotated[
        str, typer.Option(help="Rig whose arms, hands and cameras the clients have.")
    ] = "bimanual",
    left_hand: Annotated[
        str | None, typer.Option(help="Hand on the left arm instead of the rig's.")
    ] = None,
    right_hand: Annotated[
        str | None, typer.Option(help="Hand on the right arm instead of the rig's.")
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="Address to serve at; whoever reaches it may ask, there is no password."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve at.")] = PORT,
) -> None:
    """Serve a policy's chunks to robots with openpi-client, until Ctrl-C."""
    from xlvla import catalog
    from xlvla.network import listening
    from xlvla.run import interruptible

    served = chosen(rig, policy, left_hand, right_hand)
    # Before the weights are loaded, which takes a while.
    place = listening(host, port, "policy", "another server there")
    assert served.policy is not None
    with place, interruptible(), contextlib.suppress(KeyboardInterrupt):
        loaded = catalog.policy(served.policy.type)(served)
        _serve(served, loaded, place)
    typer.echo("stopped")


def chosen(rig: str, policy: str, left_hand: str | None, right_hand: str | None) -> Rig:
    """The rig with the policy and hands that the command line named. Its chunks follow no chunk
    before: what a client executes of them is its own matter.
    """
    from xlvla import catalog, rig_file
    from xlvla.errors import unknown

    known = catalog.policies()
    if policy not in known and not Path(policy).exists():
        raise unknown("policy", policy, (*known, "or the path of a weights file"))
    loaded = rig_file.load(rig)
    # Weights are not for a policy that asks a server.
    kind = loaded.policy.type if loaded.policy and not loaded.policy.server else "xlvla"
    is_name = policy in known
    changed = rig_file.with_choices(
        loaded,
        hands={"left": left_hand, "right": right_hand},
        policy=policy if is_name else kind,
        checkpoint=None if is_name else policy,
    )
    assert changed.policy is not None
    plain = dataclasses.replace(changed.policy, chunking="plain")
    return dataclasses.replace(changed, policy=plain)


def _serve(rig: Rig, policy: Policy, place: socket.socket) -> None:
    """Serves until it is asked to end."""
    import asyncio

    from xlvla_policy.openpi.server import PolicyServing

    serving = PolicyServing(rig, policy, _say)
    try:
        asyncio.run(_until_asked(serving, rig, policy, place))
    finally:
        serving.close()


async def _until_asked(
    serving: PolicyServing, rig: Rig, policy: Policy, place: socket.socket
) -> None:
    import asyncio

    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, asked.set)
    async with await serving.start(place):
        for line in _lines(rig, policy, place):
            typer.echo(line)
        await asked.wait()


def _say(line: str) -> None:
    """Clients are served on where nobody reads what is said of them, as behind `| head`."""
    with contextlib.suppress(BrokenPipeError):
        typer.echo(line)


def _lines(rig: Rig, policy: Policy, place: socket.socket) -> list[str]:
    """What a client must know, and a warning where others may be clients."""
    from xlvla_drivers.server_access import is_loopback
    from xlvla_policy.openpi.metadata import every_joint

    assert rig.policy is not None
    host, port = place.getsockname()[:2]
    cameras = ", ".join(rig.cameras) or "none"
    lines = [
        f"{rig.policy.type} for {rig.name} is at ws://{host}:{port}: {policy.frames} frames of "
        f"{len(every_joint(rig).names)} joints at {policy.rate_hz:g} Hz; cameras: {cameras}"
    ]
    if not is_loopback(host):
        lines.append(
            "every machine that reaches this address may ask: there is no password, and nothing is "
            "encrypted"
        )
    return lines
