"""SIGTERM: the readiness of a process ends, then it closes its sockets one after the other."""

import asyncio
from uuid import uuid4

import aiohttp
import pytest

from hub.platform.embedded_servers import Mongod, Redis
from tests.bulk_clients import BulkClient, closing_clients, open_all, wait_for_subscriptions
from tests.client import Tenant, eventually
from tests.conftest import scaled
from tests.processes import Deployment, Process

SOCKETS = 200
STREAMS = 5
DRAIN_S = scaled(4.0, 20.0)
QUERY = "subscription { inbox { kind } }"


async def ready_status(api: Process) -> int:
    async with aiohttp.request("GET", api.url.replace("/graphql", "/readyz")) as response:
        return response.status


async def read_stream(tenant: Tenant, user: str, url: str) -> bytes:
    """Return what an event stream contains when it ends."""
    headers = {"authorization": f"Bearer {tenant.token(user)}", "accept": "text/event-stream"}
    async with tenant.http.post(url, json={"query": QUERY}, headers=headers) as response:
        return await response.read()


async def test_sockets_are_closed_over_the_drain_time_and_served_until_then(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    name = f"drain{uuid4().hex[:8]}"
    settings = {"mongo_database": name, "redis_prefix": f"{name}:", "drain_s": str(DRAIN_S)}
    users = [f"user{number}" for number in range(SOCKETS)]
    async with Deployment(mongod.url, redis.url, apis=2, workers=0, **settings) as running:
        draining, other = running.apis
        async with Tenant(f"t{uuid4().hex[:12]}", [other.url]) as tenant:
            await tenant.send(*users, title="before")
            clients = [BulkClient(tenant.token(user)) for user in users]
            async with closing_clients(clients):
                await open_all(clients, draining.port)
                streams = [asyncio.create_task(read_stream(tenant, user, draining.url)) for user in users[:STREAMS]]
                await wait_for_subscriptions(draining, SOCKETS + STREAMS, tenant)
                assert await ready_status(draining) == 200
                loop = asyncio.get_running_loop()
                closed_at: list[float] = []

                async def record(client: BulkClient) -> None:
                    await client.wait_closed()
                    closed_at.append(loop.time())

                closing = [asyncio.create_task(record(client)) for client in clients]
                stopping = asyncio.create_task(draining.stop(within_s=90))

                async def first_closed() -> bool:
                    return bool(closed_at)

                await eventually(first_closed, 60)
                assert await ready_status(draining) == 503
                await tenant.send(*users, title="while draining")
                await asyncio.gather(*closing)
                assert await stopping == 0
                assert all(client.close_codes == [1012] for client in clients)
                assert all(b"event: complete" not in received for received in await asyncio.gather(*streams))
                received = sum("while draining" in client.titles for client in clients)
                assert received > SOCKETS / 4, "those that were open received it"
                assert closed_at[-1] - closed_at[0] > DRAIN_S / 2
                halfway = closed_at[0] + (closed_at[-1] - closed_at[0]) / 2
                early = sum(at <= halfway for at in closed_at)
                assert SOCKETS / 5 < early < SOCKETS * 4 / 5, "each step closes the same share"


@pytest.mark.parametrize("signals", ["TERM", "INT"])
async def test_process_without_sockets_or_with_ctrl_c_does_not_drain(
    servers: tuple[Mongod, Redis], signals: str
) -> None:
    """A long drain would exceed the time in which the process must end."""
    mongod, redis = servers
    api = Process("serve", mongod.url, redis.url, drain_s="86400")
    await api.start()
    try:
        async with Tenant(f"t{uuid4().hex[:12]}", [api.url]) as tenant:
            await tenant.send("alice")
            if signals == "TERM":
                assert await api.stop(within_s=60) == 0
            else:
                async with tenant.feed("alice"):
                    assert await api.stop(within_s=60, interrupt=True) == 0
    finally:
        api.kill()
