"""The field that an invalid value of a query or of a variable concerns, as in the errors of resolvers."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    GraphQLError,
    ListValueNode,
    Node,
    ObjectFieldNode,
    ObjectValueNode,
    OperationDefinitionNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)

INVALID_VARIABLE = re.compile(r"Variable '\$(\w+)' has invalid value(?: at ([\w.\[\]]+))?: ")
INDEX = re.compile(r"\[(\d+)\]")


def with_variable_fields(errors: Sequence[GraphQLError], operation: OperationDefinitionNode) -> list[GraphQLError]:
    """Set `extensions.field` of the errors of variables: the path of the first argument or input field with the
    variable, and the path of the value in it."""
    paths: dict[str, str] = {}
    for error in errors:
        if match := INVALID_VARIABLE.match(error.message):
            if not paths:
                found = _paths(operation)
                paths = {node.name.value: path for node, path in reversed(found) if isinstance(node, VariableNode)}
            within = INDEX.sub(r".\1", match[2] or "")
            if path := paths.get(match[1]):
                error.extensions = {"field": path + within}
    return list(errors)


def with_literal_fields(errors: list[GraphQLError], document: DocumentNode) -> list[GraphQLError]:
    """Set `extensions.field` of the errors of values in the document: the path of the argument or input field."""
    paths = {id(node): path for node, path in _paths(document)} if errors else {}
    for error in errors:
        if error.nodes and (path := paths.get(id(error.nodes[0]))):
            error.extensions = {"field": path}
    return errors


def _paths(document: Node) -> list[tuple[Node, str]]:
    """Return all arguments, input fields, and values, with their paths."""
    finder = _Finder()
    visit(document, finder)
    return finder.found


class _Finder(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Node, str]] = []

    def enter_variable_definition(self, _node: VariableDefinitionNode, *_: Any) -> Any:
        return self.SKIP

    def enter_directive(self, _node: DirectiveNode, *_: Any) -> Any:
        return self.SKIP

    def enter_argument(self, node: ArgumentNode, *_: Any) -> Any:
        self.found += _within(node, node.name.value)
        return self.SKIP


def _within(node: Node, path: str) -> Iterator[tuple[Node, str]]:
    """Yield a node and those below it with their paths."""
    yield node, path
    match node:
        case ArgumentNode() | ObjectFieldNode():
            yield from _within(node.value, path)
        case ObjectValueNode():
            for field in node.fields:
                yield from _within(field, f"{path}.{field.name.value}")
        case ListValueNode():
            for index, value in enumerate(node.values):
                yield from _within(value, f"{path}.{index}")
