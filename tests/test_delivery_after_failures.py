"""Killed workers, a flushed Redis and unavailable providers: no accepted delivery is lost."""

import asyncio
import logging
import random
import time
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis as RedisClient

from hub.platform.embedded_servers import Mongod, Redis
from hub.send.worker import TENANT_SHARE
from tests.channel_setup import CHANNELS, WORKER_DIED, deployment_with_channels, list_all_deliveries, wait_until_settled
from tests.client import Json, eventually
from tests.conftest import fresh_servers, scaled

DELIVERIES = scaled(600, 10_000)
KILLS = scaled(8, 100)
FLUSHED = scaled(300, 2_000)
WORKERS = 3
TIMEOUT_S = scaled(5, 10)
SCHEDULE = scaled("1s,2s,4s,8s,8s,8s", "5s,60s,120s,120s,120s,120s")
# The last retry comes when workers are no longer killed.
SETTLED_WITHIN_S = scaled(300, 1000)
RECIPIENTS_PER_SEND = 5  # recipients per send

log = logging.getLogger(__name__)


def count_unfinished(delivery: Json) -> bool:
    """The call has begun, and its result is unknown."""
    last = delivery["attempts"][-1:]
    return bool(last) and not last[0]["ok"] and last[0]["error"] is None


@pytest.mark.serial
@pytest.mark.timeout(1800)
async def test_workers_killed_during_calls_lose_nothing_and_repeat_only_their_own_calls(
    servers: tuple[Mongod, Redis],
) -> None:
    mongod, redis = servers
    chosen = random.Random(4)
    users = [f"user-{number}" for number in range(20)]
    settings: dict[str, Any] = {"provider_timeout_s": str(TIMEOUT_S), "retry_schedule": SCHEDULE}
    async with deployment_with_channels(mongod.url, redis.url, workers=WORKERS, **settings) as (
        deployment,
        tenant,
        fakes,
    ):
        await fakes.add_addresses(tenant, *users)
        fakes.set_delay(0.2)
        started_at = time.monotonic()
        in_flight: Counter[str] = Counter()
        sent = 0
        starting: list[asyncio.Task[None] | None] = [None] * WORKERS
        for kill in range(KILLS):
            while sent < DELIVERIES * (kill + 1) // KILLS:
                to = [users[(sent + n) % len(users)] for n in range(RECIPIENTS_PER_SEND)]
                await tenant.send(*to, channels=list(CHANNELS))
                sent += RECIPIENTS_PER_SEND * len(CHANNELS)
            await asyncio.sleep(chosen.uniform(0, 0.3))
            worker = deployment.workers[kill % WORKERS]
            if again := starting[kill % WORKERS]:
                await again
            worker.kill()
            await tenant.send("nobody", channels=["IN_APP"])  # so this is read after the kill
            held = await list_all_deliveries(tenant, statuses=["PROCESSING"])
            in_flight.update(delivery["id"] for delivery in held if count_unfinished(delivery))
            starting[kill % WORKERS] = asyncio.create_task(worker.start())
        await asyncio.gather(*filter(None, starting))
        # A delivery that was popped by a worker that died before the claim comes back after requeue_after_s x 2^6 at most.
        found = await wait_until_settled(tenant, sent, SETTLED_WITHIN_S)
        arrivals = fakes.arrivals()
        doubles = sum(len(times) - 1 for times in arrivals.values())
        died = {d["id"]: sum(attempt["error"] == WORKER_DIED for attempt in d["attempts"]) for d in found}
        log.info(
            "%d deliveries, %d kills in %.0f s: %d calls in flight at kills, %d cut off, %d arrived twice",
            *(sent, KILLS, time.monotonic() - started_at, in_flight.total(), sum(died.values()), doubles),
        )
        assert {d["id"]: d["status"] for d in found if d["status"] not in {"SENT", "DELIVERED"}} == {}
        assert arrivals.keys() == {d["id"] for d in found}, "none lost, none unknown"
        late = Counter(a["error"] for d in found for a in d["attempts"] if not a["ok"] and a["error"] != WORKER_DIED)
        log.info("calls that ended otherwise without an answer, on a machine this busy: %s", dict(late))
        vain = {d["id"]: sum(not attempt["ok"] for attempt in d["attempts"]) for d in found}
        assert {id: times for id, times in arrivals.items() if len(times) > 1 + vain[id]} == {}
        assert {id: times for id, times in died.items() if times > in_flight[id]} == {}
        assert sum(died.values()), "the kills had an effect"
        assert fakes.receiver.invalid_signatures == 0


