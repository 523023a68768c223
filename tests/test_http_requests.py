"""HTTP requests: bodies, content types, GET, and errors."""

import asyncio
import json
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.client import Json, Tenant
from tests.graphql_errors import BAD_USER_INPUT, LARGE


async def post(
    tenant: Tenant, body: bytes, content_type: str = "application/json", user: str | None = None, **headers: str
) -> tuple[int, Json]:
    sent = {"authorization": f"Bearer {tenant.token(user)}", "content-type": content_type, **headers}
    async with tenant.http.post(tenant.next_url(), data=BytesIO(body), headers=sent) as response:
        return response.status, json.loads(await response.text())


async def test_invalid_body_is_rejected(tenant: Tenant) -> None:
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
        status, response = await post(tenant, body)
        assert (status, response["errors"][0]["extensions"]) == (400, {"code": BAD_USER_INPUT, "field": field}), body[
            :60
        ]


async def test_content_type_other_than_json_is_rejected(tenant: Tenant) -> None:
    body = b'{"query": "{ me { id } }"}'
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        status, response = await post(tenant, body, content_type, "alice")
        assert status in {400, 415}
        assert response["errors"][0]["extensions"] == {"code": BAD_USER_INPUT, "field": "content-type"}
    assert await post(tenant, body, "Application/JSON; charset=utf-8", "alice") == (
        200,
        {"data": {"me": {"id": "alice"}}},
    )


async def test_body_too_large_is_413(tenant: Tenant) -> None:
    """1 MiB in general, 4 MiB for sendMany."""

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
        status, response = await post(tenant, padded(query, size), user=None if query == many else "alice")
        assert status == expected, (query, size)
        if expected == 413:
            assert response["errors"][0]["extensions"]["code"] == LARGE


async def test_very_large_body_is_not_read_to_its_end(tenant: Tenant) -> None:
    async def endless() -> Any:
        for _ in range(1000):
            yield b"x" * (1 << 20)

    sent = {"authorization": f"Bearer {tenant.token()}", "content-type": "application/json"}
    async with asyncio.timeout(60):
        try:
            async with tenant.http.post(tenant.next_url(), data=endless(), headers=sent) as response:
                assert response.status == 413
        except aiohttp.ClientError:
            pass  # the connection may be closed before the rest is sent
    assert (await tenant.execute("{ me { id } }", user="alice"))["me"]


async def test_get_allows_only_queries(tenant: Tenant) -> None:
    async def get(accept: str = "application/json", **query: str) -> tuple[int, Json]:
        sent = {"authorization": f"Bearer {tenant.token('alice')}", "accept": accept}
        async with tenant.http.get(f"{tenant.next_url()}?{urlencode(query)}", headers=sent) as response:
            return response.status, json.loads(await response.text())

    assert await get(query="{ me { id } }") == (200, {"data": {"me": {"id": "alice"}}})
    query = "query A($n: Int) { inbox(first: $n) { unread } } query B { me { id } }"
    assert await get(query=query, variables='{"n": 1}', operationName="A") == (200, {"data": {"inbox": {"unread": 0}}})
    await tenant.send("alice")
    status, result = await get(query="mutation { markAllRead { changed } }")
    assert (status, result["errors"][0]["extensions"]["code"]) == (405, BAD_USER_INPUT)
    for invalid in ({}, {"query": ""}, {"query": "{ me { id } }", "variables": "{"}):
        status, result = await get(**invalid)
        assert (status, result["errors"][0]["extensions"]["code"]) == (400, BAD_USER_INPUT)
    for method in ("PUT", "DELETE", "PATCH"):
        async with tenant.http.request(method, tenant.next_url()) as response:
            assert response.status == 405
    # Also not as an event stream.
    sent = {"authorization": f"Bearer {tenant.token('alice')}", "accept": "text/event-stream"}
    url = f"{tenant.next_url()}?{urlencode({'query': 'mutation { markAllRead { changed } }'})}"
    async with tenant.http.get(url, headers=sent) as response:
        assert response.status == 405
    assert (await tenant.inbox("alice"))["unread"] == 1


async def test_production_has_no_suggestions_and_no_graphiql(tenant: Tenant) -> None:
    by_variable = "query ($p: [Priority!]) { inbox(filter: {priorities: $p}) { unread } }"
    for query in ("{ inbx { unread } }", "{ inbox { unred } }", "{ inbox(frist: 1) { unread } }", by_variable):
        result = await tenant.execute_raw(query, user="alice", p=["HIHG"])
        assert [error["extensions"]["code"] for error in result["errors"]] == [BAD_USER_INPUT]
        assert "Did you mean" not in str(result)
    async with tenant.http.get(tenant.next_url().replace("/graphql", "/graphiql")) as response:
        assert response.status == 404


async def test_internal_errors_show_no_details(tenant: Tenant) -> None:
    """Unusual but well-formed input never causes an internal error."""
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
            response = await tenant.execute_raw(query, user=user, v=value)
            assert {error["extensions"]["code"] for error in response.get("errors", [])} <= {BAD_USER_INPUT}, (
                query,
                value[:20],
            )


async def events_of(response: aiohttp.ClientResponse, count: int) -> list[tuple[str, Json | None]]:
    """Return the next events of a stream, without comments."""
    found: list[tuple[str, Json | None]] = []
    name = ""
    async with asyncio.timeout(60):
        while len(found) < count:
            line = (await response.content.readline()).decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data:"):
                output = line.removeprefix("data:").strip()
                found.append((name, json.loads(output) if output else None))
    return found


async def test_event_stream_serves_queries_and_subscriptions(tenant: Tenant) -> None:
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
        [(name, result), end] = await events_of(response, 2)
    assert result
    assert (name, result["errors"][0]["extensions"]["code"], end) == ("next", BAD_USER_INPUT, ("complete", None))


async def test_subscription_over_plain_http_is_rejected(tenant: Tenant) -> None:
    status, response = await post(tenant, b'{"query": "subscription { inbox { kind } }"}', user="alice")
    assert response["errors"][0]["extensions"]["code"] == BAD_USER_INPUT
    assert status in {200, 400}
