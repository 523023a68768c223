"""Export and erasure of the data of a user."""

import asyncio
import json
import secrets
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from hub.model import Role
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import SHORTEST_PAUSE_S, GraphQLErrors, Json, Replica, Tenant, eventually
from tests.conftest import scaled
from tests.device_calls import CONNECT_WEBHOOK, REGISTER_MOBILE_DEVICE, new_browser, register
from tests.graphql_errors import expect_error
from tests.inbox_watchers import retry_until_answered
from tests.mongo_assertions import stored_receipts
from tests.preference_calls import UPDATE_PREFERENCES
from tests.processes import Process

EXPORT = "mutation ($id: ID!) { exportUser(id: $id) }"
DELETE = "mutation ($id: ID!) { deleteUser(id: $id) }"
ME = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"


async def delete(tenant: Tenant, user: str, url: str | None = None) -> bool:
    removed: bool = (await tenant.execute_as_admin(DELETE, id=user, url=url))["deleteUser"]
    return removed


async def documents_about(database: Database, tenant: Tenant, user: str) -> dict[str, list[Json]]:
    """Return every document that names the user."""
    key = f"{tenant.name}/{user}"
    expected = {"$or": [{"_id": key}, {"mailbox": key}, {"tenant": tenant.name, "rows.u": user}]}
    names = await database.list_collection_names()
    found = {name: await database[name].find(expected).to_list() for name in names if not name.startswith("system.")}
    return {name: docs for name, docs in found.items() if docs}


async def create_data(tenant: Tenant, user: str, database: Database) -> None:
    """Create data of every kind."""
    await tenant.define_category("news")
    fields = {"id": user, "email": f"{user}_x@example.org", "attributes": {"plan": "gold"}}
    await tenant.execute(ME, users=[fields])
    await register(tenant, user, input=new_browser(label="Firefox"))
    await register(tenant, user, REGISTER_MOBILE_DEVICE, input={"platform": "fcm", "token": secrets.token_hex(80)})
    await register(tenant, user, CONNECT_WEBHOOK, at="https://hooks.example/mine")
    off = {"channels": [{"channel": "EMAIL", "enabled": False}]}
    await tenant.execute(UPDATE_PREFERENCES, user=user, input=off)
    sent = await tenant.send(user, title="First", data={"order": 1}, channels=["IN_APP", "EMAIL"])
    await tenant.send(user, title="Hidden", channels=["EMAIL"])
    [n] = (await tenant.inbox(user))["nodes"]
    await tenant.mark(user, "markRead", n["id"])
    key = f"{tenant.name}/{user}"
    await database.users.update_one({"_id": key}, {"$set": {"suppressed": {f"{user}_x@example.org": "BOUNCED"}}})
    delivery = {
        "_id": f"{n['id']}-webhook",
        "tenant": tenant.name,
        "notification": n["id"],
        "send": sent["send"]["id"],
        "mailbox": key,
        "channel": "WEBHOOK",
        "category": "news",
        "status": "SENT",
        "priority": "MEDIUM",
        "created_at": datetime.now(UTC),
        "updated_at": datetime.now(UTC),
    }
    await database.deliveries.insert_one(delivery)


