"""Collapse keys: a newer notification replaces the older one with the same key."""

import asyncio
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.inbox import state
from hub.inbox.batch_transaction import _match_live
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import Mailbox, Notification, Reason
from hub.platform.connections import Database
from hub.utc_time import now, rfc3339
from hub.workflows.removal import remove
from tests.channel_setup import connect_webhook, list_all_deliveries, wait_for_deliveries
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.collapse.inboxes import collapsed, whole_inbox
from tests.inbox_data import FAR_FUTURE
from tests.inbox_watchers import check_against_store, open_watchers, wait_until_caught_up
from tests.mongo_assertions import stored_receipts
from tests.processes import Deployment
from tests.strategies import NOW, new_notification
from tests.webhook_data import create_endpoint
from tests.webhook_receiver import WebhookReceiver

MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id collapseKey } } }"
SENDS = 200
CAUGHT_UP_S = 60.0


async def test_newer_notification_replaces_the_older_one_live_and_in_every_answer(tenant: Tenant) -> None:
    first = (await tenant.send("alice", title="Queued", collapseKey="build"))["send"]["id"]
    page = await whole_inbox(tenant)
    [older] = page["nodes"]
    assert (older["collapseKey"], older["collapsedCount"]) == ("build", 1)
    await tenant.send("alice", "bob", title="Other subject", collapseKey="other")
    async with tenant.feed("alice", page["position"]) as feed:
        await tenant.send("alice", title="Running", collapseKey="build")
        events = await feed.take(3)
    assert [(event["kind"], event["notification"]["title"]) for event in events] == [
        ("ADDED", "Other subject"),
        ("REMOVED", "Queued"),
        ("ADDED", "Running"),
    ]
    assert (events[-1]["unread"], events[-1]["unseen"]) == (2, 2)
    assert await collapsed(tenant) == [("Running", 2), ("Other subject", 1)]
    assert await collapsed(tenant, "bob") == [("Other subject", 1)]
    query = """query ($id: ID!) { send(id: $id) { collapseKey counts { channel status reasons { reason } }
      notifications { nodes { title deliveries { channel status reason } } } } }"""
    send = (await tenant.execute(query, id=first))["send"]
    assert send["collapseKey"] == "build"
    assert send["counts"] == [{"channel": "IN_APP", "status": "CANCELLED", "reasons": [{"reason": "REPLACED"}]}]
    [replaced] = send["notifications"]["nodes"]
    assert replaced["title"] == "Queued", "a replaced notification keeps its text"
    assert replaced["deliveries"] == [{"channel": "IN_APP", "status": "CANCELLED", "reason": "REPLACED"}]


@pytest.mark.parametrize(
    ("mark", "count"),
    [(None, 2), ("markSeen", 2), ("markUnread", 2), ("markRead", 1), ("archive", 1), ("snooze", 1)],
)
async def test_count_continues_only_if_the_older_one_is_unread(tenant: Tenant, mark: str | None, count: int) -> None:
    await tenant.send("alice", title="A", collapseKey="k")
    [older] = (await whole_inbox(tenant))["nodes"]
    if mark:
        until = FAR_FUTURE if mark == "snooze" else None
        await tenant.mark("alice", mark, older["id"], until=until)
    await tenant.send("alice", title="B", collapseKey="k")
    assert await collapsed(tenant) == [("B", count)]
    await tenant.send("alice", title="C", collapseKey="k")
    page = await whole_inbox(tenant)
    assert [(n["title"], n["collapsedCount"]) for n in page["nodes"]] == [("C", count + 1)]
    assert (page["unread"], page["unseen"]) == (1, 1)


async def test_open_acknowledgment_stays_beside_a_newer_notification(tenant: Tenant) -> None:
    async def send(title: str, *, ack: bool = False) -> None:
        await tenant.send("alice", title=title, collapseKey="outage", requireAck=ack)

    await send("plain 1")
    await send("ack 1", ack=True)
    assert await collapsed(tenant) == [("ack 1", 2)], "one that requires an acknowledgment replaces both kinds"
    await send("plain 2")
    await send("plain 3")
    assert await collapsed(tenant) == [("plain 3", 2), ("ack 1", 2)]
    await send("ack 2", ack=True)
    assert await collapsed(tenant) == [("ack 2", 5)], "it represents all unread ones that it replaced"
    await send("plain 4")
    [_, open_one] = (await whole_inbox(tenant))["nodes"]
    await tenant.mark("alice", "acknowledge", open_one["id"])
    await send("plain 5")
    assert await collapsed(tenant) == [("plain 5", 2)], "an acknowledged one is replaced"


