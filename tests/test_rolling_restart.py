"""API processes and workers are restarted one after the other, under open sockets and sends."""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from uuid import uuid4

import aiohttp
import pytest
from pymongo import AsyncMongoClient

from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime.listen import raise_open_file_limit
from tests.bulk_clients import BulkClient, closing_clients, open_all
from tests.client import SEND, Json, Tenant, eventually
from tests.conftest import scaled
from tests.inbox_watchers import find_log_faults
from tests.processes import Deployment, Process

CLIENTS = 200
CALLERS = 4
USERS_PER_SEND = 10
ROUNDS = scaled(1, 3)
MIN_READY_S = 1.0  # until the next process is restarted
STOP_S = 90.0  # includes the time in which a process closes its sockets
WITHIN_S = 120.0


class Callers:
    """Callers that send all the time. Each send is tried at most twice: by both processes, with its idempotency key."""

    def __init__(self, tenant: Tenant, users: list[str]) -> None:
        self._tenant = tenant
        self._users = users
        self._random = Random(7)
        self.stop = asyncio.Event()
        self.expected: dict[str, Counter[str]] = {user: Counter() for user in users}
        self.retried = 0
        self.sent = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(self._call(number))

    async def _call(self, number: int) -> None:
        while not self.stop.is_set():
            title = f"{number}-{self.sent}-{uuid4().hex[:6]}"
            users = self._random.sample(self._users, USERS_PER_SEND)
            content = {"title": title, "body": ""}
            fields = {"to": {"users": users}, "category": "news", "content": content, "idempotencyKey": title}
            first, second = self._random.sample(self._tenant.urls, 2)
            try:
                await self._tenant.execute(SEND, input=fields, url=first)
            except (aiohttp.ClientError, OSError):
                self.retried += 1
                await self._tenant.execute(SEND, input=fields, url=second)
            for user in users:
                self.expected[user][title] += 1
            self.sent += 1
            await asyncio.sleep(0.05)


async def keep_connected(client: BulkClient, ports: Callable[[], list[int]], random: Random) -> None:
    """Reconnect until cancelled, to any process, as clients behind a load balancer do."""
    while True:
        await client.wait_closed()
        while True:
            await asyncio.sleep(random.uniform(0, 0.3))
            try:
                await client.open(random.choice(ports()))
                break
            except OSError:  # includes a time-out: the process is stopping
                client.close()


async def restart(process: Process) -> None:
    assert await process.stop(STOP_S) == 0
    await process.start()
    await asyncio.sleep(MIN_READY_S)


@pytest.mark.timeout(600)
async def test_rolling_restart_loses_no_event_and_every_send_succeeds_at_the_second_try(
    servers: tuple[Mongod, Redis],
) -> None:
    raise_open_file_limit()
    random = Random(5)
    name = f"rolling{uuid4().hex[:8]}"
    own = {"mongo_database": name, "redis_prefix": f"{name}:", "commit_deadline_s": "60"}  # the machine may be busy
    users = [f"user-{number}" for number in range(CLIENTS)]
    async with (
        Deployment(*(server.url for server in servers), apis=2, workers=2, **own) as deployment,
        Tenant("acme", deployment.urls) as tenant,
    ):
        clients = {user: BulkClient(tenant.token(user)) for user in users}
        await tenant.send(*users, title="first")
        for user, client in clients.items():
            client.cursor = (await tenant.inbox(user, first=1))["position"]
        callers = Callers(tenant, users)
        async with closing_clients(list(clients.values())):
            for half, api in enumerate(deployment.apis):
                await open_all(list(clients.values())[half::2], api.port)
            keeping = [
                asyncio.create_task(keep_connected(one, lambda: [api.port for api in deployment.apis], random))
                for one in clients.values()
            ]
            sending = asyncio.create_task(callers.run())
            for _ in range(ROUNDS):
                for process in [*deployment.workers, *deployment.apis]:
                    await restart(process)
            callers.stop.set()
            await sending

            async def all_received() -> bool:
                return all(Counter(clients[user].titles) == callers.expected[user] for user in users)

            await eventually(all_received, WITHIN_S)
            for task in keeping:
                task.cancel()
            await asyncio.wait(keeping)
        check(clients, callers, ROUNDS)
        assert not find_log_faults([*deployment.apis, *deployment.workers])
    async with AsyncMongoClient[Json](servers[0].url) as mongo:
        await mongo.drop_database(name)


def check(clients: dict[str, BulkClient], callers: Callers, rounds: int) -> None:
    """Nothing else arrived: no RESYNC, no error, and nothing twice. The server closed each socket with 1012."""
    found: list[Json] = [error for client in clients.values() for error in client.errors]
    assert found == []
    assert {kind for client in clients.values() for kind in client.other_kinds} == set()
    codes = Counter(code for client in clients.values() for code in client.close_codes)
    assert set(codes) == {1012}
    assert codes[1012] >= rounds * CLIENTS
    assert callers.sent > CLIENTS / USERS_PER_SEND