async def test_export_contains_all_stored_data_and_no_secret(tenant: Tenant, database: Database) -> None:
    await create_data(tenant, "alice", database)
    received = (await tenant.execute_as_admin(EXPORT, id="alice"))["exportUser"]
    assert (received["id"], received["complete"]) == ("alice", True)
    assert received["profile"]["email"] == "alice_x@example.org"
    assert received["profile"]["attributes"] == {"plan": "gold"}
    assert received["suppressed"] == [{"address": "alice_x@example.org", "reason": "BOUNCED"}]
    assert [device["kind"] for device in received["devices"]] == ["WEB_PUSH", "MOBILE_PUSH", "WEBHOOK"]
    assert received["preferences"] == {"channels": {"EMAIL": False}}
    assert received["inbox"] == {"unread": 0, "unseen": 0}
    assert [n["title"] for n in received["notifications"]] == ["First", "Hidden"]
    assert received["notifications"][0]["data"] == {"order": 1}
    assert received["notifications"][0]["readAt"]
    assert [delivery["channel"] for delivery in received["deliveries"]] == ["WEBHOOK"]
    assert {"READ", "SEEN", "DELIVERY"} == {receipt["kind"] for receipt in received["receipts"]}
    doc = await database.users.find_one({"_id": f"{tenant.name}/alice"})
    assert doc
    text = json.dumps(received)
    for device in doc["devices"]:
        for name in ("p256dh", "auth", "token", "secret", "key"):
            assert name not in device or device[name] not in text


async def test_erased_user_leaves_only_counts(tenant: Tenant, database: Database) -> None:
    await create_data(tenant, "alice", database)
    await create_data(tenant, "bob", database)
    bobs = await documents_about(database, tenant, "bob")
    assert set(await documents_about(database, tenant, "alice")) == {
        *("users", "mailboxes", "notifications", "receipts", "deliveries"),
    }
    sends = await database.sends.find({"tenant": tenant.name}).to_list()
    assert await delete(tenant, "alice") is True
    assert await documents_about(database, tenant, "alice") == {}
    assert await documents_about(database, tenant, "bob") == bobs
    kept = await database.sends.find({"tenant": tenant.name}).to_list()
    assert sum("content" in send for send in kept) == 2  # those to bob
    for send in (*kept, *sends):
        send.pop("content", None)
        send.pop("erased", None)
    assert kept == sends
    assert await delete(tenant, "alice") is False
    assert (await tenant.execute('{ user(id: "alice") { id } }'))["user"] is None
    assert (await expect_error(tenant.execute_as_admin(EXPORT, id="alice")))[0] == "NOT_FOUND"
    await tenant.send("alice")
    assert (await tenant.inbox("alice"))["unread"] == 1
    assert (await tenant.execute("{ me { email devices { id } } }", user="alice"))["me"] == {
        "email": None,
        "devices": [],
    }


async def test_sends_lose_their_content_although_notifications_are_no_longer_stored(
    tenant: Tenant, database: Database
) -> None:
    """Tombstones are deleted after some weeks, and an ended schedule never had a notification."""
    await tenant.define_category("news")
    await tenant.send("ann", "ben", title="Earlier")
    fields = {"key": "news", "name": "News", "defaultChannels": ["IN_APP"], "retention": "P1D"}
    retain = "mutation ($i: CategoryInput!) { upsertCategory(input: $i, applyRetention: true) { key } }"
    await tenant.execute_as_admin(retain, i=fields)
    swept = {"tenant": tenant.name, "recipient_ids": {"$exists": True}}

    async def is_swept() -> bool:
        return await database.sends.count_documents(swept) == 1

    await eventually(is_swept)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await tenant.send("ann", title="Retained")
    await tenant.send("ann", "ben", title="Collapsed", category="other", collapseKey="about ann")
    await tenant.send("ann", title="Expiring", category="other", expiresAt=later)
    cancelled = (await tenant.send("ann", title="Scheduled", category="other", sendAt=later))["send"]["id"]
    await tenant.execute("mutation ($id: ID!) { cancelSend(id: $id) { id } }", id=cancelled)
    await tenant.send("ann", "cay", title="Kept", category="other", expiresAt=later)
    await database.notifications.delete_many({"mailbox": {"$in": [f"{tenant.name}/{user}" for user in ("ann", "ben")]}})
    for user in ("ann", "ben"):
        assert await delete(tenant, user)
    left = await database.sends.find({"tenant": tenant.name}).to_list()
    assert len(left) == 6
    assert [send["content"]["title"] for send in left if "content" in send] == ["Kept"]
    assert not [send for send in left if "collapse_key" in send]
    assert [send["recipient_ids"] for send in left if send["recipient_ids"]] == [["cay"]]


