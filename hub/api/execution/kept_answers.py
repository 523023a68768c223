"""Which answers may be kept for an idempotency key, decided by the types and fields of the schema: pure.

A kept answer outlives what it is about, so it holds no secret, and of people only what is found again when a person is
erased. Aliases, fragments and nesting make no difference: what counts is the field that is selected.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
)

STORABLE_TYPES = frozenset(
    {
        *("Mutation", "SendPayload", "Send", "StatusCount", "Category", "Tenant"),
        *("Preferences", "ChannelPreference", "CategoryPreference", "CategoryChannelPreference"),
        *("User", "InboxPayload", "WebhookEndpoint", "WebhookSecretPayload"),
    }
)
"""Object types whose fields may be kept. A type that is not listed is never kept, as a device or a notification."""
EXCLUDED_FIELDS = frozenset(
    {("Mutation", "exportUser"), ("WebhookSecretPayload", "secret"), ("WebhookEndpoint", "url")}
)
"""All data of a person; a secret; an address that may be a secret by itself."""


def is_storable(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> bool:
    """Whether the answer of this operation may be kept."""
    root = schema.get_root_type(operation.operation)
    assert root
    fragments = _fragments(document)
    seen: set[str] = set()
    waiting: list[tuple[GraphQLObjectType, SelectionSetNode]] = [(root, operation.selection_set)]
    while waiting:
        parent, selection = waiting.pop()
        if parent.name not in STORABLE_TYPES:
            return False
        for node in selection.selections:
            if isinstance(node, FieldNode):
                if (parent.name, node.name.value) in EXCLUDED_FIELDS:
                    return False
                if node.selection_set:
                    inner: Any = get_named_type(parent.fields[node.name.value].type)
                    waiting.append((inner, node.selection_set))
            elif isinstance(node, InlineFragmentNode):
                waiting.append((parent, node.selection_set))  # the schema has no interfaces: the type is the same
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                waiting.append((parent, fragments[node.name.value].selection_set))
    return True


def root_response_keys(document: DocumentNode, operation: OperationDefinitionNode) -> dict[str, str]:
    """The response keys of the root fields, in the order in which they run, with the names of their fields."""
    found: dict[str, str] = {}
    for node in _root_nodes(operation.selection_set, _fragments(document), set()):
        found.setdefault(node.alias.value if node.alias else node.name.value, node.name.value)
    return found


def took_effect(answer: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Whether any root field of a mutation ran to its end, so that running it again would do that twice. Mutations run
    one after the other, and one that fails and may not be null ends the operation."""
    if "data" not in answer:
        return False
    paths = [error["path"] for error in answer.get("errors", ()) if error.get("path")]
    failed = {path[0] for path in paths if len(path) == 1}
    if answer["data"] is not None:
        return any(key not in failed for key in answer["data"])
    last = max((keys.index(path[0]) for path in paths if path[0] in keys), default=-1)
    return any(key not in failed for key in keys[: last + 1])


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    found = [node for node in document.definitions if isinstance(node, FragmentDefinitionNode)]
    return {fragment.name.value: fragment for fragment in found}


def _root_nodes(
    selection: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], seen: set[str]
) -> Iterator[FieldNode]:
    for node in selection.selections:
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _root_nodes(node.selection_set, fragments, seen)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            yield from _root_nodes(fragments[node.name.value].selection_set, fragments, seen)