@pytest.mark.parametrize("key", ["", " k", "k" * 257, "a\nb"])
async def test_invalid_collapse_key_is_rejected(tenant: Tenant, key: str) -> None:
    with pytest.raises(GraphQLErrors) as rejected:
        await tenant.send("alice", collapseKey=key)
    [error] = rejected.value.errors
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("BAD_USER_INPUT", "input.collapseKey")


async def test_removed_notification_is_not_replaced(tenant: Tenant) -> None:
    sent = await tenant.send("alice", title="A", collapseKey="k")
    await tenant.execute("mutation ($id: ID!) { recallSend(id: $id) { id } }", id=sent["send"]["id"])
    await tenant.send("alice", title="B", collapseKey="k")
    assert await collapsed(tenant) == [("B", 1)]


async def test_hidden_notification_that_expired_is_neither_counted_nor_resolved(
    tenant: Tenant, store: Database
) -> None:
    at = rfc3339(now() + timedelta(seconds=1))
    await tenant.send("alice", collapseKey="k", channels=["EMAIL"], expiresAt=at)

    async def expired() -> bool:
        removed = {"mailbox": f"{tenant.name}/alice", "removed_as": "EXPIRED", "live_key": {"$exists": False}}
        return await store.notifications.count_documents(removed) == 1

    await eventually(expired)
    assert await tenant.execute('mutation { resolve(collapseKey: "k") }') == {"resolve": 0}
    await tenant.send("alice", title="New", collapseKey="k")
    assert await collapsed(tenant) == [("New", 1)]


async def test_recall_deletes_the_content_of_hidden_replaced_and_resolved_notifications(
    tenant: Tenant, store: Database
) -> None:
    """A hidden notification that was recalled is not replaced by a newer one."""
    secret: Json = {"title": "Secret", "body": "Secret", "data": {"text": "Secret"}}
    sends = [
        await tenant.send("alice", collapseKey="hidden", channels=["EMAIL"], **secret),
        await tenant.send("alice", collapseKey="replaced", **secret),
        await tenant.send("alice", collapseKey="resolved", **secret),
    ]
    await tenant.send("alice", title="Newer", collapseKey="replaced")
    await tenant.execute('mutation { resolve(collapseKey: "resolved") }')
    for sent in sends:
        await tenant.execute("mutation ($id: ID!) { recallSend(id: $id) { id } }", id=sent["send"]["id"])
    await tenant.send("alice", title="Shown", collapseKey="hidden")
    docs = await store.notifications.find({"mailbox": f"{tenant.name}/alice"}).to_list()
    assert sorted(doc["title"] for doc in docs) == ["", "", "", "Newer", "Shown"]
    assert "Secret" not in repr(docs).title()
    removed = {doc["collapse_key"]: doc["removed_reason"] for doc in docs if "removed_at" in doc and not doc["title"]}
    assert removed == {"hidden": "RECALLED", "replaced": "REPLACED", "resolved": "RESOLVED"}
    assert await collapsed(tenant) == [("Shown", 1), ("Newer", 2)]


async def test_waiting_delivery_of_a_replaced_notification_is_cancelled(
    tenant: Tenant, receiver: WebhookReceiver
) -> None:
    await connect_webhook(tenant, receiver, "alice")
    receiver.responses["/alice"] = lambda *_: web.Response(status=503, headers={"retry-after": "60"})
    await tenant.send("alice", title="A", collapseKey="k", channels=["IN_APP", "WEBHOOK"])
    await wait_for_deliveries(tenant, "RETRYING")
    del receiver.responses["/alice"]
    await tenant.send("alice", title="B", collapseKey="k", channels=["IN_APP"])
    [delivery] = await wait_for_deliveries(tenant, "CANCELLED")
    assert (delivery["reason"], delivery["dueAt"], len(delivery["attempts"])) == ("REPLACED", None, 1)


async def test_step_of_a_replaced_notification_is_cancelled_and_an_open_escalation_continues(
    tenant: Tenant, receiver: WebhookReceiver
) -> None:
    await connect_webhook(tenant, receiver, "alice", "bob")
    steps = [{"channels": ["WEBHOOK"], "after": "PT1H"}]
    await tenant.send("alice", collapseKey="k", channels=["IN_APP"], steps=steps)
    await tenant.send("bob", collapseKey="k", channels=["IN_APP"], steps=steps, requireAck=True)
    assert {row["status"] for row in await list_all_deliveries(tenant)} == {"HELD"}
    await tenant.send("alice", "bob", collapseKey="k", channels=["IN_APP"])
    [delivery] = await wait_for_deliveries(tenant, "CANCELLED")
    assert (delivery["userId"], delivery["reason"], delivery["dueAt"]) == ("alice", "REPLACED", None)
    [escalation] = await wait_for_deliveries(tenant, "HELD")
    assert escalation["userId"] == "bob"
    assert await tenant.execute('mutation { resolve(collapseKey: "k") }') == {"resolve": 3}
    reasons = {row["userId"]: row["reason"] for row in await wait_for_deliveries(tenant, "CANCELLED", 2)}
    assert reasons == {"alice": "REPLACED", "bob": "RESOLVED"}
    assert not receiver.bodies


