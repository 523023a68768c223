"""Old deliveries and sends are deleted, except what waits and what something else refers to."""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis as RedisClient

from hub.errors import Unavailable
from hub.ids import new_id
from hub.inbox.notification_lookup import Notifications
from hub.model import Channel, Delivery, DeliveryStatus, Priority, Reason, Send, SendStatus, document
from hub.outbox.lanes import Lanes
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from hub.utc_time import RealTime
from hub.workflows import old_records
from hub.workflows.hourly_pass import HourlyPass
from hub.workflows.old_records import BATCH_SIZE, OldRecords
from tests.cli_commands import run_command
from tests.client import Json, Tenant, eventually
from tests.processes import Process
from tests.webhook_data import new_notification

TENANT = "acme"
COUNTS = "query ($id: ID!) { send(id: $id) { counts { channel status count reasons { reason count } } } }"
NOW = datetime.now(UTC)
DELIVERIES_DAYS, SENDS_DAYS = 90, 400


@pytest.fixture
async def store(servers: tuple[Mongod, Redis]) -> AsyncIterator[Database]:
    """A database with indexes and without a worker."""
    name = f"old{uuid4().hex[:8]}"
    api = Process("serve", servers[0].url, servers[1].url, mongo_database=name)
    await api.start()
    await api.stop()
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True) as client:
        yield client[name]
        await client.drop_database(name)


def delivery(age_days: float, status: DeliveryStatus = DeliveryStatus.SENT, **fields: object) -> Json:
    at = NOW - timedelta(days=age_days)
    id = new_id(at)
    values = {"id": f"{id}-email", "notification": id, "send": "none", "created_at": at, "updated_at": at}
    return document(
        Delivery(
            tenant=TENANT,
            mailbox=f"{TENANT}/alice",
            channel=Channel.EMAIL,
            category="news",
            status=status,
            priority=Priority.MEDIUM,
            **values | fields,  # type: ignore[arg-type]
        )
    )


def send(age_days: float, status: SendStatus = SendStatus.ACCEPTED) -> Json:
    at = NOW - timedelta(days=age_days)
    return document(Send(id=new_id(at), tenant=TENANT, category="news", status=status, created_at=at, recipients=1))


async def run_worker_until_gone(store: Database, servers: tuple[Mongod, Redis], collection: str, ids: set[str]) -> None:
    settings = {"mongo_database": store.name, "redis_prefix": f"{store.name}:", "scheduler_interval_s": "0.05"}
    worker = Process("work", servers[0].url, servers[1].url, **settings)
    await worker.start()
    try:

        async def are_gone() -> bool:
            return not await store[collection].count_documents({"_id": {"$in": list(ids)}})

        await eventually(are_gone)
    finally:
        await worker.stop()


async def test_old_deliveries_are_deleted_unless_they_wait(store: Database, servers: tuple[Mongod, Redis]) -> None:
    ended = [
        delivery(DELIVERIES_DAYS + 1, status)
        for status in DeliveryStatus
        if status.name in {"SENT", "DELIVERED", "READ", "FAILED", "SKIPPED", "CANCELLED", "EXPIRED"}
    ]
    old = ended + [delivery(DELIVERIES_DAYS + 1) for _ in range(BATCH_SIZE)]
    waiting = [
        delivery(DELIVERIES_DAYS + 1, status)
        for status in (
            *(DeliveryStatus.ACCEPTED, DeliveryStatus.HELD),
            DeliveryStatus.RETRYING,
            DeliveryStatus.PROCESSING,
        )
    ]
    recent = [delivery(DELIVERIES_DAYS - 1)]
    digest = delivery(DELIVERIES_DAYS + 2, digest_key="news/a")
    item = delivery(DELIVERIES_DAYS - 1, digest_id=digest["_id"])
    late_step = delivery(DELIVERIES_DAYS + 1, updated_at=NOW - timedelta(days=1))
    kept = [*waiting, *recent, digest, item, late_step]
    await store.deliveries.insert_many([*old, *kept])
    await run_worker_until_gone(store, servers, "deliveries", {doc["_id"] for doc in old})
    assert {doc["_id"] async for doc in store.deliveries.find()} == {doc["_id"] for doc in kept}


