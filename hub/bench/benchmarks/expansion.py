"""`expansion`: sends to everyone. Their speed, memory, and size, their readers, the mutations that stop them, and the
sends of others meanwhile."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from hub.bench import seed
from hub.bench.api_client import ApiClient
from hub.bench.benchmark_servers import MB, WARMUP_S, BenchEnvironment, BenchError, MeasuredProcess
from hub.bench.mongo_sizes import growth, growth_figures, measure_sizes
from hub.bench.payloads import SEND, TENANT, TEXT, operation, send_input, write_request, write_subscribers
from hub.bench.plan import Plan
from hub.bench.results import Figure, format_number
from hub.model import Channel, SendStatus, live_keys
from hub.platform.connections import Database, Mongo

OPLOG_MB = 16_000.0  # a full oplog has no size to measure
POLL_S = 0.25
POLL_MAX_S = 5.0
POLL_SHARE = 0.02  # of the time: a count of a million deliveries takes long, and delays what is measured
STALLED_S = 60.0  # without progress, the measurement fails
READERS = 20
READ_MAX = (
    200_000  # recipients while there are readers, and users of the tenant that expands during the sends of others
)
CROWD = "crowd"  # the tenant that expands during the sends of others
CROWD_SENDS = 2  # at once, so there is always one
OTHERS_RATE = 20  # sends per second
OTHERS_CONNECTIONS = 8
KEY = "outage"
CONCURRENCY = "250"  # calls at once that end immediately
SETTINGS: dict[str, Any] = {
    "smtp_url": "smtp://127.0.0.1:1",
    "smtp_from": "Bench <bench@example.org>",
    "oplog_hours": "0",
    "delivery_concurrency": CONCURRENCY,
    "smtp_max_connections": CONCURRENCY,
    "tenant_max_receipt_streams": str(READERS),
}
PROGRESS = "subscription ($id: ID!) { send(id: $id) { status recipients total counts { channel status count } } }"
RECEIPTS = "subscription ($id: ID) { receipts(sendId: $id) { id cursor kind userId channel status reason } }"


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure sends to all users of a tenant."""
    async with env.mongo_client() as client:
        await client.admin.command({"replSetResizeOplog": 1, "size": OPLOG_MB})
    async with _open(env, plan) as rig:
        inbox_only, figures = await rig.measure_send("IN_APP", 800, channels=["IN_APP"])
        figures += await rig.measure_readers()
        _, with_email = await rig.measure_send(
            "IN_APP and one email", 1700, channels=["IN_APP", "EMAIL"], collapseKey=KEY
        )
        figures += with_email
        figures += await rig.measure_changes(inbox_only)
    return figures + await _measure_others(env, plan)


@asynccontextmanager
async def _open(env: BenchEnvironment, plan: Plan) -> AsyncIterator["_Rig"]:
    """Run an API process and a worker that sends no emails, with users who have addresses."""
    database = f"expansion-{secrets.token_hex(4)}"
    _create_users(env, plan, database, TENANT, plan.audience)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(env.hub(database, **SETTINGS))
        worker = await stack.enter_async_context(env.worker(database, null=Channel.EMAIL, **SETTINGS))
        client = await stack.enter_async_context(env.mongo_client())
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()))
        yield _Rig(plan, hub, worker, client, client[database], ApiClient(http, hub))


def _create_users(env: BenchEnvironment, plan: Plan, database: str, tenant: str, count: int) -> None:
    def progress(share: float) -> None:
        plan.progress(f"writing {count:,} users: {share:.0%}")

    seed.create_users(env.mongod.url, database, tenant, count, progress)


