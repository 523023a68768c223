"""Records in the audit log what people in the roles `support` and `operator` read and change.

- `readContent`: a root field whose selection contains the content of messages (see `personal_data.CONTENT`). One entry
  per field, also if it returns many messages, and one per subscription. A process does not record it again for
  REPEATED_S, because pages are refreshed.
- Mutations that do not write entries of their own, such as `replay` and `cancelSend`.

The entry is written before the field is resolved: if it cannot be written, nothing is read or changed. Viewers get no
content and have no mutations.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import isawaitable
from typing import Any

from cachetools import TTLCache
from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema, get_named_type
from graphql.language import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode, SelectionNode

from hub.api.context import Context
from hub.api.schema.audit import AUDITED, READ_CONTENT
from hub.api.schema.personal_data import is_content
from hub.model import Role
from hub.platform.audit_changes import Changes

Fragments = Mapping[str, FragmentDefinitionNode]
Resolve = Callable[..., Any]
REPEATED_S = 300.0
REPEATED_MAX = 10_000


def audit_staff(schema: GraphQLSchema) -> None:
    """Wrap the root fields. Call this before `enforce_access`, so rejected calls have no entries."""
    for type_ in (schema.query_type, schema.mutation_type, schema.subscription_type):
        for name, field in type_.fields.items() if type_ else ():
            result = get_named_type(field.type)
            is_unrecorded = type_ is schema.mutation_type and name not in AUDITED
            if type_ is schema.subscription_type:
                field.subscribe = _audited(field.subscribe, name, result, is_mutation=False)
            else:
                field.resolve = _audited(field.resolve, name, result, is_mutation=is_unrecorded)


def _audited(resolve: Resolve | None, name: str, result: Any, *, is_mutation: bool) -> Resolve:
    assert resolve
    recorded: TTLCache[tuple[str, ...], bool] = TTLCache(REPEATED_MAX, REPEATED_S)

    async def record_and_resolve(source: Any, info: GraphQLResolveInfo[Any], arguments: dict[str, Any]) -> Any:
        if is_mutation:
            await _record(info.context, name, name, arguments, _parameters(arguments))
        if isinstance(result, GraphQLObjectType):
            fields = sorted(set(_content_fields(result, _selections(info.field_nodes), info.fragments, set())))
            caller, target = info.context.caller, _target(name, arguments)[0]
            key = (caller.tenant, caller.actor, target or "", *fields)
            if fields and not (target and key in recorded):
                await _record(info.context, READ_CONTENT, name, arguments, {"field": name, "selected": fields})
                recorded[key] = True
        value = resolve(source, info, **arguments)
        return await value if isawaitable(value) else value

    def audited(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        if info.context.caller.role in (Role.SUPPORT, Role.OPERATOR):
            return record_and_resolve(source, info, arguments)
        return resolve(source, info, **arguments)

    return audited


async def _record(context: Context, action: str, field: str, arguments: Mapping[str, Any], changes: Changes) -> None:
    target, is_user = _target(field, arguments)
    await context.audit(action, target, is_user=is_user).record({"role": context.caller.role, **changes}, None)


def _target(field: str, arguments: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Return the id that a field names, and whether it is that of a user."""
    filter, ids = arguments.get("filter"), arguments.get("ids")
    if isinstance(filter, Mapping) and filter.get("userId"):
        return filter["userId"], True
    if "id" in arguments:
        return arguments["id"], field == "user"
    return (ids[0] if ids and len(ids) == 1 else None), False


def _parameters(arguments: Mapping[str, Any]) -> Changes:
    """Return the arguments of a mutation for its entry, without ids of users, which erasing a user would not find."""
    parameters: Changes = {}
    if filter := arguments.get("filter"):
        parameters["filter"] = {name: value for name, value in filter.items() if value and name != "userId"}
    if ids := arguments.get("ids"):
        parameters["ids"] = len(ids)
    return parameters


def _selections(nodes: Iterable[FieldNode]) -> Iterator[SelectionNode]:
    for node in nodes:
        yield from node.selection_set.selections if node.selection_set else ()


def _content_fields(
    type_: GraphQLObjectType, selections: Iterable[SelectionNode], fragments: Fragments, visited: set[str]
) -> Iterator[str]:
    """Yield the fields with content below a type, as Type.field. Each fragment is examined once."""
    for node in selections:
        if isinstance(node, InlineFragmentNode):
            yield from _content_fields(type_, node.selection_set.selections, fragments, visited)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in visited:
            visited.add(node.name.value)
            inner = fragments[node.name.value].selection_set.selections
            yield from _content_fields(type_, inner, fragments, visited)
        elif isinstance(node, FieldNode) and not node.name.value.startswith("__"):
            name = node.name.value
            if is_content(type_.name, name):
                yield f"{type_.name}.{name}"
            below = get_named_type(type_.fields[name].type)
            if isinstance(below, GraphQLObjectType):
                yield from _content_fields(below, _selections([node]), fragments, visited)
