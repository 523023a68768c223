"""Service keys over every transport: what they may do, and that they end."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from pymongo import AsyncMongoClient
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.api.service_key_authenticator import CACHE_S, UNKNOWN_PER_ADDRESS
from hub.model import Role
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.utc_time import rfc3339
from tests.cli_commands import base_url, run_command
from tests.client import SUBPROTOCOL, GraphQLErrors, Json, Tenant, eventually
from tests.conftest import scaled
from tests.processes import SECRET, Deployment
from tests.service_keys import CREATE, LIST, REVOKE, Key, code_of, create_key, list_keys, revoke
from tests.telemetry import log_lines

SENDS = "{ sends { nodes { id } } }"
RECEIPTS = "subscription { receipts { id } }"
SOON_S = CACHE_S / 2  # sooner than a key is read again, so the revocation itself has arrived
CATEGORY = 'mutation { upsertCategory(input: {key: "k", name: "K", defaultChannels: [IN_APP]}) { key } }'


async def open_socket(url: str, key: Key) -> ClientConnection:
    """Open a WebSocket with a running subscription."""
    socket = await connect(url.replace("http", "ws", 1), subprotocols=[SUBPROTOCOL])
    await socket.send(json.dumps({"type": "connection_init", "payload": key.headers}))
    assert json.loads(await socket.recv())["type"] == "connection_ack"
    await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": RECEIPTS}}))
    return socket


async def close_code(socket: ClientConnection) -> int | None:
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


async def stream_events(tenant: Tenant, url: str, key: Key, opened: asyncio.Event) -> str:
    """Return the whole event stream of a subscription, when it has ended."""
    headers = {**key.headers, "accept": "text/event-stream"}
    async with tenant.http.post(url, json={"query": RECEIPTS}, headers=headers) as response:
        assert response.status == 200
        opened.set()
        return await response.text()


async def test_key_is_shown_once_and_stored_as_a_hash(tenant: Tenant, database: Database) -> None:
    expires_at = rfc3339(datetime.now(UTC) + timedelta(days=1))
    key = await create_key(tenant, name="Shop", role="ADMIN", scopes=["READ", "SEND", "READ"], expiresAt=expires_at)
    assert key.secret.startswith("hub_sk_")
    assert len(key.secret) == 50
    [shown] = await list_keys(tenant)
    created_at = shown.pop("createdAt")
    assert datetime.fromisoformat(created_at) <= datetime.now(UTC)
    assert shown == {
        "id": key.id,
        "name": "Shop",
        "role": "ADMIN",
        "scopes": ["SEND", "READ"],
        "preview": key.secret[:11],
        "createdBy": "admin",
        "lastUsedAt": None,
        "expiresAt": expires_at,
        "revokedAt": None,
    }
    assert key.secret not in str(await database.service_keys.find_one({"_id": key.id}))


async def test_key_acts_for_its_tenant_over_every_transport(tenant: Tenant, deployment: Deployment) -> None:
    key = await create_key(tenant)
    async with Tenant(f"t{uuid4().hex[:12]}", tenant.urls) as other:
        await other.send("alice")
        sent = await tenant.send("alice")
        for url in tenant.urls:
            found = (await tenant.execute_raw(SENDS, url=url, headers=key.headers))["data"]["sends"]["nodes"]
            assert found == [{"id": sent["send"]["id"]}]
        assert await code_of(tenant, key, REVOKE, id=(await create_key(other)).id) == "FORBIDDEN"
    async with await open_socket(tenant.urls[0], key) as socket:
        await socket.send('{"id": "2", "type": "subscribe", "payload": {"query": "{ me { id } }"}}')
        answer = json.loads(await socket.recv())
        assert answer["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"

    async def minute_of_use() -> Any:
        [shown] = await list_keys(tenant)
        return shown["lastUsedAt"]

    used_at = datetime.fromisoformat(await eventually(minute_of_use))
    assert used_at.timestamp() % 60 == 0
    assert 0 <= time.time() - used_at.timestamp() < 120
    assert all(key.secret not in api.log for api in deployment.apis)


async def test_log_lines_name_the_key(tenant: Tenant, deployment: Deployment) -> None:
    key = await create_key(tenant, role="ADMIN")
    assert await code_of(tenant, key, CATEGORY) == ""

    async def lines() -> list[Json]:
        return log_lines(*deployment.apis, tenant=tenant.name, action="upsertCategory")

    assert [line["service_key"] for line in await eventually(lines)] == [key.id]


async def test_revoked_key_is_rejected_by_every_process(tenant: Tenant) -> None:
    """Its WebSockets are closed with 4403, and its event streams end."""
    key, kept = await create_key(tenant), await create_key(tenant)
    async with asyncio.timeout(SOON_S), AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(await open_socket(url, key)) for url in tenant.urls]
        other = await stack.enter_async_context(await open_socket(tenant.urls[1], kept))
        opened = [asyncio.Event() for _ in tenant.urls]
        streams = [
            asyncio.create_task(stream_events(tenant, url, key, event))
            for url, event in zip(tenant.urls, opened, strict=True)
        ]
        await asyncio.gather(*(event.wait() for event in opened))
        revoked = await revoke(tenant, key, tenant.urls[0])
        assert await code_of(tenant, key, SENDS, tenant.urls[0]) == "UNAUTHENTICATED"
        assert [await close_code(socket) for socket in sockets] == [4403, 4403]
        for text in await asyncio.gather(*streams):
            assert '"UNAUTHENTICATED"' in text
            assert text.rstrip().endswith("event: complete\ndata:")

        assert await code_of(tenant, key, SENDS, tenant.urls[1]) == "UNAUTHENTICATED"
        assert await revoke(tenant, key, tenant.urls[1]) == revoked
        await (await other.ping())
        assert await code_of(tenant, kept, SENDS) == ""
    assert {one["id"]: bool(one["revokedAt"]) for one in await list_keys(tenant)} == {kept.id: False, key.id: True}


async def test_revoked_key_is_rejected_before_it_is_read_again(tenant: Tenant) -> None:
    async def is_connected() -> bool:
        async with tenant.http.get(tenant.urls[1].replace("/graphql", "/readyz")) as response:
            return bool((await response.json())["realtime"] == "ok")

    await eventually(is_connected)  # otherwise, keys are read again after 2 s
    key = await create_key(tenant)
    assert await code_of(tenant, key, SENDS, tenant.urls[1]) == ""
    await revoke(tenant, key, tenant.urls[0])

    async def is_rejected() -> bool:
        return await code_of(tenant, key, SENDS, tenant.urls[1]) == "UNAUTHENTICATED"

    await eventually(is_rejected, SOON_S)


async def test_revoked_key_is_rejected_while_redis_is_away(servers: tuple[Mongod, Redis], tmp_path: Path) -> None:
    redis = Redis(tmp_path / "redis")
    await redis.start()
    async with (
        Deployment(servers[0].url, redis.url, apis=2, workers=0, mongo_database=tmp_path.name) as deployment,
        Tenant("t", deployment.urls) as tenant,
    ):
        key = await create_key(tenant)
        async with await open_socket(tenant.urls[1], key) as socket, asyncio.timeout(60):
            assert [await code_of(tenant, key, SENDS, url) for url in tenant.urls] == ["", ""]
            redis.kill()
            await revoke(tenant, key, tenant.urls[0])
            assert await code_of(tenant, key, SENDS, tenant.urls[0]) == "UNAUTHENTICATED"

            async def is_rejected() -> bool:
                return await code_of(tenant, key, SENDS, tenant.urls[1]) == "UNAUTHENTICATED"

            await eventually(is_rejected)
            assert await close_code(socket) == 4403


async def test_expired_key_is_rejected_and_its_socket_is_closed(tenant: Tenant) -> None:
    key = await create_key(tenant, expiresAt=rfc3339(datetime.now(UTC) + timedelta(seconds=1.5)))
    async with await open_socket(tenant.urls[0], key) as socket, asyncio.timeout(60):
        assert await close_code(socket) == 4403
    assert await code_of(tenant, key, SENDS) == "UNAUTHENTICATED"
    with pytest.raises(GraphQLErrors) as error:
        await create_key(tenant, expiresAt=rfc3339(datetime.now(UTC) - timedelta(minutes=1)))
    assert error.value.errors[0]["extensions"] == {"code": "BAD_USER_INPUT", "field": "input.expiresAt"}


async def test_scope_that_is_missing_is_named(tenant: Tenant) -> None:
    key = await create_key(tenant, role="ADMIN", scopes=["SEND", "PEOPLE"])
    response = await tenant.execute_raw(SENDS, headers=key.headers)
    assert response["errors"][0]["message"] == (
        "`sends` requires a service key with the scope READ. This key has PEOPLE, SEND."
    )
    assert response["errors"][0]["extensions"] == {"code": "FORBIDDEN", "scope": "READ"}
    response = await tenant.execute_raw(CATEGORY, headers=key.headers)
    assert "without scopes" in response["errors"][0]["message"]


async def test_stored_response_is_not_returned_to_a_key_with_fewer_scopes(tenant: Tenant) -> None:
    once = {"idempotency-key": "once"}
    everything, scoped = await create_key(tenant, role="ADMIN"), await create_key(tenant, role="ADMIN", scopes=["SEND"])
    first = await tenant.execute_raw(CATEGORY, headers={**everything.headers, **once})
    assert (
        await tenant.execute_raw(CATEGORY, headers={**everything.headers, **once})
        == first
        == {"data": {"upsertCategory": {"key": "k"}}}
    )
    response = await tenant.execute_raw(CATEGORY, headers={**scoped.headers, **once})
    assert response["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_only_the_token_of_an_administrator_makes_and_revokes_keys(tenant: Tenant) -> None:
    key = await create_key(tenant, role="ADMIN")
    for query, variables in ((CREATE, {"input": {"name": "x"}}), (REVOKE, {"id": key.id})):
        assert await code_of(tenant, key, query, **variables) == "FORBIDDEN"
        with pytest.raises(GraphQLErrors) as error:
            await tenant.execute(query, **variables)
        assert error.value.code == "FORBIDDEN"
    async with Tenant(f"t{uuid4().hex[:12]}", tenant.urls) as other:
        with pytest.raises(GraphQLErrors) as error:
            await other.execute_as_admin(REVOKE, id=key.id)
        assert error.value.code == "NOT_FOUND"
    assert await code_of(tenant, key, LIST) == ""


async def test_tenant_has_at_most_100_keys_that_are_not_revoked(tenant: Tenant, database: Database) -> None:
    key = await create_key(tenant)
    stored = await database.service_keys.find_one({"_id": key.id})
    assert stored
    await database.service_keys.insert_many(
        stored | {"_id": f"{tenant.name}{n}", "hash": f"{tenant.name}{n}"} for n in range(97)
    )
    results = await asyncio.gather(*(create_key(tenant) for _ in range(5)), return_exceptions=True)
    refused = [one for one in results if isinstance(one, GraphQLErrors)]
    assert [one.code for one in refused] == ["TOO_LARGE"] * 3
    await revoke(tenant, key)
    await create_key(tenant)
    assert len(await list_keys(tenant)) == 101


async def reads_of_keys(client: AsyncMongoClient[Json], name: str) -> int:
    """Return the number of queries of the collection since the server started."""
    totals = (await client.admin.command("top"))["totals"].get(f"{name}.service_keys", {})
    return sum(int(totals.get(kind, {}).get("count", 0)) for kind in ("queries", "commands"))


async def test_flood_of_unknown_keys_does_not_reach_mongodb(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    name = f"flood{uuid4().hex[:8]}"
    own = {"mongo_database": name, "redis_prefix": f"{name}:", "trusted_proxies": "127.0.0.1"}
    async with (
        Deployment(mongod.url, redis.url, apis=1, workers=0, **own) as deployment,
        Tenant("t", deployment.urls) as tenant,
        AsyncMongoClient[Json](mongod.url) as client,
    ):
        key, later = await create_key(tenant), await create_key(tenant)
        assert await code_of(tenant, key, SENDS) == ""
        before = await reads_of_keys(client, name)

        async def attempt(number: int) -> int:
            unknown = {"authorization": f"Bearer hub_sk_{number:043}", "x-forwarded-for": "203.0.113.7"}
            async with tenant.http.post(deployment.urls[0], json={"query": SENDS}, headers=unknown) as response:
                return response.status

        numbers = [*range(scaled(150, 3000)), *[0] * 30]  # different keys, then one key again and again
        allowed, started_s = UNKNOWN_PER_ADDRESS.max_requests, time.monotonic()
        statuses = [await attempt(number) for number in numbers]
        windows = 2 + (time.monotonic() - started_s) // UNKNOWN_PER_ADDRESS.window_s
        assert statuses[:allowed] == [401] * allowed
        assert statuses[allowed] == 429
        assert statuses[:-30].count(401) <= windows * allowed
        assert statuses[-30:] == [401] * 30
        assert await code_of(tenant, key, SENDS) == await code_of(tenant, later, SENDS) == ""
        assert await reads_of_keys(client, name) - before <= windows * allowed + 10


async def test_concurrent_first_requests_with_a_valid_key_are_not_limited(tenant: Tenant) -> None:
    key = await create_key(tenant)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def request() -> int:
            async with http.post(tenant.urls[0], json={"query": SENDS}, headers=key.headers) as response:
                return response.status

        assert set(await asyncio.gather(*(request() for _ in range(3 * UNKNOWN_PER_ADDRESS.max_requests)))) == {200}


async def test_commands_create_list_and_revoke_keys(tenant: Tenant, deployment: Deployment) -> None:
    target = ["--url", base_url(deployment), "--tenant", tenant.name]

    async def run(*arguments: str, **settings: str) -> Any:
        return await asyncio.to_thread(run_command, *arguments, *target, **({"jwt_secret": SECRET} | settings))

    created = await run("keys", "create", "shop", "--scope", "send", "--scope", "READ", "--expires", "90d")
    assert created.returncode == 0, created.stderr
    [shown] = await list_keys(tenant)
    key = Key(shown["id"], created.stdout.strip())
    assert created.stdout == f"{key.secret}\n"
    assert key.secret not in created.stderr
    assert f"hub keys revoke {key.id} --url {base_url(deployment)} --tenant {tenant.name}\n" in created.stderr
    assert (shown["name"], shown["role"], shown["scopes"]) == ("shop", "SERVICE", ["SEND", "READ"])
    listed = (await run("keys", "list")).stdout
    assert f"{key.id}  {key.secret[:11]}...  shop  service  SEND+READ  " in listed
    assert key.secret not in listed
    assert (await run("keys", "revoke", key.id)).stdout.startswith(f"shop ({key.secret[:11]}...) was revoked at ")
    rejected = await run("send", "Hi", "there", "--to", "alice", "--token", key.secret)
    assert rejected.returncode == 1
    assert "This service key is unknown or revoked." in rejected.stderr
    assert key.secret not in rejected.stderr


async def test_erased_administrator_is_not_named_as_the_author_of_keys(tenant: Tenant) -> None:
    headers = {"authorization": f"Bearer {tenant.token('carol', role=Role.ADMIN)}"}
    await tenant.execute_raw(CREATE, headers=headers, input={"name": "x"})
    assert [key["createdBy"] for key in await list_keys(tenant)] == ["carol"]
    await tenant.execute_as_admin('mutation { deleteUser(id: "carol") }')
    assert [key["createdBy"] for key in await list_keys(tenant)] == ["erased"]
