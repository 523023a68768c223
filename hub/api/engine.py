"""Runs operations: one entrance for HTTP, SSE and WebSocket."""

from collections import OrderedDict
from collections.abc import Sequence
from inspect import isawaitable
from typing import Any

import orjson
import pymongo
from graphql import (
    ExecutionResult,
    Executor,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    create_source_event_stream,
    execute,
    get_operation_ast,
)
from msgspec import Struct

from hub.api.context import Context
from hub.api.documents import CACHED, CACHED_TEXT_MAX, Documents
from hub.api.failures import formatted, refused
from hub.api.projection import Getter, Selecting
from hub.api.streams import InboxStream

Answer = dict[str, Any]
"""A GraphQL response: `data`, `errors`. Without `data` nothing was run."""


class Request(Struct, frozen=True):
    """What a client wants run."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class Operation(Struct, frozen=True):
    """A request that is well-formed: document and operation."""

    request: Request
    document: Any
    node: OperationDefinitionNode

    @property
    def kind(self) -> OperationType:
        return self.node.operation


class Engine:
    def __init__(self, schema: GraphQLSchema, *, introspection: bool) -> None:
        self._schema = schema
        self._documents = Documents(schema, introspection=introspection)
        self._roots: OrderedDict[tuple[str, str | None], Getter] = OrderedDict()

    def prepare(self, request: Request, request_id: str) -> Operation | list[Answer]:
        """The operation, or the errors that say why there is none."""
        document = self._documents.get(request.query)
        if isinstance(document, Sequence):
            return [formatted(error, request_id) for error in document]
        node = get_operation_ast(document, request.operation_name)
        if node is None:
            message = "Name one of the document's operations in `operationName`."
            return [formatted(GraphQLError(message), request_id)]
        return Operation(request, document, node)

    async def run(self, operation: Operation, context: Context) -> Answer:
        """A query or mutation, to its end. A query has one deadline for all it reads."""
        if operation.kind is not OperationType.QUERY:
            return await self._run(operation, context)
        with pymongo.timeout(context.services.settings.commit_deadline_s):
            return await self._run(operation, context)

    async def _run(self, operation: Operation, context: Context) -> Answer:
        result = execute(
            self._schema,
            operation.document,
            context_value=context,
            variable_values=operation.request.variables,
            operation_name=operation.request.operation_name,
            hide_suggestions=not self._documents.introspection,
        )
        if isawaitable(result):
            result = await result
        return _answer(result, context.request_id)

    async def subscribe(self, operation: Operation, context: Context) -> "Answers | list[Answer]":
        """The answers of a subscription, or the errors that kept it from beginning."""
        executor = Executor.build(
            self._schema,
            operation.document,
            context_value=context,
            raw_variable_values=operation.request.variables,
            operation_name=operation.request.operation_name,
        )
        if isinstance(executor, list):
            return [formatted(error, context.request_id) for error in executor]
        root = self._root(operation, executor)
        stream = create_source_event_stream(executor)
        if isawaitable(stream):
            stream = await stream
        if isinstance(stream, ExecutionResult):
            return [formatted(error, context.request_id) for error in stream.errors or ()]
        return Answers(stream, root, context.request_id)

    def _root(self, operation: Operation, executor: Executor[Any]) -> Getter:
        """The projection of what is selected. Without directives no variable has a say in it, so it is the same for
        everybody who subscribes with that text."""
        request = operation.request
        key = (request.query, request.operation_name)
        if known := self._roots.get(key):
            return known
        assert self._schema.subscription_type
        fragments = {name: details.definition for name, details in executor.fragments.items()}
        root = Selecting(fragments, executor.variable_values).root(self._schema.subscription_type, operation.node)
        if "@" not in request.query and len(request.query) <= CACHED_TEXT_MAX:
            self._roots[key] = root
            if len(self._roots) > CACHED:
                self._roots.popitem(last=False)
        return root


class Answers:
    """The answers of a subscription: an async iterator. Errors that come later are an answer of their own, the last."""

    __slots__ = ("_failed", "_request_id", "_root", "_stream")

    def __init__(self, stream: Any, root: Getter, request_id: str) -> None:
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
            return {"data": self._root(await anext(self._stream))}
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
        return None if event is None else {"data": self._root(event)}

    def _failure(self, error: Exception) -> Answer:
        self._failed = True
        return {"errors": [refused(error, self._request_id)]}


def _answer(result: ExecutionResult, request_id: str) -> Answer:
    answer: Answer = {}
    if result.errors:
        answer["errors"] = [formatted(error, request_id) for error in result.errors]
    if result.data is not None or not _before_execution(result):
        answer["data"] = result.data
    return answer


def _before_execution(result: ExecutionResult) -> bool:
    """Errors without a path come from before the first field was run: wrong variables."""
    return any(error.path is None for error in result.errors or ())


def root_fields(operation: Operation) -> set[str]:
    """The names of the root fields; empty where a fragment hides some."""
    selections = operation.node.selection_set.selections
    names = {node.name.value for node in selections if isinstance(node, FieldNode)}
    return names if len(selections) == sum(isinstance(node, FieldNode) for node in selections) else set()


def encode(answer: Answer) -> bytes:
    return orjson.dumps(answer)
