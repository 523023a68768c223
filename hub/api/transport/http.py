"""GraphQL over HTTP and server-sent events.

The endpoint accepts `POST` requests with a JSON body, and `GET` requests for queries (GraphQL over HTTP). A client that
accepts `text/event-stream` receives the results as server-sent events (graphql-sse, distinct connections mode): one
`next` event per result, then `complete`.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any

from msgspec import Struct
from pymongo.errors import PyMongoError
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hub.api.auth import Authenticator
from hub.api.context import Context, Services
from hub.api.errors import to_graphql_error
from hub.api.exact_json import loads
from hub.api.execution.engine import Engine, GraphQLResponse, SubscriptionResults, encode
from hub.api.execution.idempotency import IdempotentResponses
from hub.api.execution.operation import Operation, Request, parse_request, root_fields
from hub.api.rate_limits import rate_limit_headers, to_error
from hub.api.schema.validation import valid_idempotency_key
from hub.api.transport.keyed_limiter import RETRY_AFTER_S, KeyedLimiter
from hub.api.transport.media_types import (
    EVENTS,
    GRAPHQL_JSON,
    JSON,
    UNSUPPORTED_TYPE_HEADERS,
    check_encoding,
    check_type,
    parse_accept,
)
from hub.api.transport.operation_telemetry import OperationTelemetry, valid_request_id
from hub.errors import HubError, RateLimited, TooLarge, Unauthenticated, Unavailable, WrongMediaType
from hub.model import Role
from hub.platform import tracing
from hub.platform.connections import is_outage
from hub.platform.rate_limiter import RateLimitResult

ERROR_HEADERS = {Unauthenticated: {"www-authenticate": "Bearer"}, WrongMediaType: UNSUPPORTED_TYPE_HEADERS}
KEEPALIVE_S = 12.0  # comments prevent proxies from closing idle streams
METHODS = ["GET", "POST"]
WaitShutdown = Callable[[], Coroutine[Any, Any, object]]


class _Exchange(Struct):
    """One HTTP request and the format of the response."""

    scope: Scope
    receive: Receive
    headers: Mapping[str, str]
    accept: str
    """The media type of the response."""
    telemetry: OperationTelemetry

    def json(self, response: GraphQLResponse, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        return _JSONResponse(response, self.accept, status, headers)

    def error(self, error: HubError, headers: Mapping[str, str] | None = None) -> Response:
        return self.json({"errors": [to_graphql_error(error, self.telemetry.request_id)]}, error.status, headers)

    def bad_request(self, message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
        return self.json({"errors": [{"message": message, "extensions": {"code": "BAD_USER_INPUT"}}]}, status, headers)

    @property
    def not_executed_status(self) -> int:
        """The HTTP status for a well-formed request whose operation was not executed. For `application/json`, the
        status is 200, as older clients expect."""
        return 200 if self.accept == JSON else 400


class GraphQLOverHTTP:
    """The ASGI endpoint. It does not use Starlette routing, which would take longer than the endpoint itself."""

    def __init__(
        self,
        engine: Engine,
        services: Services,
        auth: Authenticator,
        idempotent_responses: IdempotentResponses,
        sockets: KeyedLimiter,
    ) -> None:
        self._engine = engine
        self._services = services
        self._auth = auth
        self._idempotent_responses = idempotent_responses
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        if "accept" in headers:  # the request may have several `Accept` headers
            headers["accept"] = ",".join(
                value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"
            )
        accept = parse_accept(headers.get("accept", "")).single
        telemetry = OperationTelemetry(
            "sse" if accept == EVENTS else "http",
            valid_request_id(headers.get("x-request-id")),
            headers.get("traceparent") if tracing.enabled() else None,
        )
        try:
            response = await self._respond(_Exchange(scope, receive, headers, accept, telemetry))
        except Exception as error:  # noqa: BLE001 - returned to the client and logged
            errors = [to_graphql_error(error, telemetry.request_id)]
            response = _JSONResponse({"errors": errors}, accept, HubError.status)
        if isinstance(response, _JSONResponse):
            telemetry.finish(response.content)
        response.raw_headers.append((b"x-request-id", telemetry.request_id.encode()))
        await response(scope, receive, send)

    async def _respond(self, exchange: _Exchange) -> Response:
        """Authenticate, limit, read, prepare, and execute one request."""
        telemetry, headers = exchange.telemetry, exchange.headers
        try:
            caller = await self._auth.authenticate(headers.get("authorization"), exchange.scope.get("client"))
            telemetry.set_principal(caller)
            limits = self._services.rate_limits.check(caller)
            if limited := to_error(limits):
                return exchange.error(limited, rate_limit_headers(limits))
            request, body_bytes = await self._read(exchange)
            key = valid_idempotency_key(headers.get("idempotency-key"), "Idempotency-Key")
            operation = await self._engine.prepare(request, telemetry.request_id)
        except RateLimited as error:
            return exchange.error(error, {"retry-after": str(math.ceil(error.retry_after_s))})
        except HubError as error:
            return exchange.error(error, ERROR_HEADERS.get(type(error)))
        except ClientDisconnect:
            return Response(status_code=400)
        if isinstance(operation, list):
            return exchange.json({"errors": operation}, exchange.not_executed_status)
        telemetry.set_operation(operation)
        if too_costly := self._services.rate_limits.charge(caller, operation.cost):
            return exchange.error(too_costly, {"retry-after": str(math.ceil(too_costly.retry_after_s))})
        if operation.is_subscription and parse_accept(headers.get("accept", "")).events:
            exchange.accept = EVENTS
            telemetry.set_streaming()
        if rejection := self._reject(exchange, operation, body_bytes):
            return rejection
        context = Context(caller, self._services, telemetry.request_id, key)
        if operation.is_subscription:
            return self._subscribe(exchange, operation, context)
        return await self._execute(exchange, operation, context, limits)

    async def _read(self, exchange: _Exchange) -> tuple[Request, int]:
        """Return the GraphQL request and the size of the body in bytes. Raise BadUserInput, WrongMediaType, TooLarge,
        or ClientDisconnect."""
        scope, headers = exchange.scope, exchange.headers
        if scope["method"] == "GET":
            query = QueryParams(scope["query_string"])
            parameters = {
                "query": query.get("query"),
                "operationName": query.get("operationName"),
                **{name: loads(query[name], name) for name in ("variables", "extensions") if name in query},
            }
            return parse_request(parameters), 0
        check_type(headers.get("content-type", ""), headers.get("content-encoding", ""))
        settings = self._services.settings
        body = bytearray()
        more = True
        while more:
            message = await exchange.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > settings.send_many_max_bytes:
                raise TooLarge(
                    f"The body is larger than {settings.send_many_max_bytes} bytes (HUB_SEND_MANY_MAX_BYTES)."
                )
        check_encoding(body)
        return parse_request(loads(bytes(body), "body")), len(body)

    def _reject(self, exchange: _Exchange, operation: Operation, body_bytes: int) -> Response | None:
        """Return an error if the method, size, or `Accept` header is not allowed for the operation, else None."""
        allows_get = operation.is_query or (operation.is_subscription and exchange.accept == EVENTS)
        if exchange.scope["method"] == "GET" and not allows_get:
            return exchange.bad_request("GET is for queries: POST this one.", 405, {"allow": "POST"})
        request_max_bytes = self._services.settings.request_max_bytes
        if body_bytes > request_max_bytes and "sendMany" not in root_fields(operation):
            return exchange.error(
                TooLarge(f"The body is larger than {request_max_bytes} bytes (HUB_REQUEST_MAX_BYTES).")
            )
        if operation.is_subscription and exchange.accept != EVENTS:
            return exchange.bad_request(f"Subscribe over a WebSocket, or accept {EVENTS}.", 400)
        return None

    def _subscribe(self, exchange: _Exchange, operation: Operation, context: Context) -> Response:
        """Return the event stream of a subscription. Streams and WebSockets share one limit per user."""
        caller = context.caller
        mailbox = caller.mailbox if caller.role is Role.USER else None
        if mailbox and not self._sockets.acquire(mailbox):
            message = "Too many open sockets and streams for this user (HUB_USER_MAX_CONNECTIONS)."
            return exchange.error(RateLimited(message, RETRY_AFTER_S), {"retry-after": f"{RETRY_AFTER_S:.0f}"})
        revoked = asyncio.Event()
        results = self._subscription_results(operation, context, exchange.telemetry, revoked)
        stream = _event_stream(results, self._services.shutdown.wait_turn, caller.expires_at, revoked)
        return _LimitedStream(stream, self._sockets, mailbox) if mailbox else stream

    async def _execute(
        self, exchange: _Exchange, operation: Operation, context: Context, limits: RateLimitResult | None
    ) -> Response:
        """Execute a query or a mutation, or replay its stored response."""
        try:
            response = await self._idempotent_responses.run(operation, context, self._engine)
        except HubError as error:
            return exchange.error(error)
        except PyMongoError as error:
            status = Unavailable.status if is_outage(error) else HubError.status
            return exchange.json({"errors": [to_graphql_error(error, context.request_id)]}, status)
        if exchange.accept == EVENTS:
            exchange.telemetry.finish(response)
            return _event_stream(_single_result(response), asyncio.Event().wait)
        status = 200 if "data" in response else exchange.not_executed_status
        return exchange.json(response, status, rate_limit_headers(limits))

    async def _subscription_results(
        self, operation: Operation, context: Context, telemetry: OperationTelemetry, revoked: asyncio.Event
    ) -> AsyncGenerator[GraphQLResponse, None]:
        """Yield the responses of a subscription. Set `revoked` if the caller's service key is revoked meanwhile."""
        with self._auth.service_keys.on_end(context.caller, revoked.set):
            async with aclosing(self._results(operation, context, telemetry)) as results:
                async for result in results:
                    yield result

    async def _results(
        self, operation: Operation, context: Context, telemetry: OperationTelemetry
    ) -> AsyncGenerator[GraphQLResponse, None]:
        try:
            results = await self._engine.subscribe(operation, context)
        except Exception as error:  # noqa: BLE001 - returned to the client and logged
            results = [to_graphql_error(error, context.request_id)]
        if isinstance(results, list):
            failure = {"errors": results}
            telemetry.finish(failure)
            yield failure
            return
        telemetry.finish({})
        async with aclosing(results):
            async for result in results:
                started_ns = time.time_ns()
                yield result  # the next result is requested after this result is written
                if (
                    isinstance(results, SubscriptionResults)
                    and results.inbox_stream
                    and results.inbox_stream.traceparent
                ):
                    tracing.record("deliver", results.inbox_stream.traceparent, started_ns, "CONSUMER")


