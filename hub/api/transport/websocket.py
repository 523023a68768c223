"""GraphQL over WebSocket, with the `graphql-transport-ws` protocol of the npm package `graphql-ws`.

One task reads the socket. Each operation has a task until it ends. An inbox subscription has a task only until it has
started. After that, its events are written directly (`DirectSubscription`). Every input gets a response that the
protocol defines: a `next` message with errors, an `error` message, or a close code. An open socket is closed with code
4403 when its token expires or its service key is revoked.
"""

import asyncio
import time
from contextlib import aclosing, suppress
from enum import IntEnum
from typing import Any

import orjson
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from hub.api import exact_json
from hub.api.auth import Authenticator
from hub.api.context import Context, Services
from hub.api.errors import to_graphql_error
from hub.api.execution.engine import Engine, GraphQLResponse, SubscriptionResults
from hub.api.execution.operation import Operation, Request, parse_request
from hub.api.rate_limits import to_error
from hub.api.service_key_authenticator import ServiceKeyAuthenticator
from hub.api.transport.direct_subscription import DirectSubscription
from hub.api.transport.keyed_limiter import KeyedLimiter
from hub.api.transport.operation_telemetry import OperationTelemetry
from hub.api.transport.origins import Origins
from hub.api.transport.server_time import ServerTime
from hub.api.transport.uvicorn_protocols import find_protocol
from hub.errors import BadUserInput, HubError, RateLimited, Unavailable
from hub.ids import new_id
from hub.model import Principal, Role
from hub.platform import metrics

PROTOCOL = "graphql-transport-ws"
ID_MAX_CHARS = 128
ABNORMAL_CLOSURE = 1006  # RFC 6455: no close frame
TIMER_MAX_S = 31_536_000.0  # one year; a token may be valid for longer than the maximum of a timer

log = structlog.get_logger(__name__)


class CloseCode(IntEnum):
    """Close codes of the protocol and of RFC 6455."""

    RESTART = 1012
    TRY_AGAIN = 1013  # the npm client does not reconnect after 1011
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    PROTOCOL_NOT_ACCEPTABLE = 4406
    INIT_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY = 4429


