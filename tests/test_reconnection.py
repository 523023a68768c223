"""All clients lose the server at the same moment, and reconnect at the same moment."""

import asyncio
import time
from random import Random

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime.listen import raise_open_file_limit
from tests.bulk_clients import (
    BulkClient,
    closing_clients,
    measure_queries,
    open_all,
    percentile,
    wait_for_subscriptions,
)
from tests.client import Tenant, eventually
from tests.conftest import FULL_SCALE, scaled
from tests.processes import Deployment, Process

pytestmark = pytest.mark.serial

CLIENTS = scaled(500, 5000)
USERS = [f"user{number}" for number in range(CLIENTS)]
PACE = scaled(1, 6) / 6
BACK_WITHIN_S = 30.0
USERS_PER_SEND = 500
ANSWERED_WITHIN_MS = 5000.0  # for an unrelated query; generous, because the machine may be busy


class Crowd:
    """One client per user, and the titles that each of them must receive."""

    def __init__(self, tenant: Tenant, sender: Process) -> None:
        self._tenant = tenant
        self._sender = sender
        self.clients = {user: BulkClient(tenant.token(user)) for user in USERS}
        self.expected: dict[str, list[str]] = {user: [] for user in USERS}

    async def send(self, title: str, users: list[str]) -> None:
        for start in range(0, len(users), USERS_PER_SEND):
            await self._tenant.send(*users[start : start + USERS_PER_SEND], title=title, url=self._sender.url)
        for user in users:
            self.expected[user].append(title)

    async def send_to_sample(self, title: str, random: Random) -> None:
        await self.send(title, random.sample(USERS, CLIENTS // 10))

    async def all_received(self) -> bool:
        return all(len(client.titles) >= len(self.expected[user]) for user, client in self.clients.items())

    @property
    def behind(self) -> int:
        """The number of clients that have received nothing of what they missed."""
        return sum(client.titles == ["before"] for client in self.clients.values())

    def check(self) -> None:
        assert [client.errors for client in self.clients.values() if client.errors] == []
        for user, client in self.clients.items():
            assert client.titles == self.expected[user], user
            assert client.other_kinds == []


async def restart(api: Process, signal: str, crowd: Crowd, random: Random) -> float:
    """End the process, send while it is away, and start it again. Return the time when it ended."""
    ended_at = time.monotonic()
    if signal == "SIGKILL":
        api.kill()
    else:
        assert await api.stop() == 0
        assert all(client.close_codes == [1012] for client in crowd.clients.values())
    await crowd.send("away", USERS)
    for number in range(2):
        await crowd.send_to_sample(f"away {number}", random)
    await api.start()
    return ended_at


async def send_until_reconnected(crowd: Crowd, random: Random, deadline: float, api: Process) -> int:
    """Keep sending until every client has caught up. Return the number of sends."""
    count = 0
    while crowd.behind:
        await crowd.send_to_sample(f"meanwhile {count}", random)
        count += 1
        assert time.monotonic() < deadline, f"{crowd.behind} are still away:\n{api.log[-3000:]}"
        await asyncio.sleep(0.05)
    return count


@pytest.mark.timeout(600)
@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"] if FULL_SCALE else ["SIGKILL"])
async def test_all_clients_that_lost_the_server_reconnect_within_30_s_and_miss_nothing(
    servers: tuple[Mongod, Redis], signal: str
) -> None:
    raise_open_file_limit()
    random = Random(signal)
    async with Deployment(*(server.url for server in servers), apis=2, workers=0) as running:
        lost, other = running.apis
        async with Tenant(f"reconnection-{signal.lower()}", running.urls) as tenant:
            await tenant.send("somebody-else")
            crowd = Crowd(tenant, other)
            clients = list(crowd.clients.values())
            async with closing_clients(clients):
                await crowd.send("made", USERS)
                crowd.expected = {user: [] for user in USERS}  # the clients subscribe after that
                await open_all(clients, lost.port)
                await wait_for_subscriptions(lost, CLIENTS, tenant)
                await crowd.send("before", USERS)
                await eventually(crowd.all_received, 30)
                reconnecting = [
                    asyncio.create_task(client.reconnect_forever(lost.port, random, PACE)) for client in clients
                ]

                ended_at = await restart(lost, signal, crowd, random)
                serving_s = time.monotonic() - ended_at
                stop = asyncio.Event()
                queries = [asyncio.create_task(measure_queries(stop, tenant, api.url)) for api in (lost, other)]
                sends = await send_until_reconnected(crowd, random, ended_at + BACK_WITHIN_S, lost)
                back_s = time.monotonic() - ended_at
                await crowd.send("last", USERS)
                await eventually(crowd.all_received, 30)
                stop.set()
                latencies = dict(zip(("restarted", "other"), [await query for query in queries], strict=True))
                for task in reconnecting:
                    task.cancel()
                await asyncio.gather(*reconnecting, return_exceptions=True)
    summary = (
        f"{CLIENTS} clients, {signal}: serving again after {serving_s:.1f} s, all back after {back_s:.1f} s, "
        f"{sends} sends meanwhile; others' queries p50/p99/max "
        + ", ".join(
            f"{name} {percentile(ms, 0.5):.0f}/{percentile(ms, 0.99):.0f}/{max(ms):.0f} ms ({len(ms)})"
            for name, ms in latencies.items()
        )
    )
    print(summary)  # noqa: T201 - the measured figures
    crowd.check()
    assert max(max(ms) for ms in latencies.values()) < ANSWERED_WITHIN_MS, summary
