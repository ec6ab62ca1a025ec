"""viser's web server behind a guard.

viser itself lets in whoever reaches its port, whatever page they come from, and moves to the next
port without a word where its own is taken. Its requests therefore pass a guard of ours first, in
the same web server: there is no port beside it that is not guarded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import socket
import ssl
import warnings
from collections.abc import Iterator
from typing import Any

import viser
import websockets.asyncio.server as web

from xlvla.errors import XlvlaError
from xlvla.network import listening
from xlvla_drivers.server_access import called, certified, is_key, is_loopback, own_key

PORT = 8460
"""Where the panel is unless told otherwise; viser's own port is often another program's."""

HERE = "127.0.0.1"

PING_S = 2.0
"""Between pings, and until a pong must have come: a page that is gone is known to be within twice
this.
"""


# A browser may leave while it is told something, which is no news.
warnings.filterwarnings("ignore", message="Queued a .* on a closed connection")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the panel is served.

    Args:
        certificate, key: PEM files with which it serves https; needed at an address that other
            machines reach, since whoever sees the address in the clear may drive the robot.
    """

    host: str = HERE
    port: int = PORT
    certificate: str = ""
    key: str = ""


class PanelServer(viser.ViserServer):
    """Serves only who has the key in the address, and no page of another site.

    Attributes:
        address: what to open.
    """

    def __init__(self, place: Place):
        secure = _secure(place)
        self._access_key = own_key(f"panel-{place.port}")
        listener = listening(place.host, place.port, "panel", "another panel open")
        with _guarded(listener, self._access_key, secure) as guards, _quiet():
            super().__init__(host=place.host, port=place.port, label="xlvla", verbose=False)
        if not guards:
            self.stop()
            listener.close()
            raise XlvlaError(
                f"viser {viser.__version__} serves in a way that cannot be guarded: install the "
                "version of constraints.txt"
            )
        port = listener.getsockname()[1]
        scheme = "http" if secure is None else "https"
        self.address = f"{scheme}://{called(place.host)}:{port}/{self._access_key}/"

    def request_share_url(self, verbose: bool = True) -> None:
        """Nothing: viser would publish the page to everybody by a server of its own, for any
        client that asks.
        """

    def stop(self) -> None:
        with _quiet():
            super().stop()


def _secure(place: Place) -> ssl.SSLContext | None:
    if place.certificate:
        return certified(place.certificate, place.key, "--certificate")
    if not is_loopback(place.host):
        raise XlvlaError(
            f"--host {place.host}: other machines reach it, so it needs --certificate and --key; "
            f"without, stay at {HERE} and bring the port to the other machine with "
            f"`ssh -L {place.port}:localhost:{place.port} ...`"
        )
    return None


@contextlib.contextmanager
def _guarded(
    listening: socket.socket, key: str, secure: ssl.SSLContext | None
) -> Iterator[list[str]]:
    """While viser starts inside, its web server is made on this socket and behind our guard.

    viser has no option for either, so the function that it makes its web server with is another one
    meanwhile. Yields a list that has an entry once a web server was made by it.
    """
    serve = web.serve
    guards: list[str] = []

    def guarded(handler: Any, host: Any, port: Any, *, process_request: Any, **options: Any) -> Any:
        guards.append(str(listening.getsockname()))

        def admit(connection: web.ServerConnection, request: Any) -> Any:
            why = refusal(request, key)
            if why:
                return connection.respond(403, f"{why}\n")
            return process_request(connection, _without_key(request))

        options.update(ping_interval=PING_S, ping_timeout=PING_S)
        return serve(handler, sock=listening, process_request=admit, ssl=secure, **options)

    web.serve = guarded
    try:
        yield guards
    finally:
        web.serve = serve


def refusal(request: Any, key: str) -> str:
    """Why a request is refused; '' for one that is accepted."""
    if not is_key(_segments(request.path)[0], key):
        return "this address has not the panel's key: open what `xlvla panel` printed"
    # Only browsers send an origin: the page that opens the connection.
    host = request.headers.get("Host", "")
    for origin in request.headers.get_all("Origin"):
        if origin not in (f"http://{host}", f"https://{host}"):
            return "only the panel's own page may connect"
    return ""


def _segments(path: str) -> tuple[str, str]:
    """The first part of a path, which is the key, and the rest."""
    place, _, _ = path.partition("?")
    first, _, rest = place.lstrip("/").partition("/")
    return first, rest


def _without_key(request: Any) -> Any:
    """The request as viser knows it."""
    return dataclasses.replace(request, path=f"/{_segments(request.path)[1]}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what viser prints: an address without its key leads nowhere."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