async def test_webhook_calls_are_exported_and_kept_without_the_user(tenant: Tenant, database: Database) -> None:
    query = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { endpoint { id } } }"
    await tenant.execute_as_admin(query, input={"url": "https://hooks.example/events"})
    people = ['al"ice.*', "alice"]
    for user in people:
        await tenant.send(user, category="news")
        await tenant.execute("mutation { markAllRead { changed } }", user=user)
    events = ["notification.created", "notification.read", "notification.seen"]
    for user in people:
        received = (await tenant.execute_as_admin(EXPORT, id=user))["exportUser"]["webhookCalls"]
        assert sorted(call["event"] for call in received) == events
        assert {call["payload"]["data"]["userId"] for call in received} == {user}

    async def named() -> list[tuple[str, str | None]]:
        found = await database.webhook_calls.find({"tenant": tenant.name}).to_list()
        received = [json.loads(call["payload"]) for call in found]
        assert {bool(call["data"]["notificationId"] and call["data"]["receiptId"]) for call in received} == {True}
        return sorted(((call["type"], call["data"]["userId"]) for call in received), key=str)

    assert await delete(tenant, people[0]) is True
    assert await named() == sorted([(event, user) for event in events for user in (None, "alice")], key=str)
    assert await delete(tenant, people[1]) is True
    assert {user for _, user in await named()} == {None}


async def test_export_is_not_stored_for_its_idempotency_key(tenant: Tenant, database: Database) -> None:
    await tenant.execute(ME, users=[{"id": "alice"}])
    headers = {"authorization": f"Bearer {tenant.token(role=Role.ADMIN)}", "Idempotency-Key": "k"}
    assert "errors" not in await tenant.execute_raw(EXPORT, id="alice", headers=headers)
    assert await database.idempotency.find({"_id": {"$regex": f"^{tenant.name}/"}}).to_list() == []


async def test_user_without_an_inbox_is_erased(tenant: Tenant, database: Database) -> None:
    await tenant.execute(ME, users=[{"id": "alice"}])
    assert await delete(tenant, "alice") is True
    assert await documents_about(database, tenant, "alice") == {}


async def test_open_clients_see_the_erasure_and_can_start_again(tenant: Tenant) -> None:
    await tenant.send("alice")
    replica = Replica()
    await replica.load(tenant, "alice")
    async with tenant.feed("alice", replica.cursor, url=tenant.urls[0]) as feed:
        await tenant.send("alice")
        await feed.take(1)  # it has begun
        await delete(tenant, "alice", url=tenant.urls[1])
        async with asyncio.timeout(60):
            events = [event async for event in feed]
    assert [(event["kind"], event["unread"], event["unseen"]) for event in events] == [("RESYNC", 0, 0)]
    async with tenant.feed("alice", replica.cursor) as feed:
        async with asyncio.timeout(60):
            assert [event["kind"] async for event in feed] == ["RESYNC"]
    page = await tenant.inbox("alice")
    assert (page["unread"], page["nodes"]) == (0, [])
    async with tenant.feed("alice", page["position"]) as feed:
        await tenant.send("alice", title="New")
        [event] = await feed.take(1)
    assert (event["kind"], event["notification"]["title"], event["unread"]) == ("ADDED", "New", 1)


async def test_open_clients_see_the_erasure_without_redis(servers: tuple[Mongod, Redis]) -> None:
    hubs = [Process("serve", servers[0].url, "redis://127.0.0.1:1") for _ in range(2)]
    try:
        await asyncio.gather(*(hub.start() for hub in hubs))
        async with Tenant(f"t{uuid4().hex[:12]}", [hub.url for hub in hubs]) as tenant:
            await tenant.send("alice")
            async with tenant.feed("alice", (await tenant.inbox("alice"))["position"], url=hubs[0].url) as feed:
                await tenant.send("alice")
                await feed.take(1)  # it has begun
                await delete(tenant, "alice", url=hubs[1].url)
                async with asyncio.timeout(60):
                    assert [event["kind"] async for event in feed] == ["RESYNC"]
    finally:
        for hub in hubs:
            hub.kill()


