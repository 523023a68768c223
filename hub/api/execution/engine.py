"""Executes operations for all transports: HTTP, server-sent events, and WebSocket."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from inspect import isawaitable
from typing import Any

import orjson
from cachetools import LRUCache
from graphql import (
    DocumentNode,
    ExecutionResult,
    Executor,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    create_source_event_stream,
    get_operation_ast,
    map_source_to_response_event,
)
from msgspec.structs import replace

from hub.api.context import Context, PersistedQueries
from hub.api.errors import format_error, format_errors, to_graphql_error
from hub.api.execution.cooperative import CooperativeExecutor
from hub.api.execution.fast_path.broadcast_encoder import EncodeRow, compile_row_encoder
from hub.api.execution.fast_path.compiled import CompiledOperations, resolve_projected, single_root_field
from hub.api.execution.fast_path.projection import Getter
from hub.api.execution.input_errors import with_variable_fields
from hub.api.execution.masking import ResponseMask
from hub.api.execution.operation import Operation, Request, root_fields
from hub.api.execution.persisted_queries import OperationAllowlist, read_manifest
from hub.api.execution.query_cache import CACHE_SIZE, CACHED_TEXT_MAX, QueryCache
from hub.api.execution.query_cost import Cost, QueryCosts
from hub.api.schema.inbox_stream import InboxStream
from hub.api.schema.reader_language import reader_language
from hub.errors import PersistedQueryNotFound
from hub.live.message_codec import BroadcastRow
from hub.live.subscription_feed import SharedBroadcast
from hub.model import Role
from hub.platform.translations import Language
from hub.settings import Settings

TRANSLATED_FIELD = "because"
"""A query that contains this word may select the field whose value depends on the reader's language."""
WATCHED_SEND = "send"
"""The subscription whose events may require queries, such as for the recipients of a send that is EXPANDING."""
GraphQLResponse = dict[str, Any]
"""A GraphQL response with `data` and `errors`. A response without `data` means that nothing was executed."""


class Engine:
    def __init__(self, schema: GraphQLSchema, settings: Settings, persisted_queries: PersistedQueries) -> None:
        """Raise ConfigurationError if HUB_OPERATION_ALLOWLIST names an invalid manifest."""
        self.schema = schema
        self._query_cache = QueryCache(schema, settings)
        self._hide_suggestions = not self._query_cache.introspection
        self._persisted = persisted_queries
        if settings.operation_allowlist:
            self._persisted = read_manifest(settings.operation_allowlist, self._query_cache.pin)
        self._compiled = CompiledOperations(
            schema, enabled=settings.fast_execution, hide_suggestions=self._hide_suggestions
        )
        self._query_costs = QueryCosts(schema, settings)
        self._compiled_costs: LRUCache[tuple[str, str | None], Cost] = LRUCache(CACHE_SIZE)

    async def prepare(self, request: Request, request_id: str) -> Operation | list[GraphQLResponse]:
        """Return the operation, or its errors.

        Raise OperationNotAllowed, or BadUserInput for a hash that does not match the query.
        """
        if request.hash or isinstance(self._persisted, OperationAllowlist):
            try:
                request = replace(request, query=await self._persisted.resolve(request.hash, request.query))
            except PersistedQueryNotFound as error:
                return [to_graphql_error(error, request_id)]
        document = self._query_cache.get(request.query)
        if isinstance(document, Sequence):
            return [format_error(error, request_id) for error in document]
        node = get_operation_ast(document, request.operation_name)
        if node is None:
            message = "Set `operationName` to one of the document's operations."
            return [format_error(GraphQLError(message), request_id)]
        cost, cost_error = self._cost(request, document, node)
        if cost_error:
            return [format_error(cost_error, request_id)]
        if request.hash:
            await self._persisted.store(request.hash, request.query)
        return Operation(request, document, node, cost)

    def _cost(
        self, request: Request, document: DocumentNode, node: OperationDefinitionNode
    ) -> tuple[float, GraphQLError | None]:
        cost = self._compiled_costs.get(request.cache_key)
        if cost is None:
            cost = self._query_costs.compile(document, node)
            if len(request.query) <= CACHED_TEXT_MAX:
                self._compiled_costs[request.cache_key] = cost
        return self._query_costs.check(cost, request.variables or {})

    async def run(self, operation: Operation, context: Context) -> GraphQLResponse:
        """Execute a query or mutation. All reads of a query share one deadline."""
        if operation.is_query:
            with context.reading():
                response = await self._run(operation, context)
        else:
            response = await self._run(operation, context)
        if context.caller.role is Role.VIEWER:
            return ResponseMask(self.schema, operation).apply(response)
        return response

    async def _run(self, operation: Operation, context: Context) -> GraphQLResponse:
        executor = self._executor(operation, context)
        if isinstance(executor, list):
            return _to_response(ExecutionResult(None, executor), context.request_id)
        if TRANSLATED_FIELD in operation.request.query:
            await context.load_language()
            reader_language.set(context.language)
        root_field = single_root_field(operation.node)
        if root_field and (projection := self._compiled.projection(operation, executor)):
            return _to_response(await resolve_projected(root_field, executor, projection), context.request_id)
        result = executor.execute_operation()
        if isawaitable(result):
            result = await result
        assert isinstance(result, ExecutionResult)
        return _to_response(result, context.request_id)

    async def subscribe(
        self, operation: Operation, context: Context
    ) -> "SubscriptionResults | AsyncGenerator[GraphQLResponse, None] | list[GraphQLResponse]":
        """Return the responses of a subscription, or the errors that prevented its start."""
        results = await self._subscribe(operation, context)
        if context.caller.role is Role.VIEWER and not isinstance(results, list):
            return ResponseMask(self.schema, operation).apply_each(results)
        return results

    async def _subscribe(
        self, operation: Operation, context: Context
    ) -> "SubscriptionResults | AsyncGenerator[GraphQLResponse, None] | list[GraphQLResponse]":
        executor = self._executor(operation, context)
        if isinstance(executor, list):
            return [format_error(error, context.request_id) for error in executor]
        if TRANSLATED_FIELD in operation.request.query:
            await context.load_language()
        projection = self._compiled.projection(operation, executor)
        stream = create_source_event_stream(executor)
        if isawaitable(stream):
            stream = await stream
        if isinstance(stream, ExecutionResult):
            return format_errors(stream.errors or (), context.request_id)
        fields = root_fields(operation)  # empty if a fragment contains one
        projectable = isinstance(stream, InboxStream) or bool(fields and WATCHED_SEND not in fields)
        if projection is None or not projectable:
            return _execute_events(executor, stream, context)
        return SubscriptionResults(stream, projection, context.request_id, context.language)

    def _executor(self, operation: Operation, context: Context) -> Executor[Any] | list[GraphQLError]:
        """Return an executor with the values of the variables, or the errors of the variables."""
        built = self._compiled.executor(operation, context) or CooperativeExecutor.build(
            self.schema,
            operation.document,
            context_value=context,
            raw_variable_values=operation.request.variables,
            operation_name=operation.request.operation_name,
            hide_suggestions=self._hide_suggestions,
        )
        return with_variable_fields(built, operation.node) if isinstance(built, list) else built


