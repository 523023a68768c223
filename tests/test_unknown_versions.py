"""Documents of another version of the hub: unreadable ones affect only themselves, and unknown values are kept."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from hub.model import Category, Channel, Delivery, DeliveryStatus, Notification, Preferences, Priority, User, document
from hub.outbox.claims import Settlement, _apply_changes
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.tolerant_decoding import decode, merged
from tests.channel_setup import SHORT_TIMES, connect_webhook, list_deliveries, wait_for_deliveries
from tests.client import Json, Tenant, eventually
from tests.processes import Deployment, Process
from tests.webhook_receiver import WebhookReceiver

NOW = datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)
APART = {"mongo_database": "versions", "redis_prefix": "versions:"}
MATRIX = "preferences { channels { channel enabled } categories { category { key } channels { channel enabled } } }"


@pytest.fixture(scope="module")
async def fast_deployment(servers: tuple[Mongod, Redis]) -> Any:
    mongod, redis = servers
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **SHORT_TIMES, **APART) as running:
        yield running


@pytest.fixture
async def tenant(fast_deployment: Deployment) -> Any:
    async with Tenant(f"t{uuid4().hex[:12]}", fast_deployment.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis]) -> Any:
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["versions"]


@pytest.mark.parametrize("spoilt", [{"priority": "URGENT"}, {"created_at": "yesterday"}, {"attempts": "many"}])
async def test_undecodable_delivery_fails_and_others_are_sent(tenant: Tenant, store: Any, spoilt: Json) -> None:
    """In its first claim, and in a batch with others."""
    async with WebhookReceiver() as receiver:
        people = [f"u{n}" for n in range(6)]
        await connect_webhook(tenant, receiver, *people)
        receiver.default_response = lambda _, times: 0.0 if times > 1 else _unavailable()
        await tenant.send(*people, channels=["WEBHOOK"])
        await eventually(lambda: store.deliveries.find_one({"tenant": tenant.name, "status": "RETRYING"}), 10)
        own = {"tenant": tenant.name, "status": "RETRYING"}
        bad = await store.deliveries.find_one_and_update(own, {"$set": spoilt})
        await wait_for_deliveries(tenant, "DELIVERED", 5)

        async def unreadable() -> bool:
            found = await store.deliveries.find_one({"_id": bad["_id"]})
            return (found["status"], found.get("reason"), found.get("due_at")) == ("FAILED", "UNREADABLE", None)

        await eventually(unreadable)
        listed = await list_deliveries(tenant)
        assert len(listed) == (6 if "priority" in spoilt else 5)


@pytest.mark.parametrize("collection", ["notifications", "users"])
async def test_delivery_of_an_undecodable_notification_fails_and_is_not_cancelled(
    tenant: Tenant, store: Any, collection: str
) -> None:
    """A newer version can send it again."""
    async with WebhookReceiver() as receiver:
        await connect_webhook(tenant, receiver, "alice", "bob")
        receiver.default_response = lambda _, times: 0.0 if times > 1 else _unavailable()
        await tenant.send("alice", "bob", channels=["IN_APP", "WEBHOOK"])
        field, id = ("mailbox" if collection == "notifications" else "_id"), f"{tenant.name}/alice"
        await eventually(lambda: store.deliveries.find_one({"mailbox": id, "status": "RETRYING"}), 10)
        await store[collection].update_one({field: id}, {"$set": {"created_at": "yesterday"}})
        [valid] = await wait_for_deliveries(tenant, "DELIVERED", 1)
        [bad] = await wait_for_deliveries(tenant, "FAILED", 1)
        assert (valid["userId"], bad["userId"], bad["reason"]) == ("bob", "alice", "UNREADABLE")


def _unavailable() -> Any:
    from aiohttp import web

    return web.Response(status=503)


async def test_undecodable_notification_does_not_hide_others(tenant: Tenant, store: Any) -> None:
    """Pages continue after it. An unknown priority is read as MEDIUM."""
    for n in range(5):
        await tenant.send("alice", title=str(n))
    docs = await store.notifications.find({"mailbox": f"{tenant.name}/alice"}).sort("added_modseq", -1).to_list()
    await store.notifications.update_one({"_id": docs[1]["_id"]}, {"$set": {"priority": "URGENT", "mood": {"x": 1}}})
    await store.notifications.update_one({"_id": docs[2]["_id"]}, {"$set": {"created_at": "yesterday"}})
    found, after = [], None
    while True:
        query = "query ($a: String) { inbox(first: 2, after: $a) { nodes { title priority } pageInfo { hasNextPage endCursor } } }"
        page = (await tenant.execute(query, user="alice", a=after))["inbox"]
        found += [(node["title"], node["priority"]) for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert found == [("4", "MEDIUM"), ("3", "MEDIUM"), ("1", "MEDIUM"), ("0", "MEDIUM")]
    await tenant.mark("alice", "markRead", docs[1]["_id"])
    stored = await store.notifications.find_one({"_id": docs[1]["_id"]})
    assert (stored["priority"], stored["mood"]) == ("URGENT", {"x": 1})
    sends = (await tenant.execute("{ sends { nodes { id } } }"))["sends"]["nodes"]
    assert len(sends) == 5


async def test_user_with_values_of_another_version_keeps_them(tenant: Tenant, store: Any) -> None:
    """Unknown devices, preferences and fields survive a change by this version."""
    await tenant.send("alice", title="Hello", category="news")
    alice = {"_id": f"{tenant.name}/alice"}
    preference = {"category": "news", "channels": {"EMAIL": False, "PAGER": True}, "digest": "DAILY"}
    device = {"id": "d1", "kind": "WATCH", "key": "k1", "created_at": NOW}
    preferences = {"channels": {"PAGER": False, "SMS": False}, "categories": [preference], "quiet": {"from": "22:00"}}
    await store.users.update_one(alice, {"$set": {"devices": [device], "preferences": preferences, "pets": ["cat"]}})
    update = (
        "mutation { updatePreferences(input: {channels: [{channel: EMAIL, enabled: false}], categories: "
        '[{category: "news", channel: WEBHOOK, enabled: false}]}) { channels { channel enabled } } }'
    )
    await tenant.send("bob")
    bob = {"_id": f"{tenant.name}/bob"}
    await store.users.update_one(bob, {"$set": {"suppressed": {"b@people.example": "bounced"}}})
    await store.users.update_one(alice, {"$set": {"suppressed": ["a@people.example"]}})
    listed = (await tenant.execute_as_admin("{ suppressions { nodes { userId } } }"))["suppressions"]["nodes"]
    assert listed == [{"userId": "bob"}]
    exported = (await tenant.execute_as_admin('mutation { exportUser(id: "alice") }'))["exportUser"]
    assert exported["suppressed"] == ["a@people.example"]
    await store.users.update_one(alice, {"$unset": {"suppressed": ""}})
    requested = await tenant.execute(f"{{ me {{ id devices {{ id }} }} {MATRIX} }}", user="alice")
    assert requested["me"] == {"id": "alice", "devices": []}
    await tenant.execute(update, user="alice")
    stored = await store.users.find_one(alice)
    assert stored["devices"] == [device]
    assert stored["pets"] == ["cat"]
    assert stored["preferences"]["quiet"] == {"from": "22:00"}
    assert stored["preferences"]["channels"] == {"PAGER": False, "SMS": False, "EMAIL": False}
    [news] = stored["preferences"]["categories"]
    assert news == preference | {"channels": {"EMAIL": False, "PAGER": True, "WEBHOOK": False}}


async def test_tenant_with_values_of_another_version_keeps_them(tenant: Tenant, store: Any) -> None:
    """Categories with an unknown channel or priority are read without it. Unreadable categories and webhooks stay
    stored."""
    await tenant.send("alice", title="Hello", category="news")
    categories = [
        {"key": "news", "name": "News", "priority": "URGENT", "default_channels": ["IN_APP", "PAGER"], "icon": "n"},
        {"key": "other", "name": {"en": "Other"}},
    ]
    endpoint = {"id": "e1", "url": {"host": "x"}}
    change = {"$set": {"categories": categories, "endpoints": [endpoint]}, "$inc": {"version": 1}}
    await store.tenants.update_one({"_id": tenant.name}, change)
    requested = await tenant.execute_as_admin("{ categories { key priority defaultChannels } webhooks { id } }")
    assert requested["webhooks"] == []
    assert requested["categories"] == [{"key": "news", "priority": "MEDIUM", "defaultChannels": ["IN_APP"]}]
    assert (await tenant.send("alice", title="Again", category="news"))["send"]["recipients"] == 1
    define = 'mutation { upsertCategory(input: {key: "more", name: "More", defaultChannels: [IN_APP]}) { key } }'
    await tenant.execute_as_admin(define)
    stored = await store.tenants.find_one({"_id": tenant.name})
    assert [category["key"] for category in stored["categories"]] == ["news", "more", "other"]
    assert stored["categories"][0] == categories[0]
    assert stored["endpoints"] == [endpoint]


@pytest.mark.parametrize(
    ("major", "instructions"),
    [
        (99, r"version 99.*reads version 4.*Start the newer hub"),
        (2, r"version 2.*reads version 4.*Use an empty database"),
    ],
)
async def test_data_of_another_version_prevents_the_start_with_instructions(
    servers: tuple[Mongod, Redis], major: int, instructions: str
) -> None:
    mongod, redis = servers
    name = f"other{uuid4().hex[:8]}"
    async with AsyncMongoClient(mongod.url) as client:
        await client[name].migrations.insert_one({"_id": "schema", "major": major})
        for command in ("serve", "work"):
            process = Process(command, mongod.url, redis.url, mongo_database=name)
            with pytest.raises(AssertionError, match=instructions):
                await process.start()
            assert "Traceback" not in process.log
        assert await client[name].list_collection_names() == ["migrations"], "nothing was changed"
        await client.drop_database(name)


def document_with(**fields: Any) -> Json:
    base = {"_id": "n", "mailbox": "t/u", "send": "s", "category": "c", "title": "t", "body": "b"}
    return {**base, "priority": "LOW", "because": "x", "created_at": NOW, "updated_at": NOW, **fields}


def test_unknown_enum_values_are_readable() -> None:
    """Unknown values of required fields are replaced, of optional fields set to the default, and in lists and maps left
    out."""
    n = decode(document_with(priority="URGENT", state="PINNED", removed_as="EATEN", more=1), Notification)
    assert n
    assert (n.priority, n.state, n.removed_as) == (Priority.MEDIUM, None, None)
    assert decode(document_with(title=5), Notification) is None
    assert decode({"_id": "n"}, Notification) is None
    delivery = {"_id": "d", "tenant": "t", "notification": "n", "send": "s", "mailbox": "t/u", "category": "c"}
    more = {"channel": "EMAIL", "status": "DIGESTED", "priority": "LOW", "created_at": NOW, "updated_at": NOW}
    found = decode(delivery | more, Delivery)
    assert found
    assert found.status is DeliveryStatus.PROCESSING
    assert decode(delivery | more | {"channel": "PAGER"}, Delivery) is None
    category = decode({"key": "a", "name": "A", "default_channels": ["PAGER", "SMS"]}, Category)
    assert category
    assert category.default_channels == (Channel.SMS,)


@pytest.mark.parametrize("override", [{"status": "EATEN", "reason": "HUNGRY"}, {"status": "SKIPPED"}, "later"])
def test_unknown_override_status_ends_the_delivery(override: Any) -> None:
    """A delivery that was cancelled meanwhile is never retried, because its recipient would get it twice."""
    stored = {"_id": "d", "tenant": "t", "notification": "n", "send": "s", "mailbox": "t/u", "category": "c"}
    more = {"channel": "EMAIL", "status": "PROCESSING", "priority": "LOW", "created_at": NOW, "updated_at": NOW}
    job = decode(stored | more, Delivery)
    assert job
    waits = Settlement(
        job=job, status=DeliveryStatus.RETRYING, reason=None, due_at=NOW, attempts=(), tries=1, lease_expirations=0
    )
    ended = _apply_changes(waits, {"override": override}, NOW)
    assert (ended.status, ended.due_at) == (DeliveryStatus.CANCELLED, None)


NAMES = st.sampled_from(["a", "b", "c"])
PREFERENCES = st.builds(
    lambda keys, on: [{"category": key, "channels": {"EMAIL": on}} for key in sorted(keys)],
    st.sets(NAMES),
    st.booleans(),
)


@given(PREFERENCES, PREFERENCES)
def test_changes_are_merged_into_the_stored_document(before: list[Json], after: list[Json]) -> None:
    """Without unknown values the result is the requested one. Unknown values are kept in addition."""
    assert merged(before, before, after) == after
    unknown = {"category": "z", "digest": "DAILY", "channels": 5}
    raw = [*({**preference, "more": 1} for preference in before), unknown]
    result = merged(raw, before, after)
    assert unknown in result
    assert merged(raw, before, before) == raw
    existing = [
        {k: v for k, v in preference.items() if k != "more"}
        for preference in result
        if "channels" in preference and preference != unknown
    ]
    assert existing == after


def test_user_read_and_written_is_unchanged() -> None:
    doc = {"_id": "t/u", "created_at": NOW, "updated_at": NOW, "preferences": {"channels": {"PAGER": True}, "x": [1]}}
    user = decode(doc, User)
    assert user
    assert user.preferences == Preferences()
    assert merged(doc, document(user), document(user)) == doc
