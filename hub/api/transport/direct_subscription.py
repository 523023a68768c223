"""Inbox subscriptions of WebSockets that do not require a task.

The code that publishes an event immediately writes it to the socket. A task waits for space only if the write buffer
is full. A task per subscription, and a task switch for every event, would cost more than the event itself.
"""

import asyncio
from typing import Any, Protocol

import orjson
from structlog.contextvars import bound_contextvars

from hub.api.errors import to_graphql_error
from hub.api.execution.engine import SubscriptionResults
from hub.api.schema.inbox_stream import InboxStream
from hub.api.transport.uvicorn_protocols import HubWebSocketProtocol
from hub.live.message_codec import BroadcastRow
from hub.live.subscription_feed import SharedBroadcast
from hub.model import Principal
from hub.platform import tracing


class Session(Protocol):
    """The session of a socket."""

    def forget(self, id: str, operation: Any) -> None: ...


class DirectSubscription:
    """A running inbox subscription. `session` forgets it when it has ended by itself."""

    __slots__ = ("_caller", "_done", "_id", "_prefix", "_protocol", "_results", "_session", "_stream", "_waiting")

    def __init__(
        self,
        session: Session,
        id: str,
        caller: Principal,
        results: SubscriptionResults,
        stream: InboxStream,
        protocol: HubWebSocketProtocol,
    ) -> None:
        self._session = session
        self._protocol = protocol
        self._id = id
        self._caller = caller
        self._results = results
        self._stream = stream
        self._prefix = b'{"id":' + orjson.dumps(id) + b',"type":"next","payload":'
        self._waiting: asyncio.Task[None] | None = None
        self._done = False

    def start(self) -> None:
        self._stream.set_reader(self)

    def cancel(self) -> None:
        """Stop the subscription without sending a message to the client."""
        if not self._done:
            self._done = True
            if self._waiting:
                self._waiting.cancel()
            self._stream.close()

    def write_row(self, shared: SharedBroadcast, row: BroadcastRow) -> bool:
        """Write the event of a row, unless the write buffer is full, the event is traced, or the row cannot be encoded.
        `on_ready` then handles the event."""
        if self._done or self._waiting or not self._protocol.can_write or shared.broadcast.traceparent:
            return False
        try:
            response = self._results.encode_row(shared, row)
        except Exception:  # noqa: BLE001 - `on_ready` returns and logs the error
            return False
        if response is None:
            return False
        self._protocol.write_text(self._prefix + response + b"}")
        return True

    def on_ready(self) -> None:
        """Write all available events. Start to wait if the write buffer is full."""
        if self._done or self._waiting:
            return
        try:
            while self._protocol.can_write:
                result = self._results.poll()
                if result is None:
                    if self._stream.ended:
                        self._end({"id": self._id, "type": "complete"})
                    return
                text = self._prefix + orjson.dumps(result) + b"}"
                if self._stream.traceparent is None:
                    self._protocol.write_text(text)
                else:
                    with tracing.span("deliver", self._stream.traceparent, "CONSUMER"):
                        self._protocol.write_text(text)
        except Exception as error:  # noqa: BLE001 - returned to the client and logged; the publisher must not fail
            with bound_contextvars(tenant=self._caller.tenant, user=self._caller.user):
                errors = [to_graphql_error(error, self._results.request_id)]
            self._end({"id": self._id, "type": "error", "payload": errors})
            return
        self._waiting = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        await self._protocol.writable.wait()
        self._waiting = None
        self.on_ready()

    def _end(self, message: dict[str, Any]) -> None:
        self._protocol.write_text(orjson.dumps(message))
        self._session.forget(self._id, self)
        self.cancel()
