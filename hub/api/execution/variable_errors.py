"""The field that an invalid variable concerns, as in the errors of resolvers."""

import re
from collections.abc import Sequence
from typing import Any

from graphql import (
    ArgumentNode,
    GraphQLError,
    Node,
    ObjectFieldNode,
    OperationDefinitionNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)

INVALID_VALUE = re.compile(r"Variable '\$(\w+)' has invalid value(?: at ([\w.\[\]]+))?: ")
INDEX = re.compile(r"\[(\d+)\]")


def with_fields(errors: Sequence[GraphQLError], operation: OperationDefinitionNode) -> list[GraphQLError]:
    """Set `extensions.field` of the errors of variables: the path of the argument or input field with the value."""
    arguments: dict[str, str] = {}
    for error in errors:
        if match := INVALID_VALUE.match(error.message):
            arguments = arguments or _arguments(operation)
            within = INDEX.sub(r".\1", match[2] or "")
            if argument := arguments.get(match[1]):
                error.extensions = {"field": argument + within}
    return list(errors)


def _arguments(operation: OperationDefinitionNode) -> dict[str, str]:
    """Return the path of the first argument or input field that has each variable of the operation."""
    finder = _Finder()
    visit(operation, finder)
    return finder.found


class _Finder(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> Any:  # noqa: ARG002
        return self.SKIP

    def enter_variable(
        self, node: VariableNode, _key: Any, parent: Any, _path: Any, ancestors: Sequence[Node | Sequence[Node]]
    ) -> None:
        names = [one.name.value for one in (*ancestors, parent) if isinstance(one, ArgumentNode | ObjectFieldNode)]
        self.found.setdefault(node.name.value, ".".join(names))
