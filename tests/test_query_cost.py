"""The cost limit of operations: rejected before they run, with the cost; lists need one query per level and do not block
others."""
# ruff: noqa: UP031 - GraphQL contains many braces

import asyncio
import gc
import json
import re
import weakref
from inspect import isawaitable
from typing import Any
from uuid import uuid4

import pytest
from graphql import (
    ExecutionResult,
    GraphQLField,
    GraphQLInt,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    execute_sync,
    parse,
)

from hub.api.execution.cooperative import CooperativeExecutor
from hub.api.execution.query_cost import QueryCosts
from hub.api.schema.root import make_schema
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from tests.client import Json, Tenant
from tests.processes import Process

SCHEMA = make_schema()._schema
COSTS = QueryCosts(SCHEMA, Settings(jwt_secret="s" * 40))
PREFERENCES = (
    "preferences { channels { channel enabled } categories { category { key } channels { channel enabled } } }"
)
SEND = "mutation ($i: SendInput!) { send(input: $i) { duplicate } }"
SEND_DEFAULT = "mutation ($i: SendInput = {to: {where: {id: 1}}}) { send(input: $i) { duplicate } }"
SEND_MANY = "mutation ($i: [SendInput!]!) { sendMany(inputs: $i) { duplicate } }"
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id %s } }"


def cost(text: str, **variables: Any) -> tuple[float, str | None]:
    document = parse(text)
    [operation] = [node for node in document.definitions if node.kind == "operation_definition"]
    total, error = COSTS.check(COSTS.compile(document, operation), variables)  # type: ignore[arg-type]
    return total, error.message if error else None


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("{ inbox(first: 100) { nodes { id } } }", {}, 1 + 100 * 1.1),
        ("{ inbox { nodes { id } } }", {}, 1 + 20 * 1.1),
        ("query ($n: Int) { inbox(first: $n) { nodes { id } } }", {"n": 7}, 1 + 7 * 1.1),
        ("query ($n: Int = 3) { inbox(first: $n) { nodes { id } } }", {}, 1 + 3 * 1.1),
        ("query ($n: Int) { inbox(first: $n) { nodes { id } } }", {"n": 10**9}, 1 + 100 * 1.1),
        ("{ inbox(first: 100) { nodes { id deliveries { id } } } }", {}, 1 + 100 * (1.1 + 10 * 1.1)),
        ("{ inbox(first: 2) { ...F } } fragment F on NotificationConnection { nodes { id } }", {}, 1 + 2 * 1.1),
        ("{ inbox(first: 2) { ... on NotificationConnection { nodes { id } } } }", {}, 1 + 2 * 1.1),
        ("{ inbox(first: 2) { edges { cursor node { id } } } }", {}, 1 + 2 * (1 + 0.1 + 1.1)),
        (UPSERT % "", {"users": [{"id": "a"}] * 120}, 120 * 1.1),
        ('mutation { act(id: "a", key: "b") { notifications { id } } }', {}, 1 + 1.1),
        ('mutation { markRead(ids: ["a", "b"]) { notifications { id } } }', {}, 1 + 2 * 1.1),
        ("{ topics(first: 3) { nodes { key subscribers } } }", {}, 1 + 3 * (1 + 0.1 + 1.1)),
        ("{ me { topics } }", {}, 1 + 0.1 + 12.5),
        ("{ sends(first: 7) { nodes { to { users } } } }", {}, 1 + 7 * (1 + 1 + 100 * 0.1)),
        (SEND, {"i": {"to": {"users": ["a"]}}}, 1 + 0.1),
        (SEND, {"i": {"to": {"where": {"locale": "de"}}}}, 1 + 0.1 + 250),
        (SEND_DEFAULT, {}, 1 + 0.1 + 250),
        ("mutation ($w: JSON) { send(input: {to: {where: $w}}) { duplicate } }", {"w": {}}, 1 + 0.1 + 250),
        (SEND_MANY, {"i": [{"to": {"where": {}}}, {"to": {"everyone": True}}] * 2}, 4 * (1 + 0.1) + 2 * 250),
        ("{ __typename }", {}, 0.1),
    ],
)
def test_cost_counts_objects_and_fields_times_list_sizes(text: str, variables: dict[str, Any], expected: float) -> None:
    assert cost(text, **variables)[0] == pytest.approx(expected)


def test_queries_of_the_front_end_and_the_docs_are_within_the_cost_limit() -> None:
    operations = [
        "{ me { id email devices { id kind label } %s } }" % PREFERENCES,
        "{ inbox(first: 50) { nodes { id title body data actions { key label url primary } deliveries { channel status } } } }",
        "{ sends(first: 50) { nodes { id counts { channel status count reasons { reason count } } } } }",
        "query ($inputs: [SendInput!]!) { __typename }",
    ]
    for text in operations:
        assert cost(text)[1] is None, (text, cost(text))


