"""Erasure of a user, checked in every stored document and key."""

from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from pymongo import AsyncMongoClient
from redis.asyncio import Redis as RedisClient

from hub.model import Role, mailbox_of
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests import template_calls
from tests.audit_calls import execute_as
from tests.broadcasts import broadcast, expanded
from tests.channel_setup import SHORT_TIMES, FakeChannels, list_deliveries
from tests.client import Json, Tenant, eventually
from tests.enrichment_setup import ROTATE
from tests.processes import Deployment
from tests.random_clients import ACT, instant_ahead
from tests.topics.calls import SUBSCRIBE, leave, upsert_topic

ENDPOINT = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { endpoint { id } } }"
UPSERT = "mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { id email phone attributes } }"
SEND = "mutation ($i: SendInput!) { send(input: $i) { send { id } } }"
ERASE = "mutation ($id: ID!) { deleteUser(id: $id) }"
EXPORT = "mutation ($id: ID!) { x: exportUser(id: $id) ...F } fragment F on Mutation { replay(ids: []) }"
CREATE_KEY = 'mutation { createServiceKey(input: {name: "Shop"}) { secret } }'
EXPORT_QUERY = "mutation ($id: ID!) { exportUser(id: $id) }"
UPDATE_PREFERENCES = "mutation ($i: PreferencesInput!) { updatePreferences(input: $i) { channels { channel } } }"
SMS_OFF = {"categories": [{"category": "news", "channel": "SMS", "enabled": False}]}

EXPORTED = {
    "users": "profile",
    "mailboxes": "inbox",
    "notifications": "notifications",
    "deliveries": "deliveries",
    "receipts": "receipts",
    "topic_subscriptions": "subscriptions",
    "window_counts": "throttles",
    "sends": "sends",
    "webhook_calls": "webhookCalls",
    "idempotency": "storedResponses",
    "templates": "templates",
    "service_keys": "serviceKeys",
    "captured_messages": "capturedMessages",
    "audit_log": "auditLog",
    "enrichment_cache": "enrichmentAnswers",
}
"""The field of the export for each collection whose documents name a user."""
OPEN = ["ACCEPTED", "HELD", "RETRYING", "PROCESSING"]


async def all_stored_texts(database: Database, redis: RedisClient) -> list[str]:
    """Return each stored document and Redis key as text."""
    found = [
        f"{name}: {doc!r}"
        for name in await database.list_collection_names()
        if not name.startswith("system.")
        async for doc in database[name].find({})
    ]
    read: dict[bytes, Any] = {
        b"string": redis.get,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
    }
    async for key in redis.scan_iter("*"):
        kind = await redis.type(key)
        found.append(f"redis: {key!r} {await read[kind](key)!r}" if kind in read else f"redis: {key!r}")
    return found


def is_about_bob(text: str) -> bool:
    """Return True for documents about bob, and for sends to both."""
    shared = text.startswith("sends:") and "'recipients': 2" in text
    return shared or "/bob'" in text or "'user': 'bob'" in text


def send_with(unique: str, title: str) -> Json:
    """Return the input of a send in which every text contains `unique`."""
    actions = [{"key": "a", "label": f"Label {unique}"}]
    content = {"title": title, "body": f"Body {unique}", "actions": actions, "actor": {"name": f"Actor {unique}"}}
    labels = {"tags": [f"tag-{unique}"], "threadKey": f"thread-{unique}"}
    return {"category": "news", "content": content, "data": {"for": unique}, **labels}


async def send_to_filter(tenant: Tenant, user: str, email: str, phone: str, content: Json) -> Json:
    """Send to a filter that names a user. Return the newest notification of the user."""
    where = {"or": [{"id": user}, {"email": {"in": [email]}}, {"not": {"phone": {"not": {"gte": phone}}}}]}
    send = await broadcast(tenant, to={"where": where}, content=content)
    assert (await expanded(tenant, send["id"]))["recipients"] == 1
    newest: Json = (await tenant.inbox(user))["nodes"][0]
    return newest


async def name_in_other_records(tenant: Tenant, user: str, send: Json) -> None:
    """Let a user create a service key and a send, and change a template. Throttle `send` to the user, and leave the user out of a
    scheduled one."""
    throttle = {"key": "k", "window": "P1D"}
    await tenant.execute(SEND, i={"throttle": throttle, "to": {"users": [user]}, **send})
    await execute_as(tenant, user, CREATE_KEY)
    await execute_as(tenant, user, template_calls.UPSERT, input={"key": "k", "title": "T", "body": "B"})
    later = {"category": "news", "content": {"title": "Later", "body": ""}, "sendAt": instant_ahead(days=30)}
    await tenant.execute(SEND, i={"to": {"users": ["bob"]}, "except": [user], **later})
    own = {"authorization": f"Bearer {tenant.token(user, role=Role.ADMIN)}"}
    by_user = {"to": {"users": ["bob"]}, "category": "news", "content": {"title": "Hi", "body": ""}}
    assert "errors" not in await tenant.execute_raw(SEND, headers=own, i=by_user)


