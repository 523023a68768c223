"""GraphQL over WebSocket: the `graphql-transport-ws` protocol, as the npm package `graphql-ws` speaks it.

One task reads the socket. An operation has a task until it has answered, a subscription to an inbox only until it has
begun. Whatever a client sends, the answer is the
protocol's own: a `next` with errors, an `error`, or a close with its code. An open socket is closed with 4403 when its
token expires.
"""

import asyncio
import time
from contextlib import aclosing, suppress
from enum import IntEnum
from typing import Any

import orjson
import structlog
from graphql import OperationType
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from structlog.contextvars import bound_contextvars

from hub.api import request_json
from hub.api.auth import Authenticator
from hub.api.context import Context, Services
from hub.api.errors import to_graphql_error
from hub.api.execution.engine import Engine, GraphQLResponse, Operation, Request, SubscriptionResults, parse_request
from hub.api.rate_limits import to_error
from hub.api.schema.inbox_stream import InboxStream
from hub.api.transport.concurrency import KeyedLimiter
from hub.api.transport.operation_telemetry import OperationTelemetry
from hub.api.transport.origins import Origins
from hub.api.transport.uvicorn_protocols import HubWebSocketProtocol, find_protocol
from hub.errors import BadUserInput, HubError, Unavailable
from hub.ids import new_id
from hub.model import Principal, Role
from hub.platform import metrics, tracing

PROTOCOL = "graphql-transport-ws"
ID_MAX_CHARS = 128
ABNORMAL_CLOSURE = 1006  # RFC 6455: no close frame
YEAR_S = 31_536_000.0  # no timer is set further ahead

log = structlog.get_logger(__name__)


class CloseCode(IntEnum):
    """Close codes: the protocol's, and RFC 6455's."""

    RESTART = 1012
    TRY_AGAIN = 1013  # at 1011 the npm client gives up for good
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    PROTOCOL_NOT_ACCEPTABLE = 4406
    INIT_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY = 4429


