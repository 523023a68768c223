"""The fast path returns what graphql-core returns: one hub runs with HUB_FAST_EXECUTION and one without."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
import pytest_asyncio
from graphql import OperationDefinitionNode, parse
from graphql.execution.values import VariableValues, get_variable_values
from hypothesis import given
from hypothesis import strategies as st

from hub.api.execution.fast_path.variables import compile_coercion
from hub.api.schema.root import make_schema
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Json, Tenant
from tests.processes import Deployment

CONTENT = {
    "title": "Hello",
    "body": "there",
    "actions": [{"key": "go", "label": "Go", "url": "https://acme.example"}],
    "actor": {"name": "Carol", "avatarUrl": "/carol.png"},
}
SEND_INPUT: Json = {
    "to": {"users": ["alice", "bob"]},
    "category": "news",
    "content": {"title": "Hello", "body": "there"},
}
KEYED_INPUT: Json = SEND_INPUT | {
    "idempotencyKey": "kept",
    "data": {"a": [1, None, {"b": "c"}]},
    "tags": ["x"],
    "priority": "HIGH",
    "channels": ["IN_APP"],
}
ALL_FIELDS = (
    "id userId sortKey title body imageUrl actionUrl actions { key label url primary } data tags category categoryName priority "
    "because requireAck createdAt updatedAt seenAt readAt archivedAt snoozedUntil acknowledgedAt expiresAt "
    "actor { name avatarUrl } actedKey actedAt threadKey"
)
SEND = "mutation ($i: SendInput!) { send(input: $i) { duplicate send { id status category recipients createdAt } } }"
SIMULATE = (
    "query ($i: SendInput!) { simulate(input: $i) { userId decisions { channel outcome reason dueAt title body } } }"
)

# name: user, query, variables
REQUESTS: dict[str, tuple[str | None, str, Json]] = {
    "page": ("alice", f"{{ inbox(first: 3) {{ nodes {{ {ALL_FIELDS} }} edges {{ cursor node {{ id }} }} }} }}", {}),
    "counts": ("alice", "{ inbox { unread unseen position pageInfo { hasNextPage endCursor } } }", {}),
    "filter": ("alice", "query ($f: InboxFilter) { inbox(filter: $f) { unread nodes { title } } }", {"f": {"tags": ["x"]}}),
    "default": ("alice", "query ($n: Int = 1) { inbox(first: $n) { nodes { __typename id } } }", {}),
    "null": ("alice", '{ notification(id: "none") { id } }', {}),
    "alias": ("alice", "{ mine: inbox { n: nodes { i: id i: id a: actions { l: label } } } }", {}),
    "fragments": ("alice", "{ inbox { ...a ... on NotificationConnection { unread } } } fragment a on NotificationConnection { nodes { id } }", {}),
    "inner directive": ("alice", "query ($x: Boolean!) { inbox { unread @skip(if: $x) unseen } }", {"x": True}),
    "waits": ("alice", "{ inbox(first: 2) { nodes { id deliveries { channel status reason } } } }", {}),
    "me": ("alice", "{ me { id email createdAt } }", {}),
    "preferences": ("alice", "{ preferences { channels { channel enabled } categories { category { key name } mutedUntil channels { channel enabled locked } } } }", {}),
    "devices": ("alice", "{ me { devices { id kind label createdAt } } }", {}),
    "sends": (None, "{ sends(first: 2) { nodes { id category status recipients } pageInfo { hasNextPage } } }", {}),
    "user": (None, '{ user(id: "alice") { id email attributes } }', {}),
    "categories": (None, "{ categories { key name required defaultChannels } }", {}),
    "simulate": (None, SIMULATE, {"i": SEND_INPUT}),
    "nulls": (None, SIMULATE, {"i": SEND_INPUT | {"priority": None, "tags": None, "channels": None, "data": None}}),
    "number for an id": (None, SIMULATE, {"i": SEND_INPUT | {"to": {"users": [7]}}}),
    "single for a list": (None, SIMULATE, {"i": SEND_INPUT | {"tags": "x", "to": {"users": "alice"}}}),
    "unasked variable": (None, SIMULATE, {"i": SEND_INPUT, "other": 1}),
    "no filter": ("alice", "query ($f: InboxFilter) { inbox(filter: $f) { unread } }", {}),
    "bad enum": (None, SIMULATE, {"i": SEND_INPUT | {"priority": "LOUD"}}),
    "bad field": (None, SIMULATE, {"i": SEND_INPUT | {"unknown": 1}}),
    "bad number": ("alice", "query ($n: Int) { inbox(first: $n) { unread } }", {"n": "1"}),
    "bad null": (None, SIMULATE, {"i": None}),
    "again": (None, SEND, {"i": KEYED_INPUT}),
    "marked": ("alice", "mutation { markAllRead { unread unseen position } }", {}),
    "some fail": (
        None,
        "mutation ($i: [SendInput!]!) { sendMany(inputs: $i) { duplicate send { id } } }",
        {"i": [KEYED_INPUT, SEND_INPUT | {"to": {"users": []}}, KEYED_INPUT, SEND_INPUT | {"category": ""}]},
    ),
    "forbidden": ("alice", SEND, {"i": SEND_INPUT}),
    "not found": (None, 'mutation { cancelSend(id: "none") { id } }', {}),
    "bad input": (None, SEND, {"i": SEND_INPUT | {"category": ""}}),
    "bad argument": ("alice", "{ inbox(first: -1) { unread } }", {}),
    "bad variable": (None, SEND, {"i": {"to": 1}}),
    "no variable": (None, SEND, {}),
    "nobody's": (None, "{ inbox { unread } }", {}),
    "nullable fails": (None, "{ me { id } }", {}),
}  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tenant(servers: tuple[Mongod, Redis]) -> AsyncIterator[Tenant]:
    """A tenant whose first URL has the fast path. The second has not."""
    mongod, redis = servers
    async with (
        Deployment(mongod.url, redis.url, apis=1, workers=0) as fast,
        Deployment(mongod.url, redis.url, apis=1, workers=0, fast_execution="false") as standard,
        Tenant("fast_path", [*fast.urls, *standard.urls]) as tenant,
    ):
        await tenant.send("alice", content=CONTENT)
        await tenant.execute(SEND, i=KEYED_INPUT)
        await tenant.execute("mutation { markAllRead { unread } }", user="alice")
        yield tenant


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", REQUESTS)
async def test_fast_response_equals_the_executed_one(tenant: Tenant, name: str) -> None:
    user, query, variables = REQUESTS[name]
    fast_url, standard_url = tenant.urls
    for _ in range(2):  # the first request compiles the operation
        fast = await tenant.execute_raw(query, user=user, url=fast_url, **variables)
    standard = await tenant.execute_raw(query, user=user, url=standard_url, **variables)
    assert fast == standard
    assert list(fast) == list(standard)
    refused = name in {"forbidden", "not found", "nobody's", "nullable fails"} or name.startswith(("bad", "no var"))
    assert ("errors" in fast) == (refused or name == "some fail"), fast


@pytest.mark.asyncio(loop_scope="module")
async def test_fast_subscription_equals_the_executed_one(tenant: Tenant) -> None:
    fields = f"kind unread unseen notification {{ {ALL_FIELDS} becauseKind }}"
    query = f"subscription ($after: Cursor) {{ inbox(after: $after) {{ {fields} }} }}"
    fast_url, standard_url = tenant.urls
    position = (await tenant.inbox("erin"))["position"]
    await tenant.send("erin", content=CONTENT)
    async with (
        tenant.feed("erin", position, url=fast_url, query=query) as fast,
        tenant.feed("erin", position, url=standard_url, query=query) as standard,
    ):
        missed = [await feed.take(1) for feed in (fast, standard)]
        await tenant.send("erin")
        await tenant.execute("mutation { markAllRead { unread } }", user="erin")
        live = [await feed.take(2) for feed in (fast, standard)]
    assert [event["kind"] for event in missed[0] + live[0]] == ["ADDED", "ADDED", "ALL_READ"]
    for events in (missed, live):
        assert json.dumps(events[0]) == json.dumps(events[1]), "and in the order of the query"


FRIENDS = [f"friend {number}" for number in range(9)]  # enough for one message to all of them
BROADCASTS = {
    "plain": "kind unread unseen notification { id userId sortKey title because }",
    "aliases": "k: kind __typename at: unread at: unread n: notification { a: id b: id __typename sortKey }",
    "fragments": "...e ... on InboxEvent { unseen notification { title } } } } fragment e on InboxEvent { ...n unread } fragment n on InboxEvent { notification { id actions { label } data",
    "directives": "kind @skip(if: true) unread @include(if: true) notification { id @include(if: $yes) title @skip(if: $yes) }",
    "deliveries": "kind notification { id deliveries { channel status } }",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", BROADCASTS)
async def test_fast_broadcast_equals_the_executed_one(tenant: Tenant, name: str) -> None:
    """Over WebSocket and as server-sent events."""
    variable = ", $yes: Boolean = true" if name == "directives" else ""
    query = f"subscription ($after: Cursor{variable}) {{ inbox(after: $after) {{ {BROADCASTS[name]} }} }}"
    fast_url, standard_url = tenant.urls
    watched = FRIENDS[:3]
    async with AsyncExitStack() as stack:
        feeds, streams = {}, {}
        for user in watched:
            position = (await tenant.inbox(user))["position"]
            await tenant.send(user)
            feeds[user] = [
                await stack.enter_async_context(tenant.feed(user, position, url=url, query=query))
                for url in (fast_url, fast_url, standard_url)
            ]
            streams[user] = await stack.enter_async_context(
                aclosing(tenant.stream_events(user, position, url=fast_url, query=query))
            )
            for feed in feeds[user]:  # the subscriptions are active after their first event
                await feed.take(1)
            await anext(streams[user])
        for number in range(3):
            await tenant.send(*FRIENDS, title=f'{number} 100 % "é"', data={"number": number}, content=CONTENT)
        await tenant.execute("mutation { markAllSeen { unread } }", user=watched[0])
        await tenant.send(*FRIENDS)
        for user in watched:
            count = 5 if user == watched[0] else 4
            expected = [json.dumps(event) for event in await feeds[user][-1].take(count)]
            for feed in feeds[user][:-1]:
                assert [json.dumps(event) for event in await feed.take(count)] == expected
            streamed = [(await anext(streams[user]))["data"]["inbox"] for _ in range(count)]
            assert [json.dumps(event) for event in streamed] == expected


SCHEMA = make_schema()._schema
MANY = "mutation ($inputs: [SendInput!]!, $once: SendInput) { sendMany(inputs: $inputs) { duplicate } send(input: $once) { duplicate } }"
TEXT = st.text(max_size=3)
INVALID_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 9),
    st.floats(allow_nan=False),
    TEXT,
    st.lists(TEXT, max_size=1),
    st.just({}),
)


def object_of(
    required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """Mostly valid objects, and some with another value in one field."""
    valid = st.fixed_dictionaries(required, optional=optional)
    names = st.sampled_from([*required, *optional, "unknown"])
    return st.one_of(
        valid,
        valid,
        valid,
        st.builds(lambda d, name, value: d | {name: value}, valid, names, INVALID_VALUES),
        INVALID_VALUES,
    )


ACTION = object_of({"key": TEXT, "label": TEXT}, url=st.one_of(st.none(), TEXT), primary=st.booleans())
SENT = object_of(
    {
        "to": object_of({}, users=st.lists(TEXT, max_size=2)),
        "category": TEXT,
        "content": object_of({"title": TEXT, "body": TEXT}, actions=st.lists(ACTION, max_size=2)),
    },
    data=INVALID_VALUES,
    tags=st.lists(TEXT, max_size=2),
    priority=st.sampled_from(["HIGH", "LOUD", None]),
    channels=st.lists(st.sampled_from(["EMAIL", "IN_APP"]), max_size=2),
    expiresAt=st.sampled_from(["2030-01-01T00:00:00Z", "soon"]),
)


@given(st.fixed_dictionaries({}, optional={"inputs": st.one_of(st.lists(SENT, max_size=2), SENT), "once": SENT}))
def test_fast_coercion_equals_graphql_core(variables: Json) -> None:
    [operation] = parse(MANY).definitions
    assert isinstance(operation, OperationDefinitionNode)
    expected = get_variable_values(SCHEMA, operation.variable_definitions or (), variables)
    try:
        compiled = compile_coercion(SCHEMA, operation)(variables)
    except Exception:  # noqa: BLE001 - passed to graphql-core
        return
    assert isinstance(expected, VariableValues)
    assert compiled.coerced == expected.coerced
    assert compiled.sources.keys() == expected.sources.keys()
