"""Automatic persisted queries, as Apollo's clients use them."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis as RedisClient

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Json, Tenant, eventually
from tests.conftest import NODE, fresh_servers
from tests.processes import Deployment
from tests.query_transports import (
    ALICE_RESPONSE,
    BAD_USER_INPUT,
    EVERY_TRANSPORT,
    NOT_FOUND,
    SendRequest,
    authorized_headers,
    count_parsed_queries,
    error_code,
    persisted_request,
    send_get,
    send_over_websocket,
    send_post,
    send_stream,
    sha256_hex,
    unique_query,
)

UNKNOWN = {"message": "PersistedQueryNotFound", "extensions": {"code": NOT_FOUND}}
HANG_S = 5.0


@EVERY_TRANSPORT
async def test_registered_hash_works_on_every_process(tenant: Tenant, send_request: SendRequest) -> None:
    text = unique_query()
    first, second = tenant.urls
    assert (await send_request(tenant, persisted_request(sha256_hex(text)), first))["errors"] == [UNKNOWN]
    assert await send_request(tenant, persisted_request(sha256_hex(text), ""), first) == {"errors": [UNKNOWN]}
    assert await send_request(tenant, persisted_request(sha256_hex(text), text), first) == ALICE_RESPONSE
    assert await send_request(tenant, persisted_request(sha256_hex(text)), first) == ALICE_RESPONSE

    async def existing() -> bool:
        return await send_request(tenant, persisted_request(sha256_hex(text)), second) == ALICE_RESPONSE

    await eventually(existing)


@EVERY_TRANSPORT
async def test_hash_that_does_not_match_is_rejected_and_not_stored(tenant: Tenant, send_request: SendRequest) -> None:
    text, other = unique_query(), unique_query()
    for _ in range(2):
        response = await send_request(tenant, persisted_request(sha256_hex(other), text), "")
        assert response["errors"][0]["extensions"] == {
            "code": BAD_USER_INPUT,
            "field": "extensions.persistedQuery.sha256Hash",
        }
    assert error_code(await send_request(tenant, persisted_request(sha256_hex(other)), "")) == NOT_FOUND
    assert error_code(await send_request(tenant, persisted_request(sha256_hex(text)), "")) == NOT_FOUND


async def test_invalid_query_is_not_stored(tenant: Tenant) -> None:
    for text in ("{ nothing }", "{", f"{{ {'me ' * 2000} }}", f"{{ me {{ id }} }} # {'x' * 9000}"):
        for url in tenant.urls * 2:
            response = await send_post(tenant, persisted_request(sha256_hex(text), text), url)
            assert response == ALICE_RESPONSE if "#" in text else code_of_first(response) == BAD_USER_INPUT
            assert error_code(await send_post(tenant, persisted_request(sha256_hex(text)), url)) == NOT_FOUND


def code_of_first(response: Json) -> str:
    return str(response["errors"][0]["extensions"]["code"])


@pytest.mark.parametrize(
    "persisted",
    [7, [], "x", {}, {"version": 1}, {"version": 2, "sha256Hash": "x"}, {"version": "1", "sha256Hash": "x"}]
    + [{"version": 1, "sha256Hash": hash} for hash in (None, 7, "", [], {})],
)
async def test_malformed_extension_is_rejected(tenant: Tenant, persisted: Any) -> None:
    async with tenant.http.post(
        tenant.next_url(),
        json={"query": "{ me { id } }", "extensions": {"persistedQuery": persisted}},
        headers=authorized_headers(tenant),
    ) as response:
        assert response.status == 400
        error = (await response.json())["errors"][0]
    assert error["extensions"]["code"] == BAD_USER_INPUT
    assert error["extensions"]["field"].startswith("extensions.persistedQuery")


async def test_malformed_hash_is_not_found(tenant: Tenant) -> None:
    for hash in ("x", "g" * 64, "A" * 64, "0" * 64, "*", "\0", "ü", "0" * 60_000):
        assert error_code(await send_post(tenant, persisted_request(hash))) == NOT_FOUND
    # Without a hash nothing changes.
    assert await send_post(tenant, {"query": "{ me { id } }", "extensions": {"persistedQuery": None}}) == ALICE_RESPONSE
    assert error_code(await send_post(tenant, {"extensions": {}})) == BAD_USER_INPUT


async def test_responses_have_a_status_and_are_not_cacheable(tenant: Tenant) -> None:
    text = unique_query()
    for accept, status in (("application/json", 200), ("application/graphql-response+json", 400)):
        sent = authorized_headers(tenant, accept=accept)
        async with tenant.http.post(
            tenant.next_url(), json=persisted_request(sha256_hex(text)), headers=sent
        ) as response:
            assert (response.status, response.headers["cache-control"]) == (status, "no-store")
            assert (await response.json())["errors"] == [UNKNOWN]
        async with tenant.http.post(
            tenant.next_url(), json=persisted_request("0" * 64, text), headers=sent
        ) as response:
            assert response.status == 400


async def test_subscriptions_mutations_variables_and_idempotency_work_by_hash(tenant: Tenant) -> None:
    mutation = f"mutation m{uuid4().hex} ($i: SendInput!) {{ send(input: $i) {{ duplicate send {{ id }} }} }}"
    fields = {
        "to": {"users": ["alice"]},
        "category": "c",
        "content": {"title": "t", "body": "b"},
        "idempotencyKey": "k",
    }
    sent = {"authorization": f"Bearer {tenant.token()}"}
    found = []
    for request in (persisted_request(sha256_hex(mutation), mutation), *[persisted_request(sha256_hex(mutation))] * 2):
        url = tenant.urls[0]
        async with tenant.http.post(url, json={**request, "variables": {"i": fields}}, headers=sent) as response:
            found.append((await response.json())["data"]["send"])
    assert [one["duplicate"] for one in found] == [False, True, True]
    assert (await tenant.inbox("alice"))["unread"] == 1
    # A mutation by GET is rejected, known or not. The token of a user may not send.
    assert (
        error_code(
            await send_get(tenant, persisted_request(sha256_hex(mutation), variables={"i": fields}), tenant.urls[0])
        )
        == BAD_USER_INPUT
    )
    result = await send_post(tenant, persisted_request(sha256_hex(mutation), variables={"i": fields}), tenant.urls[0])
    assert error_code(result) == "FORBIDDEN"

    upsert = f'mutation u{uuid4().hex} {{ upsertUsers(users: [{{id: "a"}}]) {{ id }} }}'
    keyed = {**sent, "idempotency-key": "key"}
    for request in (
        persisted_request(sha256_hex(upsert), upsert),
        persisted_request(sha256_hex(upsert)),
        {"query": upsert},
    ):
        async with tenant.http.post(tenant.urls[0], json=request, headers=keyed) as response:
            assert (await response.json())["data"]  # the same request in another notation

    feed = f"subscription s{uuid4().hex} {{ inbox {{ kind notification {{ title }} }} }}"
    for request in (persisted_request(sha256_hex(feed), feed), persisted_request(sha256_hex(feed))):
        async with tenant.socket("alice", url=tenant.urls[0]) as connection:
            await connection.write({"id": "1", "type": "subscribe", "payload": request})
            await connection.write({"type": "ping"})
            assert (await connection.read())["type"] == "pong"

            async def received(connection: Any = connection) -> bool:
                await tenant.send("alice", title="news")
                try:
                    async with asyncio.timeout(0.2):
                        return bool((await connection.read())["payload"]["data"]["inbox"]["kind"] == "ADDED")
                except TimeoutError:
                    return False

            await eventually(received)


async def test_known_hash_skips_parsing_and_validation(tenant: Tenant) -> None:
    text, url = unique_query(), tenant.urls[0]
    before = await count_parsed_queries(tenant, url)
    await send_post(tenant, persisted_request(sha256_hex(text)), url)
    assert await count_parsed_queries(tenant, url) == before
    for send_request in (send_post, send_get, send_stream, send_over_websocket):
        await send_request(tenant, persisted_request(sha256_hex(text), text), url)
        assert await send_request(tenant, persisted_request(sha256_hex(text)), url) == ALICE_RESPONSE
    assert await count_parsed_queries(tenant, url) == before + 1


async def test_registered_queries_survive_restarts_are_bounded_and_expire(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    texts = [unique_query() for _ in range(5)]
    limits = {"persisted_max_queries": "3", "persisted_query_days": "2", "redis_prefix": f"{uuid4().hex}:"}
    async with Deployment(mongod.url, redis.url, apis=2, workers=0, **limits) as hub, Tenant("p", hub.urls) as tenant:
        first, second = tenant.urls

        async def teach(text: str) -> None:
            """Until the other processes have it too. No call waits for Redis."""

            async def existing() -> bool:
                await send_post(tenant, persisted_request(sha256_hex(text), text), first)
                return await send_post(tenant, persisted_request(sha256_hex(text)), second) == ALICE_RESPONSE

            await eventually(existing)

        for text in texts:
            await teach(text)
        async with RedisClient.from_url(redis.url) as client:
            prefix = limits["redis_prefix"]
            stored = {
                key.decode().removeprefix(f"{prefix}query:") async for key in client.scan_iter(f"{prefix}query:*")
            }
            assert stored == {sha256_hex(text) for text in texts[2:]}
            for key in [*(f"{prefix}query:{hash}" for hash in stored), f"{prefix}queries"]:
                assert 0 < await client.ttl(key) <= 2 * 86_400
            assert await client.zcard(f"{prefix}queries") == 3
        assert error_code(await send_post(tenant, persisted_request(sha256_hex(texts[0])), first)) == NOT_FOUND
        await hub.apis[0].stop()
        await hub.apis[0].start()
        for text in texts[2:]:

            async def back(text: str = text) -> bool:
                return await send_post(tenant, persisted_request(sha256_hex(text)), first) == ALICE_RESPONSE

            await eventually(back)
        # A text in Redis is accepted only if its hash matches the key.
        invalid = sha256_hex(unique_query())
        async with RedisClient.from_url(redis.url) as client:
            await client.set(f"{prefix}query:{invalid}", "{ me { id } }")
        assert error_code(await send_post(tenant, persisted_request(invalid), first)) == NOT_FOUND


async def test_without_redis_clients_are_asked_for_the_query_without_delay() -> None:
    async with fresh_servers() as (mongod, redis):
        async with Deployment(mongod.url, redis.url, apis=2, workers=0) as hub, Tenant("p", hub.urls) as tenant:
            first, second = tenant.urls
            before, after = unique_query(), unique_query()
            await send_post(tenant, persisted_request(sha256_hex(before), before), first)
            redis.suspend()
            async with asyncio.timeout(HANG_S):
                assert await send_post(tenant, persisted_request(sha256_hex(before)), first) == ALICE_RESPONSE
                for url in (first, second) * 3:
                    assert (
                        error_code(await send_post(tenant, persisted_request(sha256_hex(unique_query())), url))
                        == NOT_FOUND
                    )
                assert await send_post(tenant, persisted_request(sha256_hex(after), after), first) == ALICE_RESPONSE
                assert await send_post(tenant, persisted_request(sha256_hex(after)), first) == ALICE_RESPONSE
            redis.resume()

            async def shared() -> bool:
                return await send_post(tenant, persisted_request(sha256_hex(before)), second) == ALICE_RESPONSE

            await eventually(shared)
            assert "Traceback" not in hub.apis[0].log + hub.apis[1].log


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_apollo_client_registers_its_queries_and_then_sends_hashes(
    node: str, tenant: Tenant, method: str
) -> None:
    apollo = await asyncio.create_subprocess_exec(
        *(node, NODE / "apollo.mjs", tenant.urls[0], tenant.token("alice"), method),
        cwd=NODE,
        stdout=asyncio.subprocess.PIPE,
    )
    received, _ = await asyncio.wait_for(apollo.communicate(), 60)
    lines = [json.loads(line) for line in received.splitlines()]
    counts = [
        response["unread" if "unread" in response else "changed"]
        for line in lines
        for response in line.get("data", {}).values()
    ]
    assert counts == [0, 0, 0, 0]
    requested = [(line["method"], line["text"]) for line in lines if "method" in line]
    retry = method if method == "GET" and (method, True) in requested else "POST"
    assert requested == [
        (method, False),
        (retry, True),
        (method, False),
        ("POST", False),
        ("POST", True),
        ("POST", False),
    ]
