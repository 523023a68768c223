"""Operations that together select every leaf of the schema, one per path from a root field to an object type."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphql import GraphQLObjectType, build_schema, get_named_type, is_leaf_type, is_required_argument
from msgspec import Struct

SCHEMA = build_schema(Path("schema.graphql").read_text())
DEPTH_MAX = 7
PAGE_SIZE = 2


class SchemaPath(Struct, frozen=True):
    """An operation, the type whose leaves it selects, and their names."""

    operation: str
    type_name: str
    leaves: tuple[str, ...]


def root(kind: str) -> GraphQLObjectType:
    type_: Any = SCHEMA.type_map[kind.title()]
    return type_


def paths(kind: str, name: str, arguments: str = "", depth: int = DEPTH_MAX) -> Iterator[SchemaPath]:
    """Yield the operations of a root field. `arguments` are those of the field, with parentheses."""
    type_ = get_named_type(root(kind).fields[name].type)
    if not isinstance(type_, GraphQLObjectType):
        yield SchemaPath(f"{kind} {{ {name}{arguments} }}", kind.title(), (name,))
        return
    for prefix, suffix, inner in _below(type_, (type_.name,), depth):
        leaves = tuple(leaf for leaf, field in inner.fields.items() if is_leaf_type(get_named_type(field.type)))
        if leaves:
            operation = f"{kind} {{ {name}{arguments} {{ {prefix} {' '.join(leaves)} {suffix} }} }}"
            yield SchemaPath(operation, inner.name, leaves)


def _below(type_: GraphQLObjectType, seen: tuple[str, ...], depth: int) -> Iterator[tuple[str, str, GraphQLObjectType]]:
    """Yield the text before and after the leaves of each type below `type_`. No path contains a type twice."""
    yield "", "", type_
    for name, field in type_.fields.items():
        inner = get_named_type(field.type)
        if not isinstance(inner, GraphQLObjectType) or inner.name in seen or depth == 1:
            continue
        assert not any(is_required_argument(argument) for argument in field.args.values()), f"{type_}.{name}"
        if type_.name.endswith("Edge"):
            continue
        size = f"(first: {PAGE_SIZE})" if "first" in field.args else ""
        for prefix, suffix, last in _below(inner, (*seen, inner.name), depth - 1):
            yield f"{name}{size} {{ {prefix}", f"{suffix} }}", last


def values_of(response: Any, leaf: str) -> Iterator[Any]:
    """Yield the values of a leaf anywhere in a response."""
    if isinstance(response, list):
        for item in response:
            yield from values_of(item, leaf)
    elif isinstance(response, dict):
        for name, value in response.items():
            if name == leaf:
                yield value
            else:
                yield from values_of(value, leaf)
