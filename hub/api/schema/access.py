"""The access rule of each root field: who may use it, and which scope a service key needs.

A rule is the directive `@access` of the schema. `enforce_access` checks it before the resolver runs. The documentation
is generated from the same directives.

The roles of people who use the console (`STAFF`) are ordered. `staff` is the lowest of them that may use the field.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

import strawberry
from graphql import GraphQLField, GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema
from strawberry.schema_directive import Location

from hub.api.schema.personal_data import check_search
from hub.errors import Forbidden
from hub.model import STAFF, KeyRole, Principal, Role, Scope


@strawberry.enum(description="A kind of caller that may use a field.")
class Caller(Enum):
    ANYONE = strawberry.enum_value("ANYONE", description="Every valid token and service key.")
    USER = strawberry.enum_value(
        "USER", description="Tokens of a user with the role `user`, `service`, or `admin`. Service keys have no user."
    )
    SERVICE = strawberry.enum_value("SERVICE", description="The roles `service` and `admin`.")
    ADMIN = strawberry.enum_value("ADMIN", description="The role `admin`.")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="access",
    description="The callers that may use a field. `scope` is the scope that a service key with scopes needs. "
    "Without `scope`, such a key cannot use the field. If `keys` is false, no service key can. `staff` is the lowest "
    "of the roles VIEWER, SUPPORT, and OPERATOR that may use the field. Without `staff`, none of them can.",
)
class Access:
    caller: Caller
    scope: Scope | None = strawberry.directive_field(name="scope", default=None)
    keys: bool = strawberry.directive_field(name="keys", default=True)
    staff: KeyRole | None = strawberry.directive_field(name="staff", default=None)


POST_EVENTS = "POST /events"
ENDPOINTS = {POST_EVENTS: Access(caller=Caller.SERVICE, scope=Scope.EVENTS)}
"""The access rules of HTTP endpoints outside the schema."""


def access(
    caller: Caller, scope: Scope | None = None, *, keys: bool = True, staff: KeyRole | None = None
) -> list[object]:
    """Return the directives of a field, for the argument `directives` of its decorator.

    A rule may also be that of a field in the result of a mutation. A key that may only write users, for example, cannot
    read their inboxes in the result."""
    return [
        Access(
            caller=caller,
            scope=scope or strawberry.UNSET,
            keys=strawberry.UNSET if keys else False,
            staff=staff or strawberry.UNSET,
        )
    ]


def access_of(field: GraphQLField) -> Access | None:
    """Return the access rule of a field, or None if it has none."""
    definition = field.extensions.get("strawberry-definition")
    return next((one for one in definition.directives if isinstance(one, Access)), None) if definition else None


def check_rules(schema: GraphQLSchema) -> None:
    """Raise TypeError if a root field has no access rule."""
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        for name, field in root.fields.items() if root else ():
            if root and access_of(field) is None:
                raise TypeError(
                    f"{root.name}.{name} has no access rule. Add `directives=access(...)` to its decorator "
                    "(hub/api/schema/access.py)."
                )


def enforce_access(schema: GraphQLSchema) -> None:
    """Check the access rules before the resolvers of the fields run."""
    for type_ in schema.type_map.values():
        for name, field in type_.fields.items() if isinstance(type_, GraphQLObjectType) else ():
            if rule := access_of(field):
                if type_ is schema.subscription_type:
                    field.subscribe = _guarded(field.subscribe, rule, type_.name, name)
                else:
                    field.resolve = _guarded(field.resolve, rule, type_.name, name)


def _guarded(resolve: Callable[..., Any] | None, rule: Access, type_name: str, name: str) -> Callable[..., Any]:
    assert resolve

    def guarded(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        caller = info.context.caller
        check_access(caller, rule, name)
        if caller.role is Role.VIEWER:
            check_search(f"{type_name}.{name}", arguments)
        return resolve(source, info, **arguments)

    return guarded


def check_access(caller: Principal, rule: Access, name: str) -> None:
    """Raise Forbidden with the missing role or scope if the rule does not allow the caller. `name` is shown to them."""
    if caller.key and rule.caller is not Caller.USER:
        _check_key(caller, rule, name)
    if caller.is_staff:
        _check_staff(caller, rule, name)
        return
    if rule.caller is Caller.USER and not caller.user:
        raise Forbidden("This operation belongs to a user. Use a token whose `sub` is the user's id.")
    if rule.caller is Caller.SERVICE and caller.role not in (Role.SERVICE, Role.ADMIN):
        raise Forbidden("This operation requires a token with role service or admin.")
    if rule.caller is Caller.ADMIN and caller.role is not Role.ADMIN:
        raise Forbidden("This operation requires a token with role admin.")


def _check_staff(caller: Principal, rule: Access, name: str) -> None:
    if rule.caller is Caller.ANYONE:
        return
    if not rule.staff:
        raise Forbidden(f"A token with role {caller.role} cannot use `{name}`.")
    allowed = STAFF[STAFF.index(Role[rule.staff.name]) :]
    if caller.role not in allowed:
        raise Forbidden(f"`{name}` requires a token with role {', '.join(allowed)}, or {Role.ADMIN}.")


def _check_key(caller: Principal, rule: Access, name: str) -> None:
    if rule.keys is False:
        raise Forbidden(f"Service keys cannot use `{name}`. Use the access token of a person with role admin.")
    if not caller.scopes or rule.scope in caller.scopes:
        return
    held = ", ".join(sorted(caller.scopes))
    if not rule.scope:
        raise Forbidden(f"`{name}` requires a service key without scopes. This key has only {held}.")
    needed = rule.scope.name
    raise Forbidden(f"`{name}` requires a service key with the scope {needed}. This key has {held}.", scope=needed)
