"""Limits of inputs: each refusal has a code and a field, and names its setting."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import GraphQLErrors, Json, Tenant
from tests.graphql_errors import BAD_USER_INPUT, LARGE, error_codes_and_fields
from tests.processes import Deployment

SEND = "mutation ($input: SendInput!) { send(input: $input) { send { id } } }"
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
FAR_FUTURE = "2090-01-01T00:00:00Z"


def send_input(**more: Any) -> Json:
    content = {"title": "t", "body": "b", **more.pop("content", {})}
    return {"to": {"users": ["alice"]}, "category": "c", "content": content, **more}


def action(**more: Any) -> Json:
    return {"content": {"actions": [{"key": "k", "label": "l", **more}]}}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


SENDS: list[tuple[Json, str, str | None]] = [
    (send_input(to={"users": []}), BAD_USER_INPUT, "input.to.users"),
    (send_input(to={"users": ["a"], "topic": "t"}), BAD_USER_INPUT, "input.to"),
    (send_input(to={"users": [""]}), BAD_USER_INPUT, "input.to.users"),
    (send_input(to={"users": ["a\0"]}), BAD_USER_INPUT, "input.to.users"),
    (send_input(to={"users": ["a" * 257]}), BAD_USER_INPUT, "input.to.users"),
    (send_input(to={"users": [f"u{n}" for n in range(1001)]}), LARGE, None),
    (send_input(to={}), BAD_USER_INPUT, "input.to"),
    (send_input(to={"users": None}), BAD_USER_INPUT, "input.to"),
    (send_input(category=""), BAD_USER_INPUT, "input.category"),
    (send_input(category="c" * 257), BAD_USER_INPUT, "input.category"),
    (send_input(category="a\n"), BAD_USER_INPUT, "input.category"),
    (send_input() | {"content": None}, BAD_USER_INPUT, "input.content"),
    (send_input(content={"title": ""}), BAD_USER_INPUT, "input.content.title"),
    (send_input(content={"title": " \n"}), BAD_USER_INPUT, "input.content.title"),
    (send_input(content={"title": "t" * 257}), LARGE, "input.content.title"),
    (send_input(content={"body": "b" * ((16 << 10) + 1)}), LARGE, "input.content.body"),
    (send_input(content={"body": "ü" * (8 << 10) + "b"}), LARGE, "input.content.body"),
    *(
        (send_input(content={name: url}), BAD_USER_INPUT, f"input.content.{name}")
        for name in ("imageUrl", "actionUrl")
        for url in (
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil.example",
            "/\\evil",
            "ftp://a",
            "x",
            "",
            "http://[",
        )
    ),
    (send_input(content={"actionUrl": "https://a.example/" + "a" * 2048}), BAD_USER_INPUT, "input.content.actionUrl"),
    (send_input(content={"actionUrl": "https://a.example/\n"}), BAD_USER_INPUT, "input.content.actionUrl"),
    (send_input(**action(key="")), BAD_USER_INPUT, "input.content.actions.0.key"),
    (send_input(**action(label="")), BAD_USER_INPUT, "input.content.actions.0.label"),
    (send_input(**action(label="l" * 257)), BAD_USER_INPUT, "input.content.actions.0.label"),
    (send_input(**action(url="javascript:x")), BAD_USER_INPUT, "input.content.actions.0.url"),
    (send_input(content={"actions": [{"key": "k", "label": "l"}] * 11}), BAD_USER_INPUT, "input.content.actions"),
    (send_input(content={"actor": {"name": " "}}), BAD_USER_INPUT, "input.content.actor.name"),
    (send_input(content={"actor": {"name": "n" * 257}}), BAD_USER_INPUT, "input.content.actor.name"),
    (
        send_input(content={"actor": {"name": "n", "avatarUrl": "data:image/png,x"}}),
        BAD_USER_INPUT,
        "input.content.actor.avatarUrl",
    ),
    (send_input(threadKey=""), BAD_USER_INPUT, "input.threadKey"),
    (send_input(data="x" * (32 << 10)), LARGE, "input.data"),
    (send_input(data=nested(260)), BAD_USER_INPUT, "input.data"),
    (send_input(tags=[str(n) for n in range(21)]), BAD_USER_INPUT, "input.tags"),
    (send_input(tags=[""]), BAD_USER_INPUT, "input.tags.0"),
    (send_input(channels=[]), BAD_USER_INPUT, "input.channels"),
    (send_input(channels=["PIGEON"]), BAD_USER_INPUT, None),
    (send_input(priority="URGENT"), BAD_USER_INPUT, None),
    (send_input(idempotencyKey=""), BAD_USER_INPUT, "input.idempotencyKey"),
    (send_input(idempotencyKey="k" * 257), BAD_USER_INPUT, "input.idempotencyKey"),
    (send_input(expiresAt="2001-01-01T00:00:00Z"), BAD_USER_INPUT, "input.expiresAt"),
    *(
        (send_input(expiresAt=at), BAD_USER_INPUT, None)
        for at in (
            "",
            "tomorrow",
            1,
            "2090-01-01",
            "2090-01-01T00:00:00",
            "2090-13-01T00:00:00Z",
            "0001-01-01T00:00:00+14:00",
        )
    ),
    (send_input(unknown=1), BAD_USER_INPUT, None),
]


@pytest.mark.parametrize(("input", "code", "field"), SENDS, ids=lambda value: str(value)[-60:])
async def test_send_above_a_limit_returns_code_and_field(
    tenant: Tenant, input: Json, code: str, field: str | None
) -> None:
    response = await tenant.execute_raw(SEND, input=input)
    [error] = response["errors"]
    assert error["extensions"]["code"] == code
    if field:
        assert error["extensions"]["field"] == field
    assert len(error["message"]) < 1000
    assert (await tenant.execute("{ sends { nodes { id } } }"))["sends"]["nodes"] == []


@pytest.mark.parametrize(
    "input",
    [
        send_input(to={"users": ["a" * 256]}),
        send_input(to={"users": ["t/../x y ü 🎉"]}),
        send_input(content={"title": "t" * 256, "body": "b" * (16 << 10)}),
        send_input(content={"title": "🎉" * 256, "body": ""}),
        send_input(content={"title": "\ufdfd\u200d\u0000\u202e", "body": "\0"}),
        send_input(content={"actionUrl": "/a?b#c", "imageUrl": "HTTPS://a.example"}),
        send_input(**action(label="\u0645\u06cc\u200c\u062e 👩\u200d💻")),
        send_input(data="x" * ((32 << 10) - 2)),
        send_input(data=nested(200)),
        send_input(data={"$ne": None, "": {"a.b": "\0", "\0": -1e308}}),
        send_input(data=None),
        send_input(tags=[]),
        send_input(expiresAt="2090-01-01t00:00:00.123456789+14:00"),
        send_input(expiresAt="9999-12-31T23:59:59Z"),
    ],
    ids=lambda value: str(value)[-60:],
)
async def test_send_at_the_limit_is_accepted(tenant: Tenant, input: Json) -> None:
    await tenant.execute(SEND, input=input)
    [user] = input["to"]["users"]
    query = "{ inbox { nodes { title body data actions { label } expiresAt } } }"
    [n] = (await tenant.execute(query, user=user))["inbox"]["nodes"]
    assert (n["title"], n["body"], n["data"]) == (
        input["content"]["title"],
        input["content"]["body"],
        input.get("data"),
    )
    assert [row["label"] for row in n["actions"]] == [row["label"] for row in input["content"].get("actions", [])]


@pytest.mark.parametrize(
    ("filter", "field"),
    [
        ({"categories": [str(n) for n in range(21)]}, "filter.categories"),
        ({"categories": [""]}, "filter.categories.0"),
        ({"tags": [str(n) for n in range(21)]}, "filter.tags"),
        ({"priorities": ["LOW"] * 21}, "filter.priorities"),
        ({"search": "s" * 257}, "filter.search"),
        ({"search": " ".join("abcdefghijk")}, "filter.search"),
        ({"view": "NONE"}, "filter.view"),
    ],
)
async def test_filter_above_a_limit_returns_code_and_field(tenant: Tenant, filter: Json, field: str | None) -> None:
    for query in (
        "query ($f: InboxFilter) { inbox(filter: $f) { unread } }",
        "mutation ($f: InboxFilter) { markAllRead(filter: $f) { changed } }",
        "mutation ($f: InboxFilter) { archiveAll(filter: $f) { changed } }",
    ):
        assert await error_codes_and_fields(tenant, query, f=filter) == [(BAD_USER_INPUT, field)]


async def test_page_size_and_cursors_out_of_bounds_are_rejected(tenant: Tenant) -> None:
    await tenant.send("alice")
    id = (await tenant.execute("{ sends { nodes { id } } }"))["sends"]["nodes"][0]["id"]
    for first in (0, -1, 101, 2**31 - 1):
        assert await error_codes_and_fields(tenant, f"{{ inbox(first: {first}) {{ unread }} }}") == [
            (BAD_USER_INPUT, "first")
        ]
        assert await error_codes_and_fields(tenant, f"{{ sends(first: {first}) {{ nodes {{ id }} }} }}", None) == [
            (BAD_USER_INPUT, "first")
        ]
        query = f'{{ send(id: "{id}") {{ notifications(first: {first}) {{ nodes {{ id }} }} }} }}'
        assert await error_codes_and_fields(tenant, query, None) == [(BAD_USER_INPUT, "first")]
    position = (await tenant.inbox("alice"))["position"]
    for after in ("", "x", "ü", "////", "bS4tMQ", "bS45OTk5OTk5OTk5OTk5OTk5OTk5OTk5", position):
        query = "query ($a: String) { inbox(after: $a) { unread } }"
        assert await error_codes_and_fields(tenant, query, a=after) == [(BAD_USER_INPUT, "after")], after


@pytest.mark.parametrize("after", ["", "x", "ü", "bS4x", "a" * 5000])
async def test_feed_after_an_invalid_position_is_rejected(tenant: Tenant, after: str) -> None:
    async with tenant.feed("alice", after) as feed:
        with pytest.raises(GraphQLErrors) as refused:
            await feed.take(1)
    assert (refused.value.code, refused.value.errors[0]["extensions"]["field"]) == (BAD_USER_INPUT, "after")


async def test_too_many_items_are_rejected_as_a_whole(tenant: Tenant) -> None:
    ids = [f"n{number}" for number in range(1001)]
    query = "mutation ($ids: [ID!]!) { markRead(ids: $ids) { changed } }"
    assert (await error_codes_and_fields(tenant, query, ids=ids))[0][0] == LARGE
    assert (await tenant.execute(query, user="alice", ids=ids[:1000]))["markRead"]["changed"] == 0
    assert (await error_codes_and_fields(tenant, UPSERT, None, users=[{"id": id} for id in ids]))[0][0] == LARGE
    assert len((await tenant.execute(UPSERT, users=[{"id": id} for id in ids[:1000]]))["upsertUsers"]) == 1000
    many = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { duplicate } }"
    assert (await error_codes_and_fields(tenant, many, None, inputs=[send_input()] * 1001))[0][0] == LARGE
    half = send_input(to={"users": ids[:501]})
    assert (await error_codes_and_fields(tenant, many, None, inputs=[half, half]))[0][0] == LARGE
    assert (await tenant.execute("{ sends { nodes { id } } }"))["sends"]["nodes"] == []


async def test_attributes_above_their_limit_are_rejected(tenant: Tenant) -> None:
    for attributes, code in (("x" * (32 << 10), LARGE), (nested(260), BAD_USER_INPUT)):
        assert await error_codes_and_fields(tenant, UPSERT, None, users=[{"id": "a", "attributes": attributes}]) == [
            (code, "users.0.attributes")
        ]


async def test_idempotency_key_above_its_limit_is_rejected(tenant: Tenant) -> None:
    for key in ("k" * 257, ""):
        response = await tenant.execute_raw(UPSERT, headers={"Idempotency-Key": key}, users=[])
        assert response["errors"][0]["extensions"] == {"code": BAD_USER_INPUT, "field": "Idempotency-Key"}


SMALL_LIMITS = {
    "request_max_bytes": "2000",
    "send_many_max_bytes": "4000",
    "websocket_message_max_bytes": "1500",
    "notification_title_max_chars": "10",
    "notification_body_max_bytes": "20",
    "notification_data_max_bytes": "30",
    "call_max_users": "2",
    "call_max_sends": "2",
    "call_max_ids": "2",
    "page_max_items": "5",
    "websocket_max_subscriptions": "2",
    "user_max_connections": "2",
    "tenant_max_receipt_streams": "1",
    "query_max_chars": "400",
    "query_max_tokens": "60",
    "query_max_depth": "4",
    "query_max_fields": "20",
    "query_max_root_fields": "3",
}
MANY = "mutation ($i: [SendInput!]!) { sendMany(inputs: $i) { duplicate } }"
LIMITED_INPUTS: dict[str, tuple[str, Json, str]] = {
    "send_many_max_bytes": ("{ me { id } }", {"pad": "x" * 4000}, LARGE),
    "request_max_bytes": ("{ me { id } }", {"pad": "x" * 2000}, LARGE),
    "notification_title_max_chars": (SEND, {"input": send_input(content={"title": "x" * 11})}, LARGE),
    "notification_body_max_bytes": (SEND, {"input": send_input(content={"body": "x" * 21})}, LARGE),
    "notification_data_max_bytes": (SEND, {"input": send_input(data="x" * 30)}, LARGE),
    "call_max_users": (SEND, {"input": send_input(to={"users": ["a", "b", "c"]})}, LARGE),
    "call_max_sends": (MANY, {"i": [send_input()] * 3}, LARGE),
    "call_max_ids": ('mutation { markRead(ids: ["a", "b", "c"]) { changed } }', {}, LARGE),
    "page_max_items": ("{ sends(first: 6) { nodes { id } } }", {}, BAD_USER_INPUT),
    "query_max_chars": ("{ me { id } } #" + "x" * 386, {}, BAD_USER_INPUT),
    "query_max_tokens": ("{ " + "a: __typename " * 20 + "}", {}, BAD_USER_INPUT),
    "query_max_depth": ("{ sends { nodes { notifications { nodes { id } } } } }", {}, BAD_USER_INPUT),
    "query_max_fields": (
        "{ me { " + "...f " * 5 + "} } fragment f on User { id a: id b: id c: id d: id }",
        {},
        BAD_USER_INPUT,
    ),
    "query_max_root_fields": (
        "{ a: __typename ...f ... { b: __typename } } fragment f on Query { c: __typename d: __typename }",
        {},
        BAD_USER_INPUT,
    ),
}


async def test_every_limit_is_a_setting_named_in_its_error(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    async with (
        Deployment(mongod.url, redis.url, apis=1, workers=0, **SMALL_LIMITS) as hub,
        Tenant(f"t{uuid4().hex[:12]}", hub.urls) as tenant,
    ):
        for setting, (query, variables, code) in LIMITED_INPUTS.items():
            user = "alice" if setting == "call_max_ids" else None
            error = (await tenant.execute_raw(query, user=user, **variables))["errors"][0]
            assert (error["extensions"]["code"], f"HUB_{setting.upper()}" in error["message"]) == (code, True), error
        async with tenant.socket("alice") as socket, tenant.socket("alice"):
            for id in "abc":
                await socket.subscribe("subscription { inbox { kind } }", id)
            assert await close_reason(socket.connection) == (4429, "HUB_WEBSOCKET_MAX_SUBSCRIPTIONS")
        async with tenant.socket("alice"), tenant.socket("alice"):
            with pytest.raises(ConnectionClosed) as closed:
                async with tenant.socket("alice"):
                    pass
            assert closed.value.rcvd
            assert (closed.value.rcvd.code, "HUB_USER_MAX_CONNECTIONS" in closed.value.rcvd.reason) == (4429, True)
        async with tenant.socket("bob") as socket:
            await socket.connection.send("x" * 1501)
            assert await close_reason(socket.connection) == (1009, "HUB_WEBSOCKET_MESSAGE_MAX_BYTES")
        async with tenant.socket() as socket:
            await socket.subscribe("subscription { receipts { id } }", "a")
            await socket.subscribe("subscription { receipts { id } }", "b")
            [error] = (await socket.read())["payload"]
            assert error["extensions"]["code"] == "RATE_LIMITED"
            assert "HUB_TENANT_MAX_RECEIPT_STREAMS" in error["message"]


async def close_reason(connection: ClientConnection) -> tuple[int, str]:
    """Return the close code, and the setting in its reason."""
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await connection.recv()
    assert closed.value.rcvd
    [setting] = re.findall(r"HUB_[A-Z_]+", closed.value.rcvd.reason)
    return closed.value.rcvd.code, setting


async def test_query_at_its_limits_is_accepted(tenant: Tenant) -> None:
    """1,000 tokens, and 10 root fields, also in fragments."""
    thousand = "{ me { " + " ".join(["id"] * 20 + [f"a{n}: id" for n in range(325)]) + " } }"  # 5 + 20 + 3 * 325
    assert await tenant.execute(thousand, user="alice")
    assert await error_codes_and_fields(tenant, thousand.replace("id", "id id", 1)) == [(BAD_USER_INPUT, None)]
    nine = " ".join(f"a{n}: __typename" for n in range(9))
    assert await tenant.execute(f"{{ ...f {nine} }} fragment f on Query {{ __typename }}", user="alice")
    eleven = f"{{ ...f {nine} }} fragment f on Query {{ __typename b: __typename }}"
    assert await error_codes_and_fields(tenant, eleven) == [(BAD_USER_INPUT, None)]


async def test_query_above_its_limits_is_rejected(tenant: Tenant) -> None:
    spread = "fragment f0 on User { id } " + " ".join(
        f"fragment f{n} on User {{ ...f{n - 1} a{n}: id ...f{n - 1} }}" for n in range(1, 25)
    )
    for query in (
        "{ " + " ".join(f"a{n}: __typename" for n in range(1001)) + " }",
        "{" * 5000,
        "{ me " * 20 + "{ id }" + " }" * 20,
        "{ me { ...f24 } } " + spread,
        "{ me { ...a } } fragment a on User { ...b } fragment b on User { ...a }",
        "{ __schema { types { name } } }",
        "{ nothing }",
        "query A { me { id } } query B { me { id } }",
        "#",
    ):
        async with asyncio.timeout(2):
            received = await error_codes_and_fields(tenant, query)
        assert {code for code, _ in received} == {BAD_USER_INPUT}, query[:60]


@pytest.mark.parametrize(
    "query",
    [
        'mutation { snooze(ids: [], until: "tomorrow") { changed } }',
        "mutation { snooze(ids: [], until: 123) { changed } }",
        'mutation { snooze(ids: [], until: "2030-01-01T00:00:00") { changed } }',
        "subscription { inbox(after: {a: 1}) { kind } }",
        "subscription { inbox(after: 5) { kind } }",
    ],
)
async def test_invalid_scalar_literal_is_rejected(tenant: Tenant, query: str) -> None:
    response = await tenant.execute_raw(query, user="alice")
    assert [error["extensions"]["code"] for error in response["errors"]] == ["BAD_USER_INPUT"]


async def test_send_with_users_in_another_order_is_a_duplicate(tenant: Tenant) -> None:
    first = await tenant.send("alice", "bob", idempotencyKey="k")
    again = await tenant.send("bob", "alice", idempotencyKey="k", priority="MEDIUM")
    assert (again["duplicate"], again["send"]) == (True, first["send"])


@pytest.mark.parametrize("field", ["sends", "send"])
async def test_cursor_of_another_list_is_rejected(tenant: Tenant, field: str) -> None:
    sent = (await tenant.send("alice"))["send"]["id"]
    cursor = (await tenant.inbox("alice"))["pageInfo"]["endCursor"]
    query = {
        "sends": f'{{ sends(after: "{cursor}") {{ nodes {{ id }} }} }}',
        "send": f'{{ send(id: "{sent}") {{ notifications(after: "{cursor}") {{ nodes {{ id }} }} }} }}',
    }[field]
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.execute(query)
    assert refused.value.code == "BAD_USER_INPUT"
