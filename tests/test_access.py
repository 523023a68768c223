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

from hub.model import Role
from tests.client import Json, Tenant
from tests.conftest import scaled
from tests.service_keys import create_key

PAGE = Path("docs/reference/roles-and-scopes.md")
SCHEMA = build_schema(Path("schema.graphql").read_text())
ROOTS = {"Queries": "query", "Mutations": "mutation", "Subscriptions": "subscription"}
ENDPOINT = "endpoint"
LITERALS = {"DateTime": '"2090-01-01T00:00:00Z"', "Duration": '"PT1M"', "Int": "1", "Float": "1", "Boolean": "true"}
INVALID_CURSOR = {"inbox", "receipts"}
"""Subscriptions that would stay open. With an invalid cursor they fail after their access was checked."""


class Caller(Struct, frozen=True):
    """A kind of caller. `scopes` are those of a service key, None for a token."""

    credential: str
    role: Role
    has_user: bool = False
    scopes: frozenset[str] | None = None

    def may(self, token: str, key: str) -> bool:
        """Return True if a row of the table allows the caller."""
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
    ]
    keys = [
        (Role.ADMIN, []),
        (Role.SERVICE, ["READ"]),
        *scaled([], [(Role.SERVICE, []), (Role.SERVICE, ["SEND", "PEOPLE"])]),
        *((Role.ADMIN, [scope]) for scope in ("SEND", "READ", "EVENTS", "PEOPLE")),
    ]
    return tokens + [
        Caller((await create_key(tenant, role=role.name, scopes=scopes)).secret, role, scopes=frozenset(scopes))
        for role, scopes in keys
    ]


def rules() -> Iterator[tuple[str, str, str, str]]:
    """Yield the operation kind, the field, and the cells of each row of the table."""
    kind = None
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
            kind = ENDPOINT if title == "HTTP endpoints" else ROOTS.get(title)
        elif kind and line.startswith("| `"):
            name, token, key = (cell.strip(" `") for cell in line.strip("|").split("|"))
            yield kind, name, token, key


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
    table = list(rules())
    fields = {(kind, name) for kind in ROOTS.values() for name in root(kind).fields}
    assert {(kind, name) for kind, name, _, _ in table if kind != ENDPOINT} == fields

    async def wrong(kind: str, name: str, token: str, key: str) -> list[str]:
        return [
            f"{name}: {caller.role} {caller.scopes}"
            for caller in every
            if await is_forbidden(tenant, caller, kind, name) is caller.may(token, key)
        ]

    assert [fault for faults in await asyncio.gather(*(wrong(*row) for row in table)) for fault in faults] == []
