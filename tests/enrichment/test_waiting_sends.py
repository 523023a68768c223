"""Sends that are PREPARING while something is missing: a worker, Redis, an encryption key, or space under a limit."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from aiohttp import web
from pymongo import AsyncMongoClient

from hub.enrichment.cache import ENTRIES_MAX
from hub.model import Priority
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.status import sends
from hub.status.scheduled_sends import LATE_PER_TENANT, ScheduledSends
from hub.workflows.prepare_sends import BATCH_SIZE
from hub.workflows.start_expansion import EXPANSIONS_MAX
from tests.channel_setup import UPSERT_USERS
from tests.client import Json, eventually
from tests.enrichment_setup import PAST, SENT, TEXT, Enriched, enriching, held
from tests.graphql_errors import expect_error
from tests.processes import Deployment
from tests.webhook_receiver import WebhookReceiver

EXPORT = "mutation ($id: ID!) { exportUser(id: $id) }"


async def test_sends_that_are_preparing_count_toward_the_limit_of_expansions(shop: Enriched, store: Database) -> None:
    """Sends to named users do not count. A send that exceeds the limit after its call does not fail: it waits, and keeps
    the answer."""
    await shop.set_up()
    release = shop.hold(SENT)
    everyone = {"to": {"everyone": True}}
    id = (await shop.send_order(**everyone))["send"]["id"]
    await shop.called(id)
    ids = [f"{shop.name}-{n}" for n in range(EXPANSIONS_MAX)]
    documents = [{"_id": id, "tenant": shop.name, "status": "EXPANDING"} for id in ids]
    await store.sends.insert_many(documents[1:])
    plain = {"category": "plain", "template": None, "content": TEXT}
    for more in ({}, plain):
        assert (await expect_error(shop.send_order(**everyone, **more)))[0] == "RATE_LIMITED"
    named = (await shop.send_order("ann"))["send"]
    assert named["status"] == "PREPARING"
    await store.sends.insert_one(documents[0])
    release.set()
    await held(store, id, "RATE_LIMITED")
    await store.sends.update_one({"_id": id}, {"$set": {"prepare_by": PAST}})
    has_more_time = {"_id": id, "status": "PREPARING", "prepare_by": {"$gt": PAST}}
    await eventually(lambda: store.sends.find_one(has_more_time))
    assert (await shop.prepared(named["id"]))["title"] == "Order 7: shipped"
    await store.sends.delete_many({"_id": {"$in": ids}})
    await store.enrichment_jobs.update_one({"_id": id}, {"$set": {"due_at": PAST}})
    assert (await shop.prepared(id))["title"] == "Order 7: shipped"
    assert len(shop.receiver.received_at[id]) == 1, "the answer was kept"


async def test_stopped_worker_does_not_use_up_the_tries(shop: Enriched, running: Deployment, store: Database) -> None:
    """The category allows two."""
    await shop.set_up(onFailure="RETRY", timeout="PT30S")
    shop.hold(SENT)
    id = (await shop.send_order("ann"))["send"]["id"]
    await shop.called(id)
    [worker] = running.workers
    assert await worker.stop(within_s=60) == 0
    [stopped] = [job async for job in store.enrichment_jobs.find({"_id": id})]
    assert (stopped["status"], stopped["attempts"][-1]["error"]) == ("ACCEPTED", "the worker was stopped")
    answers = iter([web.Response(status=503), web.json_response(SENT)])
    shop.receiver.responses[shop.path] = lambda *_: next(answers)
    await worker.start()
    assert (await shop.prepared(id))["status"] == "ACCEPTED"
    assert len(shop.receiver.received_at[id]) == 3


async def test_send_waits_for_the_key_of_its_secret(shop: Enriched, store: Database) -> None:
    """It does not count as a failed call, so it does not fail."""
    await shop.set_up(onFailure="FAIL")
    shop.answer(SENT)
    before = await store.tenants.find_one({"_id": shop.name}) or {}
    lost = {"enrichment_secrets.0.secrets": [f"v1.gone.{'A' * 40}"], "enrichment_secrets.0.encrypted_with": "gone"}
    await store.tenants.update_one({"_id": shop.name}, {"$set": lost, "$inc": {"version": 1}})
    assert "does not contain the key `gone`" in (await shop.simulated(enrich=True))["note"]
    id = (await shop.send_order("ann"))["send"]["id"]
    await held(store, id, "RATE_LIMITED")
    [job] = [job async for job in store.enrichment_jobs.find({"_id": id})]
    assert (job["attempts"][0]["error"], job.get("tries")) == ("CredentialUnavailable", None)
    secrets = {"enrichment_secrets": before["enrichment_secrets"]}
    await store.tenants.update_one({"_id": shop.name}, {"$set": secrets, "$inc": {"version": 1}})
    assert (await shop.prepared(id))["title"] == "Order 7: shipped"


async def test_full_cache_stores_no_more_answers(shop: Enriched, store: Database) -> None:
    await shop.set_up(ttl="PT1H")
    shop.answer(SENT)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    entry = {"tenant": shop.name, "category": "orders", "expires_at": tomorrow}
    await store.enrichment_cache.insert_many([{"_id": f"{shop.name}-{n}", **entry} for n in range(ENTRIES_MAX)])
    for _ in range(2):
        id = (await shop.send_order("ann"))["send"]["id"]
        assert (await shop.prepared(id))["title"] == "Order 7: shipped"
        assert len(shop.receiver.received_at[id]) == 1
    assert await store.enrichment_cache.count_documents({"tenant": shop.name}) == ENTRIES_MAX
    assert (await shop.execute_as_admin('mutation { deleteCategory(key: "orders") }'))["deleteCategory"]
    assert await store.enrichment_cache.count_documents({"tenant": shop.name}) == 0


async def test_export_lists_answers_that_name_the_user_in_any_form(shop: Enriched, store: Database) -> None:
    """As an escaped text, as a key, and as a number."""
    await shop.set_up(ttl="PT1H")
    text = '{"state": "shipped", "ids": [7, 42 ], "b\\u0065n": {"next": 5}, "n": 1.8}'
    shop.receiver.responses[shop.path] = lambda *_: web.Response(text=text, content_type="application/json")
    users = {"7": 1, "42": 1, "5": 1, "ben": 1, "2": 0, "8": 0, "be": 0}
    await shop.execute(UPSERT_USERS, users=[{"id": user} for user in users])
    await shop.prepared((await shop.send_order("ann"))["send"]["id"])
    await eventually(lambda: store.enrichment_cache.find_one({"tenant": shop.name, "answer": {"$exists": True}}))
    exports = [(await shop.execute_as_admin(EXPORT, id=user))["exportUser"] for user in users]
    assert [len(found["enrichmentAnswers"]) for found in exports] == list(users.values())
    assert await shop.titles("ann") == ["Order 7: shipped"]


async def test_redis_away_while_sends_are_preparing(
    servers: tuple[Mongod, Redis], receiver: WebhookReceiver, tmp_path: Path
) -> None:
    """A call that has begun publishes its send, one that must not go without its answer waits for Redis, and a late one
    goes without."""
    redis = Redis(tmp_path)
    await redis.start()
    try:
        async with enriching((servers[0], redis)) as running, Enriched(running, receiver) as shop:
            await shop.set_up(onFailure="FAIL", timeout="PT30S")
            await shop.enrich("loose")
            release = shop.hold(SENT)
            begun = (await shop.send_order("ann"))["send"]["id"]
            await shop.called(begun)
            await redis.stop()
            strict = (await shop.send_order("ann"))["send"]["id"]
            late = (await shop.send_order("ann", category="loose", template=None, content=TEXT))["send"]["id"]
            async with AsyncMongoClient[Json](servers[0].url) as client:
                found = client[running.apis[0].environment["HUB_MONGO_DATABASE"]].sends
                await found.update_one({"_id": late}, {"$set": {"prepare_by": PAST}})
            release.set()
            assert (await shop.prepared(late, 40))["title"] == "Text"
            assert (await shop.prepared(begun, 40))["title"] == "Order 7: shipped"
            assert (await shop.get(strict))["status"] == "PREPARING"
            await redis.start()
            assert (await shop.prepared(strict, 60))["title"] == "Order 7: shipped"
            assert [len(receiver.received_at[id]) for id in (begun, late, strict)] == [1, 0, 1]
    finally:
        await redis.stop()


async def test_tenants_take_turns_with_late_sends(servers: tuple[Mongod, Redis]) -> None:
    """A tenant has no more than its share of a batch, and the next batch begins after the last tenant."""
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True) as client:
        store = client[f"late{uuid4().hex[:8]}"]
        await store.sends.create_indexes(sends.indexes()["sends"])
        late = {"status": "PREPARING", "priority": "LOW", "prepare_by": PAST, "scheduled": {"users": [], "request": ""}}
        counts = {"a": 3 * BATCH_SIZE, "b": 3 * BATCH_SIZE, "c": 1}
        await store.sends.insert_many(
            [
                {"_id": f"{tenant}{n}", "tenant": tenant, **late}
                for tenant, count in counts.items()
                for n in range(count)
            ]
        )
        scheduled = ScheduledSends(store)
        batches = [await scheduled.list_late(datetime.now(UTC), [Priority.LOW], BATCH_SIZE) for _ in range(2)]
        first, second = [Counter(send.tenant for send in found) for found, _ in batches]
        await client.drop_database(store.name)
    assert first == {"a": LATE_PER_TENANT, "b": LATE_PER_TENANT}
    assert second == {"c": 1, "a": LATE_PER_TENANT, "b": BATCH_SIZE - LATE_PER_TENANT - 1}
