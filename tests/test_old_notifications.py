"""Old notifications leave the inbox and are deleted later. Counts, open clients, and the record of the send stay right."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.model import mailbox_of
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Json, Replica, Subscription, Tenant, eventually
from tests.clocks import advance
from tests.processes import Deployment

SEND = """query ($id: ID!) { send(id: $id) {
  recipients counts { channel status count reasons { reason count } } reactions { seen read acknowledged acted }
  to { users } title deletedNotifications notifications { nodes { id } } } }"""
PAUSE = "mutation { pauseChannel(channel: EMAIL) }"
RESUME = "mutation { resumeChannel(channel: EMAIL) }"
UPSERT = 'mutation { upsertUsers(users: [{id: "bob", email: "bob@example.org"}]) { id } }'
MANY = 700  # more than a batch


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    """An API process and a worker whose clock can be moved."""
    mongod, redis = servers
    name = f"oldinbox{uuid4().hex[:8]}"
    settings = {"mode": "development", "mongo_database": name, "redis_prefix": f"{name}:"}
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, scheduler_interval_s="0.1", **settings) as running:
        yield running
    async with AsyncMongoClient[Json](mongod.url) as client:
        await client.drop_database(name)


@pytest.fixture
async def tenant(running: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis], running: Deployment) -> AsyncIterator[Database]:
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True) as client:
        yield client[running.apis[0].environment["HUB_MONGO_DATABASE"]]


async def follow(replica: Replica, feed: Subscription) -> None:
    async for event in feed:
        replica.apply(event)


async def read_send(tenant: Tenant, id: str) -> Json:
    send: Json = (await tenant.execute(SEND, id=id))["send"]
    return send


def without_notifications(send: Json) -> Json:
    """Return what remains of a send."""
    return {name: value for name, value in send.items() if name not in ("deletedNotifications", "notifications")}


async def wait_for_inbox(tenant: Tenant, replica: Replica, titles: set[str]) -> None:
    """Wait until an open client has exactly these notifications, and compare its counts with a new client's."""

    async def has_titles() -> bool:
        return {n["title"] for n in replica.items.values()} == titles

    await eventually(has_titles)
    fresh = Replica()
    await fresh.load(tenant, "alice")
    assert sorted(replica.state) == sorted(fresh.state)
    assert replica.counts == replica.recounted == fresh.counts == fresh.recounted


