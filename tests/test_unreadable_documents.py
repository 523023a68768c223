"""A mailbox or notification that this version cannot decode affects its own user only."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import structlog
from aiohttp import web
from pymongo import AsyncMongoClient

from hub.inbox.inbox_reader import Inboxes
from hub.model import mailbox_of
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from hub.workflows import count_check
from hub.workflows.count_check import CountCheck
from hub.workflows.expansions import CHUNK_SIZE
from hub.workflows.snooze_and_expiry import BATCH_SIZE
from tests.broadcasts import broadcast, count_recipients, create_users, expanded
from tests.channel_setup import SHORT_TIMES, connect_webhook, wait_for_deliveries
from tests.client import FEED, Json, Tenant, eventually
from tests.clocks import hub_now
from tests.processes import SECRET, Deployment, Process
from tests.webhook_receiver import WebhookReceiver

APART = {"mongo_database": "unreadable", "redis_prefix": "unreadable:"}
BROKEN: Json = {"$unset": {"unread": ""}}
SEND_MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } } }"
RECALL = "mutation ($id: ID!) { recallSend(id: $id) { status } }"


@pytest.fixture(scope="module")
async def hub(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    mongod, redis = servers
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **SHORT_TIMES, **APART) as running:
        yield running


@pytest.fixture
async def database(servers: tuple[Mongod, Redis]) -> AsyncIterator[Any]:
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["unreadable"]


@pytest.fixture
async def tenant(hub: Deployment, database: Any) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", hub.urls) as fresh:
        yield fresh
    of_tenant = {"$regex": f"^{fresh.name}/"}
    await database.notifications.delete_many({"mailbox": of_tenant})
    await database.mailboxes.delete_many({"_id": of_tenant})


def log_lines(process: Process, event: str, tenant: Tenant) -> list[Json]:
    lines = [json.loads(line) for line in process.log.splitlines() if f'"event": "{event}"' in line]
    return [line for line in lines if tenant.name in json.dumps(line)]


async def break_mailbox(database: Any, tenant: Tenant, user: str) -> None:
    assert (await database.mailboxes.update_one({"_id": f"{tenant.name}/{user}"}, BROKEN)).modified_count == 1


async def repair_mailbox(database: Any, tenant: Tenant, user: str, unread: int) -> None:
    await database.mailboxes.update_one({"_id": f"{tenant.name}/{user}"}, {"$set": {"unread": unread}})


async def titles(tenant: Tenant, user: str) -> list[str]:
    return [node["title"] for node in (await tenant.inbox(user))["nodes"]]


async def test_send_to_unreadable_mailbox_fails_alone_with_a_clear_error(
    tenant: Tenant, hub: Deployment, database: Any
) -> None:
    await tenant.send("ann", title="Before")
    await break_mailbox(database, tenant, "ann")

    def send_to(*users: str) -> Json:
        return {"to": {"users": list(users)}, "category": "news", "content": {"title": "Hello", "body": ""}}

    inputs = [send_to(f"u{n}") for n in range(20)]
    inputs[7] = send_to("ann", "dave")
    response = await tenant.execute_raw(SEND_MANY, inputs=inputs)
    results = response["data"]["sendMany"]
    assert [index for index, result in enumerate(results) if result is None] == [7]
    [error] = response["errors"]
    assert error["path"] == ["sendMany", 7]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert '"ann"' in error["message"]
    assert "dave" not in error["message"]
    [line] = log_lines(hub.apis[0], "internal_error", tenant)
    assert (line["level"], line["request_id"]) == ("error", error["extensions"]["requestId"])
    assert f"{tenant.name}/ann" in line["exception"]
    for n in range(20):
        if n != 7:
            assert await titles(tenant, f"u{n}") == ["Hello"]
    assert not await database.notifications.find_one({"mailbox": f"{tenant.name}/dave"})
    await repair_mailbox(database, tenant, "ann", 1)
    await tenant.send("ann", "dave", title="After")
    assert await titles(tenant, "ann") == ["After", "Before"]


async def test_batch_of_deliveries_with_an_unreadable_mailbox_reaches_the_others(tenant: Tenant, database: Any) -> None:
    people = [f"u{n}" for n in range(6)]
    async with WebhookReceiver() as receiver:
        await connect_webhook(tenant, receiver, *people)
        receiver.default_response = lambda _, times: 0.0 if times > 1 else web.Response(status=503)
        await tenant.send(*people, channels=["IN_APP", "WEBHOOK"])
        retrying = {"tenant": tenant.name, "status": "RETRYING"}
        await eventually(lambda: database.deliveries.find_one({**retrying, "mailbox": f"{tenant.name}/u3"}))
        await break_mailbox(database, tenant, "u3")
        await wait_for_deliveries(tenant, "DELIVERED", 5)

        async def unreadable() -> bool:
            delivery = await database.deliveries.find_one({"mailbox": f"{tenant.name}/u3"})
            return (delivery["status"], delivery.get("reason")) == ("FAILED", "UNREADABLE")

        await eventually(unreadable)


async def test_subscriptions_that_share_a_query_with_an_unreadable_mailbox_open(tenant: Tenant, database: Any) -> None:
    users = [f"u{n}" for n in range(30)]
    await tenant.send(*users)
    positions = {user: (await tenant.inbox(user))["position"] for user in users}
    await break_mailbox(database, tenant, "u3")

    async def first_event(user: str) -> Json:
        async with tenant.socket(user) as socket:
            await socket.write(
                {"id": "1", "type": "subscribe", "payload": {"query": FEED, "variables": {"after": positions[user]}}}
            )
            await asyncio.sleep(0.5)
            await tenant.execute("mutation { markAllRead { changed } }", user=user) if user != "u3" else None
            return await asyncio.wait_for(socket.read(), 10)

    events = dict(zip(users, await asyncio.gather(*map(first_event, users)), strict=True))
    for user, event in events.items():
        if user == "u3":
            assert "INTERNAL_SERVER_ERROR" in json.dumps(event)
        else:
            assert event["payload"]["data"]["inbox"]["kind"] == "ALL_READ", event


async def test_due_notifications_that_cannot_be_decoded_do_not_delay_others_and_are_retried_slowly(
    tenant: Tenant, hub: Deployment, database: Any
) -> None:
    """More of them than one batch, the longest overdue, and some in a mailbox that cannot be decoded."""
    await tenant.fill_inbox("ann", BATCH_SIZE + 100)
    await tenant.fill_inbox("cat", 5)
    past = datetime.now(UTC) - timedelta(hours=1)
    await break_mailbox(database, tenant, "cat")
    await database.notifications.update_many({"mailbox": f"{tenant.name}/cat"}, {"$set": {"wake_at": past}})
    spoilt = {"wake_at": past, "created_at": "yesterday"}
    await database.notifications.update_many({"mailbox": f"{tenant.name}/ann"}, {"$set": spoilt})
    expires_at = datetime.now(UTC) + timedelta(seconds=1)
    await tenant.send("bob", title="Short", expiresAt=expires_at.isoformat())

    async def expired() -> bool:
        return not await titles(tenant, "bob")

    await eventually(expired)
    [worker] = hub.workers
    await asyncio.sleep(2)
    due = {"mailbox": {"$regex": f"^{tenant.name}/"}, "wake_at": {"$lte": datetime.now(UTC)}}
    assert await database.notifications.count_documents(due) == 0
    assert len([line for line in worker.log.splitlines() if '"event": "notifications_postponed"' in line]) <= 4
    assert worker.running
    await repair_mailbox(database, tenant, "cat", 5)


async def test_recall_removes_what_it_can_and_resumes_for_an_unreadable_mailbox(
    tenant: Tenant, hub: Deployment, database: Any
) -> None:
    """The notification of carol cannot be decoded, nor can the mailbox of ann."""
    send = (await tenant.send("ann", "bob", "carol"))["send"]["id"]
    await break_mailbox(database, tenant, "ann")
    carol = {"mailbox": f"{tenant.name}/carol"}
    created_at = (await database.notifications.find_one(carol))["created_at"]
    await database.notifications.update_one(carol, {"$set": {"created_at": "yesterday"}})
    async with asyncio.timeout(60):
        assert (await tenant.execute(RECALL, id=send))["recallSend"]["status"] == "RECALLED"
    assert await titles(tenant, "bob") == []
    assert log_lines(hub.apis[0], "document_unreadable", tenant)
    await repair_mailbox(database, tenant, "ann", 1)
    await database.notifications.update_one(carol, {"$set": {"created_at": created_at}})
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    interrupted = {"_id": send, "leased_until": {"$exists": True}}
    assert (await database.sends.update_one(interrupted, {"$set": {"leased_until": long_ago}})).matched_count == 1

    async def finished() -> bool:
        return not await database.sends.find_one(interrupted)

    await eventually(finished)
    assert await titles(tenant, "ann") == await titles(tenant, "carol") == []


async def test_recount_continues_after_an_unreadable_mailbox(
    tenant: Tenant, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recount picks mailboxes at random. It runs in the process of the test, which waits less between two."""
    monkeypatch.setattr(count_check, "CHECK_EVERY_S", 0.01)
    await tenant.send("ann", "bob")
    await break_mailbox(database, tenant, "ann")
    await database.mailboxes.update_one({"_id": f"{tenant.name}/bob"}, {"$inc": {"unread": 1}})
    with structlog.testing.capture_logs() as log:
        inboxes = Inboxes(database, Settings(jwt_secret=(SECRET,)), hub_now)
        recounting = asyncio.create_task(CountCheck(inboxes).run())

        async def bob_was_recounted_after_a_failure() -> bool:
            events = [one["event"] for one in log]
            return "recount_failed" in events and "counts_drifted" in events[events.index("recount_failed") :]

        await eventually(bob_was_recounted_after_a_failure)
        recounting.cancel()


async def test_send_to_everyone_leaves_out_users_that_cannot_be_decoded(
    tenant: Tenant, hub: Deployment, database: Any
) -> None:
    """All users of the first chunk, so its checkpoint must move behind them."""
    users = [f"u{number:03}" for number in range(CHUNK_SIZE + 3)]
    await create_users(tenant, users)
    broken = {"_id": {"$in": [mailbox_of(tenant.name, user) for user in users[: CHUNK_SIZE + 1]]}}
    await database.users.update_many(broken, {"$unset": {"updated_at": ""}})
    id = (await broadcast(tenant))["id"]
    ended = await expanded(tenant, id)
    assert (ended["status"], ended["recipients"]) == ("ACCEPTED", 2)
    assert await count_recipients(tenant, id) == Counter(users[CHUNK_SIZE + 1 :])
    events = [json.loads(line) for line in hub.workers[0].log.splitlines() if id in line]
    counts = [event["recipients"] for event in events if event["event"] == "expansion_recipients_left_out"]
    assert counts == [CHUNK_SIZE, 1]
