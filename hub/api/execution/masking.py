"""Masks the responses for the role `viewer`. See `schema/personal_data.py` for what is masked.

The response is masked as a whole after its execution, whichever way it was executed. A field can therefore not be
forgotten, and callers in other roles pay nothing.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_list_type,
)
from graphql.language import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionNode

from hub.api.execution.operation import Operation
from hub.api.schema.personal_data import HIDDEN, MASKS, is_text, is_visible

Response = dict[str, Any]


class ResponseMask:
    """Masks the responses of one operation."""

    def __init__(self, schema: GraphQLSchema, operation: Operation) -> None:
        root = schema.get_root_type(operation.kind)
        assert root
        self._root = root
        self._selections = operation.node.selection_set.selections
        definitions = operation.document.definitions
        self._fragments = {node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)}

    def apply(self, response: Response) -> Response:
        """Mask a response in place, and return it."""
        if response.get("data"):
            self._mask(self._root, self._selections, response["data"], set())
        return response

    async def apply_each(self, responses: AsyncIterator[Response]) -> AsyncGenerator[Response, None]:
        """Yield the masked responses of a subscription."""
        async with aclosing(responses):  # type: ignore[type-var]
            async for response in responses:
                yield self.apply(response)

    def _mask(
        self, type_: GraphQLObjectType, selections: Iterable[SelectionNode], value: dict[str, Any], visited: set[str]
    ) -> None:
        """Mask an object. `visited` are the fragments that were applied to it. A field that is selected twice is masked
        twice, which changes nothing."""
        for node in selections:
            if isinstance(node, InlineFragmentNode):
                self._mask(type_, node.selection_set.selections, value, visited)
            elif isinstance(node, FragmentSpreadNode):
                if node.name.value not in visited:
                    visited.add(node.name.value)
                    self._mask(type_, self._fragments[node.name.value].selection_set.selections, value, visited)
            elif isinstance(node, FieldNode) and not node.name.value.startswith("__"):
                key = node.alias.value if node.alias else node.name.value
                if value.get(key) is not None:
                    self._mask_field(type_, node, key, value)

    def _mask_field(self, type_: GraphQLObjectType, node: FieldNode, key: str, value: dict[str, Any]) -> None:
        name = node.name.value
        field = type_.fields[name]
        below = get_named_type(field.type)
        if isinstance(below, GraphQLObjectType):
            assert node.selection_set
            for item in _objects(value[key]):
                self._mask(below, node.selection_set.selections, item, set())
        elif is_text(field) and not is_visible(type_.name, name):
            value[key] = _masked(field, f"{type_.name}.{name}", value[key])


def _objects(value: Any) -> Iterable[dict[str, Any]]:
    """Return the objects of a value or of a list. Items of a list that failed are None."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if item]


def _hide(_: object) -> str:
    return HIDDEN


def _masked(field: GraphQLField, name: str, value: Any) -> Any:
    mask = MASKS.get(name, _hide)
    return [mask(item) for item in value] if is_list_type(get_nullable_type(field.type)) else mask(value)