class CloseSocket(Exception):
    """Closes the socket with a code and a reason for the client."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class GraphQLOverWebSocket:
    """The WebSocket endpoint."""

    def __init__(
        self, engine: Engine, services: Services, auth: Authenticator, origins: Origins, sockets: KeyedLimiter
    ) -> None:
        self._engine = engine
        self._services = services
        self._auth = auth
        self._origins = origins
        self._sockets = sockets
        self._time = ServerTime(services.hub_clock)

    async def handle(self, socket: WebSocket) -> None:
        """Serve one socket until it is closed. The client may disconnect at any time."""
        accepted = False
        with suppress(WebSocketDisconnect):
            accepted = await self._accept(socket)
        if not accepted:
            return
        metrics.sockets.inc()
        session = _Session(socket, self._engine, self._services)
        mailbox = None
        try:
            caller = await self._initialize(session)
            _free_handshake(socket)
            if caller.role is Role.USER:
                if not self._sockets.acquire(caller.mailbox):
                    raise CloseSocket(
                        CloseCode.TOO_MANY, "Too many open sockets for this user (HUB_USER_MAX_CONNECTIONS)."
                    )
                mailbox = caller.mailbox
            await session.send({"type": "connection_ack", "payload": self._time.payload()})
            with self._time.announced(session.send):
                await session.serve(caller, self._auth.service_keys)
        except CloseSocket as close:
            await session.stop()
            await session.close(close)
        except WebSocketDisconnect:
            pass
        finally:
            await session.stop()
            metrics.sockets.dec()
            if mailbox is not None:
                self._sockets.release(mailbox)

    async def _accept(self, socket: WebSocket) -> bool:
        """Accept the connection, or close it if its origin or protocol is not accepted."""
        if not self._origins.allows(socket.headers.get("origin"), socket.headers.get("host")):
            await socket.close(CloseCode.FORBIDDEN)
            return False
        if PROTOCOL not in socket.scope["subprotocols"]:
            await socket.accept()
            await socket.close(CloseCode.PROTOCOL_NOT_ACCEPTABLE, f"Speak {PROTOCOL}.")
            return False
        await socket.accept(PROTOCOL)
        return True

    async def _initialize(self, session: "_Session") -> Principal:
        """Wait for `connection_init` and return the caller. Raise CloseSocket if the message is missing or invalid."""
        try:
            async with asyncio.timeout(self._services.settings.websocket_init_timeout_s):
                while (message := await session.receive())["type"] in {"ping", "pong"}:
                    await session.reply_to_ping(message)
        except TimeoutError:
            raise CloseSocket(
                CloseCode.INIT_TIMEOUT, "No connection_init in time (HUB_WEBSOCKET_INIT_TIMEOUT_S)."
            ) from None
        if message["type"] != "connection_init":
            raise CloseSocket(CloseCode.UNAUTHORIZED, "Unauthorized: send connection_init first.")
        payload = message.get("payload") or {}
        authorization = payload.get("authorization") or payload.get("Authorization")
        if authorization is not None and not isinstance(authorization, str):
            raise CloseSocket(CloseCode.BAD_REQUEST, "`authorization` must be a string.")
        authorization = authorization or session.socket.headers.get("authorization")
        try:
            return await self._auth.authenticate(authorization, session.socket.scope.get("client"))
        except (Unavailable, RateLimited) as error:
            raise CloseSocket(CloseCode.TRY_AGAIN, error.message) from None
        except HubError as error:
            raise CloseSocket(CloseCode.FORBIDDEN, error.message[:100]) from None


class _Session:
    """The messages and operations of one socket."""

    def __init__(self, socket: WebSocket, engine: Engine, services: Services) -> None:
        self.socket = socket
        self._engine = engine
        self._services = services
        self.protocol = find_protocol(socket.scope)
        self._operations: dict[str, asyncio.Task[None] | DirectSubscription] = {}

    async def serve(self, caller: Principal, keys: ServiceKeyAuthenticator) -> None:
        """Handle messages until the client disconnects (WebSocketDisconnect), or until the client violates the
        protocol, the token expires, or the service key is revoked (CloseSocket)."""
        try:
            async with asyncio.timeout(min(max(0.0, caller.expires_at - time.time()), TIMER_MAX_S)) as timeout:
                with keys.on_end(caller, lambda: None if timeout.expired() else timeout.reschedule(0)):
                    while True:
                        await self._handle(await self.receive(), caller)
        except TimeoutError:
            reason = "The service key has expired or was revoked." if caller.key else "The token has expired."
            raise CloseSocket(CloseCode.FORBIDDEN, reason) from None

    async def stop(self) -> None:
        """Cancel all operations and wait until they have ended."""
        running = list(self._operations.values())
        for operation in running:
            operation.cancel()
        tasks = [operation for operation in running if isinstance(operation, asyncio.Task)]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self, close: CloseSocket) -> None:
        metrics.sockets_closed.labels(str(int(close.code))).inc()
        try:
            await self.socket.close(close.code, close.reason)
        except (RuntimeError, WebSocketDisconnect):
            log.debug("socket_already_closed", code=int(close.code))

    async def receive(self) -> dict[str, Any]:
        """Return the next message. Raise CloseSocket if the message is not a valid object."""
        received = await self.socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        text = received.get("text")
        if text is None:
            raise CloseSocket(CloseCode.BAD_REQUEST, "Messages must be text.")
        try:
            message = exact_json.loads(text, "payload")
        except BadUserInput:
            raise CloseSocket(CloseCode.BAD_REQUEST, "Messages must be JSON.") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise CloseSocket(CloseCode.BAD_REQUEST, "A message must be an object with a `type`.")
        if error := _message_error(message):
            raise CloseSocket(CloseCode.BAD_REQUEST, error)
        return message

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message. Raise WebSocketDisconnect if the socket is closed."""
        if self.socket.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnect(ABNORMAL_CLOSURE)
        await self.socket.send({"type": "websocket.send", "text": orjson.dumps(message).decode()})

    async def reply_to_ping(self, message: dict[str, Any]) -> None:
        """Reply to a ping. A pong gets no reply."""
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
                raise CloseSocket(CloseCode.TOO_MANY, "Send connection_init only once.")
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

    def forget(self, id: str, operation: "asyncio.Task[None] | DirectSubscription") -> None:
        """Remove an operation that has ended. The client may reuse its id."""
        if self._operations.get(id) is operation:
            del self._operations[id]

    async def _run(self, id: str, request: Request, context: Context, traceparent: object) -> None:
        """Run one operation and send its results."""
        telemetry = OperationTelemetry(
            "websocket", context.request_id, traceparent if isinstance(traceparent, str) else None
        )
        telemetry.set_principal(context.caller)
        try:
            if limited := to_error(self._services.rate_limits.check(context.caller)):
                raise limited
            operation = await self._engine.prepare(request, context.request_id)
            cost = 0 if isinstance(operation, list) else operation.cost
            if too_costly := self._services.rate_limits.charge(context.caller, cost):
                raise too_costly
            errors = (
                operation if isinstance(operation, list) else await self._execute(id, operation, context, telemetry)
            )
            if errors is None:
                return
            if errors:
                telemetry.finish({"errors": errors})
                await self.send({"id": id, "type": "error", "payload": errors})
            else:
                await self.send({"id": id, "type": "complete"})
        except WebSocketDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - returned to the client and logged
            errors = [to_graphql_error(error, context.request_id)]
            telemetry.finish({"errors": errors})
            with suppress(WebSocketDisconnect, RuntimeError):  # the socket is already closed
                await self.send({"id": id, "type": "error", "payload": errors})

    async def _execute(
        self, id: str, operation: Operation, context: Context, telemetry: OperationTelemetry
    ) -> list[GraphQLResponse] | None:
        """Send the results. Return the errors that ended the operation (an empty list if the operation completed), or
        None if the operation continues as a direct subscription."""
        telemetry.set_operation(operation)
        if not operation.is_subscription:
            response = await self._engine.run(operation, context)
            if "data" not in response:
                return list(response["errors"])
            telemetry.finish(response)
            await self.send({"id": id, "type": "next", "payload": response})
            return []
        results = await self._engine.subscribe(operation, context)
        if isinstance(results, list):
            return results
        telemetry.finish({})
        if isinstance(results, SubscriptionResults) and results.inbox_stream and self.protocol:
            subscription = self._operations[id] = DirectSubscription(
                self, id, context.caller, results, results.inbox_stream, self.protocol
            )
            subscription.start()
            return None
        async with aclosing(results):
            async for result in results:
                if "data" not in result:
                    return list(result["errors"])
                await self.send({"id": id, "type": "next", "payload": result})
        return []


def _free_handshake(socket: WebSocket) -> None:
    """Free 3 kB that only the handshake and the authentication use, because a socket may be open for days."""
    socket.scope["headers"].clear()  # `socket.headers` has a reference to this list
    socket.scope.clear()


def _message_error(message: dict[str, Any]) -> str | None:
    """Return an error if the format of a message is invalid, else None. Unknown types are not checked."""
    kind, id, payload = message["type"], message.get("id"), message.get("payload")
    if kind in {"subscribe", "complete"}:
        if not isinstance(id, str):
            return f"`id` of `{kind}` must be a string."
        if not id or (kind == "subscribe" and len(id) > ID_MAX_CHARS):
            return f"`id` must have 1 to {ID_MAX_CHARS} characters."
    if kind in {"connection_init", "ping", "pong"} and not isinstance(payload, dict | None):
        return f"`payload` of `{kind}` must be an object or left out."
    return None
