"""`hub watch`: an inbox in the terminal.

The command loads the newest page and then follows the change feed. If the connection is lost, the command reconnects
with exponential backoff and full jitter. The feed resumes at the last cursor without gaps or duplicates. After a RESYNC
event, the command loads the page again.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import typer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from hub.cli.api_client import ApiError
from hub.cli.target_hub import DEFAULT_DATA, Data, TargetHub, Tenant, Token, Url, fail, resolve_hub
from hub.cli.watch_output import InboxPrinter
from hub.model import Role

PROTOCOL = Subprotocol("graphql-transport-ws")
INITIAL_BACKOFF_S = 0.25
MAX_BACKOFF_S = 10.0
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
CATCH_UP_IDLE_S = 0.3  # the catch-up is complete after this time without a change
EXPIRED_REASON = "The token has expired."
CLOSE_RESTART = 1012  # sent by a hub that is shutting down
CLOSE_FORBIDDEN = 4403
PROTOCOL_CLOSE_CODES = range(4400, 4500)  # close codes of graphql-transport-ws: a retry would not succeed
TRANSIENT_CODES = {"UNAVAILABLE", "RATE_LIMITED", "INTERNAL_SERVER_ERROR"}

FIELDS = "id title body category priority createdAt seenAt readAt archivedAt snoozedUntil acknowledgedAt"
INBOX_QUERY = f"query ($first: Int) {{ inbox(first: $first) {{ unread unseen position nodes {{ {FIELDS} }} }} }}"
INBOX_SUBSCRIPTION = (
    f"subscription ($after: Cursor) {{ inbox(after: $after) "
    f"{{ kind cursor unread unseen notification {{ {FIELDS} }} }} }}"
)


def watch(
    user: Annotated[
        str | None, typer.Option("--user", help="The user whose inbox is printed; not required with --token.")
    ] = None,
    first: Annotated[
        int, typer.Option("--first", help="Number of notifications to print at the start.", min=1, max=100)
    ] = 10,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Print an inbox and its changes as they happen.

    Prints new, changed, and removed notifications with the counts. Press Ctrl-C to stop.

    Example: hub watch --user alice
    """
    if user is None and not token:
        fail("Name the user: --user alice.", 2)

    hub = resolve_hub(url, token, data)

    def fresh_token() -> str:
        return hub.token(user=user, role=Role.USER, tenant=tenant)

    fresh_token()  # exit on an invalid option before connecting
    printer = InboxPrinter(f"Inbox of {user}" if user else "Inbox", hub.url)
    try:
        asyncio.run(_Watcher(hub, fresh_token, first, printer).run())
    except KeyboardInterrupt:
        printer.end()
    except BrokenPipeError:  # the reader has ended (`hub watch | head`): avoid an error for buffered output at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ApiError as error:
        fail(hub.format_error(error))
    except _PermanentError as error:
        fail(str(error))


class _PermanentError(Exception):
    """A retry would not succeed."""


class _ConnectionLost(Exception):
    """The connection is lost, or the hub returned a transient error."""


class _Watcher:
    def __init__(self, hub: TargetHub, fresh_token: Callable[[], str], first: int, printer: InboxPrinter) -> None:
        self._hub = hub
        self._url = hub.url
        self._socket_url = f"{hub.url.replace('http', 'ws', 1)}/graphql"
        self._fresh_token = fresh_token
        self._first = first
        self._printer = printer
        self._cursor: str | None = None
        self._failures = 0

    async def run(self) -> None:
        """Run until interrupted. Raise _PermanentError or ApiError if a retry would not succeed."""
        while True:
            try:
                async with self._connection() as connection:
                    await self._stream(connection)
            except _ConnectionLost as lost:
                if self._cursor is None:
                    raise _PermanentError(str(lost)) from None
                await self._back_off(str(lost))

    async def _back_off(self, cause: str) -> None:
        """Wait with full jitter, which spreads the reconnects of many clients."""
        pause_s = random.uniform(0, min(MAX_BACKOFF_S, INITIAL_BACKOFF_S * 2**self._failures))  # noqa: S311
        if self._failures == 0:
            self._printer.lost(cause)
        self._failures = min(self._failures + 1, 16)
        await asyncio.sleep(pause_s)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator["_Connection"]:
        try:
            async with connect(
                self._socket_url,
                subprotocols=[PROTOCOL],
                open_timeout=CONNECT_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                compression=None,
                proxy=None,
            ) as socket:
                connection = _Connection(socket)
                await connection.init(self._fresh_token())
                yield connection
        except ConnectionClosed as closed:
            code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
            if code in PROTOCOL_CLOSE_CODES and not (self._hub.key and reason == EXPIRED_REASON):
                target = f" {self._hub.describe_target()}" if code == CLOSE_FORBIDDEN else ""
                raise _PermanentError(f"The hub closed the connection: {reason or code}{target}") from None
            cause = (
                "is stopping or restarting" if code == CLOSE_RESTART else f"closed the connection ({reason or code})"
            )
            raise _ConnectionLost(f"The hub at {self._url} {cause}.") from None
        except InvalidURI:
            raise _PermanentError(f"{self._url} is not a valid URL: it must start with http:// or https://.") from None
        except (OSError, TimeoutError, InvalidHandshake):
            raise _ConnectionLost(
                f"Nothing responds at {self._url}: start the hub, or choose another with --url (HUB_URL)."
            ) from None

    async def _stream(self, connection: "_Connection") -> None:
        """Follow the inbox over one connection until it is lost."""
        missed = None if self._cursor is None else 0
        while True:
            if self._cursor is None:
                page = (await connection.query(INBOX_QUERY, first=self._first))["inbox"]
                self._cursor = page["position"]
                self._printer.page(page)
            self._failures = 0
            await connection.subscribe(INBOX_SUBSCRIPTION, after=self._cursor)
            while self._cursor is not None:
                try:
                    async with asyncio.timeout(None if missed is None else CATCH_UP_IDLE_S):
                        payload = await connection.next()
                except TimeoutError:
                    self._printer.resumed(missed or 0)
                    missed = None
                    continue
                if payload is None:  # the feed completes only after RESYNC
                    self._cursor = missed = None
                    self._printer.resync()
                    continue
                event = payload["inbox"]
                self._cursor = event["cursor"]
                self._printer.event(event)
                if missed is not None:
                    missed += 1


class _Connection:
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
        """Return the next data, or None when the operation completes. Raise ApiError, or _ConnectionLost if
        transient."""
        message = await self._receive("next", "error", "complete")
        if message["type"] == "complete":
            return None
        errors = message["payload"] if message["type"] == "error" else message["payload"].get("errors")
        if errors:
            error = ApiError(errors[0]["message"], **errors[0].get("extensions", {}))
            if error.extensions.get("code") in TRANSIENT_CODES:
                raise _ConnectionLost(error.message)
            raise error
        data: dict[str, Any] = message["payload"]["data"]
        return data

    async def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the data of a query."""
        await self.subscribe(query, **variables)
        data = await self.next()
        if data is None or await self.next() is not None:
            raise _PermanentError("The hub sent an unexpected response to a query.")
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