async def test_sends_of_one_batch_see_each_other_and_only_the_last_one_leaves(
    tenant: Tenant, receiver: WebhookReceiver, store: Database
) -> None:
    await connect_webhook(tenant, receiver, "alice")
    await tenant.send("alice", title="Before", collapseKey="k")
    one = {"to": {"users": ["alice"]}, "category": "news", "collapseKey": "k", "channels": ["IN_APP", "WEBHOOK"]}
    inputs = [{**one, "content": {"title": f"{number}", "body": ""}} for number in range(50)]
    sent = (await tenant.execute(MANY, inputs=inputs))["sendMany"]
    assert {row["send"]["collapseKey"] for row in sent} == {"k"}
    assert await collapsed(tenant) == [("49", 51)]
    [delivered] = await wait_for_deliveries(tenant, "DELIVERED")
    rest = await wait_for_deliveries(tenant, "CANCELLED", 49)
    assert delivered["sendId"] == sent[-1]["send"]["id"]
    assert all((row["reason"], row["dueAt"], row["attempts"]) == ("REPLACED", None, []) for row in rest)
    assert [body["data"]["title"] for body in receiver.bodies["/alice"]] == ["49"]
    stored = await store.deliveries.find({"tenant": tenant.name, "status": "CANCELLED"}).to_list()
    assert all(doc["created_at"] == doc["updated_at"] for doc in stored), "they never waited"
    replaced = {"channel": "WEBHOOK", "status": "CANCELLED", "reason": "REPLACED"}
    assert len(await stored_receipts(store, tenant=tenant.name, **replaced)) == 49


async def test_live_notification_that_cannot_be_decoded_fails_only_sends_with_its_key(
    tenant: Tenant, store: Database
) -> None:
    await tenant.send("alice", "bob", title="Old", collapseKey="k")
    await store.notifications.update_one({"mailbox": f"{tenant.name}/alice"}, {"$set": {"created_at": "yesterday"}})
    answers = await asyncio.gather(
        tenant.send("alice", title="A", collapseKey="k"),
        tenant.send("bob", title="B", collapseKey="k"),
        return_exceptions=True,
    )
    assert isinstance(answers[0], GraphQLErrors)
    assert "cannot read the stored inbox" in answers[0].errors[0]["message"]
    assert await collapsed(tenant, "bob") == [("B", 2)]
    await tenant.send("alice", title="Other", collapseKey="other")
    assert await collapsed(tenant) == [("Other", 1)]
    resolve = 'mutation { resolve(collapseKey: "k") }'
    assert await tenant.execute(resolve) == {"resolve": 2}, "also the one that cannot be read"
    assert await collapsed(tenant, "bob") == []


async def test_replacement_makes_receipts_and_webhook_events(tenant: Tenant, store: Database) -> None:
    endpoint, _ = await create_endpoint(tenant, events=["notification.replaced"])
    first = (await tenant.send("alice", collapseKey="k"))["send"]["id"]
    await tenant.send("alice", collapseKey="k")
    receipts = await stored_receipts(store, tenant=tenant.name, send_id=first)
    assert [(row["channel"], row["status"], row.get("reason")) for row in receipts] == [
        ("IN_APP", "DELIVERED", None),
        ("IN_APP", "CANCELLED", "REPLACED"),
    ]
    [call] = await store.webhook_calls.find({"tenant": tenant.name}).to_list()
    assert (call["event"], call["_id"]) == ("notification.replaced", f"{receipts[1]['id']}-{endpoint}")


async def send_concurrently(tenant: Tenant, count: int, **more: Any) -> list[str]:
    """Send under one key from both processes. Return the ids of the sends."""
    answers = await asyncio.gather(
        *(tenant.send("alice", title=f"{number}", collapseKey="likes", **more) for number in range(count))
    )
    return [answer["send"]["id"] for answer in answers]


@pytest.mark.timeout(240)
async def test_200_concurrent_sends_leave_one_live_notification_and_remove_the_others_once(
    tenant: Tenant, deployment: Deployment, store: Database
) -> None:
    await tenant.inbox("alice")
    async with open_watchers(tenant, ["alice"], deployment.urls) as watchers:
        removed: list[Counter[str]] = [Counter() for _ in watchers]
        for watcher, ids in zip(watchers, removed, strict=True):
            watcher.replica.apply = _counting(watcher.replica.apply, ids)  # type: ignore[method-assign]
        await send_concurrently(tenant, SENDS)
        await wait_until_caught_up(watchers, CAUGHT_UP_S)
        await check_against_store(watchers)
    documents = await store.notifications.find({"mailbox": f"{tenant.name}/alice"}).to_list()
    live = [n for n in documents if "live_key" in n]
    older = {n["_id"] for n in documents} - {n["_id"] for n in live}
    assert (len(live), len(older)) == (1, SENDS - 1)
    assert all(ids == Counter(older) for ids in removed), "each one is removed once in each open client"
    assert live[0]["collapsed_count"] == SENDS
    page = await whole_inbox(tenant)
    assert ([n["id"] for n in page["nodes"]], page["unread"], page["unseen"]) == ([live[0]["_id"]], 1, 1)


