"""`hub serve --workers` and `hub work --workers`: several processes that share a port."""

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from functools import partial
from random import Random
from uuid import uuid4

import aiohttp
import pytest

from hub.platform.embedded_servers import Mongod, Redis
from tests.bulk_clients import BulkClient, closing_clients
from tests.channel_setup import SHORT_TIMES, connect_webhook, wait_for_deliveries
from tests.client import Tenant, eventually
from tests.inbox_watchers import find_log_faults, retry_until_answered
from tests.local_servers import Listener
from tests.processes import Deployment, Process
from tests.telemetry import log_lines, metric_value, scrape_metrics
from tests.webhook_receiver import WebhookReceiver

pytestmark = [pytest.mark.usefixtures("new_interpreters"), pytest.mark.timeout(900)]

APART = {"mongo_database": "workers", "redis_prefix": "workers:"}
PROCESSES = ("0", "1")
STARTS_S = 240.0  # new interpreters start slowly on a busy machine
KILLED = 128 + signal.SIGKILL
PATIENT = {
    **SHORT_TIMES,
    "delivery_concurrency": "2",
    "provider_timeout_s": "10",
    "retry_schedule": "1s,1s,1s,1s,1s,1s,1s,1s",
}
"""Settings with which a slow machine fails no delivery."""


def pid_of(group: Process, number: int) -> int:
    """Return the process id of the newest process with this number."""
    started = [line for line in log_lines(group, event="process_started") if line["process"] == number]
    return int(started[-1]["pid"])


async def readiness(url: str) -> tuple[int, dict[str, object]]:
    async with aiohttp.request("GET", url.replace("/graphql", "/readyz")) as response:
        return response.status, await response.json()


async def wait_until_ready(group: Process) -> None:
    async def ready() -> bool:
        with suppress(aiohttp.ClientError, OSError):
            return (await readiness(group.url))[0] == 200
        return False

    await eventually(ready, STARTS_S)


async def by_process(url: str, name: str) -> list[float]:
    """Return the value of a metric in each process."""
    metrics = await scrape_metrics(url)
    return [metric_value(metrics, name, process=process) for process in PROCESSES]


async def test_killed_api_process_returns_and_its_clients_miss_no_event(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    api = Process("serve", mongod.url, redis.url, workers="2", **APART)
    await api.start()
    await wait_until_ready(api)
    clients: list[BulkClient] = []
    async with Tenant(f"t{uuid4().hex[:12]}", [api.url]) as tenant, closing_clients(clients):

        async def open_more() -> bool:
            clients.append(BulkClient(tenant.token("ann")))
            await clients[-1].open(api.port)
            return len(clients) >= 12 and min(await by_process(api.url, "hub_sockets")) > 1

        await eventually(open_more)
        assert sum(await by_process(api.url, "hub_feeds")) == len(clients)
        reconnecting = [
            asyncio.create_task(client.reconnect_forever(api.port, Random(number), 0.05))
            for number, client in enumerate(clients)
        ]
        sent = [str(number) for number in range(60)]
        for title in sent:
            if title == "20":
                os.kill(pid_of(api, 1), signal.SIGKILL)
            await retry_until_answered(partial(tenant.send, "ann", title=title, idempotencyKey=title))
        await wait_until_ready(api)

        async def all_there() -> bool:
            return all(len(client.titles) >= len(sent) for client in clients)

        await eventually(all_there)
        assert [Counter(client.titles) for client in clients] == [Counter(sent)] * len(clients)
        assert await by_process(api.url, "hub_process_restarts_total") == [0, 1]
        assert min(await by_process(api.url, "process_cpu_seconds_total")) > 0
        [ended] = log_lines(api, event="process_ended")
        assert (ended["process"], ended["exit_code"]) == (1, KILLED)
        for task in reconnecting:
            task.cancel()
        await asyncio.wait(reconnecting)
    assert await api.stop() == 0
    assert not find_log_faults([api])


async def test_killed_worker_returns_and_every_delivery_arrives(
    servers: tuple[Mongod, Redis], receiver: WebhookReceiver
) -> None:
    """At the end, the workers stop when their command is killed."""
    mongod, redis = servers
    receiver.default_response = lambda *_: 0.5
    workers = Process("work", mongod.url, redis.url, workers="2", work_port="0", **PATIENT, **APART)
    async with Deployment(mongod.url, redis.url, apis=1, workers=0, **PATIENT, **APART) as running:
        await workers.start()
        try:
            async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
                await wait_until_ready(workers)
                await send_while_a_worker_is_killed(tenant, workers, receiver)
            pids = [pid_of(workers, number) for number in (0, 1)]
        finally:
            workers.kill()

        async def ended() -> bool:
            return not any(os.path.exists(f"/proc/{pid}") for pid in pids)  # noqa: ASYNC240, PTH110

        await eventually(ended)
        assert not find_log_faults([*running.apis, workers])


async def send_while_a_worker_is_killed(tenant: Tenant, workers: Process, receiver: WebhookReceiver) -> None:
    """A worker makes two calls at a time, so both have work."""
    await connect_webhook(tenant, receiver, "ann")
    for _ in range(20):
        await tenant.send("ann", channels=["WEBHOOK"])

    async def both_called() -> bool:
        return min(await by_process(workers.url, "hub_attempts_total")) > 0

    await eventually(both_called)
    os.kill(pid_of(workers, 0), signal.SIGKILL)
    for _ in range(10):
        await tenant.send("ann", channels=["WEBHOOK"])

    async def restarted() -> bool:
        """Return True when a scrape reaches both processes again."""
        return await by_process(workers.url, "hub_process_restarts_total") == [1, 0]

    await wait_for_deliveries(tenant, "DELIVERED", 30, STARTS_S)
    await eventually(restarted, STARTS_S)


async def test_command_ends_with_one_message_if_the_first_process_cannot_start() -> None:
    api = Process("serve", "mongodb://127.0.0.1:1/?replicaSet=none", "redis://127.0.0.1:1", commit_deadline_s="1")
    api.environment["HUB_WORKERS"] = "3"
    with pytest.raises(AssertionError, match="ended"):
        await api.start()
    assert await api.stop() == 1
    assert api.log.count("HUB_MONGO_URL") == 1
    assert len(log_lines(api, event="process_started")) == 1


async def test_port_in_use_ends_the_command() -> None:
    async with Listener() as listener:
        api = Process("serve", "mongodb://127.0.0.1:1", "redis://127.0.0.1:1", workers="2", port=str(listener.port))
        with pytest.raises(AssertionError, match="ended"):
            await api.start()
    assert await api.stop() == 1
    assert f"Port {listener.port} on 127.0.0.1 is taken: choose another with HUB_PORT." in api.log
    assert not log_lines(api, event="process_started")
