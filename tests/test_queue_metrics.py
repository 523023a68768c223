"""The metrics of the queue that autoscalers and alerts use."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from pymongo import AsyncMongoClient
from redis.asyncio import Redis as RedisClient

from hub import utc_time
from hub.ids import first_id_at
from hub.model import Priority
from hub.outbox.due_counts import first_due_by_lane
from hub.outbox.lanes import Lanes
from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime.due_sample import CHANNELS, DueSampler
from hub.settings import Settings
from tests.client import eventually
from tests.clocks import hub_now
from tests.processes import SECRET, Deployment, Process
from tests.telemetry import metric_value, scrape_metrics

GAUGES = ("hub_lane_waiting", "hub_due_waiting", "hub_due_oldest_seconds")


def worker_url(worker: Process) -> str:
    return f"http://127.0.0.1:{worker.port}/metrics"


async def test_idle_worker_reports_zero_for_every_channel_and_priority(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    name = f"idle{uuid4().hex[:8]}"
    settings = {"mongo_database": name, "redis_prefix": f"{name}:", "work_port": "0"}
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **settings) as running:

        async def sampled() -> dict[str, dict[tuple[str, str], float]] | None:
            found = await scrape_metrics(worker_url(running.workers[0]))
            values = {
                name: {(one.labels["channel"], one.labels["priority"]): one.value for one in found[name].samples}
                for name in GAUGES
            }
            return values if all(values.values()) else None

        values = await eventually(sampled, 60)
        for name in GAUGES:
            assert values[name] == {(channel, priority): 0 for channel in CHANNELS for priority in Priority}


async def test_due_age_counts_from_being_due_and_ignores_a_later_retry(servers: tuple[Mongod, Redis]) -> None:
    """All workers report the same values. No worker has a provider for emails, and the lane is full after one."""
    mongod, redis = servers
    name = f"due{uuid4().hex[:8]}"
    settings = {"mongo_database": name, "redis_prefix": f"{name}:", "work_port": "0"}
    settings |= {"lane_max_ids": "1", "requeue_after_s": "3600"}
    async with (
        Deployment(mongod.url, redis.url, apis=1, workers=2, **settings) as running,
        AsyncMongoClient[dict[str, Any]](mongod.url, tz_aware=True) as client,
    ):
        deliveries, now = client[name].deliveries, utc_time.now()

        async def insert(lane: str, due_at: datetime, count: int) -> None:
            """Insert deliveries that were accepted 10 hours ago."""
            ids = [f"{first_id_at(now - timedelta(hours=10))}{lane}{number}" for number in range(count)]
            waiting = {"status": "RETRYING", "lane": lane, "due_at": due_at}
            await deliveries.insert_many([{"_id": id, **waiting} for id in ids])

        async def all_report(on_lane: int, waiting: int, age_s: float) -> bool:
            for worker in running.workers:
                found = await scrape_metrics(worker_url(worker))
                values = [metric_value(found, gauge, channel="EMAIL", priority="HIGH") for gauge in GAUGES]
                others = [metric_value(found, gauge, priority="CRITICAL") for gauge in GAUGES]
                if values[:2] != [on_lane, waiting] or not age_s <= values[2] < age_s + 1800 or any(others):
                    return False
            return True

        await insert("EMAIL/CRITICAL/acme", now + timedelta(hours=10), 1)
        await insert("EMAIL/HIGH/acme", now - timedelta(hours=1), 6)
        await eventually(lambda: all_report(1, 5, 3600), 60)
        await deliveries.delete_many({"_id": {"$regex": "HIGH/acme[1-9]"}})
        await eventually(lambda: all_report(1, 0, 0), 60)


async def test_one_worker_counts_and_the_others_read_its_sample(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    name = f"shared{uuid4().hex[:8]}"
    settings = Settings(jwt_secret=(SECRET,), redis_prefix=f"{name}:")
    async with (
        AsyncMongoClient[dict[str, Any]](mongod.url, tz_aware=True) as client,
        RedisClient.from_url(redis.url) as store,
        RedisClient(port=1) as away,
    ):
        due = {"lane": "EMAIL/HIGH/acme", "due_at": utc_time.now()}
        await client[name].deliveries.create_index([("lane", 1), ("due_at", 1)], name="due")
        for collection in ("webhook_calls", "events", "enrichment_jobs"):
            await client[name][collection].create_index([("lane", 1), ("due_at", 1)], name="due")
        await client[name].deliveries.insert_many([{"_id": f"{number}", **due} for number in range(3)])
        one, other = (DueSampler(client[name], store, settings, Lanes(store, f"{name}:", 1)) for _ in range(2))
        [first] = await one.get([], hub_now)
        assert (first.channel, first.priority, first.waiting) == ("EMAIL", "HIGH", 3)
        await client[name].deliveries.delete_many({})
        assert await other.get([], hub_now) == [first], "it reads the sample of the first"
        await store.set(f"{name}:due_sample", "of another version")
        assert await other.get([], hub_now) == [first]
        without = DueSampler(client[name], away, settings, Lanes(away, f"{name}:", 1))
        assert await without.get([], hub_now) == [], "without Redis, each worker counts"
        await client.drop_database(name)


async def test_due_counts_read_one_key_per_lane(servers: tuple[Mongod, Redis]) -> None:
    mongod, _ = servers
    name = f"plan{uuid4().hex[:8]}"
    async with AsyncMongoClient[dict[str, Any]](mongod.url, tz_aware=True) as client:
        deliveries = client[name].deliveries
        await deliveries.create_index(
            [("lane", 1), ("due_at", 1)], name="due", partialFilterExpression={"due_at": {"$exists": True}}
        )
        now = utc_time.now()
        rows = [
            {"lane": f"EMAIL/HIGH/t{tenant}", "due_at": now + timedelta(minutes=minute)}
            for tenant in range(5)
            for minute in range(-50, 50)
        ]
        await deliveries.insert_many(rows)
        explain = {"aggregate": "deliveries", "pipeline": first_due_by_lane(now), "cursor": {}, "hint": "due"}
        plan = str(await client[name].command("explain", explain, verbosity="executionStats"))
        assert "DISTINCT_SCAN" in plan
        assert "COLLSCAN" not in plan
        await client.drop_database(name)
