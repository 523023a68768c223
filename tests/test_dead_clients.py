"""Some of many clients stop reading while large events arrive. The hub disconnects them, and the others are not
delayed."""

import asyncio
import time
from statistics import median

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime.listen import raise_open_file_limit
from tests.bulk_clients import BulkClient, closing_clients, open_all, percentile, read_metric, wait_for_subscriptions
from tests.client import Tenant, eventually
from tests.conftest import scaled
from tests.processes import Deployment, Process
from tests.telemetry import resident_bytes

SOCKETS = scaled(200, 1000)
PER_USER = 20  # one of them stops reading: 5 %
USERS = [f"user{number}" for number in range(SOCKETS // PER_USER)]
PHASES = scaled(2, 3)
ROUNDS = scaled(10, 20)
LARGE = {"content": {"title": "", "body": "b" * (16 << 10)}, "data": {"d": "d" * ((32 << 10) - 100)}}
PING_INTERVAL_S, PING_TIMEOUT_S = 0.5, scaled(2, 4)
KEPT_BYTES = 1 << 20  # QUEUE_MAX_BYTES of hub/live/subscription_feed.py
GONE_WITHIN_S = PING_TIMEOUT_S + 2
SHUTDOWN_S = 10.0
GROWS_LESS_THAN_BYTES = 50 << 20
P99_UP_BY_LESS_THAN = 1.5  # the tests share the cores with other programs
NOISE_MS = 20.0


class Measurement:
    """Latencies of healthy clients while others stop reading, and the memory of the API process."""

    def __init__(self, tenant: Tenant, api: Process, clients: list[BulkClient]) -> None:
        self.tenant, self.api = tenant, api
        self.clients = clients
        """Every client that must be closed at the end, also the healthy ones."""
        self.titles: list[str] = []
        self._latencies_ms: dict[str, list[float]] = {}
        self.healthy = [
            BulkClient(tenant.token(user), self._note_latency) for user in USERS for _ in range(PER_USER - 1)
        ]
        clients += self.healthy
        self.p99_without_ms: list[float] = []
        self.p99_with_ms: list[float] = []
        self.disconnected_after_s: list[float] = []
        self.memory_before = self.memory_max = 0

    def _note_latency(self, title: str) -> None:
        sent_ns = int(title) if title.isdigit() else 0
        self._latencies_ms.setdefault(title, []).append((time.monotonic_ns() - sent_ns) / 1e6)

    async def send_round(self) -> float:
        """Send one large event to all users. Return the p99 latency of the healthy clients in milliseconds."""
        title = str(time.monotonic_ns())
        self.titles.append(title)
        await self.tenant.send(*USERS, title=title, body=LARGE["content"]["body"], data=LARGE["data"])

        async def all_received() -> bool:
            return len(self._latencies_ms.get(title, ())) == len(self.healthy)

        await eventually(all_received)
        return percentile(self._latencies_ms[title], 0.99)

    async def add_clients(self) -> list[BulkClient]:
        """Open one more client per user. They will stop reading."""
        added = [BulkClient(self.tenant.token(user)) for user in USERS]
        self.clients += added
        await open_all(added, self.api.port)
        return added

    async def warm_up(self) -> None:
        """Allocate once what the process keeps, because that is not growth."""
        clients = await self.add_clients()
        for _ in range(3):
            await self.send_round()
        for client in clients:
            client.close()
        self.memory_before = self.memory_max = resident_bytes(self.api)

    async def run_phase(self) -> int:
        """Measure with and without clients that stop reading, until those are disconnected. Return their number."""
        dead = await self.add_clients()
        await wait_for_subscriptions(self.api, SOCKETS, self.tenant)
        self.p99_without_ms += [await self.send_round() for _ in range(ROUNDS)]
        self.memory_before = max(self.memory_before, resident_bytes(self.api))
        for client in dead:
            client.stop_reading()
        stopped_at = time.monotonic()
        rounds_before = len(self.p99_with_ms)
        while time.monotonic() < stopped_at + GONE_WITHIN_S:
            if await read_metric(self.tenant, self.api, "hub_sockets") == len(self.healthy):
                break
            self.p99_with_ms.append(await self.send_round())
            self.memory_max = max(self.memory_max, resident_bytes(self.api))
        self.disconnected_after_s.append(time.monotonic() - stopped_at)
        assert len(self.p99_with_ms) - rounds_before >= 3
        assert await read_metric(self.tenant, self.api, "hub_sockets") == len(self.healthy), (
            "the dead are still connected"
        )
        return len(dead)

    async def summary(self) -> str:
        without, concurrent = median(self.p99_without_ms), median(self.p99_with_ms)
        return (
            f"{SOCKETS} sockets: p99 without the dead {without:.1f} ms (median of {len(self.p99_without_ms)} rounds), "
            f"with them {concurrent:.1f} ms ({len(self.p99_with_ms)}); ratio {concurrent / without:.3f}; "
            f"disconnected after {', '.join(f'{s:.1f}' for s in self.disconnected_after_s)} s; "
            f"memory {self.memory_before >> 20} -> {self.memory_max >> 20} MiB; "
            f"resyncs {await read_metric(self.tenant, self.api, 'hub_resyncs_total')}"
        )

    def check(self, summary: str) -> None:
        for client in self.healthy:
            assert [title for title in client.titles if title in set(self.titles)] == self.titles
            assert client.other_kinds == []
            assert client.errors == []
        assert self.memory_max - self.memory_before < GROWS_LESS_THAN_BYTES, summary
        limit_ms = median(self.p99_without_ms) * P99_UP_BY_LESS_THAN + NOISE_MS
        assert median(self.p99_with_ms) < limit_ms, summary


@pytest.mark.serial
@pytest.mark.timeout(600)
async def test_clients_that_stop_reading_are_disconnected_and_do_not_delay_others(
    servers: tuple[Mongod, Redis],
) -> None:
    raise_open_file_limit()
    settings = {"websocket_ping_interval_s": str(PING_INTERVAL_S), "websocket_ping_timeout_s": str(PING_TIMEOUT_S)}
    async with Deployment(*(server.url for server in servers), apis=1, workers=0, **settings) as running:
        [api] = running.apis
        clients: list[BulkClient] = []
        async with Tenant("dead-clients", running.urls) as tenant, closing_clients(clients):
            await tenant.send(*USERS)
            measurement = Measurement(tenant, api, clients)
            await open_all(measurement.healthy, api.port)
            await measurement.warm_up()
            aborted = 0
            for _ in range(PHASES):
                aborted += await measurement.run_phase()
                assert await read_metric(tenant, api, 'hub_websockets_aborted_total{why="ping"}') == aborted
            summary = await measurement.summary()
            print(summary)  # noqa: T201 - the measured figures
            measurement.check(summary)
            await stop_with_dead_clients(measurement)


async def stop_with_dead_clients(measurement: Measurement) -> None:
    """Check that SIGTERM ends the process in time although clients do not read."""
    dead = await measurement.add_clients()
    await wait_for_subscriptions(measurement.api, SOCKETS, measurement.tenant)
    for client in dead:
        client.stop_reading()
    stopped_at = time.monotonic()
    while time.monotonic() < stopped_at + PING_TIMEOUT_S * 0.8:  # the kernels' buffers take megabytes
        await asyncio.gather(*(measurement.send_round() for _ in range(4)))
    started_at = time.monotonic()
    assert await measurement.api.stop(SHUTDOWN_S) == 0
    print(f"SIGTERM: ended after {time.monotonic() - started_at:.1f} s")  # noqa: T201
    assert {code for client in measurement.healthy for code in client.close_codes} == {1012}


async def test_slow_client_gets_resync_and_bounded_buffering(tenant: Tenant, deployment: Deployment) -> None:
    api = deployment.apis[0]
    await tenant.send("ann")
    client = BulkClient(tenant.token("ann"))
    async with closing_clients([client]):
        await client.open(api.port)
        await wait_for_subscriptions(api, 1, tenant)
        resyncs = await read_metric(tenant, api, "hub_resyncs_total")
        client.pause_reading()
        maximum = 0.0
        for number in range(500):  # the kernels' buffers take megabytes
            await tenant.send("ann", title=str(number), body=LARGE["content"]["body"], data=LARGE["data"])
            if number % 5:
                continue  # a read of the metrics takes longer than a send, and the client must not be taken for dead
            maximum = max(maximum, await read_metric(tenant, api, "hub_feed_events_max"))
            if await read_metric(tenant, api, "hub_resyncs_total") > resyncs:
                break
        assert 1 < maximum <= KEPT_BYTES // (48 << 10) + 1, f"after {number} events"
        client.resume_reading()

        async def received() -> bool:
            return client.other_kinds == ["RESYNC"]

        await eventually(received)
        assert client.titles == [str(number) for number in range(len(client.titles))]
