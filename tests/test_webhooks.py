"""A tenant's webhooks: who may set them up, what is shown of them, and the calls that events make."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from msgspec.structs import replace

from hub import clock
from hub.ids import new_id
from hub.model import (
    Attempt,
    Channel,
    DeliveryStatus,
    Notification,
    Priority,
    ReceiptKind,
    Role,
    WebhookEndpoint,
    document,
    mailbox_of,
)
from hub.platform.connections import Database
from hub.settings import Settings
from hub.status import receipts
from hub.webhooks import webhook_calls
from hub.webhooks.endpoints import Endpoints
from hub.webhooks.events import EVENTS
from hub.webhooks.webhook_calls import calls_for_receipt
from tests.client import Json, Refused, Tenant
from tests.processes import Deployment

ENDPOINT = "id url events enabled disabledReason createdAt"
CREATE = f"mutation ($input: WebhookInput!) {{ createWebhook(input: $input) {{ secret endpoint {{ {ENDPOINT} }} }} }}"
UPDATE = f"mutation ($id: ID!, $url: String, $events: [String!], $enabled: Boolean) {{ updateWebhook(id: $id, url: $url, events: $events, enabled: $enabled) {{ {ENDPOINT} }} }}"
ROTATE = f"mutation ($id: ID!) {{ rotateWebhookSecret(id: $id) {{ secret endpoint {{ {ENDPOINT} }} }} }}"
DELETE = "mutation ($id: ID!) { deleteWebhook(id: $id) }"
REPLAY = "mutation ($ids: [ID!]!) { replayWebhookCalls(ids: $ids) }"
LIST = f"{{ webhooks {{ {ENDPOINT} }} }}"
CALLS = """query ($statuses: [DeliveryStatus!], $first: Int, $after: String) { webhooks { id
  calls(statuses: $statuses, first: $first, after: $after) {
    edges { cursor } pageInfo { hasNextPage endCursor }
    nodes { id event status dueAt createdAt attempts { at ok provider error durationMs } } } } }"""
URL = "https://hooks.example.org/in?token=abc"
NOW = datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)
LATER = datetime(2090, 1, 1, tzinfo=UTC)


@pytest.fixture
async def other(deployment: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as fresh:
        yield fresh


async def answer(tenant: Tenant, query: str, role: Role = Role.ADMIN, **variables: Any) -> Json:
    user = "alice" if role is Role.USER else None
    headers = {"authorization": f"Bearer {tenant.token(user, role=role)}"}
    body = {"query": query, "variables": variables}
    async with tenant.http.post(tenant.next_url(), json=body, headers=headers) as response:
        told: Json = await response.json()
        return told


async def ask(tenant: Tenant, query: str, role: Role = Role.ADMIN, **variables: Any) -> Any:
    """The one field of the data; raises Refused where there are errors."""
    told = await answer(tenant, query, role, **variables)
    if "errors" in told:
        raise Refused(told["errors"])
    [value] = told["data"].values()
    return value


async def created(tenant: Tenant, url: str = URL, events: list[str] | None = None) -> tuple[str, str]:
    """The id and the secret of a new endpoint."""
    made = await ask(tenant, CREATE, input={"url": url, "events": events})
    return made["endpoint"]["id"], made["secret"]


async def stored(database: Database, tenant: Tenant) -> Json:
    found: Json = await database.tenants.find_one({"_id": tenant.name}) or {}
    return found


async def refusal(tenant: Tenant, query: str, role: Role = Role.ADMIN, **variables: Any) -> Json:
    with pytest.raises(Refused) as refused:
        await ask(tenant, query, role, **variables)
    [error] = refused.value.errors
    return {"message": error["message"], **error["extensions"]}


# ---------------------------------------------------------------- who, and what is shown


@pytest.mark.parametrize("role", [Role.USER, Role.SERVICE])
async def test_webhooks_are_for_admins_only(tenant: Tenant, database: Database, role: Role) -> None:
    id, _ = await created(tenant)
    before = await stored(database, tenant)
    for query, variables in (
        (LIST, {}),
        (CREATE, {"input": {"url": URL}}),
        (UPDATE, {"id": id, "enabled": False}),
        (ROTATE, {"id": id}),
        (DELETE, {"id": id}),
        (REPLAY, {"ids": [new_id()]}),
    ):
        assert (await refusal(tenant, query, role, **variables))["code"] == "FORBIDDEN"
    assert await stored(database, tenant) == before


async def test_secret_is_shown_once_and_endpoint_as_it_was_given(tenant: Tenant, database: Database) -> None:
    made = await ask(
        tenant, CREATE, input={"url": URL, "events": ["notification.read", "delivery.failed", "notification.read"]}
    )
    endpoint = made["endpoint"]
    assert made["secret"].startswith("whsec_")
    assert endpoint | {"id": "", "createdAt": ""} == {
        "id": "",
        "createdAt": "",
        "url": URL,
        "events": ["notification.read", "delivery.failed"],
        "enabled": True,
        "disabledReason": None,
    }
    listed = await answer(tenant, LIST)
    assert listed["data"]["webhooks"] == [endpoint]
    for query in (UPDATE, CALLS):
        assert made["secret"] not in orjson.dumps(await answer(tenant, query, id=endpoint["id"], enabled=True)).decode()
    [kept] = (await stored(database, tenant))["endpoints"]
    assert kept["secrets"] == [made["secret"]]
    assert (await refusal(tenant, "{ webhooks { secrets } }"))["code"] == "BAD_USER_INPUT"


async def test_webhook_of_another_tenant_looks_like_a_missing_one(
    tenant: Tenant, other: Tenant, database: Database
) -> None:
    id, _ = await created(other)
    await seed(database, other, id, [DeliveryStatus.FAILED])
    [call] = (await ask(other, CALLS))[0]["calls"]["nodes"]
    before = await stored(database, other)
    await created(tenant)
    for query, variables in ((UPDATE, {"enabled": False}), (ROTATE, {}), (DELETE, {})):
        told = [await answer(tenant, query, id=which, **variables) for which in (id, new_id())]
        for one in told:
            for error in one.get("errors", []):
                error["extensions"].pop("requestId", None)
        assert told[0] == told[1]
    assert await ask(tenant, REPLAY, ids=[call["id"]]) == 0
    assert [one["id"] for one in await ask(tenant, LIST)] != [id]
    assert await stored(database, other) == before
    assert (await ask(other, CALLS))[0]["calls"]["nodes"] == [call]
    assert await ask(other, REPLAY, ids=[call["id"]]) == 1


# ---------------------------------------------------------------- set-up


async def test_update_changes_what_is_given_and_nothing_else(tenant: Tenant, database: Database) -> None:
    id, secret = await created(tenant, events=["notification.read"])
    await created(tenant, "https://second.example.org/")
    [first, second] = await ask(tenant, LIST)
    assert second["events"] == []
    for given, changed in (
        ({}, {}),
        ({"url": "https://moved.example.org/x"}, {"url": "https://moved.example.org/x"}),
        ({"events": ["delivery.sent"]}, {"events": ["delivery.sent"]}),
        ({"events": None}, {"events": []}),
        ({"enabled": False}, {"enabled": False}),
        ({"url": None, "enabled": None}, {}),
        ({"enabled": True}, {"enabled": True}),
    ):
        first |= changed
        assert await ask(tenant, UPDATE, id=id, **given) == first
        assert await ask(tenant, LIST) == [first, second]
    assert (await stored(database, tenant))["endpoints"][0]["secrets"] == [secret]


async def test_every_change_raises_the_version(tenant: Tenant, database: Database) -> None:
    versions = []

    async def note() -> None:
        versions.append((await stored(database, tenant)).get("version", 0))

    await note()
    id, _ = await created(tenant)
    await note()
    for query, variables in ((UPDATE, {"enabled": False}), (ROTATE, {}), (DELETE, {})):
        await ask(tenant, query, id=id, **variables)
        await note()
    assert versions == [0, 1, 2, 3, 4]
    assert await ask(tenant, DELETE, id=id) is False
    assert (await stored(database, tenant))["version"] == 4


async def test_rotation_keeps_the_last_secret_beside_the_new_one(tenant: Tenant, database: Database) -> None:
    id, first = await created(tenant)
    known = [first]
    for _ in range(3):
        made = await ask(tenant, ROTATE, id=id)
        assert made["endpoint"]["id"] == id
        known.insert(0, made["secret"])
        [kept] = (await stored(database, tenant))["endpoints"]
        assert kept["secrets"] == known[:2]
        assert abs(clock.now() - kept["rotated_at"]) < timedelta(minutes=1)
    assert len(set(known)) == 4


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/", "http://2130706433/", "http://[::ffff:7f00:1]/", "http://169.254.169.254/latest"),
        *("https://user:word@hooks.example.org/", "https://hooks.example.org:8443/", "ftp://hooks.example.org/", ""),
        *("/in", "https://exämple.org/", "https://" + "a" * 2050, "javascript:alert(1)"),
    ],
)
async def test_address_that_can_not_be_called_is_refused(tenant: Tenant, url: str) -> None:
    id, _ = await created(tenant)
    for query, variables, field in (
        (CREATE, {"input": {"url": url}}, "input.url"),
        (UPDATE, {"id": id, "url": url}, "url"),
    ):
        refused = await refusal(tenant, query, **variables)
        assert (refused["code"], refused["field"]) == ("BAD_USER_INPUT", field)
    assert [one["url"] for one in await ask(tenant, LIST)] == [URL]


@pytest.mark.parametrize("events", [[], ["notification.opened"], ["notification.read", ""], ["*"], ["notification"]])
async def test_events_that_there_are_not_are_refused_with_those_that_there_are(
    tenant: Tenant, events: list[str]
) -> None:
    id, _ = await created(tenant)
    for query, variables in (
        (CREATE, {"input": {"url": URL, "events": events}}),
        (UPDATE, {"id": id, "events": events}),
    ):
        refused = await refusal(tenant, query, **variables)
        assert refused["code"] == "BAD_USER_INPUT"
        assert "events" in refused["field"]
        assert not events or all(event in refused["message"] for event in EVENTS)
    assert len(await ask(tenant, LIST)) == 1


async def test_every_event_can_be_asked_for(tenant: Tenant) -> None:
    assert (await ask(tenant, CREATE, input={"url": URL, "events": list(EVENTS)}))["endpoint"]["events"] == list(EVENTS)


async def test_tenant_has_at_most_so_many_webhooks_even_made_at_once(tenant: Tenant) -> None:
    told = await asyncio.gather(*(answer(tenant, CREATE, input={"url": URL}) for _ in range(30)))
    refused = [one["errors"][0] for one in told if "errors" in one]
    assert len(refused) == 10
    assert {error["extensions"]["code"] for error in refused} == {"TOO_LARGE"}
    assert all("HUB_WEBHOOKS_PER_TENANT" in error["message"] for error in refused)
    listed = await ask(tenant, LIST)
    assert len({one["id"] for one in listed}) == 20
    assert await ask(tenant, DELETE, id=listed[0]["id"]) is True
    await created(tenant)


# ---------------------------------------------------------------- what an event makes


def notification(tenant: str = "acme", **given: Any) -> Notification:
    fields: dict[str, Any] = {
        "id": new_id(),
        "mailbox": mailbox_of(tenant, "alice"),
        "send": new_id(),
        "category": "builds",
        "title": "A private headline",
        "body": "",
        "priority": Priority.HIGH,
        "because": "",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Notification(**fields | given)


def endpoint(id: str = "", *events: str, **given: Any) -> WebhookEndpoint:
    return WebhookEndpoint(id=id or new_id(), url=URL, events=events, secrets=("whsec_AAAA",), created_at=NOW, **given)


async def seed(database: Database, tenant: Tenant, id: str, statuses: list[DeliveryStatus]) -> list[str]:
    """Calls to an endpoint as transactions write them, in those states; their ids, oldest first."""
    made = []
    for status in statuses:
        n = notification(tenant.name)
        [call] = calls_for_receipt(receipts.user_receipt(n, ReceiptKind.READ, NOW), n, [endpoint(id)], NOW)
        call["status"] = status
        call["due_at"] = LATER  # no worker takes it
        if status is DeliveryStatus.FAILED:
            tried = [
                Attempt(at=NOW, provider="endpoint", error="HTTP 500", ms=12),
                Attempt(at=NOW, provider="endpoint"),
            ]
            call |= {
                "attempts": [document(one) for one in tried],
                "tries": 2,
                "lease_expirations": 2,
                "reason": "ATTEMPTS_USED_UP",
            }
            del call["due_at"]
        made.append(call)
    await database.webhook_calls.insert_many(made)
    return [call["_id"] for call in made]


def test_receipt_makes_a_call_for_each_endpoint_that_wants_it() -> None:
    n = notification()
    receipt = receipts.user_receipt(n, ReceiptKind.READ, NOW)
    wanting = [
        endpoint("a"),
        endpoint("b", "notification.read"),
        endpoint("c", "notification.seen", "notification.read"),
    ]
    others = [endpoint("d", "notification.seen"), endpoint("e", enabled=False)]
    calls = calls_for_receipt(receipt, n, wanting + others, NOW)
    assert [call["endpoint"] for call in calls] == ["a", "b", "c"]
    assert calls == calls_for_receipt(receipt, n, wanting + others, NOW), "the same again is the same"
    assert len({call["_id"] for call in calls}) == 3
    [first, *_] = calls
    assert {key: first[key] for key in ("tenant", "event", "status", "due_at", "priority", "lane")} == {
        "tenant": "acme",
        "event": "notification.read",
        "status": "ACCEPTED",
        "due_at": NOW,
        "priority": "HIGH",
        "lane": "WEBHOOK_ENDPOINT/HIGH/acme",
    }
    assert orjson.loads(first["payload"]) == {
        "type": "notification.read",
        "timestamp": "2026-11-20T08:15:30.000Z",
        "data": {
            "receiptId": receipt["_id"],
            "sendId": n.send,
            "notificationId": n.id,
            "userId": "alice",
            "category": "builds",
            "priority": "HIGH",
            "channel": "IN_APP",
            "status": None,
            "reason": None,
        },
    }
    assert "private" not in first["payload"]


def test_every_receipt_has_its_event_or_is_on_the_way() -> None:
    n, told = notification(), {}
    for kind in ReceiptKind:
        if kind is not ReceiptKind.DELIVERY:
            told[kind] = [
                one["event"] for one in calls_for_receipt(receipts.user_receipt(n, kind, NOW), n, [endpoint()], NOW)
            ]
    assert told == {kind: [f"notification.{kind.lower()}"] for kind in told}
    on_the_way = {DeliveryStatus.ACCEPTED, DeliveryStatus.HELD, DeliveryStatus.PROCESSING, DeliveryStatus.RETRYING}
    silent = on_the_way | {DeliveryStatus.READ}  # which is told as notification.read
    inner = {
        "DELIVERED": "notification.created",
        "EXPIRED": "notification.expired",
        "CANCELLED": "notification.recalled",
    }
    for channel in Channel:
        for status in DeliveryStatus:
            receipt = receipts.channel_receipt(n, channel, status, NOW, "NOT_CONFIGURED")
            events = [one["event"] for one in calls_for_receipt(receipt, n, [endpoint()], NOW)]
            usual = f"delivery.{status.lower()}"
            event = inner.get(status, usual) if channel is Channel.IN_APP else usual
            assert events == ([] if status in silent else [event])
            assert set(events) <= set(EVENTS)
    assert len(set(EVENTS)) == len(EVENTS)


# ---------------------------------------------------------------- calls


async def test_calls_are_listed_newest_first_by_page_and_status(tenant: Tenant, database: Database) -> None:
    id, _ = await created(tenant)
    second, _ = await created(tenant)
    ids = await seed(
        database, tenant, id, [DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.ACCEPTED] * 2
    )
    await seed(database, tenant, second, [DeliveryStatus.FAILED])

    async def page(**variables: Any) -> Json:
        listed = {one["id"]: one["calls"] for one in await ask(tenant, CALLS, **variables)}
        assert set(listed) == {id, second}
        found: Json = listed[id]
        return found

    found: list[str] = []
    after = None
    while after or not found:
        part = await page(first=4, after=after)
        found += [node["id"] for node in part["nodes"]]
        assert [edge["cursor"] for edge in part["edges"]] == [node["id"] for node in part["nodes"]]
        after = part["pageInfo"]["endCursor"] if part["pageInfo"]["hasNextPage"] else None
    assert found == ids[::-1]
    failed = (await page(statuses=["FAILED"]))["nodes"]
    assert [node["id"] for node in failed] == [ids[4], ids[1]]
    assert failed[0] == {
        "id": ids[4],
        "event": "notification.read",
        "status": "FAILED",
        "dueAt": None,
        "createdAt": "2026-11-20T08:15:30.000Z",
        "attempts": [
            {
                "at": "2026-11-20T08:15:30.000Z",
                "ok": False,
                "provider": "endpoint",
                "error": "HTTP 500",
                "durationMs": 12,
            },
            {"at": "2026-11-20T08:15:30.000Z", "ok": False, "provider": "endpoint", "error": None, "durationMs": 0},
        ],
    }
    assert [node["id"] for node in (await page(statuses=["FAILED", "ACCEPTED"], first=3))["nodes"]] == [
        ids[5],
        ids[4],
        ids[2],
    ]
    assert (await page(statuses=[]))["nodes"] == []
    for given in ({"after": "rubbish"}, {"after": new_id()}, {"first": 0}, {"first": 101}):
        assert (await refusal(tenant, CALLS.replace("id\n", "", 1), **given))["code"] == "BAD_USER_INPUT"


async def test_replay_brings_back_what_failed_where_it_can_be_called(tenant: Tenant, database: Database) -> None:
    id, _ = await created(tenant)
    off, _ = await created(tenant)
    await ask(tenant, UPDATE, id=off, enabled=False)
    states = [DeliveryStatus.FAILED, DeliveryStatus.DELIVERED, DeliveryStatus.PROCESSING, DeliveryStatus.FAILED]
    ids = await seed(database, tenant, id, states)
    [elsewhere] = await seed(database, tenant, off, [DeliveryStatus.FAILED])
    [lost] = await seed(database, tenant, new_id(), [DeliveryStatus.FAILED])
    asked = [*ids[:3], elsewhere, lost, new_id()]
    assert await ask(tenant, REPLAY, ids=asked) == 1
    assert await ask(tenant, REPLAY, ids=asked) == 0
    found = {doc["_id"]: doc async for doc in database.webhook_calls.find({"tenant": tenant.name})}
    assert found[ids[0]]["status"] in {"ACCEPTED", "PROCESSING", "RETRYING"}, "a worker may have it by now"
    assert [found[id]["status"] for id in (*ids[1:], elsewhere, lost)] == [
        *("DELIVERED", "PROCESSING", "FAILED", "FAILED", "FAILED")
    ]
    again = found[ids[0]]
    assert again["due_at"] > NOW
    assert "lease_expirations" not in again, "with all tries before it"
    assert again.get("tries", 0) < 2
    assert len(again["attempts"]) >= 2, "what was tried before is not forgotten"
    assert (await refusal(tenant, REPLAY, ids=["x"] * 1001))["code"] == "TOO_LARGE"


async def test_calls_are_found_by_their_indexes(tenant: Tenant, database: Database) -> None:
    await seed(database, tenant, "e", [*[DeliveryStatus.DELIVERED] * 100, DeliveryStatus.FAILED])
    wanted: Json = {"tenant": tenant.name, "endpoint": "e"}
    due = {"lane": f"WEBHOOK_ENDPOINT/HIGH/{tenant.name}", "due_at": {"$lte": NOW}}
    for query, order, index in (
        (wanted, ("_id", -1), "endpoint"),
        (wanted | {"status": {"$in": ["FAILED", "EXPIRED"]}}, ("_id", -1), "status"),
        (due, ("due_at", 1), "due"),
    ):
        plan = await database.webhook_calls.find(query, hint=index).sort(*order).explain()
        assert "'SORT'" not in str(plan["queryPlanner"]["winningPlan"])
        assert plan["executionStats"]["totalDocsExamined"] == plan["executionStats"]["nReturned"]
    age = (await database.webhook_calls.index_information())["expiry"]
    assert age["expireAfterSeconds"] == 30 * webhook_calls.DAY_S


# ---------------------------------------------------------------- an endpoint that fails


async def test_endpoint_with_nothing_but_failure_for_days_is_disabled(tenant: Tenant, database: Database) -> None:
    at = clock.now()
    book = Endpoints(database, Settings(jwt_secret=("s" * 32,)), lambda: at)
    id, _ = await created(tenant)
    bystander, _ = await created(tenant)

    async def settled(status: DeliveryStatus, copy: WebhookEndpoint | None = None) -> WebhookEndpoint:
        await book.record_result(tenant.name, copy or (await book.list_all(tenant.name))[0], status)
        return (await book.list_all(tenant.name))[0]

    fresh = (await book.list_all(tenant.name))[0]
    began = at
    failing = await settled(DeliveryStatus.FAILED)
    assert (failing.failing_since, failing.enabled) == (began, True)
    at += timedelta(days=4)
    assert (await settled(DeliveryStatus.FAILED)) == failing
    assert (await settled(DeliveryStatus.FAILED, fresh)) == failing, "an old copy does not begin anew"
    assert (await settled(DeliveryStatus.DELIVERED)).failing_since is None
    assert (await settled(DeliveryStatus.FAILED)).failing_since == at
    began = at
    at += timedelta(days=5)
    assert (await settled(DeliveryStatus.FAILED, failing)).enabled is True, "an old copy does not disable"
    assert (await settled(DeliveryStatus.FAILED)).enabled is False, "five days, and nothing but failure"
    [shown, beside] = await ask(tenant, LIST)
    assert (shown["id"], shown["enabled"]) == (id, False)
    assert shown["disabledReason"] == f"Nothing but failure since {clock.rfc3339(began)}."
    assert (beside["id"], beside["enabled"], beside["disabledReason"]) == (bystander, True, None)
    back = await ask(tenant, UPDATE, id=id, enabled=True)
    assert (back["enabled"], back["disabledReason"]) == (True, None)
    old = replace(failing, failing_since=began)
    assert (await settled(DeliveryStatus.FAILED, old)).enabled is True, "an old copy does not disable what was mended"
