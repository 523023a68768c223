"""Redis in cluster mode with one shard, the keys that scripts use, and a changed prefix."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web
from redis.asyncio import Redis as RedisClient

from hub.platform import metrics
from hub.platform.circuit_breaker import Breakers
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from tests.channel_setup import SHORT_TIMES, connect_webhook, wait_for_deliveries
from tests.cli_commands import run_command
from tests.client import Tenant, eventually
from tests.processes import SECRET, Deployment, Process
from tests.telemetry import metric_value, scrape_metrics
from tests.webhook_receiver import WebhookReceiver

DEFAULT_PREFIX = Settings.model_fields["redis_prefix"].default
FORMER_PREFIX = "hub:"


class ClusterRedis(Redis):
    """One node in cluster mode."""

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), "--cluster-enabled", "yes"]


@pytest.fixture
async def cluster(folder: Path) -> AsyncIterator[ClusterRedis]:
    """A cluster with one shard, which has all hash slots."""
    node = ClusterRedis(folder)
    await node.start()
    try:
        async with RedisClient.from_url(node.url) as client:
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

            async def ready() -> bool:
                return b"cluster_state:ok" in await client.execute_command("CLUSTER", "INFO")

            await eventually(ready, 60)
        yield node
    finally:
        await node.stop()


async def send_and_fail(running: Deployment, tenant: Tenant, receiver: WebhookReceiver) -> None:
    """Deliver by webhook, receive a live event, and fail until a circuit breaker is open."""
    await connect_webhook(tenant, receiver, "alice", "bob")
    receiver.responses["/bob"] = lambda *_: web.Response(status=503)
    async with tenant.feed("alice", (await tenant.inbox("alice"))["position"]) as feed:
        await tenant.send("alice", channels=["IN_APP", "WEBHOOK"])
        await feed.take(1)
    await wait_for_deliveries(tenant, "DELIVERED")
    for priority in ("CRITICAL", "HIGH", "LOW"):
        for _ in range(4):
            await tenant.send("bob", channels=["WEBHOOK"], priority=priority)
    url = f"http://127.0.0.1:{running.workers[0].port}/metrics"

    async def breaker_open() -> bool:
        return metric_value(await scrape_metrics(url), "hub_breakers_open", provider="webhook") >= 1

    await eventually(breaker_open, 60)
    found = await scrape_metrics(url)
    assert metric_value(found, "hub_breaker_redis_errors_total") == 0
    assert metric_value(found, "hub_enqueue_failures_total") == 0


async def test_hub_delivers_and_breakers_open_in_cluster_mode(
    servers: tuple[Mongod, Redis], cluster: ClusterRedis, receiver: WebhookReceiver
) -> None:
    mongod, _ = servers
    name = f"cluster{uuid4().hex[:8]}"
    settings = {**SHORT_TIMES, "mongo_database": name, "circuit_breaker_open_s": "600", "work_port": "0"}
    async with Deployment(mongod.url, cluster.url, apis=1, workers=1, **settings) as running:
        async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
            await send_and_fail(running, tenant, receiver)
        stores = {"mongo_url": mongod.url, "redis_url": cluster.url, "jwt_secret": SECRET, "mongo_database": name}
        done = run_command("doctor", **stores)
        assert done.returncode == 0, done.stdout
        assert "ok     Redis runs in cluster mode, and all keys are in the hash slot of {hub}:" in done.stdout


async def test_doctor_refuses_cluster_mode_without_a_hash_tag_or_a_slot(
    servers: tuple[Mongod, Redis], cluster: ClusterRedis
) -> None:
    stores = {"mongo_url": servers[0].url, "redis_url": cluster.url, "jwt_secret": SECRET}
    for prefix in ("hub:", "{}hub:", "hub}{:"):
        done = run_command("doctor", **stores, redis_prefix=prefix)
        assert done.returncode == 1
        assert "wrong  Redis runs in cluster mode, in which" in done.stdout
        assert "set HUB_REDIS_PREFIX to a prefix with a hash tag, such as {hub}:" in done.stdout
    async with RedisClient.from_url(cluster.url) as client:
        before = metrics.breaker_redis_errors._value.get()
        breakers = Breakers(client, FORMER_PREFIX, 30)
        assert await breakers.check(["smtp", "ses"]) == {"smtp": -1, "ses": -1}
        await breakers.record({"smtp": [False] * 10})
        assert metrics.breaker_redis_errors._value.get() == before + 2, "the calls are allowed, and counted"
        await client.execute_command("CLUSTER", "DELSLOTSRANGE", 0, 16383)
    done = run_command("doctor", **stores)
    assert done.returncode == 1
    assert "wrong  Redis runs in cluster mode, and its hash slots are not assigned" in done.stdout
    assert "Traceback" not in done.stderr


@asynccontextmanager
async def monitored(url: str) -> AsyncIterator[list[tuple[bool, list[str]]]]:
    """Yield the commands that the server receives, each with True if a script sent it."""
    commands: list[tuple[bool, list[str]]] = []
    async with RedisClient.from_url(url, socket_timeout=None) as client, client.monitor() as monitor:

        async def read() -> None:
            while True:
                command = await monitor.next_command()
                commands.append((command["client_type"] == "lua", command["command"].split(" ")))

        reading = asyncio.create_task(read())
        try:
            yield commands
        finally:
            assert not reading.done(), reading
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_scripts_use_only_the_keys_that_they_declare(
    servers: tuple[Mongod, Redis], folder: Path, receiver: WebhookReceiver
) -> None:
    """Services that are compatible with Redis reject other keys. Nothing scans the keys."""
    redis = Redis(folder)
    await redis.start()
    try:
        settings = {**SHORT_TIMES, "mongo_database": f"keys{uuid4().hex[:8]}", "circuit_breaker_open_s": "600"}
        async with (
            monitored(redis.url) as commands,
            Deployment(servers[0].url, redis.url, apis=1, workers=1, **settings, work_port="0") as running,
            Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant,
        ):
            await send_and_fail(running, tenant, receiver)
    finally:
        await redis.stop()
    declared: set[str] = set()
    scripts, used = 0, 0
    for from_script, words in commands:
        name = words[0].upper()
        assert name not in {"SCAN", "KEYS"}, words
        if name == "EVALSHA":
            scripts += 1
            declared = set(words[3 : 3 + int(words[2])])
        elif from_script:
            keys = {word for word in words[1:] if word.startswith(DEFAULT_PREFIX)}
            used += len(keys)
            assert keys <= declared, words
    assert scripts > 20
    assert used > 50


async def test_deliveries_on_lanes_of_the_former_prefix_are_sent_after_the_upgrade(
    servers: tuple[Mongod, Redis], receiver: WebhookReceiver
) -> None:
    """The lanes contain only ids. With another prefix, workers find no flush marker and enqueue all jobs again."""
    mongod, redis = servers
    settings = {**SHORT_TIMES, "mongo_database": f"prefix{uuid4().hex[:8]}", "requeue_after_s": "600"}
    before = Process("serve", mongod.url, redis.url, **settings, redis_prefix=FORMER_PREFIX)
    after = settings | {"redis_prefix": f"{{{uuid4().hex}}}:"}  # of its own: other tests mark the default one as used
    api, worker = (Process(command, mongod.url, redis.url, **after) for command in ("serve", "work"))
    try:
        await before.start()
        async with Tenant(f"t{uuid4().hex[:12]}", [before.url]) as tenant, RedisClient.from_url(redis.url) as client:
            await connect_webhook(tenant, receiver, "alice")
            for _ in range(3):
                await tenant.send("alice", channels=["WEBHOOK"])
            lane = f"{FORMER_PREFIX}lane:WEBHOOK/MEDIUM/{tenant.name}"

            async def queued() -> bool:
                return await client.llen(lane) == 3

            await eventually(queued, 60)
            assert await before.stop() == 0
            await asyncio.gather(api.start(), worker.start())
            async with Tenant(tenant.name, [api.url]) as same:
                await wait_for_deliveries(same, "DELIVERED", 3)
            assert len(receiver.bodies["/alice"]) == 3
            assert await client.llen(lane) == 3, "the former keys are not used"
            left = [key async for key in client.scan_iter(match=f"{FORMER_PREFIX}*")]
            await client.unlink(*left)
    finally:
        for process in (before, api, worker):
            process.kill()


def test_default_prefix_has_a_hash_tag() -> None:
    assert re.fullmatch(r"\{[^}]+\}:", DEFAULT_PREFIX)
