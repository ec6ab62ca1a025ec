"""Who gets at the panel: real sockets, HTTP and WebSocket clients against the real server."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

viser = pytest.importorskip("viser")

import websockets.asyncio.server
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from xlvla.errors import XlvlaError
from xlvla_cli.panel.server import PanelServer, Place

SUBPROTOCOL = f"viser-v{viser.__version__}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("keys")))
        patch.setattr("tempfile.tempdir", None)
        made = PanelServer(Place(port=0))
        yield made
        made.stop()


def got(server: PanelServer, path: str, **headers: str) -> tuple[int, str]:
    """Status and text of a page."""
    place = urlsplit(server.address)
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def opened(server: PanelServer, path: str, **options):
    """A WebSocket as viser's page opens it."""
    place = urlsplit(server.address)
    uri = f"ws://127.0.0.1:{place.port}{path}"
    return connect(uri, subprotocols=[SUBPROTOCOL], proxy=None, open_timeout=10, **options)


def key_path(server: PanelServer) -> str:
    return urlsplit(server.address).path


def test_the_address_that_is_printed_opens_the_page_and_its_socket(server):
    status, text = got(server, key_path(server))
    assert status == 200 and "<html" in text
    # The page asks for its socket at its own address without the last slash.
    with opened(server, key_path(server).rstrip("/")) as page:
        assert isinstance(page.recv(timeout=10), bytes)


@pytest.mark.parametrize("path", ["/", "/index.html", "/wrong/", "/?key", "//"])
def test_without_the_key_neither_page_nor_socket_opens(server, path):
    status, text = got(server, path)
    assert status == 403 and "<html" not in text
    with pytest.raises(InvalidStatus, match="403"):
        opened(server, path)


def test_a_key_in_the_query_opens_nothing(server):
    key = key_path(server).strip("/")
    assert got(server, f"/?{key}")[0] == 403
    assert got(server, f"/x/{key}/")[0] == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_opens_nothing_though_it_has_the_key(server, origin):
    path = key_path(server)
    assert got(server, path, Origin=origin)[0] == 403
    with pytest.raises(InvalidStatus, match="403"):
        opened(server, path, origin=origin)


def test_the_pages_own_origin_opens_its_socket(server):
    port = urlsplit(server.address).port
    with opened(server, key_path(server), origin=f"http://127.0.0.1:{port}") as page:
        assert isinstance(page.recv(timeout=10), bytes)


def test_it_listens_on_this_machine_alone_and_on_one_port(server):
    listening = server._websock_server._port
    assert listening == urlsplit(server.address).port
    own = socket.create_connection(("127.0.0.1", listening), timeout=5)
    own.close()
    others = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, listening), timeout=5)


def test_no_client_can_have_the_page_published(server):
    assert server.request_share_url() is None


def test_a_taken_port_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(XlvlaError, match=rf"127\.0\.0\.1:{port}: Address already in use"):
            PanelServer(Place(port=port))


def test_an_address_that_others_reach_needs_a_certificate():
    with pytest.raises(XlvlaError, match=r"needs --certificate and --key; .*ssh -L"):
        PanelServer(Place(host="0.0.0.0", port=0))


def test_a_viser_that_cannot_be_guarded_serves_nothing(monkeypatch):
    """As if a later viser made its web server in another way."""
    serve = websockets.asyncio.server.serve
    monkeypatch.setattr("viser.infra._infra.websockets.asyncio.server", _Elsewhere(serve))
    before = listening()
    with pytest.raises(XlvlaError, match="cannot be guarded"):
        PanelServer(Place(port=0))
    assert listening() == before


def listening() -> int:
    """TCP sockets of this process that listen (proc(5): state 0A in `/proc/net/tcp`)."""
    own = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            own.add(os.readlink(descriptor))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "0A" and f"socket:[{row[9]}]" in own for row in rows)


class _Elsewhere:
    """A module whose `serve` nobody replaces."""

    def __init__(self, serve):
        self.__dict__["serve"] = serve
        self.__dict__["ServerConnection"] = websockets.asyncio.server.ServerConnection

    def __setattr__(self, name, value):
        pass
