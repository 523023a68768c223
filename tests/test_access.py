"""The table of roles and scopes in the documentation, compared with what the API does for every root field and every
kind of caller."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)
from msgspec import Struct

from hub.model import STAFF, Role
from tests import rule_calls
from tests.client import Json, Tenant
from tests.conftest import scaled
from tests.service_keys import code_of, create_key

PAGE = Path("docs/reference/roles-and-scopes.md")
SCHEMA = build_schema(Path("schema.graphql").read_text())
ROOTS = {"Queries": "query", "Mutations": "mutation", "Subscriptions": "subscription"}
ENDPOINT = "endpoint"
RESULT = "result"
TITLES = ROOTS | {"HTTP endpoints": ENDPOINT, "Results of mutations": RESULT}
SEND = '{to: {users: ["alice"]}, category: "news", content: {title: "T", body: ""}}'
WRITES = {
    "User": ("PEOPLE", 'mutation { upsertUsers(users: [{id: "alice"}]) { %s } }'),
    "Send": ("SEND", f"mutation {{ send(input: {SEND}) {{ send {{ %s }} }} }}"),
    "RuleResult": ("EVENTS", "mutation ($e: EventInput!) { publishEvent(input: $e) { results { %s } } }"),
}
"""A mutation for each type in whose fields the result of a mutation is restricted, and the scope that it requires."""
STORED_DATA = {f"User.{name}" for name in ("name", "email", "phone", "attributes", "devices", "preferences", "inbox")}
STORED_DATA |= {"Send.notifications", "Send.deliveries", "RuleResult.send"}
LITERALS = {"DateTime": '"2090-01-01T00:00:00Z"', "Duration": '"PT1M"', "Int": "1", "Float": "1", "Boolean": "true"}
INVALID_CURSOR = {"inbox", "receipts"}
"""Subscriptions that would stay open. With an invalid cursor they fail after their access was checked."""


class Caller(Struct, frozen=True):
    """A kind of caller. `scopes` are those of a service key, None for a token."""

    credential: str
    role: Role
    has_user: bool = False
    scopes: frozenset[str] | None = None

    def may(self, token: str, staff: str, key: str) -> bool:
        """Return True if a row of the table allows the caller."""
        if self.role in STAFF:
            allowed = staff != "no" and STAFF.index(self.role) >= STAFF.index(Role(staff))
            return allowed and (not self.scopes or key in self.scopes)
        if self.scopes is not None and (key == "no" or (self.scopes and key not in self.scopes)):
            return False
        if token == "user":
            return self.has_user
        return {"any": True, "service": self.role is not Role.USER, "admin": self.role is Role.ADMIN}[token]


async def callers(tenant: Tenant) -> list[Caller]:
    tokens = [
        Caller(tenant.token("alice"), Role.USER, has_user=True),
        Caller(tenant.token(role=Role.SERVICE), Role.SERVICE),
        Caller(tenant.token(role=Role.ADMIN), Role.ADMIN),
        Caller(tenant.token("alice", role=Role.SERVICE), Role.SERVICE, has_user=True),
        *(Caller(tenant.token("ann", role=role), role, has_user=True) for role in STAFF),
    ]
    keys = [
        (Role.ADMIN, []),
        (Role.SERVICE, ["READ"]),
        (Role.VIEWER, []),
        (Role.OPERATOR, ["SEND"]),
        *scaled([], [(Role.SERVICE, []), (Role.SERVICE, ["SEND", "PEOPLE"])]),
        *((Role.ADMIN, [scope]) for scope in ("SEND", "READ", "EVENTS", "PEOPLE")),
    ]
    return tokens + [
        Caller((await create_key(tenant, role=role.name, scopes=scopes)).secret, role, scopes=frozenset(scopes))
        for role, scopes in keys
    ]


def rules() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the operation kind, the field, and the cells of each row of the table."""
    kind = None
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            kind = TITLES.get(line.removeprefix("## "))
        elif kind and line.startswith("| `"):
            name, token, staff, key = (cell.strip(" `") for cell in line.strip("|").split("|"))
            yield kind, name, token, staff, key


def literal(type_: GraphQLInputType) -> str:
    """Return a value that passes validation, with required fields only."""
    if isinstance(type_, GraphQLNonNull):
        return literal(type_.of_type)
    if isinstance(type_, GraphQLList):
        return "[]"
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    if isinstance(type_, GraphQLInputObjectType):
        required = {name: field for name, field in type_.fields.items() if is_required_input_field(field)}
        chosen = dict([next(iter(type_.fields.items()))]) if type_.is_one_of else required
        return f"{{{', '.join(f'{name}: {literal(field.type)}' for name, field in chosen.items())}}}"
    return LITERALS.get(type_.name, '"x"')


