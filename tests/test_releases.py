"""Deliveries that wait on a lane of the scheduler are released once, with the current state of everything."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from hub import utc_time
from hub.model import Channel, Delivery, DeliveryStatus, Priority, Reason, StepStop, delivery_id, document
from hub.outbox.claims import Claims, NoReceipts, Settlement
from hub.outbox.lanes import lane_of, scheduler_lane
from hub.platform.embedded_servers import Mongod, Redis
from hub.status import deliveries
from hub.utc_time import HubTime
from tests.channel_setup import FakeChannels, deployment_with_channels, list_all_deliveries
from tests.client import Json, Tenant, eventually
from tests.conftest import scaled
from tests.processes import Deployment

USERS = [f"user-{number}" for number in range(scaled(30, 100))]
KILLS = scaled(4, 30)
DELIVERIES = "query ($id: ID!) { send(id: $id) { deliveries { nodes { id step unless status reason dueAt } } } }"

Running = tuple[Deployment, Tenant, FakeChannels, Any]


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    """A deployment with two workers, and its deliveries in MongoDB."""
    mongod, redis = servers
    async with (
        deployment_with_channels(mongod.url, redis.url, workers=2, mongo_database="releases") as (
            deployment,
            tenant,
            fakes,
        ),
        AsyncMongoClient(mongod.url, tz_aware=True) as client,
    ):
        yield deployment, tenant, fakes, client["releases"][deliveries.COLLECTION]


async def hold(running: Running, *users: str, due_in_s: float = 0, **more: Any) -> list[str]:
    """Send to the inboxes, and store a second step by email that is due after a time. Return the ids."""
    _, tenant, _, stored = running
    send = (await tenant.send(*users, channels=["IN_APP"]))["send"]["id"]
    rows = (await tenant.execute(NOTIFICATIONS, id=send))["send"]["notifications"]["nodes"]
    now = utc_time.now()
    docs = [
        document(
            Delivery(
                id=delivery_id(row["id"], Channel.EMAIL, None, 1), tenant=tenant.name, notification=row["id"], send=send,
                mailbox=f"{tenant.name}/{row['userId']}", channel=Channel.EMAIL, category="news",
                status=DeliveryStatus.HELD, reason=Reason.STEP, priority=Priority.MEDIUM,
                lane=scheduler_lane(Priority.MEDIUM, tenant.name), due_at=now + timedelta(seconds=due_in_s), step=1,
                created_at=now, updated_at=now,
            )
        ) | more
        for row in rows
    ]  # fmt: skip
    await stored.insert_many(docs)
    return [doc["_id"] for doc in docs]


NOTIFICATIONS = "query ($id: ID!) { send(id: $id) { notifications(first: 100) { nodes { id userId } } } }"


async def test_held_deliveries_are_released_once_while_workers_are_killed(running: Running) -> None:
    """Each has one call more than were cut off, at most, and none is lost."""
    deployment, tenant, fakes, _ = running
    await fakes.add_addresses(tenant, *USERS, channels=["EMAIL"])
    ids: list[str] = []
    for kill in range(KILLS):
        for start in range(0, len(USERS), 100):
            ids += await hold(running, *USERS[start : start + 100])
        worker = deployment.workers[kill % 2]
        worker.kill()
        await worker.start()

    async def sent() -> bool:
        found = [d for d in await list_all_deliveries(tenant) if d["id"] in set(ids)]
        return Counter(d["status"] for d in found) == {"SENT": len(ids)}

    await eventually(sent, within_s=scaled(60, 120))
    arrivals = fakes.arrivals()
    assert set(ids) <= arrivals.keys()


async def test_delivery_that_a_worker_holds_is_released_by_the_scheduler(running: Running) -> None:
    """The worker settles it as HELD on a lane of the scheduler. It is not enqueued before its time."""
    _, tenant, fakes, stored = running
    await fakes.add_addresses(tenant, "wanda", channels=["EMAIL"])
    lane = lane_of(Channel.EMAIL, Priority.MEDIUM, tenant.name)
    [id] = await hold(running, "wanda", due_in_s=3600, status="ACCEPTED", enqueue_count=1, lane=lane)
    claims = Claims(
        stored.database,
        deliveries.COLLECTION,
        Delivery,
        lambda: HubTime(utc_time.now()),
        utc_time.now,
        60,
        NoReceipts(),
    )
    [job] = await claims.claim([id], lease_s=60)
    due_at = utc_time.now() + timedelta(seconds=1)
    held = Settlement(
        job=job, status=DeliveryStatus.HELD, reason=Reason.STEP, due_at=due_at, attempts=(), tries=0,
        lease_expirations=0, lane=scheduler_lane(Priority.MEDIUM, tenant.name),
    )  # fmt: skip
    await claims.settle([held])

    async def sent() -> bool:
        return (await stored.find_one({"_id": id}))["status"] == DeliveryStatus.SENT

    await eventually(sent)
    doc = await stored.find_one({"_id": id})
    assert doc["released_at"] >= due_at - timedelta(milliseconds=1)
    assert doc["lane"] == lane


@pytest.mark.parametrize(
    ("mark", "unless", "reason"),
    [
        ("markSeen", StepStop.SEEN, "ALREADY_SEEN"),
        ("markRead", StepStop.READ, "ALREADY_READ"),
        ("archive", StepStop.READ, "ALREADY_READ"),
        ("snooze", StepStop.SEEN, "SNOOZED"),
        ("markRead", StepStop.NEVER, None),
        ("markSeen", StepStop.READ, None),
    ],
)
async def test_release_ends_what_the_recipient_stopped(
    running: Running, mark: str, unless: StepStop, reason: str | None
) -> None:
    _, tenant, fakes, stored = running
    user = f"{mark}-{unless}".lower()
    await fakes.add_addresses(tenant, user, channels=["EMAIL"])
    [id] = await hold(running, user, due_in_s=3600, unless=unless)
    await tenant.mark(user, mark, id[:36], until="2090-01-01T00:00:00Z" if mark == "snooze" else None)
    await stored.update_one({"_id": id, "status": "HELD"}, {"$set": {"due_at": utc_time.now()}})

    async def ended() -> Json | None:
        doc: Json = await stored.find_one({"_id": id})
        return doc if doc["status"] in {"SENT", "SKIPPED"} else None

    doc = await eventually(ended)
    assert (doc["status"], doc.get("reason")) == (("SKIPPED", reason) if reason else ("SENT", None))


async def test_delivery_that_cannot_be_decoded_is_postponed(running: Running) -> None:
    """It is not at the head of its lane again and again, and the others are released."""
    _, tenant, fakes, stored = running
    await fakes.add_addresses(tenant, "uma", channels=["EMAIL"])
    [unreadable] = await hold(running, "uma", channel="PIGEON")
    [readable] = await hold(running, "uma")

    async def done() -> bool:
        postponed, released = [await stored.find_one({"_id": id}) for id in (unreadable, readable)]
        return postponed["due_at"] > utc_time.now() + timedelta(seconds=5) and released["status"] == "SENT"

    await eventually(done)
    assert (await stored.find_one({"_id": unreadable}))["status"] == "HELD"
