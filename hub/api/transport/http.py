"""GraphQL over HTTP and SSE.

POST with a JSON body, GET for queries (GraphQL over HTTP). A client that accepts `text/event-stream` gets the answers
as server-sent events (graphql-sse, distinct connections): `next` for each, `complete` at the end.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

from graphql import OperationType
from pymongo.errors import PyMongoError
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hub.api.auth import Authenticator
from hub.api.context import Context, Services
from hub.api.errors import to_graphql_error
from hub.api.execution.engine import Engine, GraphQLResponse, Operation, Request, encode, parse_request, root_fields
from hub.api.execution.engine import SubscriptionResults as Told
from hub.api.execution.idempotency import IdempotentResponses
from hub.api.rate_limits import rate_limit_headers, to_error
from hub.api.request_json import loads
from hub.api.schema.inputs import valid_idempotency_key
from hub.api.transport.concurrency import RETRY_AFTER_S, KeyedLimiter
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

ERROR_HEADERS = {Unauthenticated: {"www-authenticate": "Bearer"}, WrongMediaType: UNSUPPORTED_TYPE_HEADERS}
KEEPALIVE_S = 12.0  # a comment keeps idle streams open through proxies
METHODS = ["GET", "POST"]


class GraphQLOverHTTP:
    def __init__(
        self,
        engine: Engine,
        services: Services,
        auth: Authenticator,
        answers: IdempotentResponses,
        sockets: KeyedLimiter,
    ) -> None:
        self._engine = engine
        self._services = services
        self._auth = auth
        self._answers = answers
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI: Starlette's wrapping of requests and endpoints costs more than ours."""
        said = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        if "accept" in said:  # it may come in several lines
            said["accept"] = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
        accept = parse_accept(said.get("accept", "")).single
        transport = "sse" if accept == EVENTS else "http"
        visit = OperationTelemetry(
            transport,
            valid_request_id(said.get("x-request-id")),
            said.get("traceparent") if tracing.enabled() else None,
        )
        try:
            response = await self._handle(scope, receive, said, accept, visit)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told, and the log
            response = _json({"errors": [to_graphql_error(error, visit.request_id)]}, accept, HubError.status)
        if isinstance(response, _GraphQLResponse):
            visit.finish(response.answer)
        response.raw_headers.append((b"x-request-id", visit.request_id.encode()))
        await response(scope, receive, send)

    async def _handle(
        self, scope: Scope, receive: Receive, said: Mapping[str, str], accept: str, visit: OperationTelemetry
    ) -> Response:
        request_id = visit.request_id
        try:
            caller = await self._auth.authenticate(said.get("authorization"))
            visit.set_principal(caller)
            verdict = self._services.rate_limits.check(caller)
            if limited := to_error(verdict):
                return _json(
                    {"errors": [to_graphql_error(limited, request_id)]},
                    accept,
                    limited.status,
                    rate_limit_headers(verdict),
                )
            request, size = await self._read(scope, receive, said)
            key = valid_idempotency_key(said.get("idempotency-key"), "Idempotency-Key")
            operation = await self._engine.prepare(request, request_id)
        except HubError as error:
            return _json(
                {"errors": [to_graphql_error(error, request_id)]}, accept, error.status, ERROR_HEADERS.get(type(error))
            )
        except ClientDisconnect:
            return Response(status_code=400)
        if isinstance(operation, list):
            return _json({"errors": operation}, accept, _status(accept))
        visit.set_operation(operation)
        if too_costly := self._services.rate_limits.charge(caller, operation.cost):
            told = {"retry-after": str(math.ceil(too_costly.retry_after_s))}
            return _json({"errors": [to_graphql_error(too_costly, request_id)]}, accept, too_costly.status, told)
        if operation.kind is OperationType.SUBSCRIPTION and parse_accept(said.get("accept", "")).events:
            accept = EVENTS
            visit.set_streaming()
        readable = {OperationType.QUERY, OperationType.SUBSCRIPTION} if accept == EVENTS else {OperationType.QUERY}
        if scope["method"] == "GET" and operation.kind not in readable:
            refusing = {"message": "GET is for queries: POST this one.", "extensions": {"code": "BAD_USER_INPUT"}}
            return _json({"errors": [refusing]}, accept, 405, {"allow": "POST"})
        if size > self._services.settings.request_max_bytes and "sendMany" not in root_fields(operation):
            fault = TooLarge(
                f"The body is larger than {self._services.settings.request_max_bytes} bytes (HUB_REQUEST_MAX_BYTES)."
            )
            return _json({"errors": [to_graphql_error(fault, request_id)]}, accept, fault.status)
        context = Context(caller, self._services, request_id, key)
        closing = self._services.shutting_down
        if operation.kind is OperationType.SUBSCRIPTION:
            if accept != EVENTS:
                message = f"Subscribe over a WebSocket, or accept {EVENTS}."
                return _json({"errors": [{"message": message, "extensions": {"code": "BAD_USER_INPUT"}}]}, accept, 400)
            held = caller.mailbox if caller.role is Role.USER else None
            if held and not self._sockets.acquire(held):
                full = RateLimited(
                    "Too many open sockets and streams for this user (HUB_USER_MAX_CONNECTIONS).", RETRY_AFTER_S
                )
                told = {"retry-after": f"{RETRY_AFTER_S:.0f}"}
                return _json({"errors": [to_graphql_error(full, request_id)]}, accept, full.status, told)
            events = _event_stream(self._subscription(operation, context, visit), closing, caller.expires_at)
            return _LimitedStream(events, self._sockets, held) if held else events
        try:
            answer = await self._answers.run(operation, context, self._engine)
        except HubError as error:
            return _json({"errors": [to_graphql_error(error, request_id)]}, accept, error.status)
        except PyMongoError as error:
            status = Unavailable.status if is_outage(error) else HubError.status
            return _json({"errors": [to_graphql_error(error, request_id)]}, accept, status)
        if accept == EVENTS:
            visit.finish(answer)
            return _event_stream(_single_result(answer), closing, math.inf)
        return _json(answer, accept, 200 if "data" in answer else _status(accept), rate_limit_headers(verdict))

    async def _read(self, scope: Scope, receive: Receive, said: Mapping[str, str]) -> tuple[Request, int]:
        """The request as the client wrote it, and the bytes of its body; BadUserInput or TooLarge if it can't be
        one."""
        if scope["method"] == "GET":
            query = QueryParams(scope["query_string"])
            given = {
                "query": query.get("query"),
                "operationName": query.get("operationName"),
                **{name: loads(query[name], name) for name in ("variables", "extensions") if name in query},
            }
            return parse_request(given), 0
        check_type(said.get("content-type", ""), said.get("content-encoding", ""))
        settings = self._services.settings
        body = bytearray()
        more = True
        while more:
            message = await receive()
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

    async def _subscription(
        self, operation: Operation, context: Context, visit: OperationTelemetry
    ) -> AsyncGenerator[GraphQLResponse, None]:
        try:
            answers = await self._engine.subscribe(operation, context)
        except Exception as error:  # noqa: BLE001 - the client is told, and the log
            answers = [to_graphql_error(error, context.request_id)]
        if isinstance(answers, list):
            failed = {"errors": answers}
            visit.finish(failed)
            yield failed
            return
        visit.finish({})
        async with aclosing(answers):
            async for answer in answers:
                began_ns = time.time_ns()
                yield answer  # asked for the next, it is written
                if isinstance(answers, Told) and answers.inbox_stream and answers.inbox_stream.traceparent:
                    tracing.record("deliver", answers.inbox_stream.traceparent, began_ns, "CONSUMER")


