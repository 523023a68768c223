"""The order of lanes: by priority, then tenants in turn, without starvation."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from statistics import quantiles
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis as RedisClient

from hub.outbox.lanes import Lanes, lane_of
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import FakeChannels, deployment_with_channels, wait_until_settled
from tests.client import Tenant, eventually
from tests.conftest import scaled

FLOOD = scaled(1_500, 100_000)
AT_ONCE = 1000  # sends of one sendMany
SEND_MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } } }"

log = logging.getLogger(__name__)


@pytest.fixture
async def lanes(servers: tuple[Mongod, Redis]) -> AsyncIterator[Lanes]:
    """Lanes that do not gather LOW."""
    async with RedisClient.from_url(servers[1].url) as client:
        yield Lanes(client, f"lanes{uuid4().hex}:", 1000, gather_ms=0)


async def put(lanes: Lanes, priority: str, tenant: str, many: int) -> None:
    entries = [(lane_of("EMAIL", priority, tenant), f"{priority}/{tenant}/{uuid4()}") for _ in range(many)]
    assert not await lanes.put(entries)


def count_by(accepted: list[tuple[str, str]], word: int) -> Counter[str]:
    """Count the ids of each priority (0) or tenant (1)."""
    assert all(lane == lane_of("EMAIL", *id.split("/")[:2]) for lane, id in accepted)
    return Counter(id.split("/")[word] for _, id in accepted)


async def test_critical_goes_first_and_low_is_not_starved(lanes: Lanes) -> None:
    accepted: list[tuple[str, str]] = []
    for priority in ("LOW", "MEDIUM", "HIGH", "CRITICAL"):
        await put(lanes, priority, "acme", 500)
    rounds = 160
    for _ in range(rounds):
        ids = await lanes.take("EMAIL", 10, 10, {})
        accepted += ids
        await put(lanes, "CRITICAL", "acme", count_by(ids, 0)["CRITICAL"])
    found = count_by(accepted, 0)
    log.info("of %d taken while CRITICAL never ended: %s", len(accepted), dict(found))
    assert len(accepted) == 10 * rounds
    assert found["CRITICAL"] > 0.9 * len(accepted)
    assert found["MEDIUM"] == 2 * found["HIGH"] == 2 * found["LOW"] > 0


async def test_low_is_gathered_and_then_keeps_its_share_of_a_steady_load(servers: tuple[Mongod, Redis]) -> None:
    async with RedisClient.from_url(servers[1].url) as client:
        lanes = Lanes(client, (prefix := f"lanes{uuid4().hex}:"), 1000, gather_ms=60_000)
        gathering, wakeup = f"{prefix}gathering:EMAIL", f"{prefix}wakeup:EMAIL"

        async def take(limit: int) -> Counter[str]:
            return count_by(await lanes.take("EMAIL", limit, limit, {}), 0)

        for tenant in ("acme", "other", "acme"):
            await put(lanes, "LOW", tenant, 10)
            assert await take(50) == {}
        assert not await client.exists(wakeup), "a put of LOW wakes no worker"
        await put(lanes, "HIGH", "acme", 5)
        assert await take(50) == {"HIGH": 5}, "only LOW is gathered"
        await put(lanes, "HIGH", "acme", 60)
        await client.delete(wakeup)
        assert await take(50) == {"HIGH": 50}
        assert await client.delete(wakeup), "HIGH is left"
        await client.set(f"{prefix}rotation:EMAIL", 15)  # the next turn takes the priorities in order
        assert await take(10) == {"HIGH": 10}
        assert not await client.exists(wakeup), "only LOW is left, which is gathered"
        await client.delete(gathering)
        assert await take(50) == {"LOW": 30}, "those of all tenants together"

        await put(lanes, "LOW", "acme", 1)
        assert await take(50) == {}, "the next ones are gathered again"
        await client.persist(gathering)  # a key that the hub did not write
        assert await take(50) == {"LOW": 1}

        await put(lanes, "LOW", "acme", 200)
        await client.delete(gathering)
        await put(lanes, "CRITICAL", "acme", 500)
        found: Counter[str] = Counter()
        for _ in range(160):
            found += (taken := await take(10))
            await put(lanes, "CRITICAL", "acme", taken["CRITICAL"])
            await put(lanes, "LOW", "acme", 1)
        assert found["LOW"] == 160 // 16 * 3, "a quarter of a batch in one of 16 turns, also without pauses"


async def test_tenants_take_turns_within_their_limits(lanes: Lanes) -> None:
    await put(lanes, "HIGH", "flood", 900)
    await put(lanes, "HIGH", "small", 3)
    await put(lanes, "HIGH", "other", 3)
    assert count_by(await lanes.take("EMAIL", 12, 9, {}), 1) == {"flood": 6, "small": 3, "other": 3}
    assert count_by(await lanes.take("EMAIL", 12, 9, {"flood": 2}), 1) == {"flood": 7}
    assert await lanes.take("EMAIL", 12, 9, {"flood": 9}) == []
    await put(lanes, "LOW", "small", 1)
    assert count_by(await lanes.take("EMAIL", 12, 9, {"flood": 9}), 1) == {"small": 1}
    assert len(await lanes.take("EMAIL", 12, 12, {})) == 12, "skipped ids are still there"


async def test_lane_with_an_evicted_turn_gets_a_new_one(servers: tuple[Mongod, Redis]) -> None:
    async with RedisClient.from_url(servers[1].url) as client:
        lanes = Lanes(client, (prefix := f"lanes{uuid4().hex}:"), 4)
        lane = lane_of("EMAIL", "HIGH", "acme")

        async def evict() -> None:
            removed = [key async for key in client.scan_iter(match=f"{prefix}*") if b"lane:" not in key]
            await client.delete(*removed)
            assert await lanes.take("EMAIL", 12, 12, {}) == []

        await put(lanes, "HIGH", "acme", 3)
        await evict()
        await put(lanes, "HIGH", "acme", 1)
        assert len(await lanes.take("EMAIL", 2, 12, {})) == 2
        await put(lanes, "HIGH", "acme", 2)
        await evict()
        assert await lanes.free_capacity([lane]) == [0], "a full lane accepts nothing"
        assert len(await lanes.take("EMAIL", 12, 12, {})) == 4


async def test_flush_is_reported_to_one_worker_until_restored_or_its_lock_expires(lanes: Lanes) -> None:
    assert [await lanes.detect_flush("deliveries", 60) for _ in range(3)] == [True, False, False]
    await lanes.mark_restored("deliveries")
    assert not await lanes.detect_flush("deliveries", 60)
    assert await lanes.detect_flush("webhook_calls", 0.05)

    async def told_again() -> bool:
        return await lanes.detect_flush("webhook_calls", 0.05)

    await eventually(told_again)


async def test_every_enqueued_id_is_taken_once(lanes: Lanes) -> None:
    chosen = random.Random(7)
    tenants = [f"t{number}" for number in range(6)]
    waiting: Counter[str] = Counter()
    for round in range(scaled(150, 3000)):
        for _ in range(chosen.randrange(4)):
            tenant, id = chosen.choice(tenants), f"{round}/{uuid4()}"
            await lanes.put([(lane_of("EMAIL", chosen.choice(("CRITICAL", "HIGH", "LOW")), tenant), id)])
            waiting[id] += 1
        held = {tenant: chosen.randrange(4) for tenant in chosen.sample(tenants, 2)}
        waiting.subtract(id for _, id in await lanes.take("EMAIL", chosen.randrange(1, 6), 3, held))
        assert min(waiting.values(), default=0) >= 0
    while accepted := await lanes.take("EMAIL", 50, 50, {}):
        waiting.subtract(id for _, id in accepted)
    assert not any(waiting.values())


async def flood(tenant: Tenant, user: str, many: int, **more: object) -> None:
    one = {"to": {"users": [user]}, "category": "news", "content": {"title": "Flood", "body": ""}, **more}
    for start in range(0, many, AT_ONCE):
        await tenant.execute(SEND_MANY, inputs=[one | {"channels": ["WEBHOOK"]}] * min(AT_ONCE, many - start))


async def waits_s(tenant: Tenant, fakes: FakeChannels, many: int) -> list[float]:
    """Return how long each of `many` HIGH deliveries takes, one after another, from the call of `send` to its
    arrival."""
    waits = []
    for _ in range(many):
        started_at = time.monotonic()
        before = len(fakes.receiver.bodies["/bob"])
        await tenant.send("bob", channels=["WEBHOOK"], priority="HIGH")

        async def arrived(before: int = before) -> bool:
            return len(fakes.receiver.bodies["/bob"]) > before

        await eventually(arrived, 60)
        waits.append(time.monotonic() - started_at)
    return waits


def p50_p95_ms(waits: list[float]) -> tuple[int, int]:
    cuts = quantiles(waits, n=20, method="inclusive")
    return round(cuts[9] * 1000), round(cuts[18] * 1000)


@pytest.mark.serial
@pytest.mark.timeout(1800)
async def test_flood_and_hanging_endpoints_of_one_tenant_do_not_delay_another(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    settings: dict[str, Any] = {"delivery_concurrency": "40", "provider_timeout_s": "5", "rate_limit_per_user": "0"}
    many = scaled(20, 200)
    async with deployment_with_channels(mongod.url, redis.url, workers=1, **settings) as (deployment, small, fakes):
        async with Tenant("flood", deployment.urls) as big, Tenant("hung", deployment.urls) as hung:
            await fakes.add_addresses(small, "bob", channels=["WEBHOOK"])
            await fakes.add_addresses(big, "alice", channels=["WEBHOOK"])
            await fakes.add_addresses(hung, "carol", channels=["WEBHOOK"])
            fakes.set_delay(0.2)
            gate = asyncio.Event()
            fakes.receiver.responses["/carol"] = lambda *_: gate
            fakes.receiver.responses["/bob"] = lambda *_: 0.0
            alone = await waits_s(small, fakes, many)
            started_at = time.monotonic()
            await flood(big, "alice", FLOOD, priority="HIGH")
            concurrent = await waits_s(small, fakes, many)
            assert len(fakes.receiver.bodies["/alice"]) < FLOOD - AT_ONCE // 4, "it is not over yet"
            await flood(hung, "carol", 100, priority="CRITICAL")
            hanging = await waits_s(small, fakes, many)
            gate.set()
            fakes.set_delay(0)
            log.info("p50 and p95 of HIGH, ms: alone %s", p50_p95_ms(alone))
            log.info(
                "next to a flood of %d %s, next to endpoints that hang %s",
                FLOOD,
                p50_p95_ms(concurrent),
                p50_p95_ms(hanging),
            )
            assert p50_p95_ms(concurrent)[1] < p50_p95_ms(alone)[1] + 1000
            assert p50_p95_ms(hanging)[1] < p50_p95_ms(alone)[1] + 1000
            found = await wait_until_settled(big, FLOOD, 600)
            log.info("the flood was over after %.1f s", time.monotonic() - started_at)
            assert {delivery["status"] for delivery in found} == {"DELIVERED"}


async def test_critical_overtakes_a_batch_of_low_which_continues(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    async with deployment_with_channels(
        mongod.url, redis.url, workers=1, delivery_concurrency="12", requeue_after_s="60"
    ) as (
        deployment,
        tenant,
        fakes,
    ):
        await fakes.add_addresses(tenant, "alice", "bob", channels=["WEBHOOK"])
        fakes.set_delay(0.01)
        await deployment.workers[0].stop()
        await flood(tenant, "alice", 100, priority="LOW")
        await flood(tenant, "bob", 300, priority="CRITICAL")
        await deployment.workers[0].start()
        found = await wait_until_settled(tenant, 400, 60)
        arrivals = fakes.arrivals()
        order = [d["userId"] for d in sorted(found, key=lambda d: arrivals[d["id"]])]
        last = len(order) - order[::-1].index("bob")
        log.info("%d LOW arrived among the first %d, until the last CRITICAL had", order[:last].count("alice"), last)
        assert order[:50].count("bob") > 35
        assert 0 < order[:200].count("alice") < 40
