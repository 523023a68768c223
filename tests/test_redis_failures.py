"""Redis flushed, killed, suspended, disconnected and unreachable: no call waits for it, and no open client misses
anything."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis as RedisClient

from hub import utc_time
from hub.platform.embedded_servers import Redis
from hub.platform.server_process import HOST
from tests.client import Replica, Tenant, eventually
from tests.conftest import fresh_servers, scaled
from tests.inbox_watchers import Watcher, check_against_store, find_log_faults, open_watchers, wait_until_caught_up
from tests.processes import Deployment

AWAY_S = 4.0  # design.md: a change arrives within this time while Redis is away
BACK_S = 6.0  # and within this time after it is back
SLACK_S = 4.0  # for a busy machine with two cores
SENDS = 20  # one by one, one per second; if each waited for Redis, they would take twice as long
USERS = ("alice", "bob")

log = logging.getLogger(__name__)


@dataclass
class Scene:
    """Two API processes, and a client of each user on each."""

    redis: Redis
    deployment: Deployment
    tenant: Tenant
    watchers: list[Watcher]

    async def traffic(self, label: str, sends: int = SENDS) -> None:
        """Send one after another, and mark. No response may take long."""
        started_at = time.monotonic()
        async with asyncio.timeout(sends):
            for _ in range(sends):
                await self.tenant.send(*USERS, title=f"{label} {uuid4()}")
            for user in USERS:
                newest = (await self.tenant.inbox(user, first=2))["nodes"]
                await self.tenant.mark(user, "markRead", newest[0]["id"])
                await self.tenant.mark(user, "archive", newest[1]["id"])
        log.info("%s: %d sends answered in %.2f s", label, sends, time.monotonic() - started_at)

    async def wait_for_all(self, within_s: float, label: str, watchers: Sequence[Watcher] = ()) -> None:
        started_at = time.monotonic()
        await wait_until_caught_up(watchers or self.watchers, within_s + SLACK_S)
        log.info("%s: everywhere after %.2f s", label, time.monotonic() - started_at)


@asynccontextmanager
async def open_scene(through: Callable[[Redis], Awaitable[str]] | None = None) -> AsyncIterator[Scene]:
    """`through` returns another URL for Redis. At the end every client holds what is stored, and no process has logged
    an
    error."""
    async with fresh_servers() as (mongod, redis):
        url = await through(redis) if through else redis.url
        async with Deployment(mongod.url, url, apis=2, workers=0) as deployment:
            async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as tenant:
                await tenant.send(*USERS, title="first")
                async with open_watchers(tenant, USERS, deployment.urls) as watchers:
                    scene = Scene(redis, deployment, tenant, watchers)
                    await wait_for_redis_state(scene, "ok")
                    await scene.traffic("before")
                    await scene.wait_for_all(AWAY_S, "before")
                    yield scene
                    await check_against_store(watchers)
            assert not find_log_faults(deployment.apis)


async def wait_for_redis_state(scene: Scene, realtime: str) -> None:
    """Wait until every process reports this state of its connection to Redis."""

    async def agreed() -> bool:
        output = []
        for url in scene.deployment.urls:
            async with scene.tenant.http.get(url.replace("/graphql", "/readyz")) as response:
                assert response.status == 200
                output.append((await response.json())["realtime"])
        return output == [realtime] * len(output)

    await eventually(agreed, BACK_S + SLACK_S)


async def newcomer_gets_changes(scene: Scene) -> None:
    """Check that a new subscription delivers."""
    replica = Replica()
    await replica.load(scene.tenant, "alice")
    await scene.tenant.send("alice", title="between load and subscription")
    async with Watcher(scene.tenant, "alice", scene.deployment.urls[1]).open(replica) as watcher:
        await scene.wait_for_all(AWAY_S, "newcomer's backlog", [watcher])
        await scene.tenant.send("alice", title="to a newcomer")
        await scene.wait_for_all(AWAY_S, "newcomer", [watcher])
        assert set_of(watcher) == {"between load and subscription", "to a newcomer"}


def set_of(watcher: Watcher) -> set[str]:
    return set(watcher.added)


async def suspend(redis: Redis) -> None:
    redis.suspend()


async def resume(redis: Redis) -> None:
    redis.resume()


async def kill(redis: Redis) -> None:
    redis.kill()


async def start(redis: Redis) -> None:
    await redis.start()


@pytest.mark.parametrize(("leave", "come_back"), [(suspend, resume), (kill, start)], ids=["frozen", "killed"])
async def test_redis_outage_delays_no_call_and_open_clients_get_every_change(
    leave: Callable[[Redis], Awaitable[None]], come_back: Callable[[Redis], Awaitable[None]]
) -> None:
    async with open_scene() as scene:
        await leave(scene.redis)
        await scene.traffic("away")
        await scene.wait_for_all(AWAY_S, "away")
        await wait_for_redis_state(scene, "degraded")
        await newcomer_gets_changes(scene)
        await scene.traffic("still away")
        await scene.wait_for_all(AWAY_S, "still away")
        await scene.traffic("just before it is back")
        await come_back(scene.redis)
        await scene.traffic("just after it is back")
        await scene.wait_for_all(BACK_S, "just back")
        await wait_for_redis_state(scene, "ok")
        await scene.traffic("back")
        await scene.wait_for_all(BACK_S, "back")


async def test_scheduled_sends_and_steps_in_the_inbox_are_published_without_redis() -> None:
    async with (
        fresh_servers() as (mongod, redis),
        Deployment(mongod.url, redis.url, apis=1, workers=1) as deployment,
        Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as tenant,
    ):
        redis.kill()
        at = (utc_time.now() + timedelta(seconds=1)).isoformat()
        await tenant.send("alice", title="scheduled", channels=["IN_APP"], sendAt=at)
        step = {"channels": ["IN_APP"], "after": "PT1S"}
        await tenant.send("alice", title="step", channels=["EMAIL"], steps=[step])

        async def shown() -> bool:
            return {n["title"] for n in (await tenant.inbox("alice"))["nodes"]} == {"scheduled", "step"}

        await eventually(shown)


async def test_redis_flushed_under_traffic_open_clients_get_every_change() -> None:
    async with open_scene() as scene:
        async with RedisClient.from_url(scene.redis.url) as client:
            for number in range(scaled(3, 20)):
                sending = asyncio.create_task(scene.traffic(f"flushed {number}"))
                await client.flushall()
                await sending
                await scene.wait_for_all(AWAY_S, "flushed")


async def test_redis_cutting_subscribers_repeatedly_open_clients_get_every_change() -> None:
    """Messages that are published while a process reconnects are lost for it without an error."""
    async with open_scene() as scene:
        async with RedisClient.from_url(scene.redis.url) as client:
            cut = 0
            while cut < scaled(5, 40):
                sending = asyncio.create_task(scene.traffic("cut"))
                cut += await client.client_kill_filter(_type="pubsub")
                await sending
            await scene.wait_for_all(BACK_S, f"cut {cut} times")
            await wait_for_redis_state(scene, "ok")


class StallingProxy:
    """A proxy in front of Redis that can stop forwarding while its connections stay open."""

    def __init__(self) -> None:
        self._stalled = False
        self._open: list[asyncio.StreamWriter] = []
        self._lost: list[asyncio.StreamWriter] = []

    async def start(self, redis: Redis) -> str:
        self._port = redis.port
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        return f"redis://{HOST}:{self._server.sockets[0].getsockname()[1]}/0"

    def stall(self) -> None:
        """Forward nothing from now on, neither on existing nor on new connections."""
        self._stalled = True

    def accept_new_connections(self) -> None:
        """Forward new connections. Existing ones stay open and silent, as after the restart of a router."""
        self._stalled = False
        self._lost, self._open = self._open, []

    async def close(self) -> None:
        self._server.close()
        for writer in self._open + self._lost:
            writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)
        upstream_reader, upstream = await asyncio.open_connection(HOST, self._port)
        self._open.append(upstream)
        with suppress(OSError):
            await asyncio.gather(self._pass(reader, upstream, writer), self._pass(upstream_reader, writer, writer))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(1 << 16):
            if not self._stalled and connection in self._open:
                writer.write(data)
        writer.close()


async def test_redis_silently_unreachable_open_clients_get_every_change() -> None:
    """Connections that stay open and transport nothing, some of them while they are being opened."""
    wire = StallingProxy()
    try:
        async with open_scene(wire.start) as scene:
            wire.stall()
            await scene.traffic("unreachable")
            await scene.wait_for_all(AWAY_S, "unreachable")
            await wait_for_redis_state(scene, "degraded")
            await newcomer_gets_changes(scene)
            wire.accept_new_connections()
            await wait_for_redis_state(scene, "ok")
            await scene.traffic("reachable")
            await scene.wait_for_all(BACK_S, "reachable")
    finally:
        await wire.close()
