"""Runs operations: one entrance for HTTP, SSE and WebSocket."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from inspect import isawaitable
from typing import Any

import orjson
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
from hub.api.errors import all_formatted, formatted, refused
from hub.api.execution.cooperative import CooperativeExecutor
from hub.api.execution.persisted_queries import Listed, read_manifest
from hub.api.execution.projection import Getter, NotPlain, Selecting
from hub.api.execution.query_cache import CACHED, CACHED_TEXT_MAX, Documents
from hub.api.execution.query_cost import Cost, QueryCosts
from hub.api.execution.variables import Coerce, coercion
from hub.api.schema.inbox_stream import InboxStream
from hub.api.schema.reader_language import reader
from hub.errors import BadUserInput, PersistedQueryNotFound
from hub.platform.translations import Language
from hub.settings import Settings

TRANSLATED = "because"
"""A text with this word in it may ask for the field whose value is in the reader's language."""
RESOLVERS = default_field_resolver, default_type_resolver, default_field_resolver
Answer = dict[str, Any]
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


class Known(Struct, frozen=True):
    """What is worked out once for an operation's text: how its variables become values, its fragments, and how a value
    becomes its answer. `root` is None where it has to be executed."""

    coerce: Coerce
    fragment_definitions: dict[str, FragmentDefinitionNode]
    fragments: dict[str, FragmentDetails]
    root: Getter | None


class Engine:
    """Raises settings.ConfigurationError where the manifest of operations is no good."""

    def __init__(self, schema: GraphQLSchema, settings: Settings, taught: PersistedQueries) -> None:
        self._schema = self.schema = schema
        self._documents = Documents(schema, settings)
        self._persisted: PersistedQueries = taught
        if settings.persisted_operations:
            self._persisted = read_manifest(settings.persisted_operations, self._documents.pin)
        self._known: OrderedDict[tuple[str, str | None], Known] = OrderedDict()
        self._query_costs = QueryCosts(schema, settings)
        self._compiled_costs: OrderedDict[tuple[str, str | None], Cost] = OrderedDict()

    async def prepare(self, request: Request, request_id: str) -> Operation | list[Answer]:
        """The operation, or the errors that say why there is none. Raises NotInList, and BadUserInput for a hash that
        is not the query's."""
        if request.hash or isinstance(self._persisted, Listed):
            try:
                request = replace(request, query=await self._persisted.text(request.hash, request.query))
            except PersistedQueryNotFound as error:
                return [refused(error, request_id)]
        document = self._documents.get(request.query)
        if isinstance(document, Sequence):
            return [formatted(error, request_id) for error in document]
        node = get_operation_ast(document, request.operation_name)
        if node is None:
            message = "Name one of the document's operations in `operationName`."
            return [formatted(GraphQLError(message), request_id)]
        cost, too_much = self._cost(request, document, node)
        if too_much:
            return [formatted(too_much, request_id)]
        if request.hash:
            await self._persisted.keep(request.hash, request.query)
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
                if len(self._compiled_costs) > CACHED:
                    self._compiled_costs.popitem(last=False)
        return self._query_costs.check(cost, request.variables or {})

    async def run(self, operation: Operation, context: Context) -> Answer:
        """A query or mutation, to its end. What its answer reads has one deadline; a query does nothing else."""
        if operation.kind is not OperationType.QUERY:
            return await self._run(operation, context)
        with context.reading():
            return await self._run(operation, context)

    async def _run(self, operation: Operation, context: Context) -> Answer:
        executor = self._executor(operation, context)
        if isinstance(executor, list):
            return _answer(ExecutionResult(None, executor), context.request_id)
        if TRANSLATED in operation.request.query:
            await context.load_language()
            reader.set(context.language)
        only = _only(operation.node)
        if only and (root := self._root(operation, executor)):
            return _answer(await _resolved(only, executor, root), context.request_id)
        result = executor.execute_operation()
        if isawaitable(result):
            result = await result
        assert isinstance(result, ExecutionResult)
        return _answer(result, context.request_id)

    async def subscribe(
        self, operation: Operation, context: Context
    ) -> "Answers | AsyncGenerator[Answer, None] | list[Answer]":
        """The answers of a subscription, or the errors that kept it from beginning."""
        executor = self._executor(operation, context)
        if isinstance(executor, list):
            return [formatted(error, context.request_id) for error in executor]
        if TRANSLATED in operation.request.query:
            await context.load_language()
        root = self._root(operation, executor)
        stream = create_source_event_stream(executor)
        if isawaitable(stream):
            stream = await stream
        if isinstance(stream, ExecutionResult):
            return all_formatted(stream.errors or (), context.request_id)
        if root is None:
            return _executed(executor, stream, context.request_id)
        return Answers(stream, root, context.request_id, context.language)

    def _executor(self, operation: Operation, context: Context) -> Executor[Any] | list[GraphQLError]:
        """What executes it, with the values of its variables; or what is wrong with them."""
        request = operation.request
        hide = not self._documents.introspection
        if known := self._known.get((request.query, request.operation_name)):
            with suppress(Exception):
                values = known.coerce(request.variables or {})
                parts = known.fragment_definitions, known.fragments, None, context, operation.node, values, *RESOLVERS
                return CooperativeExecutor(self._schema, *parts, hide_suggestions=hide)
        return CooperativeExecutor.build(
            self._schema,
            operation.document,
            context_value=context,
            raw_variable_values=request.variables,
            operation_name=request.operation_name,
            hide_suggestions=hide,
        )

    def _root(self, operation: Operation, executor: Executor[Any]) -> Getter | None:
        """The projection of what is selected, None where it has to be executed. Without directives no variable has a
        say in it, so it is the same for everybody who asks with that text."""
        request = operation.request
        key = (request.query, request.operation_name)
        if known := self._known.get(key):
            return known.root
        type_ = self._schema.get_root_type(operation.kind)
        assert type_
        definitions = executor.fragment_definitions
        try:
            root = Selecting(definitions, executor.variable_values).root(type_, operation.node)
        except NotPlain:
            root = None
        if "@" not in request.query and len(request.query) <= CACHED_TEXT_MAX:
            coerce = coercion(self._schema, operation.node)
            self._known[key] = Known(coerce, definitions, executor.fragments, root)
            if len(self._known) > CACHED:
                self._known.popitem(last=False)
        return root


