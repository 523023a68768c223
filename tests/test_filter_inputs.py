"""Filters that are not valid, and values that only look dangerous, through the API."""

import json
from typing import Any

import pytest

from tests.client import GraphQLErrors, Json, Tenant

AUDIENCE = "query ($to: RecipientsInput!) { audience(to: $to) { recipients exact scans sample } }"
BOMB = "(a+)+$" * 100

REFUSED: list[tuple[Any, str]] = [
    ([], ""),
    ("plan", ""),
    (7, ""),
    (True, ""),
    ({}, ""),
    ({"$where": "sleep(1000)"}, ".$where"),
    ({"$expr": {"$eq": [1, 1]}}, ".$expr"),
    ({"$or": [{}]}, ".$or"),
    ({"$comment": "x"}, ".$comment"),
    ({"plan": "pro"}, ".plan"),
    ({"_id": "alice"}, "._id"),
    ({"tenant": "other"}, ".tenant"),
    ({"preferences.channels": "x"}, ".preferences.channels"),
    ({"devices.token": {"exists": True}}, ".devices.token"),
    ({"": 1}, "."),
    ({"__proto__": {"admin": True}}, ".__proto__"),
    ({"constructor": {"prototype": 1}}, ".constructor"),
    ({"attributes": "pro"}, ".attributes"),
    ({"attributes": {}}, ".attributes"),
    ({"attributes.": 1}, ".attributes."),
    ({"attributes.a..b": 1}, ".attributes.a..b"),
    ({"attributes.$where": "1"}, ".attributes.$where"),
    ({"attributes.a.$gt": 1}, ".attributes.a.$gt"),
    ({"attributes.a\0b": 1}, ".attributes.a b"),
    ({"attributes.a": {"$gt": 1}}, ".attributes.a.$gt"),
    ({"attributes.a": {"$regex": BOMB}}, ".attributes.a.$regex"),
    ({"attributes.a": {"eq": 1}}, ".attributes.a.eq"),
    ({"attributes.a": {}}, ".attributes.a"),
    ({"attributes.a": {"__proto__": 1}}, ".attributes.a.__proto__"),
    ({"attributes.a": [1, 2]}, ".attributes.a"),
    ({"attributes.a": {"in": []}}, ".attributes.a.in"),
    ({"attributes.a": {"in": {"$ne": 1}}}, ".attributes.a.in"),
    ({"attributes.a": {"in": [1, {"$ne": 1}]}}, ".attributes.a.in[1]"),
    ({"attributes.a": {"in": [[1]]}}, ".attributes.a.in[0]"),
    ({"attributes.a": {"in": list(range(1001))}}, ".attributes.a.in"),
    ({"attributes.a": {"gte": None}}, ".attributes.a.gte"),
    ({"attributes.a": {"gte": True}}, ".attributes.a.gte"),
    ({"attributes.a": {"lt": {"$date": 0}}}, ".attributes.a.lt"),
    ({"attributes.a": {"exists": 1}}, ".attributes.a.exists"),
    ({"attributes.a": {"startsWith": {"$regex": ".*"}}}, ".attributes.a.startsWith"),
    ({"attributes.a": {"startsWith": ""}}, ".attributes.a.startsWith"),
    ({"attributes.a": 2**63}, ".attributes.a"),
    ({"attributes.a": {"lt": -(2**63) - 1}}, ""),
    ({"attributes.a": "x" * 1025}, ".attributes.a"),
    ({f"attributes.{'k' * 257}": 1}, f".attributes.{'k' * 53}..."),
    ({"k" * 50_000: 1}, f".{'k' * 64}..."),
    ({f"attributes.{'a.' * 10}b": 1}, f".attributes.{'a.' * 10}b"),
    ({"name": 1}, ".name"),
    ({"email": {"gt": 5}}, ".email.gt"),
    ({"createdAt": "yesterday"}, ".createdAt"),
    ({"createdAt": {"gte": "2026-01-01T00:00:00"}}, ".createdAt.gte"),
    ({"createdAt": 1767225600}, ".createdAt"),
    ({"createdAt": {"startsWith": "2026"}}, ".createdAt.startsWith"),
    ({"and": {}}, ".and"),
    ({"or": []}, ".or"),
    ({"and": [{"name": "Ann"}, {"attributes.plan": {"gte": []}}]}, ".and[1].attributes.plan.gte"),
    ({"not": []}, ".not"),
    ({"or": [{"name": "Ann"}] * 101}, ".or[100].name"),
    ({"and": [{"attributes.a": "x" * 1000}] * 70}, ""),
]
HARMLESS: list[Json] = [
    {"attributes.__proto__": 1},
    {"attributes.constructor.prototype": "x"},
    {"attributes": {"in": 1, "not": 2}},
    {"attributes.a": "$where"},
    {"attributes.a": "$name"},
    {"attributes.a": {"in": ["$ne", "'; return true; //", "a\0b"]}},
    {"attributes.a": {"startsWith": "\0"}},
    {"attributes.a": {"startsWith": f"^{BOMB}"}},
    {"attributes.a": {"startsWith": ".*"}},
    {"attributes.a": {"startsWith": "\U0010ffff"}},
    {"attributes.0": 1},
    {"id": "../other/alice"},
    {"id": {"startsWith": "0"}},
    {"id": {"gt": "\U0010ffff"}},
    {"name": {"in": [str(number) for number in range(1000)]}},
    {"topics": "$ne"},
]


def nested(levels: int, inner: Json) -> Json:
    for _ in range(levels):
        inner = {"not": inner}
    return inner


async def refusal(tenant: Tenant, where: Any) -> Json:
    with pytest.raises(GraphQLErrors) as caught:
        await tenant.execute(AUDIENCE, to={"where": where})
    [error] = caught.value.errors
    return error


@pytest.mark.parametrize(("where", "path"), REFUSED, ids=lambda value: json.dumps(value)[:40])
async def test_invalid_filter_is_refused_with_its_path(tenant: Tenant, where: Any, path: str) -> None:
    error = await refusal(tenant, where)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["field"] == f"to.where{path}"
    assert len(error["message"]) < 400


async def test_deeply_nested_filter_is_refused(tenant: Tenant) -> None:
    assert (await refusal(tenant, nested(10, {"name": "Ann"})))["extensions"]["field"].endswith(".not" * 10)
    for levels in (11, 100, 10_000):
        where = '{"not":' * levels + '{"name": "Ann"}' + "}" * levels
        body = f'{{"query": {json.dumps(AUDIENCE)}, "variables": {{"to": {{"where": {where}}}}}}}'
        headers = {"authorization": f"Bearer {tenant.token()}", "content-type": "application/json"}
        async with tenant.http.post(tenant.next_url(), data=body, headers=headers) as response:
            [error] = (await response.json())["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_null_is_not_a_filter(tenant: Tenant) -> None:
    assert (await refusal(tenant, None))["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("where", HARMLESS, ids=lambda value: json.dumps(value)[:40])
async def test_unusual_values_are_only_compared(tenant: Tenant, where: Json) -> None:
    await tenant.execute('mutation { upsertUsers(users: [{id: "alice", name: "Alice", attributes: {a: 1}}]) { id } }')
    assert (await tenant.execute(AUDIENCE, to={"where": where}))["audience"]["recipients"] == 0
    assert (await tenant.execute(AUDIENCE, to={"where": {"not": where}}))["audience"]["recipients"] == 1