class CloseSocket(Exception):
    """Ends the socket with a code and a reason the client can read."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class GraphQLOverWebSocket:
    """All sockets of this process."""

    def __init__(
        self, engine: Engine, services: Services, auth: Authenticator, origins: Origins, sockets: KeyedLimiter
    ) -> None:
        self._engine = engine
        self._services = services
        self._auth = auth
        self._origins = origins
        self._sockets = sockets

    async def handle(self, socket: WebSocket) -> None:
        """One socket, from its first byte to its last. The client may go at any of them."""
        with suppress(WebSocketDisconnect):
            await self._handle(socket)

    async def _handle(self, socket: WebSocket) -> None:
        if not self._origins.allows(socket.headers.get("origin"), socket.headers.get("host")):
            await socket.close(CloseCode.FORBIDDEN)
            return
        if PROTOCOL not in socket.scope["subprotocols"]:
            await socket.accept()
            await socket.close(CloseCode.PROTOCOL_NOT_ACCEPTABLE, f"Speak {PROTOCOL}.")
            return
        await socket.accept(PROTOCOL)
        metrics.sockets.inc()
        session = _Session(socket, self._engine, self._services)
        mailbox = None
        try:
            caller = await self._initialize(session)
            if caller.role is Role.USER:
                if not self._sockets.acquire(caller.mailbox):
                    raise CloseSocket(
                        CloseCode.TOO_MANY, "Too many open sockets for this user (HUB_USER_MAX_CONNECTIONS)."
                    )
                mailbox = caller.mailbox
            server_time = self._services.clock().isoformat(timespec="milliseconds")
            await session.send({"type": "connection_ack", "payload": {"serverTime": server_time}})
            await session.serve(caller)
        except CloseSocket as closing:
            await session.stop()
            await session.close(closing)
        finally:
            await session.stop()
            metrics.sockets.dec()
            if mailbox is not None:
                self._sockets.release(mailbox)

    async def _initialize(self, session: "_Session") -> Principal:
        try:
            async with asyncio.timeout(self._services.settings.websocket_init_timeout_s):
                while (message := await session.receive())["type"] in {"ping", "pong"}:
                    await session.reply_to_ping(message)
        except TimeoutError:
            raise CloseSocket(CloseCode.INIT_TIMEOUT, "Connection initialisation timeout") from None
        if message["type"] != "connection_init":
            raise CloseSocket(CloseCode.UNAUTHORIZED, "Unauthorized: send connection_init first.")
        payload = message.get("payload") or {}
        given = payload.get("authorization") or payload.get("Authorization")
        if given is not None and not isinstance(given, str):
            raise CloseSocket(CloseCode.BAD_REQUEST, "`authorization` is a string.")
        try:
            return await self._auth.authenticate(given or session.socket.headers.get("authorization"))
        except Unavailable as error:
            raise CloseSocket(CloseCode.TRY_AGAIN, error.message) from None
        except HubError as error:
            raise CloseSocket(CloseCode.FORBIDDEN, error.message[:100]) from None


class _Session:
    """One socket, from its first message to its last."""

    def __init__(self, socket: WebSocket, engine: Engine, services: Services) -> None:
        self.socket = socket
        self._engine = engine
        self._services = services
        self.transport = find_protocol(socket.scope)
        self._operations: dict[str, asyncio.Task[None] | _DirectSubscription] = {}

    async def serve(self, caller: Principal) -> None:
        """Until the client goes, breaks the protocol, or its token expires."""
        try:
            async with asyncio.timeout(min(max(0.0, caller.expires_at - time.time()), YEAR_S)):
                while True:
                    await self._handle(await self.receive(), caller)
        except TimeoutError:
            raise CloseSocket(CloseCode.FORBIDDEN, "The token has expired.") from None

    async def stop(self) -> None:
        running = list(self._operations.values())
        for operation in running:
            operation.cancel()
        tasks = [operation for operation in running if isinstance(operation, asyncio.Task)]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self, closing: CloseSocket) -> None:
        metrics.sockets_closed.labels(str(int(closing.code))).inc()
        try:
            await self.socket.close(closing.code, closing.reason)
        except (RuntimeError, WebSocketDisconnect):
            log.debug("socket_already_closed", code=int(closing.code))

    async def receive(self) -> dict[str, Any]:
        """The next message: an object with a known shape. CloseSocket for anything else."""
        received = await self.socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        text = received.get("text")
        if text is None:
            raise CloseSocket(CloseCode.BAD_REQUEST, "Messages are text.")
        try:
            message = request_json.loads(text, "payload")
        except BadUserInput:
            raise CloseSocket(CloseCode.BAD_REQUEST, "Messages are JSON.") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise CloseSocket(CloseCode.BAD_REQUEST, "A message is an object with a `type`.")
        if wrong := _message_error(message):
            raise CloseSocket(CloseCode.BAD_REQUEST, wrong)
        return message

    async def send(self, message: dict[str, Any]) -> None:
        """Raises WebSocketDisconnect where the socket is closed, or another send has found it so."""
        if self.socket.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnect(ABNORMAL_CLOSURE)
        await self.socket.send({"type": "websocket.send", "text": orjson.dumps(message).decode()})

    async def reply_to_ping(self, message: dict[str, Any]) -> None:
        """Of a ping; a pong needs none."""
        if message["type"] == "ping":
            await self.send({"type": "pong"})

    async def _handle(self, message: dict[str, Any], caller: Principal) -> None:
        match message["type"]:
            case "ping" | "pong":
                await self.reply_to_ping(message)
            case "subscribe":
                self._subscribe(message, caller)
            case "complete":
                if task := self._operations.pop(message["id"], None):
                    task.cancel()
            case "connection_init":
                raise CloseSocket(CloseCode.TOO_MANY, "Too many initialisation requests")
            case _:
                raise CloseSocket(CloseCode.BAD_REQUEST, "Unknown message type.")

    def _subscribe(self, message: dict[str, Any], caller: Principal) -> None:
        id = message["id"]
        if id in self._operations:
            raise CloseSocket(CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {id[:64]} already exists")
        if len(self._operations) >= self._services.settings.websocket_max_subscriptions:
            raise CloseSocket(
                CloseCode.TOO_MANY, "Too many operations on this socket (HUB_WEBSOCKET_MAX_SUBSCRIPTIONS)."
            )
        payload = message.get("payload")
        try:
            request = parse_request(payload)
        except BadUserInput as error:
            raise CloseSocket(CloseCode.BAD_REQUEST, error.message) from None
        context = Context(caller, self._services, new_id())
        extensions = payload.get("extensions") if isinstance(payload, dict) else None
        task = asyncio.create_task(self._run(id, request, context, (extensions or {}).get("traceparent")))
        self._operations[id] = task

        task.add_done_callback(lambda task: self.forget(id, task))

    def forget(self, id: str, operation: "asyncio.Task[None] | _DirectSubscription") -> None:
        """It has ended: its id may be used again."""
        if self._operations.get(id) is operation:
            del self._operations[id]

    async def _run(self, id: str, request: Request, context: Context, traceparent: object) -> None:
        """One operation, to its end."""
        visit = OperationTelemetry(
            "websocket", context.request_id, traceparent if isinstance(traceparent, str) else None
        )
        visit.set_principal(context.caller)
        try:
            if limited := to_error(self._services.rate_limits.check(context.caller)):
                raise limited
            operation = await self._engine.prepare(request, context.request_id)
            cost = 0 if isinstance(operation, list) else operation.cost
            if too_costly := self._services.rate_limits.charge(context.caller, cost):
                raise too_costly
            errors = operation if isinstance(operation, list) else await self._execute(id, operation, context, visit)
            if errors is None:
                return
            if errors:
                visit.finish({"errors": errors})
                await self.send({"id": id, "type": "error", "payload": errors})
            else:
                await self.send({"id": id, "type": "complete"})
        except WebSocketDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - the client is told, and the log
            told = [to_graphql_error(error, context.request_id)]
            visit.finish({"errors": told})
            with suppress(WebSocketDisconnect, RuntimeError):  # the socket is gone
                await self.send({"id": id, "type": "error", "payload": told})

    async def _execute(
        self, id: str, operation: Operation, context: Context, visit: OperationTelemetry
    ) -> list[GraphQLResponse] | None:
        """Sends the answers; returns the errors that ended it, if any, or None where it goes on by itself."""
        visit.set_operation(operation)
        if operation.kind is not OperationType.SUBSCRIPTION:
            answer = await self._engine.run(operation, context)
            if "data" not in answer:
                return list(answer["errors"])
            visit.finish(answer)
            await self.send({"id": id, "type": "next", "payload": answer})
            return []
        answers = await self._engine.subscribe(operation, context)
        if isinstance(answers, list):
            return answers
        visit.finish({})
        if isinstance(answers, SubscriptionResults) and answers.inbox_stream and self.transport:
            flow = self._operations[id] = _DirectSubscription(
                self, id, context, answers, answers.inbox_stream, self.transport
            )
            flow.start()
            return None
        async with aclosing(answers):
            async for answer in answers:
                if "data" not in answer:
                    return list(answer["errors"])
                await self.send({"id": id, "type": "next", "payload": answer})
        return []


def _message_error(message: dict[str, Any]) -> str | None:
    """What is wrong with a message of the protocol, as far as its shape goes. Unknown types are not looked at."""
    kind, id, payload = message["type"], message.get("id"), message.get("payload")
    if kind in {"subscribe", "complete"}:
        if not isinstance(id, str):
            return f"`id` of `{kind}` is a string."
        if not id or (kind == "subscribe" and len(id) > ID_MAX_CHARS):
            return f"`id` has 1 to {ID_MAX_CHARS} characters."
    if kind in {"connection_init", "ping", "pong"} and not isinstance(payload, dict | None):
        return f"`payload` of `{kind}` is an object, or left out."
    return None


class _DirectSubscription:
    """A subscription that has begun. Whoever brings an event writes it, at once; only for a socket that takes no more
    does a task wait. A task for each subscription, and a switch to it for every event, would cost more than the event.
    """

    __slots__ = ("_answers", "_context", "_done", "_id", "_prefix", "_session", "_stream", "_transport", "_waiting")

    def __init__(
        self,
        session: _Session,
        id: str,
        context: Context,
        answers: SubscriptionResults,
        stream: InboxStream,
        transport: HubWebSocketProtocol,
    ) -> None:
        self._session = session
        self._transport = transport
        self._id = id
        self._context = context
        self._answers = answers
        self._stream = stream
        self._prefix = b'{"id":' + orjson.dumps(id) + b',"type":"next","payload":'
        self._waiting: asyncio.Task[None] | None = None
        self._done = False

    def start(self) -> None:
        self._stream.on_ready(self._write_available)

    def cancel(self) -> None:
        """Without a word to the client."""
        if not self._done:
            self._done = True
            if self._waiting:
                self._waiting.cancel()
            self._stream.close()

    def _write_available(self) -> None:
        """Writes what there is, as long as the socket takes it."""
        if self._done or self._waiting:
            return
        try:
            while self._transport.can_write:
                answer = self._answers.poll()
                if answer is None:
                    if self._stream.ended:
                        self._end({"id": self._id, "type": "complete"})
                    return
                text = self._prefix + orjson.dumps(answer) + b"}"
                if self._stream.traceparent is None:
                    self._transport.write_text(text)
                else:
                    with tracing.span("deliver", self._stream.traceparent, "CONSUMER"):
                        self._transport.write_text(text)
        except Exception as error:  # noqa: BLE001 - the client is told, not the one who brought the event
            caller = self._context.caller
            with bound_contextvars(tenant=caller.tenant, user=caller.user):
                told = [to_graphql_error(error, self._context.request_id)]
            self._end({"id": self._id, "type": "error", "payload": told})
            return
        self._waiting = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        await self._transport.writable.wait()
        self._waiting = None
        self._write_available()

    def _end(self, message: dict[str, Any]) -> None:
        self._transport.write_text(orjson.dumps(message))
        self._session.forget(self._id, self)
        self.cancel()