def _only(operation: OperationDefinitionNode) -> FieldNode | None:
    """The one root field, if there is nothing else to it."""
    [node, *more] = operation.selection_set.selections
    if more or operation.directives or node.directives or not isinstance(node, FieldNode):
        return None
    return None if node.name.value.startswith("__") else node


async def _resolved(node: FieldNode, executor: Executor[Any], root: Getter) -> ExecutionResult:
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


async def _executed(executor: Executor[Any], stream: Any, request_id: str) -> AsyncGenerator[Answer, None]:
    """The answers of a subscription whose selection has to read something for every event."""
    try:
        async with aclosing(map_source_to_response_event(executor, stream)) as results:
            async for result in results:
                yield _answer(result, request_id)
    except Exception as error:  # noqa: BLE001 - told to the client, and logged where it is internal
        yield {"errors": [refused(error, request_id)]}


class Answers:
    """The answers of a subscription: an async iterator. Errors that come later are an answer of their own, the last."""

    __slots__ = ("_failed", "_language", "_request_id", "_root", "_stream")

    def __init__(self, stream: Any, root: Getter, request_id: str, language: Language | None) -> None:
        self._language = language
        self._stream = stream
        self._root = root
        self._request_id = request_id
        self._failed = False

    def __aiter__(self) -> "Answers":
        return self

    async def __anext__(self) -> Answer:
        if self._failed:
            raise StopAsyncIteration
        try:
            event = await anext(self._stream)
            reader.set(self._language)
            return {"data": self._root(event)}
        except StopAsyncIteration:
            raise
        except Exception as error:  # noqa: BLE001 - told to the client, and logged where it is internal
            return self._failure(error)

    async def aclose(self) -> None:
        await self._stream.aclose()

    @property
    def flowing(self) -> InboxStream | None:
        """The stream, where `take` serves."""
        return self._stream if isinstance(self._stream, InboxStream) else None

    def take(self) -> Answer | None:
        """The next answer, if there is one already."""
        event = self._stream.take()
        if event is None:
            return None
        reader.set(self._language)
        return {"data": self._root(event)}

    def _failure(self, error: Exception) -> Answer:
        self._failed = True
        return {"errors": [refused(error, self._request_id)]}


def _answer(result: ExecutionResult, request_id: str) -> Answer:
    answer: Answer = {}
    if result.errors:
        answer["errors"] = all_formatted(result.errors, request_id)
    if result.data is not None or not _before_execution(result):
        answer["data"] = result.data
    return answer


def _before_execution(result: ExecutionResult) -> bool:
    """Errors without a path come from before the first field was run: wrong variables."""
    return any(error.path is None for error in result.errors or ())


def requested(given: Any) -> Request:
    """The request in a JSON value, as every transport carries it. Raises BadUserInput."""
    if not isinstance(given, dict):
        raise BadUserInput("A request is a JSON object with `query`.", "body")
    query, name, variables = given.get("query"), given.get("operationName"), given.get("variables")
    extensions = given.get("extensions")
    if not isinstance(extensions, dict | None):
        raise BadUserInput("`extensions` is a JSON object.", "extensions")
    hash = _hash(extensions["persistedQuery"]) if extensions and extensions.get("persistedQuery") is not None else ""
    if not isinstance(query, str | None) or not (query or hash):
        raise BadUserInput("Give `query`, a string.", "query")
    if not isinstance(name, str | None):
        raise BadUserInput("`operationName` is a string.", "operationName")
    if not isinstance(variables, dict | None):
        raise BadUserInput("`variables` is a JSON object.", "variables")
    return Request(query or "", variables, name or None, hash)


def _hash(given: Any) -> str:
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


def encode(answer: Answer) -> bytes:
    return orjson.dumps(answer)
