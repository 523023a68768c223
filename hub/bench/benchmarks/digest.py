"""`digest`: held items per second that leave in digests, and the memory of the worker."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from hub.bench import seed
from hub.bench.benchmark_servers import MB, BenchEnvironment, BenchError, MeasuredProcess
from hub.bench.plan import Plan
from hub.bench.results import Figure
from hub.model import DeliveryStatus
from hub.platform.connections import Database

POLL_S = 0.25  # each count uses time of MongoDB
STALLED_S = 60.0  # without progress, the measurement fails
NOT_SENT = {"open": True}, {"digest_key": {"$exists": True}, "status": {"$in": ["ACCEPTED", "PROCESSING", "RETRYING"]}}


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure one worker while digests with many items are due at the same time. A webhook receiver responds at
    once."""

    async def once() -> _Result:
        return await _measure(env, plan)

    result = await plan.best(once, lambda measured: measured.settled_s)
    name = f"{plan.items:,} held items in {plan.digests:,} digests"
    return [
        Figure(
            group="digest",
            name=f"{name}, until they are sent",
            value=plan.items / result.sent_s,
            unit="/s",
        ),
        Figure(
            group="digest",
            name="the same, until every item has its status",
            value=plan.items / result.settled_s,
            unit="/s",
            memory_mb=result.memory_mb,
            cpu_us=result.cpu_s * 1e6 / plan.items,
        ),
    ]


@dataclass(frozen=True)
class _Result:
    """The times since the digests were due, the CPU time of the worker, and its largest resident memory."""

    sent_s: float
    settled_s: float
    cpu_s: float
    memory_mb: float


async def _measure(env: BenchEnvironment, plan: Plan) -> _Result:
    database = f"digest-{secrets.token_hex(4)}"

    def progress(share: float) -> None:
        plan.progress(f"writing {plan.items:,} held items: {share:.0%}")

    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(env.sink(0))
        url = f"http://127.0.0.1:{port}/"
        seed.create_digests(env.mongod.url, database, plan.digests, plan.items, url, progress)
        plan.progress("creating the indexes")
        worker = await stack.enter_async_context(env.worker(database, egress_allow="127.0.0.0/8"))
        client = await stack.enter_async_context(env.mongo_client())
        return await _measure_release(plan, client[database], worker)


async def _measure_release(plan: Plan, database: Database, worker: MeasuredProcess) -> _Result:
    cpu_s, memory, started_s = worker.cpu_s, worker.memory_bytes, time.perf_counter()
    await database.deliveries.update_many({"open": True}, {"$set": {"due_at": datetime.now(UTC)}})
    sent_s, waiting, progressed_s = 0.0, plan.items, started_s
    while waiting:
        await asyncio.sleep(POLL_S)
        memory = max(memory, worker.memory_bytes)
        if not sent_s and not await database.deliveries.find_one({"$or": list(NOT_SENT)}, {"_id": 1}):
            sent_s = time.perf_counter() - started_s
        match = {"status": DeliveryStatus.HELD, "digest_id": {"$exists": True}}
        before, waiting = waiting, await database.deliveries.count_documents(match, hint="waiting_items")
        plan.progress(f"releasing {plan.items:,} held items: {1 - waiting / plan.items:.0%}")
        if waiting < before:
            progressed_s = time.perf_counter()
        elif time.perf_counter() - progressed_s > STALLED_S:
            raise BenchError(f"{waiting} of {plan.items} items still wait after {STALLED_S:g} s without progress.")
    settled_s = time.perf_counter() - started_s
    delivered = {"digest_id": {"$exists": True}, "status": DeliveryStatus.DELIVERED}
    if (count := await database.deliveries.count_documents(delivered)) != plan.items:
        raise BenchError(f"{plan.items - count} of {plan.items} items were not delivered.")
    return _Result(sent_s or settled_s, settled_s, worker.cpu_s - cpu_s, memory / MB)
