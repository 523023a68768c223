"""Decides from the selected types and fields whether a response may be stored for an idempotency key.

A stored response is kept after the objects in it are deleted. The response must not contain secrets, or user data that
is not found when the user is erased. Aliases, fragments, and nesting do not affect the decision. The functions are
pure.
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
        *("Mutation", "SendPayload", "Send", "StatusCount", "Category", "Tenant", "Template", "Topic"),
        *("Preferences", "ChannelPreference", "CategoryPreference", "CategoryChannelPreference"),
        *("User", "InboxPayload", "WebhookEndpoint", "WebhookSecretPayload"),
    }
)
"""Object types whose fields may be stored. Other types, such as Device and Notification, are never stored."""
EXCLUDED_FIELDS = frozenset(
    {
        *(("Mutation", "exportUser"), ("WebhookSecretPayload", "secret"), ("WebhookEndpoint", "url")),
        *(("Template", "updatedBy"), ("Send", "pausedReason")),
    }
)
"""Fields that are never stored: data of a user, a secret, and a URL that may contain a secret."""


def is_storable(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> bool:
    """Return True if the response of this operation may be stored."""
    root = schema.get_root_type(operation.operation)
    assert root
    fragments = _fragments(document)
    seen: set[str] = set()
    pending: list[tuple[GraphQLObjectType, SelectionSetNode]] = [(root, operation.selection_set)]
    while pending:
        parent, selection = pending.pop()
        if parent.name not in STORABLE_TYPES:
            return False
        for node in selection.selections:
            if isinstance(node, FieldNode):
                if (parent.name, node.name.value) in EXCLUDED_FIELDS:
                    return False
                if node.selection_set:
                    inner: Any = get_named_type(parent.fields[node.name.value].type)
                    pending.append((inner, node.selection_set))
            elif isinstance(node, InlineFragmentNode):
                pending.append((parent, node.selection_set))  # the schema has no interfaces, so the type is the same
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                pending.append((parent, fragments[node.name.value].selection_set))
    return True


def root_response_keys(document: DocumentNode, operation: OperationDefinitionNode) -> dict[str, str]:
    """Return the names of the root fields by response key, in the order of execution."""
    keys: dict[str, str] = {}
    for node in _root_nodes(operation.selection_set, _fragments(document), set()):
        keys.setdefault(node.alias.value if node.alias else node.name.value, node.name.value)
    return keys


def took_effect(response: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Return True if any root field of a mutation completed. Executing the mutation again would repeat this field.

    Mutations are executed in sequence. If a field that is not nullable fails, the operation ends. `keys`: the response
    keys of the root fields, in order.
    """
    if "data" not in response:
        return False
    paths = [error["path"] for error in response.get("errors", ()) if error.get("path")]
    failed = {path[0] for path in paths if len(path) == 1}
    if response["data"] is not None:
        return any(key not in failed for key in response["data"])
    last = max((keys.index(path[0]) for path in paths if path[0] in keys), default=-1)
    return any(key not in failed for key in keys[: last + 1])


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    fragments = [node for node in document.definitions if isinstance(node, FragmentDefinitionNode)]
    return {fragment.name.value: fragment for fragment in fragments}


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