async def expect_rejection(tenant: Tenant, text: str, user: str | None = None, **variables: Any) -> str:
    response = await tenant.execute_raw(text, user=user, **variables)
    [error] = response["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "data" not in response
    return str(error["message"])


async def test_operation_that_multiplies_lists_is_rejected_with_its_cost(tenant: Tenant) -> None:
    aliases = " ".join(f"p{n}: preferences {{ ...P }}" for n in range(90))
    fragment = f"fragment P on Preferences {PREFERENCES.removeprefix('preferences')}"
    received = await expect_rejection(tenant, "{ me { %s } } %s" % (aliases, fragment), "alice")
    assert re.search(r"costs [\d,]+, more than 10,000 \(HUB_QUERY_MAX_COST\)", received)
    inboxes = " ".join(f"i{n}: inbox(first: 100) {{ nodes {{ id title body data }} }}" for n in range(10))
    assert "HUB_QUERY_MAX_COST" in await expect_rejection(tenant, "{ %s }" % inboxes, "alice")
    many = " ".join(f"i{n}: inbox(first: 100) {{ nodes {{ id }} }}" for n in range(60))
    received = await expect_rejection(tenant, "{ %s }" % " ".join(f"m{n}: me {{ {many} }}" for n in range(10)), "alice")
    assert "HUB_QUERY_MAX" in received
    few = " ".join(f"i{n}: inbox(first: 1) {{ nodes {{ id }} }}" for n in range(21))
    assert "21 pages of lists" in await expect_rejection(tenant, "{ me { %s } }" % few, "alice")
    users = [{"id": f"user{n}"} for n in range(120)]
    assert "HUB_QUERY_MAX_COST" in await expect_rejection(tenant, UPSERT % PREFERENCES, users=users)
    found = await tenant.execute_raw('{ user(id: "user0") { id } }')
    assert found["data"]["user"] is None  # it was rejected before it ran


async def test_cost_limit_applies_over_a_websocket(tenant: Tenant) -> None:
    few = " ".join(f"i{n}: inbox(first: 1) {{ nodes {{ id }} }}" for n in range(21))
    async with tenant.socket("alice") as socket:
        await socket.subscribe("{ me { %s } }" % few)
        message = await socket.read()
    assert message["type"] == "error"
    assert "HUB_QUERY_MAX_PAGES" in json.dumps(message)


async def test_long_lists_do_not_block_others_and_have_the_same_result() -> None:
    """A list of plain objects is completed in turns: another task proceeds meanwhile."""
    item = GraphQLObjectType(
        "Item", {f"f{n}": GraphQLField(GraphQLInt, resolve=lambda value, _: value) for n in range(20)}
    )
    schema = GraphQLSchema(GraphQLObjectType("Query", {"items": GraphQLField(GraphQLList(item))}))
    document = parse("{ items { %s } }" % " ".join(f"f{n}" for n in range(20)))
    items = [*range(1000), None]
    executor = CooperativeExecutor.build(schema, document, {"items": items})
    assert isinstance(executor, CooperativeExecutor)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    running = asyncio.create_task(other())
    await asyncio.sleep(0)
    result = executor.execute_operation()
    assert isawaitable(result)
    completed = await result
    running.cancel()
    assert turns > 3
    assert completed == execute_sync(schema, document, {"items": items})


async def test_error_deep_in_a_long_list_has_its_path() -> None:
    def fail_at_700(value: int, _: object) -> int:
        if value == 700:
            raise ValueError("no")
        return value

    item = GraphQLObjectType("Item", {"n": GraphQLField(GraphQLInt, resolve=fail_at_700)})
    schema = GraphQLSchema(GraphQLObjectType("Query", {"items": GraphQLField(GraphQLList(item))}))
    executor = CooperativeExecutor.build(schema, parse("{ items { n } }"), {"items": list(range(1000))})
    assert isinstance(executor, CooperativeExecutor)
    completed: Any = await executor.execute_operation()  # type: ignore[misc]
    assert [error.path for error in completed.errors] == [["items", 700, "n"]]
    assert completed.data["items"][699:701] == [{"n": 699}, {"n": None}]


async def test_counts_of_a_page_of_sends_are_two_queries(tenant: Tenant) -> None:
    """Each send has its own counts, independent of the other sends on the page."""
    for n in range(1, 4):
        await tenant.send(*(f"user{i}" for i in range(n)), title=f"to {n}")
    page = (await tenant.execute("{ sends { nodes { recipients counts { channel status count } } } }"))["sends"][
        "nodes"
    ]
    assert [node["recipients"] for node in page] == [3, 2, 1]
    for node in page:
        assert sum(row["count"] for row in node["counts"] if row["channel"] == "IN_APP") == node["recipients"]


async def test_cost_budget_is_per_caller_and_returns_retry_after(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    api = Process("serve", mongod.url, redis.url, rate_limit_cost_per_user="20000")
    await api.start()
    try:
        async with Tenant(f"t{uuid4().hex[:12]}", [api.url]) as tenant:
            page = "{ inbox(first: 100) { nodes { id deliveries { id } } } }"  # 1,211 each
            responses: list[Json] = await asyncio.gather(*(tenant.execute_raw(page, user="alice") for _ in range(40)))
            refused = [response["errors"][0] for response in responses if "errors" in response]
            assert len(refused) >= 20
            assert {error["extensions"]["code"] for error in refused} == {"RATE_LIMITED"}
            assert all(error["extensions"]["retryAfter"] > 0 for error in refused)
            assert "HUB_RATE_LIMIT_COST_PER_USER" in refused[0]["message"]
            assert "errors" not in await tenant.execute_raw(page, user="bob")
            assert "errors" not in await tenant.execute_raw(
                "{ me { id } }", user="alice"
            )  # cheap queries are still allowed
    finally:
        api.kill()


async def test_executor_is_freed_without_the_garbage_collector() -> None:
    """Otherwise, the context of each request would stay in memory until the next collection."""
    schema = GraphQLSchema(GraphQLObjectType("Query", {"n": GraphQLField(GraphQLInt, resolve=lambda *_: 1)}))
    executor = CooperativeExecutor.build(schema, parse("{ n }"), None)
    assert isinstance(executor, CooperativeExecutor)
    assert executor.execute_operation() == ExecutionResult({"n": 1}, None)
    reference = weakref.ref(executor)
    gc.disable()
    try:
        del executor
        assert reference() is None
    finally:
        gc.enable()