async def _execute_events(
    executor: Executor[Any], stream: Any, context: Context
) -> AsyncGenerator[GraphQLResponse, None]:
    """Yield the responses of a subscription that cannot be projected."""
    try:
        async with aclosing(map_source_to_response_event(executor, _events(stream, context))) as results:
            async for result in results:
                yield _to_response(result, context.request_id)
    except Exception as error:  # noqa: BLE001 - becomes the last response
        yield {"errors": [to_graphql_error(error, context.request_id)]}


async def _events(stream: Any, context: Context) -> AsyncGenerator[Any, None]:
    """Yield the events of a stream. The reads of each event share one deadline."""
    async with aclosing(stream):
        async for event in stream:
            context.start_event()
            yield event


class SubscriptionResults:
    """The projected responses of a subscription, as an async iterator. An error is returned as the last response."""

    __slots__ = ("_failed", "_language", "_projection", "_stream", "request_id")

    def __init__(self, stream: Any, projection: Getter, request_id: str, language: Language | None) -> None:
        self._language = language
        self._stream = stream
        self._projection = projection
        self.request_id = request_id
        self._failed = False

    def __aiter__(self) -> "SubscriptionResults":
        return self

    async def __anext__(self) -> GraphQLResponse:
        if self._failed:
            raise StopAsyncIteration
        try:
            event = await anext(self._stream)
            reader_language.set(self._language)
            return {"data": self._projection(event)}
        except StopAsyncIteration:
            raise
        except Exception as error:  # noqa: BLE001 - becomes the last response
            self._failed = True
            return {"errors": [to_graphql_error(error, self.request_id)]}

    async def aclose(self) -> None:
        await self._stream.aclose()

    @property
    def inbox_stream(self) -> InboxStream | None:
        """The stream if it supports `poll`, else None."""
        return self._stream if isinstance(self._stream, InboxStream) else None

    def poll(self) -> GraphQLResponse | None:
        """Return the next response, or None if no response is ready."""
        event = self._stream.poll()
        if event is None:
            return None
        reader_language.set(self._language)
        return {"data": self._projection(event)}

    def encode_row(self, shared: SharedBroadcast, row: BroadcastRow) -> bytes | None:
        """Return the response for a row of a broadcast as JSON. Return None for the first subscription with this
        operation and language, because compiling the encoder costs more than one event."""
        key = self._projection, self._language
        if key not in shared.encoders:
            shared.encoders[key] = None
            return None
        encode: EncodeRow | None = shared.encoders[key]
        if encode is None:
            reader_language.set(self._language)
            encode = compile_row_encoder(self._projection, shared.broadcast.notification, self._stream.now_s())
            shared.encoders[key] = encode
        return encode(row)


def _to_response(result: ExecutionResult, request_id: str) -> GraphQLResponse:
    response: GraphQLResponse = {}
    if result.errors:
        response["errors"] = format_errors(result.errors, request_id)
    if result.data is not None or not _failed_before_execution(result):
        response["data"] = result.data
    return response


def _failed_before_execution(result: ExecutionResult) -> bool:
    """Return True for an error in a variable. Such an error has no path."""
    return any(error.path is None for error in result.errors or ())


def encode(response: GraphQLResponse) -> bytes:
    """Return a response as JSON."""
    return orjson.dumps(response)
