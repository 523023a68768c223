"""Cancelled MongoDB calls: the connection pool keeps working, whatever is cancelled and however often."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pymongo
import pytest
from pymongo.errors import PyMongoError, WaitQueueTimeoutError

from hub.platform import cancel_safe_mongo
from hub.platform.cancel_safe_mongo import Client, PoolWatchdog
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Tenant, eventually
from tests.conftest import fresh_servers, scaled
from tests.processes import Process

TIMEOUT_MS = 3_000
QUERY = "{ me { id } inbox(first: 3) { unread nodes { id } } preferences { channels { channel enabled } } }"
CLIENTS = 50
SUSPENDED_S = 8.0  # longer than the deadline of each call
PINGS = 60
STOP_WITHIN_S = 25.0  # HUB_SHUTDOWN_TIMEOUT_S and 5 s, and some time for a slow machine


@pytest.fixture
async def client(servers: tuple[Mongod, Redis]) -> AsyncIterator[Client]:
    """At most 5 concurrent calls."""
    created = Client(servers[0].url, 5, timeoutMS=TIMEOUT_MS, serverSelectionTimeoutMS=TIMEOUT_MS)
    yield created
    await created.close()


async def cancel_twice(tasks: list[asyncio.Task[object]]) -> None:
    """Like nested task groups: cancel once, and again while the task cleans up."""
    for _ in range(2):
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_client_with_waiting_calls_cancelled_twice_still_works(client: Client) -> None:
    for _ in range(3):
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(client.admin.command("ping")) for _ in range(PINGS)]
        await asyncio.sleep(0.001)
        await cancel_twice(tasks)
        async with asyncio.timeout(TIMEOUT_MS / 1000):
            await asyncio.gather(*(client.admin.command("ping") for _ in range(PINGS)))


async def test_client_with_cursors_and_transactions_cancelled_twice_still_works(client: Client) -> None:
    """A transaction and a cursor make several calls each, and further calls to clean up."""
    items = client["driver"]["items"]
    await items.insert_many([{"n": n} for n in range(300)])

    async def transaction() -> None:
        async with client.start_session() as session, await session.start_transaction():
            await items.insert_one({"n": 0}, session=session)
            await items.find_one({"n": 0}, session=session)

    async def cursor() -> None:
        async for _ in items.find({}, batch_size=2):
            await asyncio.sleep(0)

    for step in range(12):
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(make()) for make in (transaction, cursor) for _ in range(8)
        ]
        await asyncio.sleep(step * 0.002)
        await cancel_twice(tasks)
    async with asyncio.timeout(2 * TIMEOUT_MS / 1000):
        await asyncio.gather(*(client.admin.command("ping") for _ in range(PINGS)))
        await transaction()
        assert len([doc async for doc in items.find({}, batch_size=50)]) >= 300


async def test_close_ends_the_calls_that_mongodb_does_not_answer() -> None:
    """A call that outlives the client would log an error when the event loop ends."""
    async with fresh_servers() as (mongod, _):
        client = Client(mongod.url, 5, timeoutMS=60_000)
        await client["driver"]["items"].insert_one({})
        mongod.suspend()
        waiting = asyncio.create_task(client["driver"]["items"].bulk_write([pymongo.InsertOne({})]))
        await eventually(lambda: asyncio.sleep(0, client._calls))
        [call] = client._calls
        await cancel_twice([waiting])
        assert not call.done(), "it is not cancelled with the task that waits for it"
        await client.close()
        assert call.done()
        mongod.resume()


async def test_call_without_a_free_connection_fails_at_its_deadline(servers: tuple[Mongod, Redis]) -> None:
    client = Client(servers[0].url, 1, timeoutMS=TIMEOUT_MS)
    try:
        await client.admin.command("ping")
        slow = asyncio.create_task(client["driver"].command("ping"))
        blocked = client["driver"]["items"].find({"$where": "sleep(1500) || true"}, limit=1)
        await client["driver"]["items"].insert_one({})
        slow = asyncio.create_task(blocked.to_list())  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        with pytest.raises(WaitQueueTimeoutError), pymongo.timeout(0.3):
            await client.admin.command("ping")
        await slow
        await client.admin.command("ping")
    finally:
        await client.close()


async def test_watchdog_ends_a_process_only_when_its_pool_is_stuck(
    servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel_safe_mongo, "PING_TIMEOUT_S", 0.5)
    mongod = servers[0]
    client = Client(mongod.url, 5, timeoutMS=TIMEOUT_MS)
    ended: list[int] = []
    watchdog = PoolWatchdog(client, mongod.url, ping_every_s=0.05, stuck_after_s=0.5, end=ended.append)
    watching = asyncio.create_task(watchdog.run())
    try:
        for _ in range(20):
            await client.admin.command("ping")
            await asyncio.sleep(0.05)
        assert ended == []
        topology = await client._get_topology()
        pools = [server.pool for server in topology._servers.values()]
        for pool in pools:
            await pool.lock.acquire()  # the state after a lost cancellation

        async def done() -> bool:
            return watching.done()

        await eventually(done)
        assert ended == [cancel_safe_mongo.EXIT_STUCK]
        for pool in pools:
            pool.lock.release()
    finally:
        watching.cancel()
        await client.close()


async def test_watchdog_does_not_end_a_process_while_mongodb_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel_safe_mongo, "PING_TIMEOUT_S", 0.3)
    async with fresh_servers() as (mongod, _):
        client = Client(mongod.url, 5, timeoutMS=500, serverSelectionTimeoutMS=500)
        await client.admin.command("ping")
        ended: list[int] = []
        watchdog = PoolWatchdog(client, mongod.url, ping_every_s=0.05, stuck_after_s=0.5, end=ended.append)
        watching = asyncio.create_task(watchdog.run())
        mongod.suspend()
        await asyncio.wait({watching}, timeout=3)
        mongod.resume()
        assert ended == []
        watching.cancel()

        async def responses() -> bool:
            try:
                await client.admin.command("ping")
            except PyMongoError:
                return False
            return True

        await eventually(responses)
        await client.close()


async def test_api_recovers_after_mongodb_was_suspended_under_load_and_ends_on_sigterm() -> None:
    """Requests with concurrent fields cancel the running calls if one field fails."""
    async with AsyncExitStack() as stack:
        mongod, redis = await stack.enter_async_context(fresh_servers())
        api = Process("serve", mongod.url, redis.url)
        await api.start()
        stack.callback(api.kill)
        tenant = await stack.enter_async_context(Tenant("frozen", [api.url]))
        await tenant.send("alice", title="One")
        requesting = [asyncio.create_task(_query_repeatedly(tenant, f"user{n}")) for n in range(CLIENTS)]
        await asyncio.sleep(1)
        mongod.suspend()
        frozen_at = time.monotonic()
        ready = await _ready(api)
        assert ready == 503
        await asyncio.sleep(SUSPENDED_S - (time.monotonic() - frozen_at))
        mongod.resume()

        async def responses() -> bool:
            response = await tenant.execute_raw(QUERY, user="alice")
            return "errors" not in response and await _ready(api) == 200

        await eventually(responses)
        mongod.suspend()
        await asyncio.sleep(1)
        for task in requesting:
            task.cancel()
        await asyncio.gather(*requesting, return_exceptions=True)
        await api.stop(STOP_WITHIN_S)
        mongod.resume()


async def _query_repeatedly(tenant: Tenant, user: str) -> None:
    while True:
        try:
            async with asyncio.timeout(2):
                await tenant.execute_raw(QUERY, user=user)
        except (TimeoutError, aiohttp.ClientError, json.JSONDecodeError):
            continue
        await asyncio.sleep(scaled(0.3, 1.0))


async def _ready(api: Process) -> int:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as http:
        async with http.get(f"http://127.0.0.1:{api.port}/readyz") as response:
            return response.status
