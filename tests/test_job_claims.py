"""A job is settled only by the worker whose claim is still valid."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from hub import utc_time
from hub.bench.seed import create_deliveries
from hub.model import Attempt, Delivery, DeliveryStatus
from hub.outbox import claims as module
from hub.outbox.claims import Claims, NoReceipts, Settlement
from hub.outbox.restored_jobs import hold_jobs
from hub.outbox.retry_delay import job_indexes
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis

JOBS = module.STATEMENTS_PER_COMMAND + 5  # several commands


async def _claim(database: Database, url: str, count: int) -> tuple[Claims[Delivery], list[Settlement[Delivery]]]:
    """Claim new deliveries of a database of their own. Return their settlements as SENT."""
    await asyncio.to_thread(create_deliveries, url, database.name, count, "http://127.0.0.1:1/")
    clock: Any = utc_time.now
    claims = Claims(database, "deliveries", Delivery, clock, utc_time.now, 60, NoReceipts())
    ids = [doc["_id"] async for doc in database.deliveries.find({}, {"_id": 1})]
    jobs = await claims.claim(ids, lease_s=60)
    return claims, [_sent(job) for job in jobs]


def _sent(job: Delivery) -> Settlement[Delivery]:
    attempt = Attempt(at=utc_time.now(), provider="null", ok=True, ms=1)
    return Settlement(
        job=job, status=DeliveryStatus.SENT, reason=None, due_at=None, attempts=(attempt,), tries=1,
        lease_expirations=0, provider_id="message-1",
    )  # fmt: skip


@pytest.fixture
async def other(database: Database) -> Any:
    """A database of its own."""
    name = f"claims-{uuid4().hex[:8]}"
    yield database.client[name]
    await database.client.drop_database(name)


async def test_settled_jobs_keep_their_other_fields(servers: tuple[Mongod, Redis], other: Database) -> None:
    """A field that this version does not have is kept, and what belongs to the claim is removed."""
    claims, settlements = await _claim(other, servers[0].url, JOBS)
    await other.deliveries.update_many({}, {"$set": {"of_a_later_version": {"list": [1, None]}}})
    assert len(await claims.settle(settlements)) == JOBS
    async for doc in other.deliveries.find():
        assert doc["of_a_later_version"] == {"list": [1, None]}
        assert (doc["status"], doc["tries"], doc["provider_id"]) == ("SENT", 1, "message-1")
        assert [attempt["provider"] for attempt in doc["attempts"]] == ["null"]
        assert doc.keys().isdisjoint({*module.CLAIM_FIELDS, "outcome", "due_at", "reason", "lease_expirations"})
        assert doc["mailbox"].startswith("tenant-")
    assert await other.deliveries.count_documents({}) == JOBS
    assert await claims.settle(settlements) == []  # their claims are gone


async def test_settlement_that_is_repeated_after_it_was_recorded_is_applied_once(
    servers: tuple[Mongod, Redis], other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB fails after the transaction. The repeated settlement is reported to the caller, and the settlement of an
    expired lease is not. A restore does not hold such jobs: they were sent."""
    claims, settlements = await _claim(other, servers[0].url, 2)

    async def fail(*_: Any) -> None:
        raise AutoReconnect

    with monkeypatch.context() as failing, pytest.raises(AutoReconnect):
        failing.setattr(claims, "_apply_outcomes", fail)
        await claims.settle(settlements)
    recorded = [doc async for doc in other.deliveries.find()]
    assert {(doc["status"], doc["outcome"]["status"]) for doc in recorded} == {("PROCESSING", "SENT")}
    await other.deliveries.create_indexes(job_indexes())
    assert await hold_jobs(other.deliveries, utc_time.now(), {}) == 0
    expired = replace(settlements[1], status=DeliveryStatus.ACCEPTED, due_at=utc_time.now(), lease_expirations=1)
    assert await claims.settle([settlements[0], expired]) == [settlements[0]]
    async for doc in other.deliveries.find():
        assert (doc["status"], doc["tries"], doc.get("outcome"), doc.get("claim")) == ("SENT", 1, None, None)


async def test_job_that_another_worker_claims_during_the_settlement_is_not_settled(
    servers: tuple[Mongod, Redis], other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other claim is committed after the transaction has read the job, and before it writes the job."""
    claims, settlements = await _claim(other, servers[0].url, 3)
    lost = settlements[1].job.id
    apply_changes = module._apply_changes
    taken: list[str] = []

    def take_over(settlement: Settlement[Delivery], *rest: Any) -> Settlement[Delivery]:
        if not taken:
            with MongoClient[dict[str, Any]](servers[0].url) as client:
                client[other.name].deliveries.update_one({"_id": lost}, {"$set": {"claim": "of another worker"}})
            taken.append(lost)
        return apply_changes(settlement, *rest)

    monkeypatch.setattr(module, "_apply_changes", take_over)
    settled = await claims.settle(settlements)
    assert taken
    assert [one.job.id for one in settled] == [one.job.id for one in settlements if one.job.id != lost]
    left = [doc async for doc in other.deliveries.find({"status": "PROCESSING"})]
    assert [(doc["_id"], doc["claim"]) for doc in left] == [(lost, "of another worker")]
