"""A policy behind openpi's websocket: metadata first, then one answer for each request.

The model runs in a thread beside the event loop, so that pings and health checks are answered
however long a decision takes. Connections share it, one request at a time.
"""

from __future__ import annotations

import asyncio
import http
import logging
import socket
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from xlvla.errors import XlvlaError
from xlvla.policy import Policy
from xlvla.rig import Rig
from xlvla.text import plain
from xlvla_policy.openpi import wire
from xlvla_policy.openpi.metadata import metadata
from xlvla_policy.openpi.session import Session

MOST_CLIENTS = 8
"""Each may hold two requests in memory."""

LOGGER = logging.getLogger(__name__)
# Whoever knocks and goes, as programs do that look for open ports, is no news with a traceback.
LOGGER.addFilter(lambda record: "handshake" not in record.getMessage())


class PolicyServing:
    """Serves a rig's policy.

    Args:
        say: takes lines for who runs the server.
    """

    def __init__(self, rig: Rig, policy: Policy, say: Callable[[str], None]):
        self._rig = rig
        self._policy = policy
        self._say = say
        self._metadata = wire.packed(metadata(rig, policy))
        self._model = ThreadPoolExecutor(1, "policy predicts")
        self._clients = 0

    async def start(self, place: socket.socket) -> Server:
        """Serves at this socket until the server is closed."""
        return await serve(
            self._handle,
            sock=place,
            process_request=self._admit,
            # Only pages of browsers send an origin, and no page has business here.
            origins=[None],
            compression=None,
            max_size=wire.REQUEST_BYTES,
            max_queue=1,
            logger=LOGGER,
        )

    def close(self) -> None:
        """Ends the thread of the model after the decision it makes."""
        self._model.shutdown(cancel_futures=True)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if self._clients >= MOST_CLIENTS:
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_CLIENTS} clients are served already\n"
            )
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        self._clients += 1
        peer = plain(connection.remote_address[0], 60)
        self._say(f"{peer} has come")
        try:
            await connection.send(self._metadata)
            await self._converse(connection, peer)
        except ConnectionClosed:
            pass
        finally:
            self._clients -= 1
            self._say(f"{peer} has gone")

    async def _converse(self, connection: ServerConnection, peer: str) -> None:
        """Answers requests; the first that is no good ends the connection, as at openpi's
        server.
        """
        session = Session(self._rig, self._policy)
        loop = asyncio.get_running_loop()
        async for frame in connection:
            try:
                answer = await loop.run_in_executor(self._model, session.answer, frame)
            except XlvlaError as error:
                line = plain(error)
            except Exception as error:
                traceback.print_exception(error)
                line = f"{type(error).__name__} in the policy; the server's terminal says where"
            else:
                await connection.send(answer)
                continue
            self._say(f"{peer} was refused: {line}")
            await connection.send(line)
            await connection.close(CloseCode.INTERNAL_ERROR, "the request was refused")
            return