class _JSONResponse(Response):
    """A GraphQL response as JSON."""

    def __init__(
        self, content: GraphQLResponse, accept: str, status: int, headers: Mapping[str, str] | None = None
    ) -> None:
        self.content = content
        media_type = GRAPHQL_JSON if accept == GRAPHQL_JSON else JSON
        super().__init__(
            encode(content),
            status,
            {"cache-control": "no-store", **(headers or {})},
            f"{media_type}; charset=utf-8",
        )


def _event_stream(
    results: AsyncGenerator[GraphQLResponse, None],
    wait_shutdown: WaitShutdown,
    expires_at: float = math.inf,
    revoked: asyncio.Event | None = None,
) -> Response:
    return StreamingResponse(
        _write_events(results, wait_shutdown, expires_at, revoked or asyncio.Event()),
        media_type=EVENTS,
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


class _LimitedStream(Response):
    """An event stream that holds one of its user's socket slots until it ends."""

    def __init__(self, stream: Response, sockets: KeyedLimiter, mailbox: str) -> None:
        self._stream = stream
        self.raw_headers = stream.raw_headers
        self._sockets = sockets
        self._mailbox = mailbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._stream(scope, receive, send)
        finally:
            self._sockets.release(self._mailbox)


async def _write_events(
    results: AsyncGenerator[GraphQLResponse, None],
    wait_shutdown: WaitShutdown,
    expires_at: float,
    revoked: asyncio.Event,
) -> AsyncIterator[bytes]:
    """Yield the events, and a comment after each KEEPALIVE_S without events.

    When `wait_shutdown` returns, the stream ends without `complete`, so clients reconnect. When the token or key
    expires at `expires_at` (Unix time) or is `revoked`, the last event is an error."""
    yield b":\n\n"
    stop = asyncio.ensure_future(wait_shutdown())
    end = asyncio.ensure_future(revoked.wait())
    upcoming = asyncio.ensure_future(anext(results, None))
    try:
        while True:
            timeout_s = min(KEEPALIVE_S, max(0.0, expires_at - time.time()))
            await asyncio.wait({upcoming, stop, end}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return
            if end.done() or time.time() >= expires_at:
                reason = "The service key was revoked." if end.done() else "The token or service key has expired."
                yield _next_event({"errors": [to_graphql_error(Unauthenticated(reason), "")]})
                break
            if not upcoming.done():
                yield b":\n\n"
                continue
            result = upcoming.result()
            if result is None:
                break
            yield _next_event(result)
            upcoming = asyncio.ensure_future(anext(results, None))
        yield b"event: complete\ndata:\n\n"
    finally:
        stop.cancel()
        end.cancel()
        upcoming.cancel()
        await asyncio.wait({upcoming})
        await results.aclose()


def _next_event(result: GraphQLResponse) -> bytes:
    return b"event: next\ndata: " + encode(result) + b"\n\n"


async def _single_result(result: GraphQLResponse) -> AsyncGenerator[GraphQLResponse, None]:
    yield result