async def test_old_notifications_leave_the_inbox_and_their_send_keeps_its_numbers(
    tenant: Tenant, store: Database
) -> None:
    url = tenant.urls[0]
    until = datetime.fromisoformat((await advance(tenant, url, "PT1S"))["now"]) + timedelta(days=200)
    sends = {
        title: (await tenant.send("alice", "carol", title=title, requireAck=title == "Open"))["send"]["id"]
        for title in ("Read", "Archived", "Unread", "Pinned", "Snoozed", "Open")
    }
    await tenant.define_category("longer", retention="P120D")
    await tenant.send("alice", title="Longer", category="longer")
    sends["Hidden"] = (await tenant.send("alice", title="Hidden", channels=["EMAIL"]))["send"]["id"]
    ids = {n["title"]: n["id"] for n in (await tenant.inbox("alice"))["nodes"]}
    await tenant.mark("alice", "markRead", *(ids[title] for title in ("Read", "Pinned", "Open", "Longer")))
    await tenant.mark("alice", "archive", ids["Archived"])
    await tenant.execute("mutation ($id: ID!) { pin(ids: [$id]) { changed } }", user="alice", id=ids["Pinned"])
    await tenant.mark("alice", "snooze", ids["Snoozed"], until=until.isoformat())
    await advance(tenant, url, "P2D")
    newer = await tenant.send("alice", title="Newer")
    await tenant.mark_all("alice", "markAllSeen")
    [node] = (await tenant.inbox("alice", first=1))["nodes"]
    await tenant.mark("alice", "markRead", node["id"])
    before = {title: await read_send(tenant, id) for title, id in sends.items()}

    await advance(tenant, url, "P87D")
    position = (await tenant.inbox("alice"))["position"]
    replica = Replica()
    await replica.load(tenant, "alice")
    async with tenant.feed("alice", replica.cursor) as feed:
        feed.socket.read_timeout_s = None
        following = asyncio.create_task(follow(replica, feed))
        await advance(tenant, url, "P2D")
        await wait_for_inbox(tenant, replica, {"Unread", "Pinned", "Snoozed", "Open", "Longer", "Newer"})
        async with tenant.feed("alice", position) as resumed:
            events = await resumed.take(2)
            assert [event["kind"] for event in events] == ["REMOVED"] * 2, "a cursor from before continues"
            assert {event["notification"]["title"] for event in events} == {"Read", "Archived"}
        assert {title: without_notifications(await read_send(tenant, id)) for title, id in sends.items()} == {
            title: without_notifications(send) for title, send in before.items()
        }
        await eventually(lambda: has_deleted(tenant, sends["Hidden"]))  # no inbox shows it

        await advance(tenant, url, "P32D")  # the tombstones
        await eventually(lambda: is_deleted(store, ids["Read"]))
        assert {title: without_notifications(await read_send(tenant, id)) for title, id in sends.items()} == {
            title: without_notifications(send) for title, send in before.items()
        }
        read = await read_send(tenant, sends["Read"])
        assert (read["deletedNotifications"], len(read["notifications"]["nodes"])) == (1, 1), "carol has not read it"
        assert {"channel": "IN_APP", "status": "READ", "count": 1, "reasons": []} in read["counts"]

        await advance(tenant, url, "P250D")  # a year after the first sends, and none of the clients has gone
        await wait_for_inbox(tenant, replica, set())
        assert replica.counts == (0, 0)
        following.cancel()
    await eventually(lambda: is_removed_everywhere(store, tenant))
    assert (await read_send(tenant, newer["send"]["id"]))["reactions"]["read"] == 1


async def has_deleted(tenant: Tenant, send: str) -> bool:
    return bool((await read_send(tenant, send))["deletedNotifications"])


async def is_deleted(store: Database, id: str) -> bool:
    return await store.notifications.find_one({"_id": id}) is None


async def is_removed_everywhere(store: Database, tenant: Tenant) -> bool:
    shown = {"mailbox": {"$regex": f"^{tenant.name}/"}, "state": {"$exists": True}}
    return not await store.notifications.count_documents(shown)


async def test_more_old_notifications_than_a_batch_leave_an_open_client(tenant: Tenant) -> None:
    await tenant.fill_inbox("alice", MANY)
    await tenant.mark_all("alice", "markAllRead")
    await tenant.send("alice", title="Unread")
    replica = Replica()
    await replica.load(tenant, "alice")
    async with tenant.feed("alice", replica.cursor) as feed:
        feed.socket.read_timeout_s = None
        following = asyncio.create_task(follow(replica, feed))
        await advance(tenant, tenant.urls[0], "P91D")
        await wait_for_inbox(tenant, replica, {"Unread"})
        assert replica.counts == (1, 1)
        following.cancel()


async def test_message_that_waits_for_a_paused_channel_for_longer_is_sent(tenant: Tenant, store: Database) -> None:
    await tenant.execute(UPSERT)
    await tenant.execute_as_admin(PAUSE)
    sent = await tenant.send("bob", title="Waits", channels=["EMAIL"])
    other = await tenant.send("carol", title="Has no address", channels=["EMAIL"])
    await advance(tenant, tenant.urls[0], "P91D")
    await eventually(lambda: has_deleted(tenant, other["send"]["id"]))
    assert await store.notifications.count_documents({"mailbox": mailbox_of(tenant.name, "bob")}) == 1
    await tenant.execute_as_admin(RESUME)

    async def is_sent() -> bool:
        counts = (await read_send(tenant, sent["send"]["id"]))["counts"]
        return [(one["channel"], one["status"]) for one in counts] == [("EMAIL", "DELIVERED")]  # captured

    await eventually(is_sent)
