"""Every operation of the schema with the ids of another tenant: it shows nothing of the other tenant, changes nothing
there, and responds as it does to ids that do not exist."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from msgspec.structs import asdict

from hub.ids import new_id
from hub.model import Role
from hub.platform.connections import Database
from tests.client import Json, Tenant, eventually
from tests.marked_data import CATEGORY, EMAIL, MARK, TEMPLATE, TOPIC, USER, Ids, contains_mark, create_marked_data
from tests.processes import Deployment
from tests.schema_paths import paths, root

VOLATILE = {"activity", "workers", "old_records"}  # counters and heartbeats, which do not wait for an operation
TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
P256 = "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"
LATER = '"2090-01-01T00:00:00Z"'
SEND = '{to: {users: ["lee"]}, category: "other", content: {title: "T", body: ""}}'
RULE = '{key: "own", type: "a.b", to: {users: "data.user"}, category: "c", content: {title: "T", body: ""}}'
MARKS = ("markSeen", "markRead", "markUnread", "archive", "unarchive", "unsnooze", "acknowledge", "pin", "unpin")


class Names(Ids, frozen=True):
    """Everything by which records can be named."""

    user: str
    topic: str
    template: str
    category: str
    key_of_send: str
    collapse_key: str
    address: str


def missing_names() -> Names:
    """Return names of the same form, of records that do not exist."""
    ids = {name: new_id() for name in asdict(Names(*[""] * 14))}
    return Names(**ids | {"device": uuid4().hex, "address": f"x{uuid4().hex[:8]}@{uuid4().hex[:8]}.example"})


Arguments = dict[str, Sequence[str]]
"""The arguments of each field. A new operation needs an entry."""


def arguments(n: Names) -> dict[str, Arguments]:
    """Return the arguments of every operation, by kind."""
    return {
        "query": query_arguments(n),
        "subscription": {
            "inbox": ['(after: "x")'],
            "receipts": [f'(sendId: "{n.send}")'],
            "send": [f'(id: "{n.send}")'],
        },
        "mutation": mutation_arguments(n),
    }


def query_arguments(n: Names) -> Arguments:
    by_user = f'(filter: {{userId: "{n.user}", includeDecided: true}})'
    to_user = f'to: {{users: ["{n.user}"]}}'
    return {
        **dict.fromkeys(("me", "inbox", "preferences", "webPushKey", "categories", "tenant", "webhooks"), ("",)),
        **dict.fromkeys(("health", "queues", "providers", "pausedChannels", "serviceKeys", "rules"), ("",)),
        **dict.fromkeys(("users", "sends", "topics", "suppressions", "events", "auditLog"), ("(first: 5)",)),
        "notification": [f'(id: "{n.notification}")'],
        "user": [f'(id: "{n.user}")'],
        "send": [f'(id: "{n.send}")'],
        "delivery": [f'(id: "{n.delivery}")'],
        "deliveries": ["", by_user, f'(filter: {{sendId: "{n.send}", includeDecided: true}})'],
        "deliveryBatches": [""],
        "replayPreview": [f'(filter: {{userId: "{n.user}"}})', f'(filter: {{sendId: "{n.send}"}})'],
        "deliveryGroups": ["", f'(filter: {{sendId: "{n.send}"}})'],
        "find": [f'(text: "{t}")' for t in (n.user, n.send, n.delivery, n.notification, n.address, n.key_of_send)],
        "activity": ['(since: "2026-01-01T00:00:00Z", by: "P1D")'],
        "simulate": [f'(input: {{{to_user}, category: "{n.category}", content: {{title: "T", body: ""}}}})'],
        "audience": [f'(to: {{topic: "{n.topic}"}})', "(to: {everyone: true})"],
        "templates": ["", f'(key: "{n.template}")'],
        "template": [f'(key: "{n.template}")'],
        "renderTemplate": [f'(template: {{key: "{n.template}"}}, channel: EMAIL, user: "{n.user}")'],
        "event": [f'(id: "{n.event}")'],
        "rule": [f'(key: "{n.template}")'],
        "testRule": [f'(input: {RULE}, event: {{type: "a.b", data: {{user: "{n.user}"}}}})'],
    }


def mutation_arguments(n: Names) -> Arguments:
    return {
        **{name: [f'(ids: ["{n.notification}"])'] for name in MARKS},
        "snooze": [f'(ids: ["{n.notification}"], until: {LATER})'],
        "act": [f'(id: "{n.notification}", key: "go")'],
        **dict.fromkeys(("markAllSeen", "markAllRead", "archiveAll", "rotateEnrichmentSecret"), ("",)),
        "undoMarkAll": ['(token: "x")'],
        "updatePreferences": [f'(input: {{categories: [{{category: "{n.category}", enabled: false}}]}})'],
        "registerWebPush": [f'(input: {{endpoint: "https://p.example/a", p256dh: "{P256}", auth: "{"A" * 22}"}})'],
        "registerMobileDevice": ['(input: {platform: "fcm", token: "t"})'],
        "connectWebhook": ['(url: "https://hooks.example/a")'],
        "connectChat": ['(kind: SLACK, url: "https://hooks.slack.com/services/T0/B0/x")'],
        "removeDevice": [f'(id: "{n.device}")'],
        "send": [f"(input: {SEND})"],
        "sendMany": [f"(inputs: [{SEND}])"],
        **{name: [f'(id: "{n.send}")'] for name in ("cancelSend", "recallSend", "pauseSend", "resumeSend")},
        "resolve": [
            f'(collapseKey: "{n.collapse_key}")',
            f'(collapseKey: "{n.collapse_key}", users: ["{n.user}"])',
        ],
        "replay": [f'(ids: ["{n.delivery}"])', f'(filter: {{sendId: "{n.send}"}})'],
        "cancelDeliveries": [f'(filter: {{sendId: "{n.send}"}})'],
        "releaseRestored": [""],
        "stopDeliveryBatch": [f'(id: "{n.event}")'],
        "upsertUsers": ['(users: [{id: "lee"}])'],
        "exportUser": [f'(id: "{n.user}")'],
        "deleteUser": [f'(id: "{n.user}")'],
        "upsertCategory": ['(input: {key: "own", name: "Own", defaultChannels: [IN_APP]})'],
        "deleteCategory": [f'(key: "{n.category}")'],
        "updateTenant": ['(input: {name: "Own"})'],
        "upsertTemplate": ['(input: {key: "own", title: "T", body: "B"})'],
        "revertTemplate": [f'(key: "{n.template}", version: 1)'],
        "deleteTemplate": [f'(key: "{n.template}")'],
        "leaveTopic": [f'(topic: "{n.topic}")'],
        "rejoinTopic": [f'(topic: "{n.topic}")'],
        "upsertTopic": ['(input: {key: "own"})'],
        "subscribeToTopic": ['(topic: "own", users: ["lee"])'],
        "unsubscribeFromTopic": [f'(topic: "{n.topic}", users: ["{n.user}"])'],
        "createWebhook": ['(input: {url: "https://hooks.example/b"})'],
        "updateWebhook": [f'(id: "{n.webhook}", enabled: false)'],
        "rotateWebhookSecret": [f'(id: "{n.webhook}")'],
        "deleteWebhook": [f'(id: "{n.webhook}")'],
        "testWebhook": [f'(id: "{n.webhook}")'],
        "replayWebhookCalls": [f'(ids: ["{n.event}"])'],
        "publishEvent": ['(input: {source: "/own", type: "a.b"})'],
        "replayEvents": [f'(ids: ["{n.event}"])'],
        "upsertRule": [f"(input: {RULE})"],
        "deleteRule": [f'(key: "{n.template}")'],
        "liftSuppression": [f'(userId: "{n.user}", address: "{n.address}")'],
        "pauseChannel": ["(channel: SMS)"],
        "resumeChannel": ["(channel: SMS)"],
        "createServiceKey": ['(input: {name: "own"})'],
        "revokeServiceKey": [f'(id: "{n.key}")'],
    }


CREATE = frozenset(
    {
        *("connectChat", "connectWebhook", "registerMobileDevice", "registerWebPush", "rotateEnrichmentSecret"),
        *("createServiceKey", "createWebhook", "publishEvent", "send", "sendMany", "upsertUsers", "subscribeToTopic"),
        *("pauseChannel", "resumeChannel"),
    }
)
"""Mutations of the own tenant whose second response differs from the first one."""


def operations(names: Names) -> Iterator[tuple[str, str]]:
    """Yield the root field and the text of each operation: the queries first."""
    for kind, fields in arguments(names).items():
        assert fields.keys() == root(kind).fields.keys(), "every operation needs its arguments here"
        for name, each in fields.items():
            for given in each:
                for path in paths(kind, name, given, depth=3 if kind == "query" else 2):
                    yield name, path.operation


async def stored_documents(database: Database, tenant: Tenant) -> Json:
    """Return all documents of a tenant by collection, comparable."""
    within = {"$regex": f"^{tenant.name}/"}
    mine = {"$or": [{"tenant": tenant.name}, {"_id": tenant.name}, {"_id": within}, {"mailbox": within}]}
    names = sorted(set(await database.list_collection_names()) - VOLATILE)
    found = {name: await database[name].find(mine).sort("_id", 1).to_list() for name in names}
    comparable: Json = json.loads(json.dumps(found, default=str))
    return {name: documents for name, documents in comparable.items() if documents}


async def execute(tenant: Tenant, operation: str) -> Json:
    """Execute an operation as an administrator who is also a user. Return the response, or the first event."""
    headers = {"authorization": f"Bearer {tenant.token('lee', role=Role.ADMIN)}"}
    if not operation.startswith("subscription"):
        return await tenant.execute_raw(operation, headers=headers)
    headers["accept"] = "text/event-stream"
    async with tenant.http.post(tenant.next_url(), json={"query": operation}, headers=headers) as response:
        async for line in response.content:
            if line.startswith(b"data: {"):
                event: Json = json.loads(line.removeprefix(b"data: "))
                return event
    raise AssertionError(f"no event: {operation}")


def normalized(response: Json, names: Names) -> str:
    text = TIMES.sub("TIME", json.dumps(response))
    for field, value in asdict(names).items():
        text = text.replace(value, field.upper())
    return re.sub(r'"(requestId|position|undoToken)": "[^"]*"', "", text)


async def test_no_operation_reaches_another_tenant(tenant: Tenant, deployment: Deployment, database: Database) -> None:
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as other:
        ids = await create_marked_data(other, database)
        names = {"topic": TOPIC, "template": TEMPLATE, "category": CATEGORY, "collapse_key": MARK, "address": EMAIL}
        theirs = Names(**asdict(ids), **names, user=USER, key_of_send=f"key-of-{other.name}")
        await settled(database, other)
        before = await stored_documents(database, other)
        assert before.keys() >= {"users", "notifications", "deliveries", "sends", "templates", "events", "service_keys"}
        missing = missing_names()
        await execute(tenant, "{ me { id } }")
        wrong = []
        for (name, operation), (_, same) in zip(operations(theirs), operations(missing), strict=True):
            response = await execute(tenant, operation)
            if contains_mark(normalized(response, theirs)):
                wrong.append(f"shows data: {operation}: {response}")
            if name not in CREATE:
                expected = normalized(await execute(tenant, same), missing)
                if normalized(response, theirs) != expected:
                    wrong.append(f"differs: {operation}: {response}, {expected}")
        assert wrong == [], "\n".join(wrong)
        assert await stored_documents(database, other) == before


async def settled(database: Database, tenant: Tenant) -> None:
    """Wait until nothing of a tenant changes any longer."""

    async def unchanged() -> Any:
        found = await database.events.count_documents({"tenant": tenant.name, "due_at": {"$ne": None}})
        running = await database.deliveries.count_documents({"tenant": tenant.name, "claim": {"$ne": None}})
        return found + running == 0

    await eventually(unchanged)
