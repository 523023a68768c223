"""`resolve`: the notifications with a collapse key leave the inboxes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from hub.inbox.resolutions import Resolution, Resolutions, _index_for, _match, _match_live
from hub.platform.connections import Database
from hub.utc_time import now, rfc3339
from hub.workflows.resolve import BATCH_SIZE
from tests.channel_setup import connect_webhook, wait_for_deliveries
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.collapse.inboxes import collapsed, whole_inbox
from tests.inbox_data import FAR_FUTURE
from tests.mongo_assertions import stored_receipts
from tests.processes import Deployment
from tests.webhook_data import create_endpoint
from tests.webhook_receiver import WebhookReceiver

RESOLVE = "mutation ($key: String!, $users: [ID!]) { resolve(collapseKey: $key, users: $users) }"


async def resolve(tenant: Tenant, key: str, *users: str) -> int:
    count: int = (await tenant.execute(RESOLVE, key=key, users=list(users) or None))["resolve"]
    return count


async def test_resolve_removes_the_key_from_the_named_inboxes_live(tenant: Tenant, deployment: Deployment) -> None:
    sent = await tenant.send("alice", "bob", "carol", title="Down", collapseKey="outage", requireAck=True)
    await tenant.send("alice", title="Other", collapseKey="other")
    await tenant.send("alice", title="No key")
    position = (await whole_inbox(tenant))["position"]
    async with (
        tenant.feed("alice", position, url=deployment.urls[0]) as one,
        tenant.feed("alice", position, url=deployment.urls[1]) as two,
    ):
        assert await resolve(tenant, "outage", "alice", "bob", "unknown") == 2
        for feed in (one, two):
            [event] = await feed.take(1)
            assert (event["kind"], event["notification"]["title"], event["unread"]) == ("REMOVED", "Down", 2)
    assert await collapsed(tenant) == [("No key", 1), ("Other", 1)]
    assert await collapsed(tenant, "bob") == []
    assert await collapsed(tenant, "carol") == [("Down", 1)]
    query = "query ($id: ID!) { send(id: $id) { counts { channel status count reasons { reason } } } }"
    counts = (await tenant.execute(query, id=sent["send"]["id"]))["send"]["counts"]
    assert counts == [
        {"channel": "IN_APP", "status": "CANCELLED", "count": 2, "reasons": [{"reason": "RESOLVED"}]},
        {"channel": "IN_APP", "status": "DELIVERED", "count": 1, "reasons": []},
    ]
    assert await resolve(tenant, "outage", "alice") == 0
    users = await tenant.execute('{ user(id: "unknown") { id } }')
    assert users["user"] is None, "it makes no users"


async def test_resolve_without_users_reaches_every_inbox_of_the_tenant_and_no_other(
    tenant: Tenant, deployment: Deployment
) -> None:
    async with Tenant(f"{tenant.name}0", deployment.urls) as other:
        for one in (tenant, other):
            await one.send("alice", "bob", title="Down", collapseKey="k")
        assert await resolve(tenant, "k") == 2
        assert [await collapsed(tenant, user) for user in ("alice", "bob")] == [[], []]
        assert [await collapsed(other, user) for user in ("alice", "bob")] == [[("Down", 1)]] * 2


@pytest.mark.parametrize("mark", ["markRead", "archive", "snooze"])
async def test_resolve_removes_marked_notifications(tenant: Tenant, mark: str) -> None:
    await tenant.send("alice", collapseKey="k")
    [n] = (await whole_inbox(tenant))["nodes"]
    await tenant.mark("alice", mark, n["id"], until=FAR_FUTURE if mark == "snooze" else None)
    assert await resolve(tenant, "k", "alice") == 1
    page = await whole_inbox(tenant)
    assert (page["nodes"], page["unread"], page["unseen"]) == ([], 0, 0)


async def test_resolve_counts_and_removes_the_open_acknowledgment_and_the_one_next_to_it(tenant: Tenant) -> None:
    await tenant.send("alice", title="Open", collapseKey="k", requireAck=True)
    await tenant.send("alice", title="Newer", collapseKey="k")
    assert await resolve(tenant, "k") == 2
    await tenant.send("alice", title="Again", collapseKey="k")
    assert await collapsed(tenant) == [("Again", 1)]


async def test_resolve_cancels_deliveries_also_of_hidden_notifications(
    tenant: Tenant, receiver: WebhookReceiver, store: Database
) -> None:
    _, endpoint = await create_endpoint(tenant, events=["notification.resolved", "delivery.cancelled"])
    assert endpoint
    await connect_webhook(tenant, receiver, "alice", "bob")
    for user in ("alice", "bob"):
        receiver.responses[f"/{user}"] = lambda *_: web.Response(status=503, headers={"retry-after": "60"})
    await tenant.send("alice", collapseKey="k", channels=["WEBHOOK"])
    await tenant.send("bob", collapseKey="k", channels=["IN_APP", "WEBHOOK"])
    await wait_for_deliveries(tenant, "RETRYING", 2)
    assert await resolve(tenant, "k") == 2
    deliveries = await wait_for_deliveries(tenant, "CANCELLED", 2)
    assert {row["reason"] for row in deliveries} == {"RESOLVED"}

    async def events() -> bool:
        calls = await store.webhook_calls.find({"tenant": tenant.name}).to_list()
        return sorted(call["event"] for call in calls) == [
            "delivery.cancelled",
            "delivery.cancelled",
            "notification.resolved",
        ]

    await eventually(events)


async def test_scheduled_send_skips_the_users_for_whom_its_key_was_resolved(tenant: Tenant, store: Database) -> None:
    steps = [{"channels": ["EMAIL"], "after": "PT1H"}]
    at = rfc3339(now() + timedelta(seconds=4))
    sent = await tenant.send(
        *("alice", "bob"),
        title="Later",
        collapseKey="k",
        sendAt=at,
        channels=["IN_APP", "EMAIL"],
        steps=steps,
    )
    assert await resolve(tenant, "k", "alice", "unknown") == 0, "no inbox has it"
    await tenant.send("alice", title="Newer", collapseKey="k")
    query = """query ($id: ID!) { send(id: $id) { status recipients notifications(hidden: true) { nodes {
      userId deliveries { channel status reason } } } } }"""

    async def published() -> Json | None:
        send: Json = (await tenant.execute(query, id=sent["send"]["id"]))["send"]
        assert send["status"] in {"SCHEDULED", "ACCEPTED"}
        return send if send["status"] == "ACCEPTED" else None

    send = await eventually(published)
    assert send["recipients"] == 2
    rows = {
        n["userId"]: {(row["channel"], row["status"], row["reason"]) for row in n["deliveries"]}
        for n in send["notifications"]["nodes"]
    }
    skipped = {("IN_APP", "SKIPPED", "RESOLVED"), ("EMAIL", "SKIPPED", "NOT_CONFIGURED")}
    assert rows["alice"] == skipped
    assert ("IN_APP", "DELIVERED", None) in rows["bob"]
    assert await collapsed(tenant) == [("Newer", 1)], "what was skipped replaces nothing"
    assert await collapsed(tenant, "bob") == [("Later", 1)]
    receipts = await stored_receipts(store, tenant=tenant.name, send_id=sent["send"]["id"], user_id="alice")
    assert {(row["channel"], row["status"], row["reason"]) for row in receipts} == skipped


@pytest.mark.parametrize(("arguments", "field"), [({"key": ""}, "collapseKey"), ({"key": "k", "users": []}, "users")])
async def test_invalid_arguments_are_rejected(tenant: Tenant, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(GraphQLErrors) as rejected:
        await tenant.execute(RESOLVE, **arguments)
    [error] = rejected.value.errors
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("BAD_USER_INPUT", field)


async def test_users_cannot_resolve(tenant: Tenant) -> None:
    with pytest.raises(GraphQLErrors) as rejected:
        await tenant.execute(RESOLVE, user="alice", key="k")
    assert rejected.value.code == "FORBIDDEN"


@pytest.mark.parametrize("users", [None, ("alice", "bob", "nobody")])
async def test_matching_notifications_are_found_by_an_index(
    tenant: Tenant, deployment: Deployment, store: Database, users: tuple[str, ...] | None
) -> None:
    """Neither other keys of the tenant nor the same key of other tenants are read."""
    names = [f"u{number}" for number in range(40)]
    await tenant.send("alice", "bob", collapseKey="k")
    await tenant.send(*names, collapseKey="other")
    async with Tenant(f"{tenant.name}x", deployment.urls) as other:
        await other.send(*names, collapseKey="k")
    one = Resolution(id="r", tenant=tenant.name, collapse_key="k", started_at=now(), users=users)
    plan = await store.notifications.find(_match(one)).hint(_index_for(one)).sort("mailbox").explain()
    stats = plan["executionStats"]
    assert stats["nReturned"] == stats["totalDocsExamined"] == 2
    assert stats["totalKeysExamined"] <= 10
    counted = await store.notifications.find(_match_live(one), {"_id": 0, "mailbox": 1}).hint(_index_for(one)).explain()
    assert counted["executionStats"]["totalDocsExamined"] == 0
    assert await Resolutions(store).count(one) == 2
    assert await Resolutions(store).next_mailboxes(one, 10) == [f"{tenant.name}/alice", f"{tenant.name}/bob"]


@pytest.mark.timeout(180)
async def test_more_than_a_thousand_are_removed_in_the_background_and_later_ones_remain(
    tenant: Tenant, store: Database
) -> None:
    users = [f"u{number:04}" for number in range(BATCH_SIZE + 150)]
    for start in range(0, len(users), 500):
        await tenant.send(*users[start : start + 500], title="Down", collapseKey="k")
    last = users[-1]
    await tenant.send(last, title="Later", collapseKey="k")
    await store.notifications.update_one(  # as if it had been sent after the call began
        {"mailbox": f"{tenant.name}/{last}", "live_key": {"$exists": True}},
        {"$set": {"created_at": now() + timedelta(minutes=1)}},
    )
    assert await resolve(tenant, "k") == len(users)  # with the later one, because the count reads the index alone
    live = {"mailbox": {"$regex": f"^{tenant.name}/"}, "live_key": {"$exists": True}}

    async def only_the_later_one() -> bool:
        return await store.notifications.count_documents(live) == 1

    await eventually(only_the_later_one, 60)

    async def complete() -> bool:
        return await store.resolutions.count_documents({}) == 0

    await eventually(complete)
    assert await collapsed(tenant, last) == [("Later", 2)]
    counts = await asyncio.gather(*(tenant.inbox(user) for user in users[:5]))
    assert all((page["unread"], page["nodes"]) == (0, []) for page in counts)
