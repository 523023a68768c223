"""A delivery that kills each worker that calls its URL becomes a dead letter. Other deliveries are not affected."""

import asyncio
import logging
from collections import Counter
from typing import Any
from uuid import uuid4

from aiohttp import web
from pymongo import AsyncMongoClient

from hub import utc_time
from hub.platform.embedded_servers import Mongod, Redis
from hub.send.worker import ISOLATED_TRIES
from tests.channel_setup import (
    WORKER_DIED,
    deployment_with_channels,
    list_all_deliveries,
    wait_for_deliveries,
    wait_until_settled,
)
from tests.client import eventually

INNOCENTS = [f"innocent-{number}" for number in range(60)]
LAPSES_MAX = 5  # HUB_LEASE_MAX_EXPIRATIONS
ENDPOINT = "mutation ($to: String!) { createWebhook(input: {url: $to}) { secret } }"

log = logging.getLogger(__name__)


async def test_poison_delivery_fails_after_isolated_calls_and_others_are_delivered(
    servers: tuple[Mongod, Redis],
) -> None:
    """The delays are so short that deliveries that died with it are called with it again. Only isolated calls separate
    them."""
    mongod, redis = servers
    settings: dict[str, Any] = {
        "delivery_concurrency": "40",
        "lease_max_expirations": str(LAPSES_MAX),
        "retry_schedule": ",".join(["0.1s"] * 9),
    }
    async with deployment_with_channels(mongod.url, redis.url, workers=1, **settings) as (deployment, tenant, fakes):
        [worker] = deployment.workers
        await fakes.add_addresses(tenant, "poison", *INNOCENTS, channels=["WEBHOOK"])
        receiver = fakes.receiver
        receiver.default_response = lambda *_: 0.3
        under_way: list[int] = []
        restarts: list[asyncio.Task[None]] = []

        async def kill() -> web.Response:
            if restarts:
                await restarts[-1]
            under_way.append(sum(map(len, receiver.received_at.values())) - receiver.status_counts.total())
            worker.kill()
            restarts.append(asyncio.create_task(worker.start()))
            return web.Response(status=503)

        receiver.responses["/poison"] = lambda *_: kill()
        for user in (*INNOCENTS[:10], "poison", *INNOCENTS[10:]):
            await tenant.send(user, channels=["WEBHOOK"])
        found = {delivery["userId"]: delivery for delivery in await wait_until_settled(tenant, 61, 120)}
        await asyncio.gather(*restarts)
        poison = found.pop("poison")
        died = Counter(sum(attempt["error"] == WORKER_DIED for attempt in each["attempts"]) for each in found.values())
        log.info("under way at each death: %s; innocents by their deaths: %s", under_way, dict(died))
        assert {each["status"] for each in found.values()} == {"DELIVERED"}
        assert (poison["status"], poison["reason"]) == ("FAILED", "POISON")
        assert [attempt["error"] for attempt in poison["attempts"]] == [WORKER_DIED] * LAPSES_MAX
        assert under_way[-ISOLATED_TRIES:] == [1] * ISOLATED_TRIES, "isolated in the end"
        assert died[LAPSES_MAX - ISOLATED_TRIES], "innocent deliveries were as suspect as the poison"


