"""The WebSocket connection of commands that follow a subscription, and their reconnects."""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from hub.cli.api_client import ApiError
from hub.cli.target_hub import TargetHub, fail

PROTOCOL = Subprotocol("graphql-transport-ws")
INITIAL_BACKOFF_S = 0.25
MAX_BACKOFF_S = 10.0
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
EXPIRED_REASON = "The token has expired."
CLOSE_RESTART = 1012  # sent by a hub that is shutting down
CLOSE_FORBIDDEN = 4403
PROTOCOL_CLOSE_CODES = range(4400, 4500)  # close codes of graphql-transport-ws: a retry would not succeed
TRANSIENT_CODES = {"UNAVAILABLE", "RATE_LIMITED", "INTERNAL_SERVER_ERROR"}

T = TypeVar("T")


class PermanentError(Exception):
    """A retry would not succeed."""


class ConnectionLost(Exception):
    """The connection is lost, or the hub returned a transient error."""


class Backoff:
    """The pauses between reconnects, with full jitter, which spreads the reconnects of many clients. `lost` is called
    with the cause before the first pause."""

    def __init__(self, lost: Callable[[str], None]) -> None:
        self._lost = lost
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    async def wait(self, cause: str) -> None:
        pause_s = random.uniform(0, min(MAX_BACKOFF_S, INITIAL_BACKOFF_S * 2**self._failures))  # noqa: S311
        if self._failures == 0:
            self._lost(cause)
        self._failures = min(self._failures + 1, 16)
        await asyncio.sleep(pause_s)


@contextlib.asynccontextmanager
async def open_connection(hub: TargetHub, token: str) -> AsyncIterator["Connection"]:
    """Connect to the hub. Raise ConnectionLost, or PermanentError if a retry would not succeed, also in the block."""
    try:
        async with connect(
            f"{hub.url.replace('http', 'ws', 1)}/graphql",
            subprotocols=[PROTOCOL],
            open_timeout=CONNECT_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            compression=None,
            proxy=None,
        ) as socket:
            connection = Connection(socket)
            await connection.init(token)
            yield connection
    except ConnectionClosed as closed:
        code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
        if code in PROTOCOL_CLOSE_CODES and not (hub.key and reason == EXPIRED_REASON):
            target = f" {hub.describe_target()}" if code == CLOSE_FORBIDDEN else ""
            raise PermanentError(f"The hub closed the connection: {reason or code}{target}") from None
        cause = "is stopping or restarting" if code == CLOSE_RESTART else f"closed the connection ({reason or code})"
        raise ConnectionLost(f"The hub at {hub.url} {cause}.") from None
    except InvalidURI:
        raise PermanentError(f"{hub.url} is not a valid URL: it must start with http:// or https://.") from None
    except (OSError, TimeoutError, InvalidHandshake):
        raise ConnectionLost(
            f"Nothing responds at {hub.url}: start the hub, or choose another with --url (HUB_URL)."
        ) from None


class Connection:
    """A graphql-transport-ws connection with one operation at a time."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._id = 0

    async def init(self, token: str) -> None:
        await self._send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await self._receive("connection_ack")

    async def subscribe(self, query: str, **variables: Any) -> None:
        self._id += 1
        payload = {"query": query, "variables": variables}
        await self._send({"type": "subscribe", "id": str(self._id), "payload": payload})

    async def next(self) -> dict[str, Any] | None:
        """Return the next data, or None when the operation completes. Raise ApiError, or ConnectionLost if
        transient."""
        message = await self._receive("next", "error", "complete")
        if message["type"] == "complete":
            return None
        errors = message["payload"] if message["type"] == "error" else message["payload"].get("errors")
        if errors:
            error = ApiError(errors[0]["message"], **errors[0].get("extensions", {}))
            if error.extensions.get("code") in TRANSIENT_CODES:
                raise ConnectionLost(error.message)
            raise error
        data: dict[str, Any] = message["payload"]["data"]
        return data

    async def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the data of a query."""
        await self.subscribe(query, **variables)
        data = await self.next()
        if data is None or await self.next() is not None:
            raise PermanentError("The hub sent an unexpected response to a query.")
        return data

    async def _receive(self, *types: str) -> dict[str, Any]:
        """Return the next message of one of these types. Respond to pings in the meantime."""
        while True:
            message: dict[str, Any] = json.loads(await self._socket.recv())
            if message["type"] == "ping":
                await self._send({"type": "pong"})
            elif message["type"] in types:
                return message

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send(json.dumps(message))


def run_until_interrupted(call: Coroutine[Any, Any, T], hub: TargetHub, interrupted: Callable[[], None]) -> T | None:
    """Return the result of a command that follows the hub, or None if the reader of its output has ended. `interrupted`
    is called after Ctrl-C. If a retry would not succeed, print the error and exit."""
    try:
        return asyncio.run(call)
    except KeyboardInterrupt:
        interrupted()
    except BrokenPipeError:  # the reader has ended (`hub watch | head`): avoid an error for buffered output at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ApiError as error:
        fail(hub.format_error(error))
    except PermanentError as error:
        fail(str(error))
    return None