def _status(accept: str) -> int:
    """Of a well-formed request whose GraphQL was not run: with `application/json` 200, as older clients expect."""
    return 200 if accept == JSON else 400


class _GraphQLResponse(Response):
    """A whole answer."""

    answer: GraphQLResponse


def _json(answer: GraphQLResponse, accept: str, status: int, headers: dict[str, str] | None = None) -> Response:
    media = GRAPHQL_JSON if accept == GRAPHQL_JSON else JSON
    kept = {"cache-control": "no-store"}  # nothing here is for others, or for later
    response = _GraphQLResponse(encode(answer), status, kept | (headers or {}), f"{media}; charset=utf-8")
    response.answer = answer
    return response


def _event_stream(
    answers: AsyncGenerator[GraphQLResponse, None], closing: asyncio.Event, expires_at: float
) -> Response:
    return StreamingResponse(
        _write_events(answers, closing, expires_at),
        media_type=EVENTS,
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


class _LimitedStream(Response):
    """An event stream that has a place among its user's sockets, and leaves it however it ends."""

    def __init__(self, events: Response, sockets: KeyedLimiter, mailbox: str) -> None:
        self._events = events
        self.raw_headers = events.raw_headers
        self._sockets = sockets
        self._mailbox = mailbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._events(scope, receive, send)
        finally:
            self._sockets.release(self._mailbox)


async def _write_events(
    answers: AsyncGenerator[GraphQLResponse, None], closing: asyncio.Event, expires_at: float
) -> AsyncIterator[bytes]:
    """Events, and a comment now and then while there are none. When the process stops the stream just ends: a client
    that saw no `complete` comes back. When its token expires, at `expires_at`, the last event says so."""
    yield b":\n\n"
    stop = asyncio.ensure_future(closing.wait())
    following = asyncio.ensure_future(anext(answers, None))
    try:
        while True:
            quiet_s = min(KEEPALIVE_S, max(0.0, expires_at - time.time()))
            await asyncio.wait({following, stop}, timeout=quiet_s, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return
            if time.time() >= expires_at:
                yield _next_event({"errors": [to_graphql_error(Unauthenticated("The token has expired."), "")]})
                break
            if not following.done():
                yield b":\n\n"
                continue
            answer = following.result()
            if answer is None:
                break
            yield _next_event(answer)
            following = asyncio.ensure_future(anext(answers, None))
        yield b"event: complete\ndata:\n\n"
    finally:
        stop.cancel()
        following.cancel()
        await asyncio.wait({following})
        await answers.aclose()


def _next_event(answer: GraphQLResponse) -> bytes:
    return b"event: next\ndata: " + encode(answer) + b"\n\n"


async def _single_result(answer: GraphQLResponse) -> AsyncGenerator[GraphQLResponse, None]:
    yield answer