@pytest.mark.serial
async def test_flushed_redis_is_refilled_within_two_scheduler_intervals() -> None:
    """Only the flush detection of the scheduler can restore them: by the clock they are due in ten minutes. The test
    measures until they are on their lanes again, not until the receiver has them."""
    tick_s, slots = 1.5, 10
    users = [f"user-{number}" for number in range(10)]
    settings: dict[str, Any] = {
        "scheduler_interval_s": str(tick_s),
        "requeue_after_s": "600",
        "delivery_concurrency": str(slots),
        "provider_timeout_s": "300",
    }
    settings |= {"lane_max_ids": str(2 * FLUSHED)}  # on a slow machine two schedulers may fill them
    async with fresh_servers() as (mongod, redis):
        async with (
            deployment_with_channels(mongod.url, redis.url, workers=2, **settings) as (_, tenant, fakes),
            RedisClient.from_url(redis.url) as client,
        ):
            await fakes.add_addresses(tenant, *users, channels=["WEBHOOK"])
            gate = asyncio.Event()
            fakes.receiver.default_response = lambda *_: gate
            for _ in range(FLUSHED // len(users)):
                await tenant.send(*users, channels=["WEBHOOK"])

            async def on_lanes() -> int:
                keys = [key async for key in client.scan_iter(match="*lane:WEBHOOK/*")]
                return len({id for key in keys for id in await client.lrange(key, 0, -1)})

            under_way = 2 * int(slots * TENANT_SHARE)

            async def all_queued() -> bool:
                return await on_lanes() == FLUSHED - under_way == FLUSHED - len(fakes.arrivals())

            await eventually(all_queued)
            await client.flushall()
            flushed_at = time.monotonic()
            assert await on_lanes() == 0
            await eventually(all_queued)
            took_s = time.monotonic() - flushed_at
            gate.set()
            for _ in range(4):  # a second flush while they are taken and more are enqueued
                await tenant.send(*users, channels=["WEBHOOK"])
                await client.flushall()
            found = await wait_until_settled(tenant, FLUSHED + 4 * len(users), 60)
            log.info(
                "%d of %d on their lanes again %.2f s after the flush, a round is %.1f s; all sent after %.1f s",
                *(FLUSHED - under_way, FLUSHED, took_s, tick_s, time.monotonic() - flushed_at),
            )
            assert took_s < 2 * tick_s + 1
            assert {delivery["status"] for delivery in found} == {"DELIVERED"}
            assert {id: len(times) for id, times in fakes.arrivals().items()} == {d["id"]: 1 for d in found}


async def test_delivery_taken_while_mongodb_is_away_is_sent_when_it_is_back() -> None:
    """By the clock it would be due in ten minutes."""
    async with fresh_servers() as (mongod, redis):
        settings: dict[str, Any] = {"requeue_after_s": "600", "delivery_concurrency": "1", "provider_timeout_s": "30"}
        async with deployment_with_channels(mongod.url, redis.url, workers=1, **settings) as (
            deployment,
            tenant,
            fakes,
        ):
            [worker] = deployment.workers
            await fakes.add_addresses(tenant, "alice", channels=["WEBHOOK"])
            gate = asyncio.Event()
            fakes.receiver.default_response = lambda *_: gate
            for _ in range(2):  # one uses the only slot, the other is on its lane
                await tenant.send("alice", channels=["WEBHOOK"])

            async def called() -> bool:
                return bool(fakes.arrivals())

            await eventually(called)
            await tenant.define_category("other", "IN_APP")  # a journaled write, after which the kill loses no claim
            mongod.kill()
            gate.set()

            async def accepted() -> bool:
                return "dispatch_failed" in worker.log

            await eventually(accepted, 60)
            await mongod.start()
            found = await wait_until_settled(tenant, 2, 60)
            assert {delivery["status"] for delivery in found} == {"DELIVERED"}
            assert sum(map(len, fakes.arrivals().values())) == 2


@pytest.mark.serial
@pytest.mark.usefixtures("new_interpreters")
async def test_sigterm_during_sending_finishes_running_calls_and_repeats_none(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    users = [f"user-{number}" for number in range(10)]
    settings: dict[str, Any] = {"provider_timeout_s": "6", "shutdown_timeout_s": "10", "delivery_concurrency": "20"}
    async with deployment_with_channels(mongod.url, redis.url, workers=1, **settings) as (deployment, tenant, fakes):
        [worker] = deployment.workers
        await fakes.add_addresses(tenant, *users)
        fakes.set_delay(1)
        sent = 0
        for _ in range(scaled(8, 40)):
            await tenant.send(*users, channels=list(CHANNELS))
            sent += len(users) * len(CHANNELS)

        async def in_the_middle() -> bool:
            return 30 < len(fakes.arrivals()) < sent - 80

        for _ in range(scaled(1, 2)):
            await eventually(in_the_middle)
            started_at = time.monotonic()
            assert await worker.stop(within_s=10) == 0
            left = await list_all_deliveries(tenant, statuses=["PROCESSING"])
            log.info(
                "stopped after %.2f s with %d of %d sent", time.monotonic() - started_at, len(fakes.arrivals()), sent
            )
            assert left == [], "claimed deliveries are settled or released"
            await worker.start()
        found = await wait_until_settled(tenant, sent, 60)
        assert {delivery["status"] for delivery in found} == {"SENT", "DELIVERED"}
        assert {len(delivery["attempts"]) for delivery in found} == {1}
        assert {id: len(times) for id, times in fakes.arrivals().items()} == {d["id"]: 1 for d in found}
