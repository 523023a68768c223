"""Replays and cancellations of many deliveries: their rate, their progress, and that they survive restarts."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import orjson
import pytest
from aiohttp import web
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.status.delivery_batches import BATCH_SIZE, STEP_S
from tests.channel_setup import SHORT_TIMES, connect_webhook, list_deliveries, wait_for_deliveries
from tests.cli_commands import base_url, run_command
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.conftest import scaled
from tests.processes import SECRET, Deployment
from tests.webhook_receiver import WebhookReceiver

DATABASE = "delivery_batches"
MANY = scaled(2 * BATCH_SIZE + 100, 10 * BATCH_SIZE)
REPLAY = """mutation ($f: DeliveryFilter, $rate: Int, $note: String) {
  replay(filter: $f, perMinute: $rate, note: $note) }"""
CANCEL = "mutation ($f: DeliveryFilter!, $note: String) { cancelDeliveries(filter: $f, note: $note) }"
STOP = "mutation ($id: ID!) { stopDeliveryBatch(id: $id) }"
BATCHES = "{ deliveryBatches { id action startedAt note perMinute total done endedAt stopped } }"
AUDIT = "{ auditLog(first: 10) { nodes { action target changes } } }"
LATER = [{"channels": ["EMAIL"], "after": "P1D"}]


@pytest.fixture(scope="module")
async def deployment(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    settings = {**SHORT_TIMES, "retry_schedule": "0s", "mongo_database": DATABASE, "redis_prefix": "batches:"}
    async with Deployment(servers[0].url, servers[1].url, apis=1, workers=1, **settings) as running:
        yield running


@pytest.fixture
async def tenant(deployment: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis]) -> AsyncIterator[Database]:
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client[DATABASE]


async def add_copies(store: Database, id: str, count: int) -> list[str]:
    """Store `count` copies of a delivery, and return all ids."""
    one = await store.deliveries.find_one({"_id": id})
    assert one
    copies = [{**one, "_id": f"0-{uuid4()}-copy", "notification": str(uuid4())} for _ in range(count)]
    await store.deliveries.insert_many(copies, ordered=False)
    return [id, *(copy["_id"] for copy in copies)]


async def add_failures(tenant: Tenant, store: Database, count: int) -> list[str]:
    async with WebhookReceiver() as receiver:
        await connect_webhook(tenant, receiver, "alice")
        receiver.default_response = lambda *_: web.Response(status=413)
        await tenant.send("alice", channels=["WEBHOOK"])
        [failed] = await wait_for_deliveries(tenant, "FAILED")
    return await add_copies(store, failed["id"], count - 1)


async def batches(tenant: Tenant) -> list[Json]:
    found: list[Json] = (await tenant.execute(BATCHES))["deliveryBatches"]
    return found


async def test_large_replay_is_completed_although_workers_are_killed(
    deployment: Deployment, tenant: Tenant, store: Database
) -> None:
    ids = await add_failures(tenant, store, MANY)
    [worker] = deployment.workers
    worker.kill()
    assert (await tenant.execute(REPLAY, f={}, note="The receiver is back."))["replay"] == MANY
    [batch] = await batches(tenant)
    assert (batch["action"], batch["note"], batch["perMinute"]) == ("REPLAY", "The receiver is back.", None)
    assert (batch["total"], batch["done"], batch["endedAt"], batch["stopped"]) == (MANY, BATCH_SIZE, None, False)
    refused = {"_id": {"$in": ids}, "status": "FAILED", "reason": "REFUSED"}
    assert await store.deliveries.count_documents(refused) == MANY - BATCH_SIZE
    await worker.start()
    worker.kill()
    await worker.start()

    async def ended() -> bool:
        [batch] = await batches(tenant)
        return batch["endedAt"] is not None

    await eventually(ended, 120)
    assert await store.deliveries.count_documents(refused) == 0
    assert (await batches(tenant))[0]["done"] <= MANY
    [stored] = await store.delivery_batches.find({"tenant": tenant.name}).to_list()
    assert not {"query", "due_at"} & stored.keys()


async def test_replay_with_a_rate_is_not_faster_and_can_be_stopped(tenant: Tenant, store: Database) -> None:
    rate, count = 600, 150
    per_step = rate * STEP_S // 60
    ids = await add_failures(tenant, store, count)
    began = time.monotonic()
    assert (await tenant.execute(REPLAY, f={}, rate=rate))["replay"] == count

    async def ended() -> bool:
        [batch] = await batches(tenant)
        steps = (time.monotonic() - began) / STEP_S + 2  # the first step, and the time that it may catch up
        assert batch["done"] <= steps * per_step
        return batch["endedAt"] is not None

    assert not await ended()
    assert (await batches(tenant))[0]["done"] >= per_step
    await eventually(ended, 120)
    assert (await batches(tenant))[0]["done"] == count
    await store.deliveries.update_many({"_id": {"$in": ids}}, {"$set": {"status": "FAILED", "reason": "REFUSED"}})

    assert (await tenant.execute(REPLAY, f={"userId": "alice"}, rate=1))["replay"] == count
    [running, _] = await batches(tenant)
    assert (await tenant.execute(STOP, id=running["id"]))["stopDeliveryBatch"] is True
    assert (await tenant.execute(STOP, id=running["id"]))["stopDeliveryBatch"] is False
    [stopped, _] = await batches(tenant)
    assert (stopped["stopped"], stopped["done"], stopped["endedAt"] is None) == (True, 1, False)
    assert await store.deliveries.count_documents({"_id": {"$in": ids}, "reason": "REFUSED"}) >= count - 1
    log = (await tenant.execute_as_admin(AUDIT))["auditLog"]["nodes"]
    assert [entry["action"] for entry in log[:3]] == ["stopDeliveryBatch", "stopDeliveryBatch", "replay"]
    assert (log[2]["target"], log[2]["changes"]) == ("alice", {"perMinute": 1})


async def test_deliveries_that_wait_are_cancelled_by_a_filter(tenant: Tenant, store: Database) -> None:
    users = [{"id": "alice", "email": "alice@people.example"}]
    await tenant.execute("mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }", users=users)
    for category in ("offers", "news"):
        await tenant.send("alice", channels=["IN_APP"], steps=LATER, category=category)
    held = await wait_for_deliveries(tenant, "HELD", 2)
    by_category = {doc["category"]: doc["_id"] async for doc in store.deliveries.find({"tenant": tenant.name})}
    assert set(by_category.values()) == {one["id"] for one in held}
    ids = await add_copies(store, by_category["offers"], MANY)
    filter = {"category": "offers"}
    assert (await tenant.execute(CANCEL, f=filter | {"statuses": ["RETRYING"]}))["cancelDeliveries"] == 0
    for failed in ({"failedSince": "2026-01-01T00:00:00Z"}, {"failedUntil": "2099-01-01T00:00:00Z"}):
        assert (await tenant.execute(CANCEL, f=filter | failed))["cancelDeliveries"] == 0, "none of them has failed"
    assert (await tenant.execute(CANCEL, f=filter | {"statuses": ["SENT"]}))["cancelDeliveries"] == 0
    assert (await tenant.execute(CANCEL, f=filter, note="The offer is over."))["cancelDeliveries"] == len(ids)

    async def cancelled() -> bool:
        match = {"_id": {"$in": ids}, "status": "CANCELLED", "reason": "CANCELLED"}
        return await store.deliveries.count_documents(match) == len(ids)

    await eventually(cancelled, 120)
    [one] = await wait_for_deliveries(tenant, "HELD")
    assert one["id"] == by_category["news"]
    [batch] = await batches(tenant)
    assert (batch["action"], batch["total"], batch["note"]) == ("CANCEL", len(ids), "The offer is over.")


async def test_invalid_options_are_refused_and_other_tenants_have_other_batches(
    deployment: Deployment, tenant: Tenant, store: Database
) -> None:
    for rate in (0, -1, 60_001):
        with pytest.raises(GraphQLErrors, match="perMinute"):
            await tenant.execute(REPLAY, f={}, rate=rate)
    with pytest.raises(GraphQLErrors, match="includeDecided"):
        await tenant.execute(CANCEL, f={"includeDecided": True, "userId": "alice"})
    await add_failures(tenant, store, 3)
    assert (await tenant.execute(REPLAY, f={}, rate=1))["replay"] == 3
    [batch] = await batches(tenant)
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as other:
        assert await batches(other) == []
        assert (await other.execute(STOP, id=batch["id"]))["stopDeliveryBatch"] is False
    assert (await batches(tenant))[0]["endedAt"] is None


async def test_commands_replay_with_a_rate_list_stop_and_cancel(
    deployment: Deployment, tenant: Tenant, store: Database
) -> None:
    await add_failures(tenant, store, 3)
    await tenant.send("bob", channels=["WEBHOOK"], steps=[{"channels": ["WEBHOOK"], "after": "P1D"}])
    target = ["--url", base_url(deployment), "--tenant", tenant.name]

    async def run(*arguments: str, code: int = 0) -> str:
        done = await asyncio.to_thread(run_command, *arguments, *target, jwt_secret=SECRET)
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    assert "3 deliveries will be sent again, at most 1 per minute." in await run(
        "replay", "--all", "--per-minute", "1", "--note", "Slowly."
    )
    [batch] = orjson.loads(await run("batches", "list"))
    assert (batch["note"], batch["done"], batch["total"]) == ("Slowly.", 1, 3)
    assert await run("batches", "stop", batch["id"]) == "Stopped.\n"
    assert "1 of 3" in await run("batches", "list", "--output", "table")
    assert "does not run" in await run("batches", "stop", batch["id"], code=1)
    assert "--per-minute: choose" in await run("replay", "some-id", "--per-minute", "1", code=2)
    assert "Choose what to cancel" in await run("cancel", code=2)
    assert await run("cancel", "--user", "bob", "--dry-run") == "1 delivery would be canceled.\n"
    assert await run("cancel", "--user", "bob", "--note", "Left.") == "1 delivery is canceled.\n"
    assert len(await list_deliveries(tenant, userId="bob", statuses=["CANCELLED"])) == 1
