"""What the door refuses, and how: every limit with its code and its field, and nothing that breaks inside."""

import asyncio
import json
import re
from io import BytesIO
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Json, Refused, Tenant
from tests.processes import Deployment

SEND = "mutation ($input: SendInput!) { send(input: $input) { send { id } } }"
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
FAR = "2090-01-01T00:00:00Z"


def given(**more: Any) -> Json:
    content = {"title": "t", "body": "b", **more.pop("content", {})}
    return {"to": {"users": ["alice"]}, "category": "c", "content": content, **more}


def action(**more: Any) -> Json:
    return {"content": {"actions": [{"key": "k", "label": "l", **more}]}}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


BAD, LARGE = "BAD_USER_INPUT", "TOO_LARGE"
SENDS: list[tuple[Json, str, str | None]] = [
    (given(to={"users": []}), BAD, "input.to.users"),
    (given(to={"users": [""]}), BAD, "input.to.users"),
    (given(to={"users": ["a\0"]}), BAD, "input.to.users"),
    (given(to={"users": ["a" * 257]}), BAD, "input.to.users"),
    (given(to={"users": [f"u{n}" for n in range(1001)]}), LARGE, None),
    (given(to={}), BAD, None),
    (given(to={"users": None}), BAD, None),
    (given(category=""), BAD, "input.category"),
    (given(category="c" * 257), BAD, "input.category"),
    (given(category="a\n"), BAD, "input.category"),
    (given() | {"content": None}, BAD, "input.content"),
    (given(content={"title": ""}), BAD, "input.content.title"),
    (given(content={"title": " \n"}), BAD, "input.content.title"),
    (given(content={"title": "t" * 257}), LARGE, "input.content.title"),
    (given(content={"body": "b" * ((16 << 10) + 1)}), LARGE, "input.content.body"),
    (given(content={"body": "ü" * (8 << 10) + "b"}), LARGE, "input.content.body"),
    *(
        (given(content={name: url}), BAD, f"input.content.{name}")
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
    (given(content={"actionUrl": "https://a.example/" + "a" * 2048}), BAD, "input.content.actionUrl"),
    (given(content={"actionUrl": "https://a.example/\n"}), BAD, "input.content.actionUrl"),
    (given(**action(key="")), BAD, "input.content.actions.0.key"),
    (given(**action(label="")), BAD, "input.content.actions.0.label"),
    (given(**action(label="l" * 257)), BAD, "input.content.actions.0.label"),
    (given(**action(url="javascript:x")), BAD, "input.content.actions.0.url"),
    (given(content={"actions": [{"key": "k", "label": "l"}] * 11}), BAD, "input.content.actions"),
    (given(data="x" * (32 << 10)), LARGE, "input.data"),
    (given(data=nested(260)), BAD, "input.data"),
    (given(tags=[str(n) for n in range(21)]), BAD, "input.tags"),
    (given(tags=[""]), BAD, "input.tags.0"),
    (given(channels=[]), BAD, "input.channels"),
    (given(channels=["PIGEON"]), BAD, None),
    (given(priority="URGENT"), BAD, None),
    (given(idempotencyKey=""), BAD, "input.idempotencyKey"),
    (given(idempotencyKey="k" * 257), BAD, "input.idempotencyKey"),
    (given(expiresAt="2001-01-01T00:00:00Z"), BAD, "input.expiresAt"),
    *(
        (given(expiresAt=at), BAD, None)
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
    (given(unknown=1), BAD, None),
]


@pytest.mark.parametrize(("input", "code", "field"), SENDS, ids=lambda value: str(value)[-60:])
async def test_send_beyond_a_limit_names_code_and_field(
    tenant: Tenant, input: Json, code: str, field: str | None
) -> None:
    answer = await tenant.answer(SEND, input=input)
    [error] = answer["errors"]
    assert error["extensions"]["code"] == code
    if field:
        assert error["extensions"]["field"] == field
    assert len(error["message"]) < 1000
    assert (await tenant.ask("{ sends { nodes { id } } }"))["sends"]["nodes"] == []


@pytest.mark.parametrize(
    "input",
    [
        given(to={"users": ["a" * 256]}),
        given(to={"users": ["t/../x y ü 🎉"]}),
        given(content={"title": "t" * 256, "body": "b" * (16 << 10)}),
        given(content={"title": "🎉" * 256, "body": ""}),
        given(content={"title": "\ufdfd\u200d\u0000\u202e", "body": "\0"}),
        given(content={"actionUrl": "/a?b#c", "imageUrl": "HTTPS://a.example"}),
        given(**action(label="\u0645\u06cc\u200c\u062e 👩\u200d💻")),
        given(data="x" * ((32 << 10) - 2)),
        given(data=nested(200)),
        given(data={"$ne": None, "": {"a.b": "\0", "\0": -1e308}}),
        given(data=None),
        given(tags=[]),
        given(expiresAt="2090-01-01t00:00:00.123456789+14:00"),
        given(expiresAt="9999-12-31T23:59:59Z"),
    ],
    ids=lambda value: str(value)[-60:],
)
async def test_send_at_the_limit_passes(tenant: Tenant, input: Json) -> None:
    await tenant.ask(SEND, input=input)
    [user] = input["to"]["users"]
    query = "{ inbox { nodes { title body data actions { label } expiresAt } } }"
    [n] = (await tenant.ask(query, user=user))["inbox"]["nodes"]
    assert (n["title"], n["body"], n["data"]) == (
        input["content"]["title"],
        input["content"]["body"],
        input.get("data"),
    )
    assert [row["label"] for row in n["actions"]] == [row["label"] for row in input["content"].get("actions", [])]


async def refusals(tenant: Tenant, query: str, user: str | None = "alice", **variables: Any) -> list[tuple[str, Any]]:
    answer = await tenant.answer(query, user=user, **variables)
    return [(error["extensions"]["code"], error["extensions"].get("field")) for error in answer["errors"]]


@pytest.mark.parametrize(
    ("filter", "field"),
    [
        ({"categories": [str(n) for n in range(21)]}, "filter.categories"),
        ({"categories": [""]}, "filter.categories.0"),
        ({"tags": [str(n) for n in range(21)]}, "filter.tags"),
        ({"priorities": ["LOW"] * 21}, "filter.priorities"),
        ({"search": "s" * 257}, "filter.search"),
        ({"search": " ".join("abcdefghijk")}, "filter.search"),
        ({"view": "NONE"}, None),
    ],
)
async def test_filter_beyond_a_limit_names_code_and_field(tenant: Tenant, filter: Json, field: str | None) -> None:
    for query in (
        "query ($f: InboxFilter) { inbox(filter: $f) { unread } }",
        "mutation ($f: InboxFilter) { markAllRead(filter: $f) { changed } }",
        "mutation ($f: InboxFilter) { archiveAll(filter: $f) { changed } }",
    ):
        assert await refusals(tenant, query, f=filter) == [(BAD, field)]


async def test_page_size_and_cursors_beyond_their_limits_are_refused(tenant: Tenant) -> None:
    await tenant.send("alice")
    id = (await tenant.ask("{ sends { nodes { id } } }"))["sends"]["nodes"][0]["id"]
    for first in (0, -1, 101, 2**31 - 1):
        assert await refusals(tenant, f"{{ inbox(first: {first}) {{ unread }} }}") == [(BAD, "first")]
        assert await refusals(tenant, f"{{ sends(first: {first}) {{ nodes {{ id }} }} }}", None) == [(BAD, "first")]
        query = f'{{ send(id: "{id}") {{ notifications(first: {first}) {{ nodes {{ id }} }} }} }}'
        assert await refusals(tenant, query, None) == [(BAD, "first")]
    position = (await tenant.inbox("alice"))["position"]
    for after in ("", "x", "ü", "////", "bS4tMQ", "bS45OTk5OTk5OTk5OTk5OTk5OTk5OTk5", position):
        query = "query ($a: String) { inbox(after: $a) { unread } }"
        assert await refusals(tenant, query, a=after) == [(BAD, "after")], after


@pytest.mark.parametrize("after", ["", "x", "ü", "bS4x", "a" * 5000])
async def test_feed_after_something_that_is_no_position_is_refused(tenant: Tenant, after: str) -> None:
    async with tenant.feed("alice", after) as feed:
        with pytest.raises(Refused) as refused:
            await feed.take(1)
    assert (refused.value.code, refused.value.errors[0]["extensions"]["field"]) == (BAD, "after")


async def test_too_many_at_once_are_refused_as_a_whole(tenant: Tenant) -> None:
    ids = [f"n{number}" for number in range(1001)]
    query = "mutation ($ids: [ID!]!) { markRead(ids: $ids) { changed } }"
    assert (await refusals(tenant, query, ids=ids))[0][0] == LARGE
    assert (await tenant.ask(query, user="alice", ids=ids[:1000]))["markRead"]["changed"] == 0
    assert (await refusals(tenant, UPSERT, None, users=[{"id": id} for id in ids]))[0][0] == LARGE
    assert len((await tenant.ask(UPSERT, users=[{"id": id} for id in ids[:1000]]))["upsertUsers"]) == 1000
    many = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { duplicate } }"
    assert (await refusals(tenant, many, None, inputs=[given()] * 1001))[0][0] == LARGE
    half = given(to={"users": ids[:501]})
    assert (await refusals(tenant, many, None, inputs=[half, half]))[0][0] == LARGE
    assert (await tenant.ask("{ sends { nodes { id } } }"))["sends"]["nodes"] == []


async def test_attributes_beyond_their_limit_are_refused(tenant: Tenant) -> None:
    for attributes, code in (("x" * (32 << 10), LARGE), (nested(260), BAD)):
        assert await refusals(tenant, UPSERT, None, users=[{"id": "a", "attributes": attributes}]) == [
            (code, "users.0.attributes")
        ]


async def test_header_key_beyond_its_limit_is_refused(tenant: Tenant) -> None:
    for key in ("k" * 257, ""):
        answer = await tenant.answer(UPSERT, headers={"Idempotency-Key": key}, users=[])
        assert answer["errors"][0]["extensions"] == {"code": BAD, "field": "Idempotency-Key"}


SMALL = {
    "body_max_bytes": "2000",
    "send_many_max_bytes": "4000",
    "socket_message_max_bytes": "1500",
    "title_max_chars": "10",
    "text_max_bytes": "20",
    "data_max_bytes": "30",
    "users_per_call": "2",
    "sends_per_call": "2",
    "ids_per_call": "2",
    "page_max": "5",
    "subscriptions_per_socket": "2",
    "sockets_per_user": "2",
    "receipt_readers_per_tenant": "1",
    "query_max_chars": "400",
    "query_max_tokens": "60",
    "query_max_depth": "4",
    "query_max_fields": "20",
    "query_max_root_fields": "3",
}
MANY = "mutation ($i: [SendInput!]!) { sendMany(inputs: $i) { duplicate } }"
REFUSED: dict[str, tuple[str, Json, str]] = {
    "send_many_max_bytes": ("{ me { id } }", {"pad": "x" * 4000}, LARGE),
    "body_max_bytes": ("{ me { id } }", {"pad": "x" * 2000}, LARGE),
    "title_max_chars": (SEND, {"input": given(content={"title": "x" * 11})}, LARGE),
    "text_max_bytes": (SEND, {"input": given(content={"body": "x" * 21})}, LARGE),
    "data_max_bytes": (SEND, {"input": given(data="x" * 30)}, LARGE),
    "users_per_call": (SEND, {"input": given(to={"users": ["a", "b", "c"]})}, LARGE),
    "sends_per_call": (MANY, {"i": [given()] * 3}, LARGE),
    "ids_per_call": ('mutation { markRead(ids: ["a", "b", "c"]) { changed } }', {}, LARGE),
    "page_max": ("{ sends(first: 6) { nodes { id } } }", {}, BAD),
    "query_max_chars": ("{ me { id } } #" + "x" * 386, {}, BAD),
    "query_max_tokens": ("{ " + "a: __typename " * 20 + "}", {}, BAD),
    "query_max_depth": ("{ sends { nodes { notifications { nodes { id } } } } }", {}, BAD),
    "query_max_fields": ("{ me { " + "...f " * 5 + "} } fragment f on User { id a: id b: id c: id d: id }", {}, BAD),
    "query_max_root_fields": (
        "{ a: __typename ...f ... { b: __typename } } fragment f on Query { c: __typename d: __typename }",
        {},
        BAD,
    ),
}


async def test_every_limit_is_a_setting_named_in_its_error(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    async with (
        Deployment(mongod.url, redis.url, apis=1, workers=0, **SMALL) as hub,
        Tenant(f"t{uuid4().hex[:12]}", hub.urls) as tenant,
    ):
        for setting, (query, variables, code) in REFUSED.items():
            user = "alice" if setting == "ids_per_call" else None
            error = (await tenant.answer(query, user=user, **variables))["errors"][0]
            assert (error["extensions"]["code"], f"HUB_{setting.upper()}" in error["message"]) == (code, True), error
        async with tenant.socket("alice") as socket, tenant.socket("alice"):
            for id in "abc":
                await socket.subscribe("subscription { inbox { kind } }", id)
            assert await ended(socket.connection) == (4429, "HUB_SUBSCRIPTIONS_PER_SOCKET")
        async with tenant.socket("alice"), tenant.socket("alice"):
            with pytest.raises(ConnectionClosed) as closed:
                async with tenant.socket("alice"):
                    pass
            assert closed.value.rcvd
            assert (closed.value.rcvd.code, "HUB_SOCKETS_PER_USER" in closed.value.rcvd.reason) == (4429, True)
        async with tenant.socket("bob") as socket:
            await socket.connection.send("x" * 1501)
            assert await ended(socket.connection) == (1009, "HUB_SOCKET_MESSAGE_MAX_BYTES")
        async with tenant.socket() as socket:
            await socket.subscribe("subscription { receipts { id } }", "a")
            await socket.subscribe("subscription { receipts { id } }", "b")
            [error] = (await socket.read())["payload"]
            assert error["extensions"]["code"] == "RATE_LIMITED"
            assert "HUB_RECEIPT_READERS_PER_TENANT" in error["message"]


async def ended(connection: ClientConnection) -> tuple[int, str]:
    """The close code, and the setting in its reason."""
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await connection.recv()
    assert closed.value.rcvd
    [setting] = re.findall(r"HUB_[A-Z_]+", closed.value.rcvd.reason)
    return closed.value.rcvd.code, setting


async def test_query_at_its_limits_passes(tenant: Tenant) -> None:
    """1,000 tokens, and 10 fields at the root, wherever they stand."""
    thousand = "{ me { " + " ".join(["id"] * 20 + [f"a{n}: id" for n in range(325)]) + " } }"  # 5 + 20 + 3 * 325
    assert await tenant.ask(thousand, user="alice")
    assert await refusals(tenant, thousand.replace("id", "id id", 1)) == [(BAD, None)]
    nine = " ".join(f"a{n}: __typename" for n in range(9))
    assert await tenant.ask(f"{{ ...f {nine} }} fragment f on Query {{ __typename }}", user="alice")
    eleven = f"{{ ...f {nine} }} fragment f on Query {{ __typename b: __typename }}"
    assert await refusals(tenant, eleven) == [(BAD, None)]


# ------------------------------------------------------------- HTTP itself


async def post(
    tenant: Tenant, body: bytes, content_type: str = "application/json", user: str | None = None, **headers: str
) -> tuple[int, Json]:
    sent = {"authorization": f"Bearer {tenant.token(user)}", "content-type": content_type, **headers}
    async with tenant.http.post(tenant.next_url(), data=BytesIO(body), headers=sent) as response:
        return response.status, json.loads(await response.text())


async def test_body_that_is_no_request_is_refused(tenant: Tenant) -> None:
    for body, field in (
        (b"", "body"),
        (b"{", "body"),
        (b"\xff", "body"),
        (b'{"query": "\\ud800"}', "body"),
        (b"[" * 100_000, "body"),
        (b'{"query": "{ me { id } }", "variables": ' + b"[" * 2000 + b"]" * 2000 + b"}", "body"),
        (b"null", "body"),
        (b'"{ me { id } }"', "body"),
        (b'[{"query": "{ me { id } }"}]', "body"),
        (b"{}", "query"),
        (b'{"query": 1}', "query"),
        (b'{"query": ""}', "query"),
        (b'{"query": "{ me { id } }", "variables": []}', "variables"),
        (b'{"query": "{ me { id } }", "variables": "{}"}', "variables"),
        (b'{"query": "{ me { id } }", "operationName": 1}', "operationName"),
        (b'{"query": "{ me { id } }", "extensions": []}', "extensions"),
    ):
        status, answer = await post(tenant, body)
        assert (status, answer["errors"][0]["extensions"]) == (400, {"code": BAD, "field": field}), body[:60]


async def test_content_type_other_than_json_is_refused(tenant: Tenant) -> None:
    body = b'{"query": "{ me { id } }"}'
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        status, answer = await post(tenant, body, content_type, "alice")
        assert status in {400, 415}
        assert answer["errors"][0]["extensions"] == {"code": BAD, "field": "content-type"}
    assert await post(tenant, body, "Application/JSON; charset=utf-8", "alice") == (
        200,
        {"data": {"me": {"id": "alice"}}},
    )


async def test_body_too_large_is_413(tenant: Tenant) -> None:
    """1 MiB for everything, 4 MiB for sendMany."""

    def padded(query: str, size: int) -> bytes:
        return json.dumps({"variables": {"pad": "x" * size}, "query": query}).encode()

    many = "mutation { sendMany(inputs: []) { duplicate } }"
    for query, size, expected in (
        ("{ me { id } }", 1 << 19, 200),
        ("{ me { id } }", 1 << 20, 413),
        ("{ sendMany: me { id } }", 1 << 20, 413),
        (many, 3 << 20, 200),
        (many, 4 << 20, 413),
    ):
        status, answer = await post(tenant, padded(query, size), user=None if query == many else "alice")
        assert status == expected, (query, size)
        if expected == 413:
            assert answer["errors"][0]["extensions"]["code"] == LARGE


async def test_body_far_too_large_is_not_read_to_its_end(tenant: Tenant) -> None:
    async def endless() -> Any:
        for _ in range(1000):
            yield b"x" * (1 << 20)

    sent = {"authorization": f"Bearer {tenant.token()}", "content-type": "application/json"}
    async with asyncio.timeout(20):
        try:
            async with tenant.http.post(tenant.next_url(), data=endless(), headers=sent) as response:
                assert response.status == 413
        except aiohttp.ClientError:
            pass  # the connection may be closed under the rest
    assert (await tenant.ask("{ me { id } }", user="alice"))["me"]


async def test_get_is_for_queries(tenant: Tenant) -> None:
    async def get(accept: str = "application/json", **query: str) -> tuple[int, Json]:
        sent = {"authorization": f"Bearer {tenant.token('alice')}", "accept": accept}
        async with tenant.http.get(f"{tenant.next_url()}?{urlencode(query)}", headers=sent) as response:
            return response.status, json.loads(await response.text())

    assert await get(query="{ me { id } }") == (200, {"data": {"me": {"id": "alice"}}})
    query = "query A($n: Int) { inbox(first: $n) { unread } } query B { me { id } }"
    assert await get(query=query, variables='{"n": 1}', operationName="A") == (200, {"data": {"inbox": {"unread": 0}}})
    await tenant.send("alice")
    status, answer = await get(query="mutation { markAllRead { changed } }")
    assert (status, answer["errors"][0]["extensions"]["code"]) == (405, BAD)
    for wrong in ({}, {"query": ""}, {"query": "{ me { id } }", "variables": "{"}):
        status, answer = await get(**wrong)
        assert (status, answer["errors"][0]["extensions"]["code"]) == (400, BAD)
    for method in ("PUT", "DELETE", "PATCH"):
        async with tenant.http.request(method, tenant.next_url()) as response:
            assert response.status == 405
    # Not as a stream of events either.
    sent = {"authorization": f"Bearer {tenant.token('alice')}", "accept": "text/event-stream"}
    url = f"{tenant.next_url()}?{urlencode({'query': 'mutation { markAllRead { changed } }'})}"
    async with tenant.http.get(url, headers=sent) as response:
        assert response.status == 405
    assert (await tenant.inbox("alice"))["unread"] == 1


async def test_queries_that_ask_too_much_are_refused(tenant: Tenant) -> None:
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
            told = await refusals(tenant, query)
        assert {code for code, _ in told} == {BAD}, query[:60]


async def test_production_suggests_nothing_and_has_no_graphiql(tenant: Tenant) -> None:
    by_variable = "query ($p: [Priority!]) { inbox(filter: {priorities: $p}) { unread } }"
    for query in ("{ inbx { unread } }", "{ inbox { unred } }", "{ inbox(frist: 1) { unread } }", by_variable):
        answer = await tenant.answer(query, user="alice", p=["HIHG"])
        assert [error["extensions"]["code"] for error in answer["errors"]] == [BAD]
        assert "Did you mean" not in str(answer)
    async with tenant.http.get(tenant.next_url().replace("/graphql", "/graphiql")) as response:
        assert response.status == 404


async def test_errors_inside_never_show_their_insides(tenant: Tenant) -> None:
    """Odd but well-formed input: whatever comes back, nothing broke."""
    odd = ["", "\0", "\ud83d\ude00", "$where", "x" * 100_000, "../..", "{}", "ü" * 1000]
    for value in odd:
        for query, user in (
            ("query ($v: ID!) { notification(id: $v) { id } }", "alice"),
            ("mutation ($v: ID!) { markRead(ids: [$v]) { changed } }", "alice"),
            ("query ($v: ID!) { user(id: $v) { id } }", None),
            ("query ($v: ID!) { send(id: $v) { id } }", None),
            ("query ($v: String!) { sends(after: $v) { nodes { id } } }", None),
            ("query ($v: String!) { sends(category: $v) { nodes { id } } }", None),
        ):
            answer = await tenant.answer(query, user=user, v=value)
            assert {error["extensions"]["code"] for error in answer.get("errors", [])} <= {BAD}, (query, value[:20])


# ------------------------------------------------------------- server-sent events


async def events_of(response: aiohttp.ClientResponse, count: int) -> list[tuple[str, Json | None]]:
    """The next events of a stream; comments are passed over."""
    found: list[tuple[str, Json | None]] = []
    name = ""
    async with asyncio.timeout(10):
        while len(found) < count:
            line = (await response.content.readline()).decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data:"):
                said = line.removeprefix("data:").strip()
                found.append((name, json.loads(said) if said else None))
    return found


async def test_event_stream_answers_queries_and_subscriptions(tenant: Tenant) -> None:
    sent = {"authorization": f"Bearer {tenant.token('alice')}", "accept": "text/event-stream"}
    url = tenant.next_url()
    async with tenant.http.post(url, json={"query": "{ me { id } }"}, headers=sent) as response:
        assert response.content_type == "text/event-stream"
        assert await events_of(response, 2) == [("next", {"data": {"me": {"id": "alice"}}}), ("complete", None)]
    position = (await tenant.inbox("alice"))["position"]
    await tenant.send("alice", title="Missed")
    feed = "subscription ($a: Cursor) { inbox(after: $a) { kind unread notification { title } } }"
    body = {"query": feed, "variables": {"a": position}}
    async with tenant.http.post(url, json=body, headers=sent) as response:
        for number, title in enumerate(["Missed", "Live"], 1):
            if title == "Live":
                await tenant.send("alice", title="Live")
            event = {"kind": "ADDED", "unread": number, "notification": {"title": title}}
            assert await events_of(response, 1) == [("next", {"data": {"inbox": event}})]
    query = urlencode({"query": "subscription { inbox { kind } }"})
    async with tenant.http.get(f"{url}?{query}", headers=sent) as response:
        assert response.status == 200

        async def until_heard() -> None:
            while True:
                await tenant.send("alice")
                await asyncio.sleep(0.05)

        sending = asyncio.create_task(until_heard())
        assert await events_of(response, 1) == [("next", {"data": {"inbox": {"kind": "ADDED"}}})]
        sending.cancel()
    body = {"query": feed, "variables": {"a": "x"}}
    async with tenant.http.post(url, json=body, headers=sent) as response:
        [(name, answer), end] = await events_of(response, 2)
    assert answer
    assert (name, answer["errors"][0]["extensions"]["code"], end) == ("next", BAD, ("complete", None))


async def test_subscription_over_plain_http_is_refused(tenant: Tenant) -> None:
    status, answer = await post(tenant, b'{"query": "subscription { inbox { kind } }"}', user="alice")
    assert answer["errors"][0]["extensions"]["code"] == BAD
    assert status in {200, 400}


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
async def test_scalar_written_wrongly_in_the_query_is_refused(tenant: Tenant, query: str) -> None:
    answer = await tenant.answer(query, user="alice")
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]


async def test_send_again_with_users_in_another_order_is_the_same_send(tenant: Tenant) -> None:
    first = await tenant.send("alice", "bob", idempotencyKey="k")
    again = await tenant.send("bob", "alice", idempotencyKey="k", priority="MEDIUM")
    assert (again["duplicate"], again["send"]) == (True, first["send"])


@pytest.mark.parametrize("field", ["sends", "send"])
async def test_cursor_of_another_list_is_refused(tenant: Tenant, field: str) -> None:
    sent = (await tenant.send("alice"))["send"]["id"]
    place = (await tenant.inbox("alice"))["pageInfo"]["endCursor"]
    query = {
        "sends": f'{{ sends(after: "{place}") {{ nodes {{ id }} }} }}',
        "send": f'{{ send(id: "{sent}") {{ notifications(after: "{place}") {{ nodes {{ id }} }} }} }}',
    }[field]
    with pytest.raises(Refused) as refused:
        await tenant.ask(query)
    assert refused.value.code == "BAD_USER_INPUT"
