"""Runs operations: one entrance for HTTP, SSE and WebSocket."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from inspect import isawaitable
from typing import Any

import orjson
from cachetools import LRUCache
from graphql import (
    ExecutionResult,
    Executor,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    create_source_event_stream,
    default_field_resolver,
    default_type_resolver,
    get_operation_ast,
    is_non_null_type,
    located_error,
    map_source_to_response_event,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path
from msgspec import Struct
from msgspec.structs import replace

from hub.api.context import Context, PersistedQueries
from hub.api.errors import format_error, format_errors, to_graphql_error
from hub.api.execution.cooperative import CooperativeExecutor
from hub.api.execution.persisted_queries import OperationAllowlist, read_manifest
from hub.api.execution.projection import Getter, NotProjectable, SelectionCompiler
from hub.api.execution.query_cache import CACHE_SIZE, CACHED_TEXT_MAX, QueryCache
from hub.api.execution.query_cost import Cost, QueryCosts
from hub.api.execution.variables import CoerceVariables, compile_coercion
from hub.api.schema.inbox_stream import InboxStream
from hub.api.schema.reader_language import reader_language
from hub.errors import BadUserInput, PersistedQueryNotFound
from hub.platform.translations import Language
from hub.settings import Settings

TRANSLATED_FIELD = "because"
"""A text with this word in it may ask for the field whose value is in the reader's language."""
DEFAULT_RESOLVERS = default_field_resolver, default_type_resolver, default_field_resolver
GraphQLResponse = dict[str, Any]
"""A GraphQL response: `data`, `errors`. Without `data` nothing was run."""


