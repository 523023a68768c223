"""Compiles a selection once to a function from a value to its response.

graphql-core needs tens of microseconds for each event and subscriber. A projection needs about one microsecond. Nearly
every field below a subscription can be projected, because it is a plain attribute or a pure function without arguments.
For all other fields, `SelectionCompiler` raises NotProjectable, and graphql-core executes the selection.
"""

from collections.abc import Callable, Iterable
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLEnumType,
    GraphQLIncludeDirective,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSkipDirective,
    OperationDefinitionNode,
)
from graphql.execution.values import VariableValues, get_directive_values
from graphql.language import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionNode

from hub.api.schema.access import Access
from hub.api.schema.notifications import PROJECTION

Getter = Callable[[Any], Any]


class NotProjectable(Exception):
    """The selection contains a field that only graphql-core can resolve."""


class SelectionCompiler:
    """Compiles selections of one operation, with its fragments and the values of its variables."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode], variables: VariableValues) -> None:
        self._fragments = fragments
        self._variables = variables

    def compile_root(self, type_: GraphQLObjectType, operation: OperationDefinitionNode) -> Getter:
        """Return a function from the value of the only root field (an event of a subscription) to `data`."""
        collected: dict[str, list[FieldNode]] = {}
        self._collect(operation.selection_set.selections, collected)
        [(key, nodes)] = collected.items()
        project = self.compile(type_.fields[nodes[0].name.value].type, nodes)
        return lambda event: {key: project(event)}

    def compile(self, type_: GraphQLOutputType, nodes: list[FieldNode]) -> Getter:
        """Return a function from a value of `type_` to its response, for the merged selections of `nodes`."""
        if isinstance(type_, GraphQLNonNull):
            return self.compile(type_.of_type, nodes)
        if isinstance(type_, GraphQLList):
            project_item = self.compile(type_.of_type, nodes)
            return lambda values: None if values is None else [project_item(value) for value in values]
        if isinstance(type_, GraphQLEnumType):
            return lambda value: None if value is None else value.value
        if isinstance(type_, GraphQLScalarType):
            serialize = type_.coerce_output_value
            if type_.name in {"String", "ID", "Int", "Boolean", "Cursor"}:
                return lambda value: value
            return lambda value: None if value is None else serialize(value)
        if isinstance(type_, GraphQLObjectType):
            return self._object(type_, nodes)
        raise NotProjectable(f"{type_} can't be projected")

    def _object(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> Getter:
        collected: dict[str, list[FieldNode]] = {}
        for node in nodes:
            self._collect(node.selection_set.selections if node.selection_set else (), collected)
        fields: list[tuple[str, Getter, Getter]] = []
        for key, same_key in collected.items():
            name = same_key[0].name.value
            if name == "__typename":
                fields.append((key, lambda _: type_.name, lambda name: name))
                continue
            field = type_.fields[name]
            fields.append(
                (key, _field_getter(field.extensions["strawberry-definition"]), self.compile(field.type, same_key))
            )

        def project(value: Any) -> Any:
            return None if value is None else {key: complete(get(value)) for key, get, complete in fields}

        return project

    def _collect(self, selections: Iterable[SelectionNode], collected: dict[str, list[FieldNode]]) -> None:
        """Add the fields by response key, in the order of the query. Apply fragments and directives."""
        for node in selections:
            if not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                collected.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                self._collect(node.selection_set.selections, collected)
            elif isinstance(node, FragmentSpreadNode):
                self._collect(self._fragments[node.name.value].selection_set.selections, collected)

    def _is_included(self, node: SelectionNode) -> bool:
        """Return True unless `@skip` or `@include` excludes the node."""
        skip = get_directive_values(GraphQLSkipDirective, node, self._variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self._variables)
        return not (skip and skip["if"]) and not (include and not include["if"])


def _field_getter(definition: Any) -> Getter:
    """Return a function that reads a Strawberry field from its parent. Raise NotProjectable if there is none."""
    if PROJECTION in definition.metadata:
        getter: Getter = definition.metadata[PROJECTION]
        return getter
    if any(isinstance(directive, Access) for directive in definition.directives):
        raise NotProjectable(f"{definition.python_name} has an access rule")
    if definition.base_resolver is None:
        name = definition.python_name
        return lambda parent: getattr(parent, name)
    resolver = definition.base_resolver
    if definition.arguments or definition.is_async or resolver.info_parameter:
        raise NotProjectable(f"{definition.python_name} takes arguments or is asynchronous")
    resolve: Getter = resolver.wrapped_func
    return resolve