async def enrich(tenant: Tenant, user: str, unique: str, fakes: FakeChannels) -> None:
    """Send a template whose data an endpoint enriches: the answer names the user, and is cached."""
    fakes.receiver.secrets["/enrich"] = (await tenant.execute_as_admin(ROTATE))["rotateEnrichmentSecret"]["secret"]
    answer = {"customer": user, "note": f"Answer {unique}"}
    fakes.receiver.responses["/enrich"] = lambda *_: web.json_response(answer)
    enrichment = {"url": f"{fakes.receiver.url}/enrich", "ttl": "P1D"}
    await tenant.define_category("enriched", "IN_APP", enrichment=enrichment)
    await template_calls.upsert(tenant, "e", title="{{ enriched.note }}", body="")
    more = {"category": "enriched", "template": {"key": "e", "data": {"for": unique}}}
    await tenant.execute(SEND, i={"to": {"users": [user]}, **more})

    async def arrived() -> bool:
        return any(n["title"] == answer["note"] for n in (await tenant.inbox(user))["nodes"])

    await eventually(arrived)


async def expect_complete_export(tenant: Tenant, user: str, texts: list[str], mode: str) -> None:
    """Expect that the export lists something for each collection that names the user."""
    naming = {text.partition(":")[0] for text in texts if user in text} - {"redis"}
    assert naming == EXPORTED.keys() - ({"captured_messages"} if mode == "production" else set())
    exported = (await tenant.execute_as_admin(EXPORT_QUERY, id=user))["exportUser"]
    assert [name for name in naming if not exported[EXPORTED[name]]] == []
    assert {one["template"] for one in exported["templates"]} == {"k"}
    assert exported["complete"]


@pytest.mark.parametrize("mode", ["development", "production"])
async def test_erased_user_is_in_no_collection_and_no_key(servers: tuple[Mongod, Redis], mode: str) -> None:
    """A user who has used every feature: no id, address, phone number, device or title remains as text."""
    mongod, server = servers
    unique = uuid4().hex[:12]
    alice, title, phone = f"alice{unique}", f"Title {unique}", "+4915112345678"
    email = f"mail{unique}@people.example"
    own = {**SHORT_TIMES, "mongo_database": f"erased{mode}", "redis_prefix": f"erased{mode}:", "mode": mode}
    async with FakeChannels() as fakes, RedisClient.from_url(server.url) as redis:
        async with (
            Deployment(mongod.url, server.url, apis=1, workers=1, **own, **fakes.settings) as running,
            Tenant(f"t{unique}", running.urls) as tenant,
            AsyncMongoClient(mongod.url, tz_aware=True) as client,
        ):
            database = client[f"erased{mode}"]

            async def keyed(query: str, role: Role, **variables: Any) -> Json:
                key = {"Idempotency-Key": f"key {query} {variables.get('t')}"}
                headers = {"authorization": f"Bearer {tenant.token(role=role)}", **key}
                return await tenant.execute_raw(query, headers=headers, **variables)

            await tenant.execute_as_admin(ENDPOINT, input={"url": f"{fakes.receiver.url}/tenant"})
            await tenant.define_category("news", "IN_APP", "EMAIL", "WEB_PUSH", "MOBILE_PUSH", "WEBHOOK")
            fields = {"id": alice, "email": email, "phone": phone, "attributes": {"name": f"Name {unique}"}}
            assert "errors" not in await keyed(UPSERT, Role.SERVICE, u=[fields])
            await fakes.add_addresses(tenant, alice, channels=["WEB_PUSH", "MOBILE_PUSH", "WEBHOOK"])
            for topic in ("joined", "left"):
                await upsert_topic(tenant, topic, visible=True)
                assert "errors" not in await keyed(SUBSCRIBE, Role.SERVICE, t=topic, u=[alice, "bob"])
            await leave(tenant, "left", alice)
            await tenant.execute(UPDATE_PREFERENCES, user=alice, i=SMS_OFF)
            await enrich(tenant, alice, unique, fakes)
            more = send_with(unique, title)
            await name_in_other_records(tenant, alice, more)
            for n in range(2):
                assert "errors" not in await keyed(SEND, Role.SERVICE, i={"to": {"users": [alice, "bob"]}, **more})
                await tenant.execute(SEND, i={"to": {"users": [alice]}, **more, "idempotencyKey": f"k{n}"})
            newest = await send_to_filter(tenant, alice, email, phone, more["content"])
            await tenant.execute(ACT, user=alice, id=newest["id"], key="a")
            await tenant.mark_all(alice, "markAllSeen")
            bounced = {"$set": {"suppressed": {email: "bounced"}}}
            await database.users.update_one({"_id": mailbox_of(tenant.name, alice)}, bounced)

            async def called() -> bool:
                return not await list_deliveries(tenant, statuses=OPEN)

            await eventually(called)
            await keyed(EXPORT, Role.ADMIN, id=alice)
            bobs = [n["id"] for n in (await tenant.inbox("bob"))["nodes"]]
            await tenant.mark("bob", "markRead", *bobs)
            before = await all_stored_texts(database, redis)
            await expect_complete_export(tenant, alice, before, mode)
            assert await tenant.execute_as_admin(ERASE, id=alice) == {"deleteUser": True}
            for text in await all_stored_texts(database, redis):
                private = (alice, email) if is_about_bob(text) else (unique, phone)
                assert not [value for value in private if value in text.replace(tenant.name, "")], text
            assert [n["id"] for n in (await tenant.inbox("bob"))["nodes"]] == bobs
            await tenant.execute_as_admin(ERASE, id="bob")
            for text in await all_stored_texts(database, redis):
                assert unique not in text.replace(tenant.name, ""), text