class Request(Struct, frozen=True):
    """What a client wants run. `query` may be empty where there is a `hash` of it."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    hash: str = ""


class Operation(Struct, frozen=True):
    """A request that is well-formed: document and operation."""

    request: Request
    document: Any
    node: OperationDefinitionNode
    cost: float

    @property
    def kind(self) -> OperationType:
        return self.node.operation


class CompiledOperation(Struct, frozen=True):
    """What is worked out once for an operation's text: how its variables become values, its fragments, and how a value
    becomes its answer. `root` is None where it has to be executed."""

    coerce: CoerceVariables
    fragment_definitions: dict[str, FragmentDefinitionNode]
    fragments: dict[str, FragmentDetails]
    projection: Getter | None


class Engine:
    """Raises settings.ConfigurationError where the manifest of operations is no good."""

    def __init__(self, schema: GraphQLSchema, settings: Settings, taught: PersistedQueries) -> None:
        self._schema = self.schema = schema
        self._query_cache = QueryCache(schema, settings)
        self._persisted: PersistedQueries = taught
        if settings.operation_allowlist:
            self._persisted = read_manifest(settings.operation_allowlist, self._query_cache.pin)
        self._compiled: LRUCache[tuple[str, str | None], CompiledOperation] = LRUCache(CACHE_SIZE)
        self._query_costs = QueryCosts(schema, settings)
        self._compiled_costs: LRUCache[tuple[str, str | None], Cost] = LRUCache(CACHE_SIZE)

    async def prepare(self, request: Request, request_id: str) -> Operation | list[GraphQLResponse]:
        """Return the operation, or its errors.

        Raise OperationNotAllowed, or BadUserInput for a hash that does not match the query."""
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
            message = "Name one of the document's operations in `operationName`."
            return [format_error(GraphQLError(message), request_id)]
        cost, too_much = self._cost(request, document, node)
        if too_much:
            return [format_error(too_much, request_id)]
        if request.hash:
            await self._persisted.store(request.hash, request.query)
        return Operation(request, document, node, cost)

    def _cost(
        self, request: Request, document: Any, node: OperationDefinitionNode
    ) -> tuple[float, GraphQLError | None]:
        key = (request.query, request.operation_name)
        cost = self._compiled_costs.get(key)
        if cost is None:
            cost = self._query_costs.compile(document, node)
            if len(request.query) <= CACHED_TEXT_MAX:
                self._compiled_costs[key] = cost
        return self._query_costs.check(cost, request.variables or {})

    async def run(self, operation: Operation, context: Context) -> GraphQLResponse:
        """A query or mutation, to its end. What its answer reads has one deadline; a query does nothing else."""
        if operation.kind is not OperationType.QUERY:
            return await self._run(operation, context)
        with context.reading():
            return await self._run(operation, context)

    async def _run(self, operation: Operation, context: Context) -> GraphQLResponse:
        executor = self._executor(operation, context)
        if isinstance(executor, list):
            return _to_response(ExecutionResult(None, executor), context.request_id)
        if TRANSLATED_FIELD in operation.request.query:
            await context.load_language()
            reader_language.set(context.language)
        only = _single_root_field(operation.node)
        if only and (root := self._projection(operation, executor)):
            return _to_response(await _resolve_projected(only, executor, root), context.request_id)
        result = executor.execute_operation()
        if isawaitable(result):
            result = await result
        assert isinstance(result, ExecutionResult)
        return _to_response(result, context.request_id)

    async def subscribe(
        self, operation: Operation, context: Context
    ) -> "SubscriptionResults | AsyncGenerator[GraphQLResponse, None] | list[GraphQLResponse]":
        """The answers of a subscription, or the errors that kept it from beginning."""
        executor = self._executor(operation, context)
        if isinstance(executor, list):
            return [format_error(error, context.request_id) for error in executor]
        if TRANSLATED_FIELD in operation.request.query:
            await context.load_language()
        root = self._projection(operation, executor)
        stream = create_source_event_stream(executor)
        if isawaitable(stream):
            stream = await stream
        if isinstance(stream, ExecutionResult):
            return format_errors(stream.errors or (), context.request_id)
        if root is None:
            return _execute_events(executor, stream, context.request_id)
        return SubscriptionResults(stream, root, context.request_id, context.language)

    def _executor(self, operation: Operation, context: Context) -> Executor[Any] | list[GraphQLError]:
        """What executes it, with the values of its variables; or what is wrong with them."""
        request = operation.request
        hide = not self._query_cache.introspection
        if known := self._compiled.get((request.query, request.operation_name)):
            with suppress(Exception):
                values = known.coerce(request.variables or {})
                parts = (
                    known.fragment_definitions,
                    known.fragments,
                    None,
                    context,
                    operation.node,
                    values,
                    *DEFAULT_RESOLVERS,
                )
                return CooperativeExecutor(self._schema, *parts, hide_suggestions=hide)
        return CooperativeExecutor.build(
            self._schema,
            operation.document,
            context_value=context,
            raw_variable_values=request.variables,
            operation_name=request.operation_name,
            hide_suggestions=hide,
        )

    def _projection(self, operation: Operation, executor: Executor[Any]) -> Getter | None:
        """The projection of what is selected, None where it has to be executed. Without directives no variable has a
        say in it, so it is the same for everybody who asks with that text."""
        request = operation.request
        key = (request.query, request.operation_name)
        if known := self._compiled.get(key):
            return known.projection
        type_ = self._schema.get_root_type(operation.kind)
        assert type_
        definitions = executor.fragment_definitions
        try:
            root = SelectionCompiler(definitions, executor.variable_values).compile_root(type_, operation.node)
        except NotProjectable:
            root = None
        if "@" not in request.query and len(request.query) <= CACHED_TEXT_MAX:
            coerce = compile_coercion(self._schema, operation.node)
            self._compiled[key] = CompiledOperation(coerce, definitions, executor.fragments, root)
        return root


def _single_root_field(operation: OperationDefinitionNode) -> FieldNode | None:
    """The one root field, if there is nothing else to it."""
    [node, *more] = operation.selection_set.selections
    if more or operation.directives or node.directives or not isinstance(node, FieldNode):
        return None
    return None if node.name.value.startswith("__") else node


async def _resolve_projected(node: FieldNode, executor: Executor[Any], root: Getter) -> ExecutionResult:
    """An operation of one root field, with its value projected. Where that fails the value is completed as any other
    is, which finds out what is wrong with it."""
    type_ = executor.schema.get_root_type(executor.operation.operation)
    assert type_
    field = type_.fields[node.name.value]
    assert field.resolve
    key = node.alias.value if node.alias else node.name.value
    path = Path(None, key, type_.name)
    info = executor.build_resolve_info(field, [node], type_, path)
    try:
        arguments = get_argument_values(field, node, executor.variable_values, None, executor.hide_suggestions)
        value = await field.resolve(executor.root_value, info, **arguments)
        with suppress(Exception):
            return ExecutionResult(root(value), None)
        completed = executor.complete_value(field.type, [FieldDetails(node, None)], info, path, value, None)
        data = {key: await completed if isawaitable(completed) else completed}
        return ExecutionResult(data, executor.collected_errors.errors or None)
    except Exception as error:  # noqa: BLE001 - told to the client, and logged where it is internal
        failed = located_error(error, [node], path.as_list())
        return ExecutionResult(None if is_non_null_type(field.type) else {key: None}, [failed])


async def _execute_events(
    executor: Executor[Any], stream: Any, request_id: str
) -> AsyncGenerator[GraphQLResponse, None]:
    """The answers of a subscription whose selection has to read something for every event."""
    try:
        async with aclosing(map_source_to_response_event(executor, stream)) as results:
            async for result in results:
                yield _to_response(result, request_id)
    except Exception as error:  # noqa: BLE001 - told to the client, and logged where it is internal
        yield {"errors": [to_graphql_error(error, request_id)]}


class SubscriptionResults:
    """The answers of a subscription: an async iterator. Errors that come later are an answer of their own, the last."""

    __slots__ = ("_failed", "_language", "_request_id", "_root", "_stream")

    def __init__(self, stream: Any, root: Getter, request_id: str, language: Language | None) -> None:
        self._language = language
        self._stream = stream
        self._root = root
        self._request_id = request_id
        self._failed = False

    def __aiter__(self) -> "SubscriptionResults":
        return self

    async def __anext__(self) -> GraphQLResponse:
        if self._failed:
            raise StopAsyncIteration
        try:
            event = await anext(self._stream)
            reader_language.set(self._language)
            return {"data": self._root(event)}
        except StopAsyncIteration:
            raise
        except Exception as error:  # noqa: BLE001 - told to the client, and logged where it is internal
            return self._final_error(error)

    async def aclose(self) -> None:
        await self._stream.aclose()

    @property
    def inbox_stream(self) -> InboxStream | None:
        """The stream, if `poll` can be used."""
        return self._stream if isinstance(self._stream, InboxStream) else None

    def poll(self) -> GraphQLResponse | None:
        """The next answer, if there is one already."""
        event = self._stream.poll()
        if event is None:
            return None
        reader_language.set(self._language)
        return {"data": self._root(event)}

    def _final_error(self, error: Exception) -> GraphQLResponse:
        self._failed = True
        return {"errors": [to_graphql_error(error, self._request_id)]}


def _to_response(result: ExecutionResult, request_id: str) -> GraphQLResponse:
    answer: GraphQLResponse = {}
    if result.errors:
        answer["errors"] = format_errors(result.errors, request_id)
    if result.data is not None or not _failed_before_execution(result):
        answer["data"] = result.data
    return answer


def _failed_before_execution(result: ExecutionResult) -> bool:
    """Errors without a path come from before the first field was run: wrong variables."""
    return any(error.path is None for error in result.errors or ())


def parse_request(given: Any) -> Request:
    """The request in a JSON value, as every transport carries it. Raises BadUserInput."""
    if not isinstance(given, dict):
        raise BadUserInput("A request is a JSON object with `query`.", "body")
    query, name, variables = given.get("query"), given.get("operationName"), given.get("variables")
    extensions = given.get("extensions")
    if not isinstance(extensions, dict | None):
        raise BadUserInput("`extensions` is a JSON object.", "extensions")
    hash = (
        _persisted_hash(extensions["persistedQuery"])
        if extensions and extensions.get("persistedQuery") is not None
        else ""
    )
    if not isinstance(query, str | None) or not (query or hash):
        raise BadUserInput("Give `query`, a string.", "query")
    if not isinstance(name, str | None):
        raise BadUserInput("`operationName` is a string.", "operationName")
    if not isinstance(variables, dict | None):
        raise BadUserInput("`variables` is a JSON object.", "variables")
    return Request(query or "", variables, name or None, hash)


def _persisted_hash(given: Any) -> str:
    """Of `extensions.persistedQuery`, as Apollo's clients send it."""
    if not isinstance(given, dict) or given.get("version") != 1:
        raise BadUserInput("`persistedQuery` is an object with version 1.", "extensions.persistedQuery")
    hash = given.get("sha256Hash")
    if not isinstance(hash, str) or not hash:
        raise BadUserInput("`sha256Hash` is a string.", "extensions.persistedQuery.sha256Hash")
    return hash


def root_fields(operation: Operation) -> set[str]:
    """The names of the root fields; empty where a fragment hides some."""
    selections = operation.node.selection_set.selections
    names = {node.name.value for node in selections if isinstance(node, FieldNode)}
    return names if len(selections) == sum(isinstance(node, FieldNode) for node in selections) else set()


def encode(answer: GraphQLResponse) -> bytes:
    return orjson.dumps(answer)
