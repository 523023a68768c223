"""`dispatch`: the deliveries per second of one worker, and the time until the call of a single delivery."""

import asyncio
import functools
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
from redis.asyncio import Redis

from hub.bench import seed
from hub.bench.api_client import ApiClient
from hub.bench.benchmark_servers import MB, BenchEnvironment, BenchError
from hub.bench.payloads import SEND, TEXT, user_id
from hub.bench.plan import Plan
from hub.bench.results import Figure
from hub.model import Channel
from hub.outbox.lanes import Lanes
from hub.platform.connections import Database

ENQUEUE_BATCH_SIZE = 1000  # deliveries
WARMUP_CALLS = 5
CONNECT_WEBHOOK = "mutation($to: String!) { connectWebhook(url: $to) { device { id } } }"


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure the deliveries per second of one worker, and the wait of a single delivery on an idle hub."""
    figures = []
    for name, delay_ms, minimum in (
        ("into nothing", None, 3500),
        ("a receiver that responds at once", 0, 1500),
        ("one that takes 100 ms", 100, 1000),
    ):
        plan.progress(f"deliveries {name}")
        drained = await plan.best(
            functools.partial(_measure_drain, env, plan, delay_ms), lambda result: -result.per_second
        )
        figures.append(
            Figure(
                group="dispatch",
                name=f"webhooks, {name}",
                value=drained.per_second,
                unit="/s",
                minimum=minimum,
                memory_mb=drained.memory_mb,
                cpu_us=drained.cpu_us,
            )
        )
    plan.progress("from a mutation to the call of a webhook")
    waits = await _measure_waits(env, plan)
    p50_ms, p99_ms = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    return [
        *figures,
        Figure(
            group="dispatch",
            name="commit to call, p99",
            value=p99_ms,
            unit="ms",
            maximum=50,
            p50_ms=p50_ms,
            p99_ms=p99_ms,
        ),
    ]


@dataclass(frozen=True)
class _DrainResult:
    per_second: float
    cpu_us: float
    memory_mb: float


async def _measure_drain(env: BenchEnvironment, plan: Plan, delay_ms: int | None) -> _DrainResult:
    """Measure a worker that empties a full queue. The first tenth is not measured."""
    database = f"dispatch-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        port = 1 if delay_ms is None else await stack.enter_async_context(env.sink(delay_ms))
        queued = seed.create_deliveries(env.mongod.url, database, plan.deliveries, f"http://127.0.0.1:{port}/")
        client = await stack.enter_async_context(env.mongo_client())
        async with Redis.from_url(env.redis.url) as redis:
            lanes = Lanes(redis, f"{database}:", plan.deliveries)
            for start in range(0, len(queued), ENQUEUE_BATCH_SIZE):
                await lanes.put(queued[start : start + ENQUEUE_BATCH_SIZE])
            await lanes.mark_restored("deliveries")  # Redis has lost no data
        worker = await stack.enter_async_context(
            env.worker(
                database,
                null=Channel.WEBHOOK if delay_ms is None else None,
                egress_allow="127.0.0.0/8",
                delivery_concurrency="250",
            )
        )
        started_at = cpu_s = 0.0
        measured = 0  # deliveries
        while pending := await _count_pending(client[database]):
            if not started_at and pending < plan.deliveries * 0.9:
                started_at, cpu_s, measured = time.perf_counter(), worker.cpu_s, pending
            await asyncio.sleep(0.05 if pending < plan.deliveries / 10 else 0.5)  # each count uses time of MongoDB
        took_s = time.perf_counter() - started_at
        sent = await client[database].deliveries.count_documents({"status": {"$in": ["SENT", "DELIVERED"]}})
        if sent != plan.deliveries:
            raise BenchError(f"{plan.deliveries - sent} of {plan.deliveries} deliveries were not sent.")
        cpu_us = (worker.cpu_s - cpu_s) * 1e6 / measured
        return _DrainResult(measured / took_s, cpu_us, worker.memory_bytes / MB)


async def _count_pending(database: Database) -> int:
    """Return the number of deliveries that wait or that the worker has claimed. It may count one twice."""
    return sum(
        [await database.deliveries.count_documents({name: {"$exists": True}}) for name in ("due_at", "leased_until")]
    )


async def _measure_waits(env: BenchEnvironment, plan: Plan) -> list[float]:
    """Return the times from the creation of each notification to its webhook call, in milliseconds, sorted."""
    database = f"waits-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(env.sink(0))
        hub = await stack.enter_async_context(env.hub(database, egress_allow="127.0.0.0/8"))
        await stack.enter_async_context(env.worker(database, egress_allow="127.0.0.0/8"))
        http = await stack.enter_async_context(aiohttp.ClientSession())

        api = ApiClient(http, hub)
        await api.execute(CONNECT_WEBHOOK, user=user_id(0), to=f"http://127.0.0.1:{port}/")
        send_input = {
            "to": {"users": [user_id(0)]},
            "category": "bench",
            "channels": ["WEBHOOK"],
            "content": {"title": "t", "body": TEXT},
        }
        ends_at = time.monotonic() + plan.seconds
        while time.monotonic() < ends_at:
            await api.execute(SEND, input=send_input)
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        async with http.get(f"http://127.0.0.1:{port}/") as response:
            waits: list[float] = await response.json(content_type=None)
    if not waits:
        raise BenchError("No webhook was called.")
    return sorted(waits[WARMUP_CALLS:] or waits)
