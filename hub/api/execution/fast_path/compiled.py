"""Operations that are compiled on first use.

A compiled operation is cached if its text contains no directives. The projection then does not depend on variables and
is used for every caller that sends the same text.
"""

from contextlib import suppress
from inspect import isawaitable
from typing import Any

from cachetools import LRUCache
from graphql import (
    ExecutionResult,
    Executor,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLSchema,
    OperationDefinitionNode,
    default_field_resolver,
    default_type_resolver,
    is_non_null_type,
    located_error,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path
from msgspec import Struct

from hub.api.context import Context
from hub.api.execution.cooperative import CooperativeExecutor
from hub.api.execution.fast_path.projection import Getter, NotProjectable, SelectionCompiler
from hub.api.execution.fast_path.variables import CoerceVariables, compile_coercion
from hub.api.execution.operation import Operation
from hub.api.execution.query_cache import CACHE_SIZE, CACHED_TEXT_MAX

DEFAULT_RESOLVERS = default_field_resolver, default_type_resolver, default_field_resolver


class CompiledOperation(Struct, frozen=True):
    """The parts of an operation that depend only on the text. `projection` is None if graphql-core must execute it."""

    coerce: CoerceVariables
    fragment_definitions: dict[str, FragmentDefinitionNode]
    fragments: dict[str, FragmentDetails]
    projection: Getter | None


class CompiledOperations:
    """A cache of compiled operations. If `enabled` is False, graphql-core executes all operations."""

    def __init__(self, schema: GraphQLSchema, *, enabled: bool, hide_suggestions: bool) -> None:
        self._schema = schema
        self._enabled = enabled
        self._hide_suggestions = hide_suggestions
        self._cache: LRUCache[tuple[str, str | None], CompiledOperation] = LRUCache(CACHE_SIZE)

    def executor(self, operation: Operation, context: Context) -> CooperativeExecutor | None:
        """Return an executor with coerced variables, or None if graphql-core must coerce the variables."""
        compiled = self._cache.get(operation.request.cache_key)
        if compiled is None:
            return None
        try:
            variables = compiled.coerce(operation.request.variables or {})
        except Exception:  # noqa: BLE001 - graphql-core accepts the value or reports the error
            return None
        return CooperativeExecutor(
            self._schema,
            compiled.fragment_definitions,
            compiled.fragments,
            None,
            context,
            operation.node,
            variables,
            *DEFAULT_RESOLVERS,
            hide_suggestions=self._hide_suggestions,
        )

    def projection(self, operation: Operation, executor: Executor[Any]) -> Getter | None:
        """Return the projection of the operation, or None if graphql-core must execute the operation."""
        if not self._enabled:
            return None
        request = operation.request
        if compiled := self._cache.get(request.cache_key):
            return compiled.projection
        root_type = self._schema.get_root_type(operation.kind)
        assert root_type
        fragments = executor.fragment_definitions
        try:
            projection = SelectionCompiler(fragments, executor.variable_values).compile_root(root_type, operation.node)
        except NotProjectable:
            projection = None
        if "@" not in request.query and len(request.query) <= CACHED_TEXT_MAX:
            coerce = compile_coercion(self._schema, operation.node)
            self._cache[request.cache_key] = CompiledOperation(coerce, fragments, executor.fragments, projection)
        return projection


def single_root_field(operation: OperationDefinitionNode) -> FieldNode | None:
    """Return the only root field. Return None for several root fields, directives, a fragment, or introspection."""
    [node, *more] = operation.selection_set.selections
    if more or operation.directives or node.directives or not isinstance(node, FieldNode):
        return None
    return None if node.name.value.startswith("__") else node


async def resolve_projected(node: FieldNode, executor: Executor[Any], projection: Getter) -> ExecutionResult:
    """Resolve an operation with one root field and project the value.

    If the projection fails, graphql-core completes the value and reports the error.
    """
    root_type = executor.schema.get_root_type(executor.operation.operation)
    assert root_type
    field = root_type.fields[node.name.value]
    assert field.resolve
    key = node.alias.value if node.alias else node.name.value
    path = Path(None, key, root_type.name)
    info = executor.build_resolve_info(field, [node], root_type, path)
    try:
        arguments = get_argument_values(field, node, executor.variable_values, None, executor.hide_suggestions)
        value = await field.resolve(executor.root_value, info, **arguments)
        with suppress(Exception):
            return ExecutionResult(projection(value), None)
        completed = executor.complete_value(field.type, [FieldDetails(node, None)], info, path, value, None)
        data = {key: await completed if isawaitable(completed) else completed}
        return ExecutionResult(data, executor.collected_errors.errors or None)
    except Exception as error:  # noqa: BLE001 - becomes an error of the response
        failed = located_error(error, [node], path.as_list())
        return ExecutionResult(None if is_non_null_type(field.type) else {key: None}, [failed])