class Calls:
    """Calls to a receiver in their order, and which of them overlapped."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.concurrent: dict[str, set[str]] = {}
        self._running: set[str] = set()

    async def respond(self, id: str) -> web.Response:
        self.started.append(id)
        for other in self._running:
            self.concurrent.setdefault(other, set()).add(id)
        self.concurrent.setdefault(id, set()).update(self._running)
        self._running.add(id)
        await asyncio.sleep(0.2)
        self._running.remove(id)
        return web.Response(status=204)


async def test_suspects_are_isolated_one_after_another_and_others_proceed(
    servers: tuple[Mongod, Redis],
) -> None:
    """Also if the process is stopped in between."""
    mongod, redis = servers
    name = f"alone{uuid4().hex[:8]}"
    settings: dict[str, Any] = {
        "mongo_database": name,
        "delivery_concurrency": "8",
        "provider_timeout_s": "10",
        "lease_margin_s": "10",
    }
    async with (
        deployment_with_channels(mongod.url, redis.url, workers=1, **settings) as (deployment, tenant, fakes),
        AsyncMongoClient(mongod.url, tz_aware=True) as client,
    ):
        [worker] = deployment.workers
        await fakes.add_addresses(tenant, *INNOCENTS, channels=["WEBHOOK"])
        created = await tenant.execute_as_admin(ENDPOINT, to=f"{fakes.receiver.url}/events")
        fakes.receiver.secrets["/events"] = created["createWebhook"]["secret"]
        await worker.stop()
        for user in INNOCENTS:
            await tenant.send(user, channels=["WEBHOOK"])
        deliveries = client[name].deliveries
        ids = [doc["_id"] async for doc in deliveries.find({}, {"_id": 1}).sort("_id", 1)]
        suspects = ids[:6]
        await deliveries.update_many(
            {"_id": {"$in": suspects}}, {"$set": {"lease_expirations": LAPSES_MAX - ISOLATED_TRIES}}
        )
        calls = Calls()
        fakes.receiver.default_response = lambda key, _: calls.respond(key)
        await worker.start()

        async def second() -> bool:
            return sum(id in suspects for id in calls.started) == 2

        await eventually(second)
        assert await worker.stop(within_s=10) == 0
        assert await list_all_deliveries(tenant, statuses=["PROCESSING"]) == []
        await worker.start()
        found = await wait_until_settled(tenant, len(INNOCENTS), 60)
        assert {delivery["status"] for delivery in found} == {"DELIVERED"}
        assert {len(delivery["attempts"]) for delivery in found} == {1}
        assert {id: calls.concurrent[id] for id in suspects if calls.concurrent[id]} == {}
        assert max(map(len, calls.concurrent.values())) > 3, "other deliveries are called concurrently"
        turns = "".join("a" if id in suspects else "-" for id in calls.started)
        log.info("calls in their order, isolated ones as `a`: %s", turns)
        until_the_second = turns[: turns.index("a", turns.index("a") + 1) + 1]
        assert "aa" not in until_the_second, "new deliveries are called before the next isolated one"


async def test_expired_calls_are_retried_later_and_uncalled_deliveries_immediately(
    servers: tuple[Mongod, Redis],
) -> None:
    mongod, redis = servers
    name = f"lapsed{uuid4().hex[:8]}"
    settings: dict[str, Any] = {
        "mongo_database": name,
        "delivery_concurrency": "60",
        "retry_schedule": "1s,600s",
        "lease_max_expirations": "3",
    }
    async with (
        deployment_with_channels(mongod.url, redis.url, workers=1, **settings) as (deployment, tenant, fakes),
        AsyncMongoClient(mongod.url, tz_aware=True) as client,
    ):
        users, dead = (
            INNOCENTS[:24],
            {"claim": "a dead worker's", "status": "PROCESSING", "leased_until": utc_time.now()},
        )
        [worker] = deployment.workers
        await fakes.add_addresses(tenant, *users, channels=["WEBHOOK"])
        await worker.stop()
        for user in users:
            await tenant.send(user, channels=["WEBHOOK"])
        stored = client[name].deliveries
        ids = [doc["_id"] async for doc in stored.find({}, {"_id": 1})]
        called, waiting, last, hopeless = ids[:20], ids[20:22], ids[22], ids[23]
        call = {"at": utc_time.now(), "provider": "webhook", "ok": False}
        await stored.update_many({}, {"$set": dead, "$unset": {"due_at": "", "enqueue_count": ""}})
        await stored.update_many({"_id": {"$in": called}}, {"$set": {"lease_expirations": 1, "attempts": [call]}})
        await stored.update_many({"_id": {"$in": waiting}}, {"$set": {"lease_expirations": 1}})
        await stored.update_one({"_id": last}, {"$set": {"lease_expirations": 2}})
        await stored.update_one({"_id": hopeless}, {"$set": {"lease_expirations": 5}})
        await worker.start()
        await wait_for_deliveries(tenant, "DELIVERED", len(waiting))

        async def none_held() -> bool:
            return not await list_all_deliveries(tenant, statuses=["PROCESSING"])

        await eventually(none_held)
        found = {doc["_id"]: doc async for doc in stored.find({})}
        waits = sorted((found[id]["due_at"] - found[id]["updated_at"]).total_seconds() for id in called)
        assert 0 <= waits[0] <= waits[-1] <= 1200
        assert waits[-1] - waits[0] > 300, "spread evenly over twice the step"
        assert {(found[id]["status"], found[id]["lease_expirations"]) for id in called} == {("ACCEPTED", 2)}
        assert {(found[id]["status"], len(fakes.arrivals()[id])) for id in waiting} == {("DELIVERED", 1)}
        assert (found[last]["status"], found[last]["lease_expirations"]) == ("ACCEPTED", 3), (
            "MongoDB may have been unavailable"
        )
        assert found[last]["due_at"] > found[last]["updated_at"]
        assert (found[hopeless]["status"], found[hopeless]["reason"]) == ("FAILED", "POISON")
        assert fakes.arrivals().keys() == set(waiting)