def root(kind: str) -> GraphQLObjectType:
    type_: Any = SCHEMA.type_map[kind.title()]
    return type_


def operation(kind: str, name: str) -> str:
    """Return an operation with the field and its required arguments."""
    field = root(kind).fields[name]
    given = {arg: literal(argument.type) for arg, argument in field.args.items() if is_required_argument(argument)}
    if kind == "subscription" and name in INVALID_CURSOR:
        given["after"] = '"x"'
    arguments = f"({', '.join(f'{arg}: {value}' for arg, value in given.items())})" if given else ""
    selection = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
    return f"{kind} {{ {name}{arguments}{selection} }}"


async def is_forbidden(tenant: Tenant, caller: Caller, kind: str, name: str) -> bool:
    headers = {"authorization": f"Bearer {caller.credential}"}
    if kind == ENDPOINT:
        method, _, path = name.partition(" ")
        url = tenant.next_url().replace("/graphql", path)
        async with tenant.http.request(method, url, json={}, headers=headers) as response:
            assert response.status in {400, 403}
            return response.status == 403
    if kind == "subscription":
        headers["accept"] = "text/event-stream"
    body = {"query": operation(kind, name)}
    async with tenant.http.post(tenant.next_url(), json=body, headers=headers) as response:
        if kind == "subscription":
            text = await response.text()
            return '"FORBIDDEN"' in text
        result: Json = await response.json()
    assert "data" in result, f"{name} was not executed: {result}"
    return any(error["extensions"]["code"] == "FORBIDDEN" for error in result.get("errors", []))


async def test_table_of_roles_and_scopes_is_what_the_api_does(tenant: Tenant) -> None:
    every = await callers(tenant)
    table = [row for row in rules() if row[0] != RESULT]
    fields = {(kind, name) for kind in ROOTS.values() for name in root(kind).fields}
    assert {(kind, name) for kind, name, *_ in table if kind != ENDPOINT} == fields

    async def wrong(kind: str, name: str, token: str, staff: str, key: str) -> list[str]:
        return [
            f"{name}: {caller.role} {caller.scopes}"
            for caller in every
            if await is_forbidden(tenant, caller, kind, name) is caller.may(token, staff, key)
        ]

    assert [fault for faults in await asyncio.gather(*(wrong(*row) for row in table)) for fault in faults] == []


def test_mutations_of_staff_are_those_of_the_console() -> None:
    """A mutation that staff may use is a decision: it belongs in this list."""
    allowed = {name: staff for kind, name, _, staff, _ in rules() if kind == "mutation" and staff != "no"}
    assert allowed == {
        "replay": "support",
        "cancelSend": "support",
        "liftSuppression": "support",
        "cancelDeliveries": "operator",
        "stopDeliveryBatch": "operator",
        "recallSend": "operator",
        "pauseSend": "operator",
        "resumeSend": "operator",
        "pauseChannel": "operator",
        "resumeChannel": "operator",
    }


async def test_result_of_a_mutation_shows_only_what_the_key_may_read(tenant: Tenant) -> None:
    await tenant.execute_as_admin(rule_calls.UPSERT_RULE, input=rule_calls.rule_input())
    event: Json = {
        "id": "1",
        "source": "/shop",
        "type": "shop.order.shipped",
        "data": {"customer": "alice", "order": 1},
    }
    await rule_calls.run(tenant, **event)
    table = [row for row in rules() if row[0] == RESULT]
    assert {name for _, name, *_ in table} >= STORED_DATA
    for _, name, _, _, needed in table:
        type_name, _, field_name = name.partition(".")
        scope, mutation = WRITES[type_name]
        type_: Any = SCHEMA.type_map[type_name]
        is_leaf = is_leaf_type(get_named_type(type_.fields[field_name].type))
        query = mutation % (field_name if is_leaf else f"{field_name} {{ __typename }}")
        variables: Json = {"e": event} if type_name == "RuleResult" else {}
        for scopes, code in (([scope], "FORBIDDEN"), ([scope, needed], "")):
            key = await create_key(tenant, role="ADMIN", scopes=scopes)
            assert await code_of(tenant, key, query, **variables) == code, (name, scopes)