async def test_large_inbox_is_erased_in_parts_and_a_crash_keeps_it_consistent(
    servers: tuple[Mongod, Redis], tenant: Tenant, database: Database
) -> None:
    count = scaled(1000, 20_000)
    for _ in range(count // 1000):
        await tenant.fill_inbox("alice", 1000)
    for n in (await tenant.inbox("alice", first=30))["nodes"]:
        await tenant.mark("alice", "markRead", n["id"])
    mailbox = f"{tenant.name}/alice"
    hub = Process("serve", servers[0].url, servers[1].url, commit_max_documents="10")
    try:
        await hub.start()
        erasing = asyncio.create_task(delete(tenant, "alice", url=hub.url))

        async def started_at() -> bool:
            return await database.notifications.count_documents({"mailbox": mailbox}) < count

        await eventually(started_at, longest_pause_s=SHORTEST_PAUSE_S)
        hub.kill()
        with pytest.raises(Exception, match=r".*"):
            await erasing
    finally:
        hub.kill()
    left = await database.notifications.count_documents({"mailbox": mailbox, "read_at": {"$exists": False}})
    assert 0 < left < count
    assert (await tenant.inbox("alice"))["unread"] == left

    async def again() -> bool:
        try:
            return await delete(tenant, "alice")
        except GraphQLErrors:  # the transaction of the dead process is still open
            return False

    assert await eventually(again)
    assert await documents_about(database, tenant, "alice") == {}


async def test_inbox_with_a_state_of_another_version_is_erased_in_parts(
    servers: tuple[Mongod, Redis], tenant: Tenant, database: Database
) -> None:
    """Data that this version cannot read does not prevent an erasure."""
    for n in range(5):
        await tenant.send("alice", title=str(n))
    await database.notifications.update_many({"mailbox": f"{tenant.name}/alice"}, {"$set": {"state": "pinned"}})
    hub = Process("serve", servers[0].url, servers[1].url, commit_max_documents="2")
    try:
        await hub.start()
        assert await delete(tenant, "alice", url=hub.url)
    finally:
        hub.kill()
    assert await documents_about(database, tenant, "alice") == {}


async def test_sends_during_an_erasure_leave_no_partial_data(tenant: Tenant, database: Database) -> None:
    """Everything before it is removed, and everything after it is complete: counts and notifications agree."""

    async def sending() -> None:
        for _ in range(30):
            await retry_until_answered(partial(tenant.send, "alice", idempotencyKey=uuid4().hex))

    async def erasing() -> None:
        for _ in range(10):
            await retry_until_answered(partial(delete, tenant, "alice"))

    await asyncio.gather(sending(), sending(), erasing(), erasing())
    page = await tenant.inbox("alice", first=100)
    stored = await database.notifications.find({"mailbox": f"{tenant.name}/alice"}).to_list()
    assert len(page["nodes"]) == len(stored) == page["unread"]
    receipts = await stored_receipts(database, tenant=tenant.name)
    assert {receipt["notification_id"] for receipt in receipts} == {n["_id"] for n in stored}
    assert await delete(tenant, "alice") is bool(page)
    assert await documents_about(database, tenant, "alice") == {}


@pytest.mark.parametrize("query", [EXPORT, DELETE])
async def test_invalid_user_id_is_rejected(tenant: Tenant, query: str) -> None:
    fields: Any = "x" * 257
    assert await expect_error(tenant.execute_as_admin(query, id=fields)) == ("BAD_USER_INPUT", "id")
