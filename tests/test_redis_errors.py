"""Redis connections that break during a write, and keys of a wrong type: no process ends, nothing stops, and lost data
is restored."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis as RedisClient

from hub.model import Channel
from hub.outbox.lanes import Lanes
from hub.platform import connections
from hub.platform.circuit_breaker import Breakers
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.rate_limiter import SYNC_S, Limit, RateLimiter
from hub.settings import Settings
from hub.status.digest_items import DigestItems
from tests.channel_setup import SHORT_TIMES, connect_webhook, wait_for_deliveries
from tests.client import Tenant, eventually
from tests.processes import Process
from tests.webhook_receiver import WebhookReceiver

CUT_FUNCTIONS = {
    "serve": {
        "hub.platform.rate_limiter._sync",
        "hub.live.pubsub._send_heartbeats",
        "hub.live.pubsub._send_changes",
        "hub.live.publisher._publish",
        "hub.outbox.lanes.put",
        "hub.api.execution.persisted_queries._fetch",
        "hub.api.execution.persisted_queries._share",
    },
    "work": {
        "hub.platform.circuit_breaker.check",
        "hub.platform.circuit_breaker.record",
        "hub.platform.circuit_breaker.list_open",
        "hub.outbox.lanes.take",
        "hub.outbox.lanes.wait_for_wakeup",
        "hub.outbox.lanes.free_capacity",
        "hub.outbox.lanes.acquire_tick_lock",
        "hub.outbox.lanes.detect_flush",
        "hub.outbox.lanes.mark_restored",
        "hub.outbox.lanes.read_waiting",
        "hub.runtime.due_sample._load",
        "hub.runtime.due_sample._store",
    },
}
"""The functions in which each kind of process calls Redis."""


class CutProcess(Process):
    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.redis_connection_cuts", self._command],
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    @property
    def cut(self) -> set[str]:
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return {line["place"] for line in lines if line["event"] == "cut"}


@pytest.fixture
async def redis(servers: tuple[Mongod, Redis]) -> AsyncIterator[RedisClient]:
    async with RedisClient.from_url(servers[1].url) as client:
        yield client


async def test_connection_cut_during_a_write_ends_no_process_and_loses_nothing(
    servers: tuple[Mongod, Redis],
) -> None:
    mongod, redis = servers
    apart = {"mongo_database": "cut", "redis_prefix": f"cut{uuid4().hex[:8]}:", "rate_limit_per_user": "1000"}
    api, worker = (CutProcess(command, mongod.url, redis.url, **SHORT_TIMES, **apart) for command in ("serve", "work"))
    try:
        await asyncio.gather(api.start(), worker.start())
        async with Tenant(f"t{uuid4().hex[:12]}", [api.url]) as tenant, WebhookReceiver() as receiver:
            await connect_webhook(tenant, receiver, "alice")
            sent, deadline = 0, asyncio.get_running_loop().time() + 30

            async def everywhere() -> bool:
                nonlocal sent
                missing = CUT_FUNCTIONS["serve"] - api.cut, CUT_FUNCTIONS["work"] - worker.cut
                if not any(missing):
                    return True
                assert asyncio.get_running_loop().time() < deadline, missing
                await tenant.send("alice", title=str(sent), channels=["IN_APP", "WEBHOOK"])
                sent += 1
                query = f"query Q{sent} {{ me {{ id }} }}"
                hash = {"version": 1, "sha256Hash": sha256(query.encode()).hexdigest()}
                headers = {"authorization": f"Bearer {tenant.token('alice')}"}
                for fields in ({}, {"query": query}):
                    body = {"extensions": {"persistedQuery": hash}, **fields}
                    async with tenant.http.post(api.url, json=body, headers=headers) as response:
                        result = await response.json()
                assert result == {"data": {"me": {"id": "alice"}}}
                await asyncio.sleep(0.3)
                return False

            async with tenant.feed("alice", (await tenant.inbox("alice"))["position"]) as feed:
                await eventually(everywhere, 60)
                received = await feed.take(sent, 20)
            assert [event["notification"]["title"] for event in received] == [str(n) for n in range(sent)]
            await wait_for_deliveries(tenant, "DELIVERED", sent)
        for process in (api, worker):
            assert process.running, process.log[-3000:]
            assert "Traceback" not in process.log, process.log[-3000:]
    finally:
        api.kill()
        worker.kill()


async def replace_with_wrong_types(redis: RedisClient, keys: dict[str, str]) -> None:
    """Replace every key by one of another type."""
    for key, type_ in keys.items():
        await redis.delete(key)
        if type_ in {"hash", "list", "zset"}:
            await redis.set(key, "foreign")
        else:
            await redis.hset(key, "foreign", "1")


async def test_keys_of_a_wrong_type_are_replaced_and_the_queue_continues(
    servers: tuple[Mongod, Redis], redis: RedisClient
) -> None:
    mongod, _ = servers
    prefix = f"foreign{uuid4().hex[:8]}:"
    apart = {"mongo_database": "foreign", "redis_prefix": prefix, "rate_limit_per_user": "1000"}
    api, worker = (
        Process(command, mongod.url, servers[1].url, **SHORT_TIMES, **apart) for command in ("serve", "work")
    )
    try:
        await asyncio.gather(api.start(), worker.start())
        async with Tenant(f"t{uuid4().hex[:12]}", [api.url]) as tenant, WebhookReceiver() as receiver:
            await connect_webhook(tenant, receiver, "alice")
            await tenant.send("alice", channels=["WEBHOOK"])
            await wait_for_deliveries(tenant, "DELIVERED", 1)
            keys = {
                f"{prefix}lane:WEBHOOK/MEDIUM/{tenant.name}": "list",
                f"{prefix}waiting:WEBHOOK/MEDIUM": "zset",
                f"{prefix}waiting:WEBHOOK/LOW": "zset",
                f"{prefix}waiting:EMAIL/LOW": "zset",
                f"{prefix}wakeup:WEBHOOK": "list",
                f"{prefix}rotation:WEBHOOK": "string",
                f"{prefix}tick_lock:deliveries": "string",
                f"{prefix}tick_lock:webhook_calls": "string",
                f"{prefix}flush_marker:deliveries": "string",
                f"{prefix}queries": "zset",
            }
            async for key in redis.scan_iter(match=f"{prefix}rate:*"):
                keys[key.decode()] = "string"
            for key in [f"webhook/{tenant.name}/{receiver.url.removeprefix('http://')}"]:
                keys |= {f"{prefix}breaker:{key}": "hash", f"{prefix}breaker:{key}:results": "list"}
            for times in (2, 3):
                await replace_with_wrong_types(redis, keys)
                await tenant.send("alice", channels=["WEBHOOK"])
                await wait_for_deliveries(tenant, "DELIVERED", times)
        for process in (api, worker):
            assert process.running
            assert "Traceback" not in process.log, process.log[-3000:]
    finally:
        api.kill()
        worker.kill()


async def test_breaker_on_keys_of_a_wrong_type_still_opens_and_probes(redis: RedisClient) -> None:
    """Also a breaker whose probe key never expires, and one without a number."""
    prefix = f"b{uuid4().hex}:"
    breakers = Breakers(redis, prefix, 0.2)
    key = f"{prefix}breaker:smtp"
    keys = {key: "hash", f"{key}:results": "list", f"{key}:probe": "string"}
    await replace_with_wrong_types(redis, keys)
    assert await breakers.check(["smtp"]) == {"smtp": -1}
    await replace_with_wrong_types(redis, keys)
    assert await breakers.list_open() == {}
    await breakers.record({"smtp": [False] * 10})
    assert list(await breakers.list_open()) == ["smtp"]
    assert (await breakers.check(["smtp"]))["smtp"] > 0
    await redis.set(f"{key}:probe", "for ever")

    async def probing() -> bool:
        return (await breakers.check(["smtp"]))["smtp"] == 0

    await eventually(probing)
    assert (await breakers.check(["smtp"]))["smtp"] > 0, "one probe at a time"
    await redis.hset(key, mapping={"until": "soon", "times": "often"})
    assert await breakers.check(["smtp"]) == {"smtp": -1}
    assert await breakers.list_open() == {}


async def test_limiter_on_keys_of_a_wrong_type_counts_again(redis: RedisClient) -> None:
    """Other keys are counted meanwhile."""
    prefix = f"l{uuid4().hex}:"
    limiter = RateLimiter(redis, prefix)
    first, second = (Limit(name, 5, 10**9) for name in "ab")
    running = asyncio.create_task(limiter.run())
    try:
        limiter.check((first, "alice"), (second, "alice"))

        async def recounted(name: str) -> dict[bytes, bytes | None]:
            found: dict[bytes, bytes | None] = {}
            async for key in redis.scan_iter(match=f"{prefix}rate:{name}:*"):
                value = await redis.get(key) if await redis.type(key) == b"string" else None
                assert not isinstance(value, str)
                found[key] = value
            return found

        [foreign] = await eventually(lambda: recounted("a"))
        for put in (
            lambda: replace_with_wrong_types(redis, {foreign.decode(): "string"}),
            lambda: redis.set(foreign, "much"),
        ):
            await put()
            limiter.check((first, "alice"), (second, "alice"))

            async def again() -> bool:
                return (await recounted("a")).get(foreign) == b"1"

            await eventually(again)
        await asyncio.sleep(2 * SYNC_S)
        assert list((await recounted("b")).values()) == [b"3"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_lanes_on_keys_of_a_wrong_type_still_work(redis: RedisClient) -> None:
    """Each call separately."""
    prefix = f"q{uuid4().hex}:"
    lanes, lane = Lanes(redis, prefix, 10), "EMAIL/HIGH/acme"
    keys = {f"{prefix}lane:{lane}": "list", f"{prefix}waiting:EMAIL/HIGH": "zset", f"{prefix}wakeup:EMAIL": "list"}
    keys |= {f"{prefix}rotation:EMAIL": "string", f"{prefix}tick_lock:deliveries": "string"}
    await replace_with_wrong_types(redis, keys)
    assert await lanes.put([(lane, "one")]) == []
    assert await lanes.take("EMAIL", 10, 10, {}) == [(lane, "one")]
    await replace_with_wrong_types(redis, keys)
    assert await lanes.free_capacity([lane]) == [10]
    await replace_with_wrong_types(redis, keys)
    assert await lanes.depths(["EMAIL"]) == []
    await replace_with_wrong_types(redis, keys)
    assert await lanes.wait_for_wakeup(["EMAIL"], 0.1) is None
    await replace_with_wrong_types(redis, keys)
    assert [await lanes.acquire_tick_lock("deliveries", 60_000) for _ in range(2)] == [True, False]
    await redis.set(f"{prefix}tick_lock:deliveries", "for ever")
    assert [await lanes.acquire_tick_lock("deliveries", 60_000) for _ in range(2)] == [True, False]
    await redis.delete(f"{prefix}waiting:EMAIL/HIGH")
    await redis.zadd(f"{prefix}waiting:EMAIL/HIGH", {"no lane": 1})
    await redis.set(f"{prefix}rotation:EMAIL", "first")
    assert await lanes.put([(lane, "two")]) == []
    assert await lanes.take("EMAIL", 10, 10, {}) == [(lane, "two")]


async def test_idle_workers_of_all_channels_leave_connections_to_other_calls(
    servers: tuple[Mongod, Redis],
) -> None:
    """Each idle worker blocks a connection, and the periodic tasks of a process begin at the same time."""
    async with connections.redis(Settings(jwt_secret=("s" * 32,), redis_url=servers[1].url)) as client:
        lanes = Lanes(client, f"q{uuid4().hex}:", 10)
        idle = [asyncio.create_task(lanes.wait_for_wakeup([channel], 1)) for channel in Channel]
        await asyncio.sleep(0.2)
        locks = await asyncio.gather(*(lanes.acquire_tick_lock(f"task-{n}", 60_000) for n in range(50)))
        assert locks == [True] * 50
        assert await asyncio.gather(*idle) == [None] * len(idle)


async def test_lost_digests_are_looked_for_later_while_redis_is_unavailable() -> None:
    none: Any = None
    async with RedisClient.from_url("redis://127.0.0.1:1") as unavailable:
        assert await DigestItems(none, none, Lanes(unavailable, "q:", 10)).release_lost() == 0