async def test_old_sends_are_deleted_after_their_notifications_and_deliveries(
    store: Database, servers: tuple[Mongod, Redis]
) -> None:
    statuses = [
        status for status in SendStatus if status.name in {"ACCEPTED", "CANCELLED", "RECALLED", "EXPIRED", "FAILED"}
    ]
    old = [send(SENDS_DAYS + 1, status) for status in statuses]
    active = [send(SENDS_DAYS + 1, status) for status in SendStatus if status not in statuses]
    recent, shown, waiting = send(SENDS_DAYS - 1), send(SENDS_DAYS + 1), send(SENDS_DAYS + 1)
    await store.notifications.insert_one(document(new_notification(TENANT, send=shown["_id"])))
    await store.deliveries.insert_one(delivery(SENDS_DAYS + 1, DeliveryStatus.HELD, send=waiting["_id"]))
    changing = send(SENDS_DAYS + 1, SendStatus.RECALLED) | {"claim": "c", "leased_until": NOW + timedelta(days=1)}
    kept = [*active, recent, shown, waiting, changing]
    await store.sends.insert_many([*old, *kept])
    await run_worker_until_gone(store, servers, "sends", {doc["_id"] for doc in old})
    assert {doc["_id"] async for doc in store.sends.find()} == {doc["_id"] for doc in kept}


async def test_counts_of_a_send_remain_after_its_deliveries_are_deleted(
    store: Database, servers: tuple[Mongod, Redis]
) -> None:
    sent = send(DELIVERIES_DAYS + 1)
    old = [
        *(delivery(DELIVERIES_DAYS + 1, send=sent["_id"]) for _ in range(BATCH_SIZE)),
        delivery(DELIVERIES_DAYS + 1, DeliveryStatus.FAILED, send=sent["_id"], reason=Reason.REFUSED),
        delivery(DELIVERIES_DAYS + 1, DeliveryStatus.FAILED, send=sent["_id"]),
        delivery(DELIVERIES_DAYS + 1, digest_key="news/a", send=""),
    ]
    late = delivery(DELIVERIES_DAYS + 1, send=sent["_id"], updated_at=NOW)
    await store.sends.insert_one(sent)
    await store.deliveries.insert_many([*old, late])
    api = Process("serve", servers[0].url, servers[1].url, mongo_database=store.name)
    await api.start()
    try:
        async with Tenant(TENANT, [api.url]) as tenant:
            before = (await tenant.execute(COUNTS, id=sent["_id"]))["send"]
            assert sorted(one["count"] for one in before["counts"]) == [2, BATCH_SIZE + 1]
            await run_worker_until_gone(store, servers, "deliveries", {doc["_id"] for doc in old})
            assert (await tenant.execute(COUNTS, id=sent["_id"]))["send"] == before
    finally:
        await api.stop()


async def test_pass_continues_behind_the_sends_that_the_last_one_read(
    store: Database, servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_records, "BATCH_SIZE", 2)
    monkeypatch.setattr(old_records, "SENDS_PER_PASS", 4)
    sends = sorted((send(SENDS_DAYS + 1) for _ in range(6)), key=lambda doc: doc["_id"])
    ids = [doc["_id"] for doc in sends]
    await store.sends.insert_many(sends)
    await store.notifications.insert_many([document(new_notification(TENANT, send=id)) for id in ids])
    async with RedisClient.from_url(servers[1].url) as redis:
        lanes = Lanes(redis, f"{store.name}:", 100)
        settings = Settings(jwt_secret="s" * 32, deliveries_days=DELIVERIES_DAYS, sends_days=SENDS_DAYS)
        passes = OldRecords(store, Notifications(store), lanes, settings, lambda: RealTime(NOW))

        async def run_pass() -> set[str]:
            await lanes.release_tick_lock("old_records")
            while await passes.tick():
                pass
            return {doc["_id"] async for doc in store.sends.find()}

        assert await run_pass() == set(ids)
        await store.notifications.delete_many({"send": {"$in": [ids[0], ids[5]]}})
        assert await run_pass() == set(ids[:5])
        assert await run_pass() == set(ids[1:5])


async def test_pass_that_failed_begins_again(servers: tuple[Mongod, Redis]) -> None:
    async with RedisClient.from_url(servers[1].url) as redis:
        lanes = Lanes(redis, f"pass{uuid4().hex[:8]}:", 100)
        passes = 0

        async def batches() -> AsyncGenerator[int, None]:
            nonlocal passes
            passes += 1
            yield 5
            if passes == 1:
                raise Unavailable("MongoDB is away.")

        hourly = HourlyPass(lanes, lambda: "pass", batches)
        assert await hourly.tick() == 5
        with pytest.raises(Unavailable):
            await hourly.tick()
        assert [await hourly.tick() for _ in range(4)] == [5, 0, 0, 0]
        assert passes == 2, "the complete pass is not repeated within the hour"


def test_sends_are_stored_at_least_as_long_as_deliveries() -> None:
    finished = run_command("doctor", jwt_secret="s" * 32, deliveries_days="30", sends_days="29")
    assert "HUB_SENDS_DAYS (29) must be at least HUB_DELIVERIES_DAYS (30)" in finished.stdout + finished.stderr
