"""Calls to webhook endpoints: made from receipts, listed and replayed."""

from typing import Any

import orjson

from hub.ids import new_id
from hub.model import (
    Channel,
    DeliveryStatus,
    PendingReceipt,
    ReceiptKind,
)
from hub.platform.connections import Database
from hub.webhooks import webhook_calls
from hub.webhooks.events import EVENTS
from hub.webhooks.webhook_calls import calls_for_receipt
from tests.client import Json, Tenant
from tests.webhook_data import (
    CALLS,
    NOW,
    REPLAY,
    UPDATE,
    create_endpoint,
    error_of,
    execute_as,
    insert_calls,
    new_endpoint,
    new_notification,
    new_receipt,
)


def test_receipt_creates_a_call_for_each_subscribed_endpoint() -> None:
    n = new_notification()
    receipt = new_receipt(n)
    wanting = [
        new_endpoint("a"),
        new_endpoint("b", "notification.read"),
        new_endpoint("c", "notification.seen", "notification.read"),
    ]
    others = [new_endpoint("d", "notification.seen"), new_endpoint("e", enabled=False)]
    calls = calls_for_receipt(receipt, n, wanting + others, NOW)
    assert [call["endpoint"] for call in calls] == ["a", "b", "c"]
    assert calls == calls_for_receipt(receipt, n, wanting + others, NOW), "the same receipt makes the same calls"
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
            "receiptId": receipt.id,
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


def test_every_receipt_kind_has_an_event_or_is_intermediate() -> None:
    n, received = new_notification(), {}
    for kind in ReceiptKind:
        if kind is not ReceiptKind.DELIVERY:
            received[kind] = [one["event"] for one in calls_for_receipt(new_receipt(n, kind), n, [new_endpoint()], NOW)]
    assert received == {kind: [f"notification.{kind.lower()}"] for kind in received}
    on_the_way = {DeliveryStatus.ACCEPTED, DeliveryStatus.HELD, DeliveryStatus.PROCESSING, DeliveryStatus.RETRYING}
    silent = on_the_way | {DeliveryStatus.READ}  # which is published as notification.read
    inner = {
        "DELIVERED": "notification.created",
        "EXPIRED": "notification.expired",
        "CANCELLED": "notification.recalled",
    }
    for channel in Channel:
        for status in DeliveryStatus:
            receipt = PendingReceipt(n, channel, status, "NOT_CONFIGURED").stored(new_id(), NOW)
            events = [one["event"] for one in calls_for_receipt(receipt, n, [new_endpoint()], NOW)]
            usual = f"delivery.{status.lower()}"
            event = inner.get(status, usual) if channel is Channel.IN_APP else usual
            assert events == ([] if status in silent else [event])
            assert set(events) <= set(EVENTS)
    assert len(set(EVENTS)) == len(EVENTS)


async def test_calls_are_listed_newest_first_by_page_and_status(tenant: Tenant, database: Database) -> None:
    id, _ = await create_endpoint(tenant)
    second, _ = await create_endpoint(tenant)
    ids = await insert_calls(
        database, tenant, id, [DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.ACCEPTED] * 2
    )
    await insert_calls(database, tenant, second, [DeliveryStatus.FAILED])

    async def page(**variables: Any) -> Json:
        listed = {one["id"]: one["calls"] for one in await execute_as(tenant, CALLS, **variables)}
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
    for fields in ({"after": "rubbish"}, {"after": new_id()}, {"first": 0}, {"first": 101}):
        assert (await error_of(tenant, CALLS.replace("id\n", "", 1), **fields))["code"] == "BAD_USER_INPUT"


async def test_replay_sends_failed_calls_of_enabled_endpoints_again(tenant: Tenant, database: Database) -> None:
    id, _ = await create_endpoint(tenant)
    off, _ = await create_endpoint(tenant)
    await execute_as(tenant, UPDATE, id=off, enabled=False)
    states = [DeliveryStatus.FAILED, DeliveryStatus.DELIVERED, DeliveryStatus.PROCESSING, DeliveryStatus.FAILED]
    ids = await insert_calls(database, tenant, id, states)
    [elsewhere] = await insert_calls(database, tenant, off, [DeliveryStatus.FAILED])
    [lost] = await insert_calls(database, tenant, new_id(), [DeliveryStatus.FAILED])
    requested = [*ids[:3], elsewhere, lost, new_id()]
    assert await execute_as(tenant, REPLAY, ids=requested) == 1
    assert await execute_as(tenant, REPLAY, ids=requested) == 0
    found = {doc["_id"]: doc async for doc in database.webhook_calls.find({"tenant": tenant.name})}
    assert found[ids[0]]["status"] in {"ACCEPTED", "PROCESSING", "RETRYING"}, "a worker may have claimed it"
    assert [found[id]["status"] for id in (*ids[1:], elsewhere, lost)] == [
        *("DELIVERED", "PROCESSING", "FAILED", "FAILED", "FAILED")
    ]
    again = found[ids[0]]
    assert again["status"] == "PROCESSING" or again["due_at"] > NOW
    assert "lease_expirations" not in again, "with all attempts left"
    assert again.get("tries", 0) < 2
    assert len(again["attempts"]) >= 2, "earlier attempts are kept"
    assert (await error_of(tenant, REPLAY, ids=["x"] * 1001))["code"] == "TOO_LARGE"


async def test_call_queries_use_indexes(tenant: Tenant, database: Database) -> None:
    await insert_calls(database, tenant, "e", [*[DeliveryStatus.DELIVERED] * 100, DeliveryStatus.FAILED])
    expected: Json = {"tenant": tenant.name, "endpoint": "e"}
    due = {"lane": f"WEBHOOK_ENDPOINT/HIGH/{tenant.name}", "due_at": {"$lte": NOW}}
    for query, order, index in (
        (expected, ("_id", -1), "endpoint"),
        (expected | {"status": {"$in": ["FAILED", "EXPIRED"]}}, ("_id", -1), "status"),
        (due, ("due_at", 1), "due"),
        ({"leased_until": {"$lte": NOW}}, ("leased_until", 1), "leases"),
    ):
        plan = await database.webhook_calls.find(query, hint=index).sort(*order).explain()
        assert "'SORT'" not in str(plan["queryPlanner"]["winningPlan"])
        assert plan["executionStats"]["totalDocsExamined"] == plan["executionStats"]["nReturned"]
    age = (await database.webhook_calls.index_information())["expiry"]
    assert age["expireAfterSeconds"] == 30 * webhook_calls.DAY_S