@dataclass(frozen=True)
class _Rig:
    plan: Plan
    hub: MeasuredProcess
    worker: MeasuredProcess
    client: Mongo
    database: Database
    api: ApiClient

    async def measure_send(self, name: str, maximum: int, **fields: Any) -> tuple[str, list[Figure]]:
        """Measure a send until it is complete, and its bytes per recipient. Return its id and the figures."""
        count = self.plan.audience
        before = await measure_sizes(self.client, self.database)
        cpu_s, started_s = self.worker.cpu_s, time.perf_counter()
        id = await self._send(**fields)
        memory = await self._expand(id, count)
        took_s, cpu_s = time.perf_counter() - started_s, self.worker.cpu_s - cpu_s
        await self._wait_for_emails(id)
        grown = growth(before, await measure_sizes(self.client, self.database), count)
        rate = Figure(
            group="expansion",
            name=f"{name}, {count:,} recipients",
            value=count / took_s,
            unit="/s",
            minimum=2000,
            memory_mb=memory / MB,
            cpu_us=cpu_s * 1e6 / count,
        )
        for collection, text in sorted(grown.by_collection.items()):
            self.plan.progress(f"{name}, {collection}: {text}")
        return id, self._measured(rate, *growth_figures("expansion", name, grown, maximum))

    async def measure_readers(self) -> list[Figure]:
        """Measure a send with readers of its progress and its receipts, and its cancellation."""
        count = min(self.plan.audience, READ_MAX)
        received = [0, 0]
        id = await self._send(channels=["IN_APP"])
        async with asyncio.TaskGroup() as group:
            readers = [
                group.create_task(self._read(query, id, received, index))
                for index, query in enumerate((PROGRESS, RECEIPTS))
                for _ in range(READERS)
            ]
            first = (await self._state(id))["recipients"]
            cpu_s, started_s = self.hub.cpu_s, time.perf_counter()
            memory = await self._expand(id, count, of=self.hub)
            expanded = (await self._state(id))["recipients"] - first
            took_s, cpu_s = time.perf_counter() - started_s, self.hub.cpu_s - cpu_s
            answer = await self._change("cancelSend", id)
            for reader in readers:
                reader.cancel()
        name = f"IN_APP, with {READERS} readers of the progress and {READERS} of the receipts"
        rate = Figure(
            group="expansion",
            name=name,
            value=expanded / took_s,
            unit="/s",
            memory_mb=memory / MB,
            cpu_us=cpu_s * 1e6 / expanded,
        )
        read = [
            Figure(group="expansion", name=f"{what} that the readers got", value=number / took_s, unit="/s")
            for what, number in zip(("states", "receipts"), received, strict=True)
        ]
        return self._measured(rate, *read, answer)

    async def measure_changes(self, recalled: str) -> list[Figure]:
        """Measure the mutations that stop a send with as many emails as recipients, and how long their rest takes."""
        count = self.plan.audience
        steps = [{"channels": ["EMAIL"], "after": "P1D"}]
        id = await self._send(channels=["IN_APP"], steps=steps)
        await self._expand(id, count // 2)
        figures = self._measured(await self._change("pauseSend", id), await self._change("resumeSend", id))
        await self._expand(id, count)
        for mutation, send in (("cancelSend", id), ("recallSend", recalled)):
            started_s = time.perf_counter()
            figures += self._measured(await self._change(mutation, send))
            await self._wait_for_the_rest(send)
            figures += self._measured(_rest_figure(mutation, count, time.perf_counter() - started_s))
        started_s = time.perf_counter()
        await self.api.execute("mutation ($key: String!) { resolve(collapseKey: $key) }", key=KEY)
        figures += self._measured(_answer_figure("resolve", time.perf_counter() - started_s))
        live = {"live_key": {"$in": live_keys(KEY)}}
        await self._wait_until_none(
            lambda: self.database.notifications.count_documents(live, hint="live_key_of_tenant")
        )
        return [*figures, *self._measured(_rest_figure("resolve", count, time.perf_counter() - started_s))]

    def _measured(self, *figures: Figure) -> list[Figure]:
        """Print the figures, because the whole benchmark can take an hour. Return them."""
        for figure in figures:
            self.plan.progress(f"{figure.name}: {format_number(figure.value)} {figure.unit}")
        return list(figures)

    async def _send(self, **fields: Any) -> str:
        content = {"title": "The build of the main branch failed", "body": TEXT}
        return await _broadcast(self.api, TENANT, content=content, **fields)

    async def _change(self, mutation: str, id: str) -> Figure:
        started_s = time.perf_counter()
        await self.api.execute(f"mutation ($id: ID!) {{ {mutation}(id: $id) {{ status }} }}", id=id)
        return _answer_figure(mutation, time.perf_counter() - started_s)

    async def _state(self, id: str) -> dict[str, Any]:
        query = "query ($id: ID!) { send(id: $id) { status recipients remaining } }"
        found: dict[str, Any] = (await self.api.execute(query, id=id))["send"]
        return found

    async def _expand(self, id: str, count: int, *, of: MeasuredProcess | None = None) -> int:
        """Wait until a send has reached `count` users. Return the largest resident memory of a process, by default of
        the worker."""
        largest = 0

        async def left() -> int:
            nonlocal largest
            largest = max(largest, (of or self.worker).memory_bytes)
            send = await self._state(id)
            self.plan.progress(f"expanding: {send['recipients']:,} of {count:,} recipients")
            return max(0, count - int(send["recipients"])) or int(
                count == self.plan.audience and send["status"] == SendStatus.EXPANDING
            )

        await self._wait_until_none(left)
        return largest

    async def _wait_for_emails(self, id: str) -> None:
        waiting = {"send": id, "status": {"$ne": "SENT"}}

        async def left() -> int:
            count = await self.database.deliveries.count_documents(waiting, hint="send")
            self.plan.progress(f"sending the emails: {count:,} left")
            return count

        await self._wait_until_none(left)

    async def _wait_for_the_rest(self, id: str) -> None:
        """Wait until `remaining` is null."""

        async def left() -> int:
            remaining = (await self._state(id))["remaining"]
            self.plan.progress(f"stopping: {remaining or 0:,} left")
            return int(remaining or 0)

        await self._wait_until_none(left)

    async def _wait_until_none(self, left: Callable[[], Awaitable[int]]) -> None:
        before, progressed_s = -1, time.perf_counter()
        while True:
            polled_s = time.perf_counter()
            if not (now := await left()):
                return
            took_s = time.perf_counter() - polled_s
            if now != before:
                before, progressed_s = now, time.perf_counter()
            elif time.perf_counter() - progressed_s > STALLED_S:
                raise BenchError(f"There was no progress for {STALLED_S:g} s: {now:,} left.")
            await asyncio.sleep(min(max(POLL_S, took_s / POLL_SHARE), POLL_MAX_S))

    async def _read(self, query: str, id: str, received: list[int], index: int) -> None:
        """Count the events of a subscription."""
        headers = self.api.headers() | {"accept": "text/event-stream"}
        body = {"query": query, "variables": {"id": id}}
        async with self.api.http.post(self.api.url, json=body, headers=headers) as response:
            async for chunk in response.content.iter_any():
                received[index] += chunk.count(b"event: next")


async def _broadcast(api: ApiClient, tenant: str, **fields: Any) -> str:
    """Send to everyone. Return the id."""
    fields |= {"to": {"everyone": True}, "category": "bench", "guard": False}
    sent = await api.execute(SEND, tenant=tenant, input=fields)
    id: str = sent["send"]["send"]["id"]
    return id


def _answer_figure(mutation: str, took_s: float) -> Figure:
    return Figure(group="expansion", name=f"answer of {mutation}", value=took_s * 1e3, unit="ms", maximum=1000)


def _rest_figure(mutation: str, count: int, took_s: float) -> Figure:
    return Figure(group="expansion", name=f"{mutation} of {count:,} recipients", value=count / took_s, unit="/s")


async def _keep_expanding(api: ApiClient) -> None:
    """Send to everyone of the crowd, again and again."""
    query = "query ($id: ID!) { send(id: $id) { status } }"
    while True:
        content = {"title": "News", "body": TEXT}
        id = await _broadcast(api, CROWD, content=content, channels=["IN_APP"])
        while (await api.execute(query, tenant=CROWD, id=id))["send"]["status"] == SendStatus.EXPANDING:
            await asyncio.sleep(POLL_S)


async def _measure_others(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure CRITICAL sends of a tenant while another tenant expands, and without that. The worker runs on the core
    of the servers, because it is on another machine than the API process in production."""
    database = f"others-{secrets.token_hex(4)}"
    _create_users(env, plan, database, CROWD, min(plan.audience, READ_MAX))
    request = write_request(env, "critical", operation(SEND, input=send_input() | {"priority": "CRITICAL"}))
    subscribers = write_subscribers(env, plan.users)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(env.hub(database, **SETTINGS))
        await stack.enter_async_context(env.worker(database, on_first_core=False, **SETTINGS))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        api = ApiClient(http, hub)

        async def measure() -> dict[str, float]:
            load = {"connections": OTHERS_CONNECTIONS, "rate": OTHERS_RATE, "warm": WARMUP_S, "seconds": plan.seconds}
            result, _ = await env.load("latency", hub, request=request, **subscribers, **load)
            found: dict[str, float] = result["socket_ms"]
            return found

        plan.progress("CRITICAL sends of an idle system")
        idle = await plan.best(measure, lambda waits: waits["p95"])
        plan.progress("CRITICAL sends while another tenant expands")
        async with asyncio.TaskGroup() as group:
            crowd = [group.create_task(_keep_expanding(api)) for _ in range(CROWD_SENDS)]
            busy = await plan.best(measure, lambda waits: waits["p95"])
            for task in crowd:
                task.cancel()
    return [
        Figure(
            group="expansion",
            name="CRITICAL sends of another tenant, p95",
            value=busy["p95"],
            unit="ms",
            maximum=2 * idle["p95"],
            p50_ms=busy["p50"],
            p99_ms=busy["p99"],
            floor=idle["p95"],
        )
    ]