def _counting(apply: Any, removed: Counter[str]) -> Any:
    def counted(event: Json) -> None:
        if event["kind"] == "REMOVED":
            removed[event["notification"]["id"]] += 1
        apply(event)

    return counted


@pytest.mark.timeout(240)
async def test_200_concurrent_hidden_sends_leave_one_live_notification(
    tenant: Tenant, store: Database, receiver: WebhookReceiver
) -> None:
    await connect_webhook(tenant, receiver, "alice")
    await send_concurrently(tenant, SENDS, channels=["WEBHOOK"])
    documents = await store.notifications.find({"mailbox": f"{tenant.name}/alice"}).sort("_id").to_list()
    [live] = [n for n in documents if "live_key" in n]
    assert (len(documents), live["collapsed_count"], live["hidden"]) == (SENDS, SENDS, True)

    async def ended() -> bool:
        deliveries = await list_all_deliveries(tenant)
        return all(row["status"] in {"DELIVERED", "CANCELLED"} for row in deliveries)

    await eventually(ended)
    by_notification = {row["notificationId"]: row for row in await list_all_deliveries(tenant)}
    assert by_notification.keys() == {n["_id"] for n in documents}
    assert by_notification[live["_id"]]["status"] == "DELIVERED"
    cancelled = [row for row in by_notification.values() if row["status"] == "CANCELLED"]
    assert cancelled
    assert {row["reason"] for row in cancelled} == {"REPLACED"}
    assert (await whole_inbox(tenant))["nodes"] == []


async def test_live_notifications_of_a_batch_are_found_in_one_query_by_their_index(
    tenant: Tenant, store: Database
) -> None:
    users = [f"u{number}" for number in range(20)]
    keys = [f"k{number}" for number in range(20)]
    for key in keys[:3]:
        await tenant.send(*users, collapseKey=key)
    one_key = _work(tenant, "k0", *users[:10])
    other_keys = [_work(tenant, key, user) for key, user in zip(keys, users, strict=True)]
    plan = await store.notifications.find(_match_live([one_key, *other_keys])).hint("live_key").explain()
    stats = plan["executionStats"]
    assert stats["nReturned"] == stats["totalDocsExamined"] == 10 + 2
    assert stats["totalKeysExamined"] <= 100


def _work(tenant: Tenant, key: str, *users: str) -> Any:
    mailboxes = [f"{tenant.name}/{user}" for user in users]
    return SimpleNamespace(work=SimpleNamespace(collapse_key=key, mailboxes=mailboxes))


steps = st.lists(st.tuples(st.booleans(), st.sampled_from(["none", "read", "acknowledged", "archived"])), max_size=12)


@given(steps)
def test_a_key_has_one_live_notification_and_one_more_while_an_acknowledgment_is_open(
    operations: list[tuple[bool, str]],
) -> None:
    """Each operation adds a notification and then marks it."""
    unit = UnitOfWork(NOW, {"t/a": Mailbox(id="t/a", epoch="e")}, frozenset())
    added: list[Notification] = []
    for number, (ack, mark) in enumerate(operations):
        n = replace(new_notification(str(number), "t/a", hidden=False), collapse_key="k", require_ack=ack)
        live = unit.list_live("t/a", "k")
        older = state.replaced_by(n, live)
        for one in older:
            remove(unit, one, Reason.REPLACED)
        added.append(unit.add(replace(n, collapsed_count=state.collapsed_count(older))))
        kept = [one for one in live if one not in older]
        assert all(one.require_ack and not one.acknowledged_at and not ack for one in kept)
        assert len(unit.list_live("t/a", "k")) == len(kept) + 1 <= 2
        assert added[-1].collapsed_count == 1 + sum(
            one.collapsed_count for one in older if not one.read_at and not one.archived_at
        )
        marks = {"read": state.read, "acknowledged": state.acknowledged, "archived": state.archived}
        if mark in marks and (after := marks[mark](added[-1], NOW)):
            unit.change(after)
    stored = [unit.notifications[n.id] for n in added]
    assert sum(n.state is not None for n in stored) == len(unit.list_live("t/a", "k")) <= 2
    assert unit.mailboxes["t/a"].unread == sum(n.state in state.UNREAD for n in stored)
