"""Marks on notifications, and the changes that the clock makes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.client import NOTIFICATION, GraphQLErrors, Json, Replica, Tenant
from tests.inbox_data import FAR_FUTURE, notification_ids, seconds_from_now, send_numbered

MARKS = [
    "markSeen",
    "markRead",
    "markUnread",
    "archive",
    "unarchive",
    "snooze",
    "unsnooze",
    "acknowledge",
    "pin",
    "unpin",
]


@asynccontextmanager
async def expect_events(tenant: Tenant, user: str, *kinds: str) -> AsyncIterator[list[Json]]:
    """Check that the block causes exactly these events, in this order. They are in the list afterwards."""
    events: list[Json] = []
    async with tenant.feed(user, (await tenant.inbox(user))["position"]) as feed:
        yield events
        await tenant.send(user, title="The end")
        while True:
            [event] = await feed.take(1)
            if event["notification"] and event["notification"]["title"] == "The end":
                break
            events.append(event)
    assert [event["kind"] for event in events] == list(kinds)


# field: marks before it, fields that it sets, counts after it, kind of the event
EFFECTS: dict[str, tuple[list[str], dict[str, bool], tuple[int, int], str]] = {
    "markSeen": ([], {"seenAt": True}, (1, 0), "UPDATED"),
    "markRead": ([], {"seenAt": True, "readAt": True}, (0, 0), "UPDATED"),
    "markUnread": (["markRead"], {"seenAt": True, "readAt": False}, (1, 0), "UPDATED"),
    "archive": ([], {"archivedAt": True, "readAt": False}, (0, 0), "UPDATED"),
    "unarchive": (["archive"], {"archivedAt": False}, (1, 1), "UPDATED"),
    "snooze": ([], {"snoozedUntil": True}, (0, 0), "UPDATED"),
    "unsnooze": (["snooze"], {"snoozedUntil": False}, (1, 1), "UPDATED"),
    "pin": ([], {"pinned": True, "seenAt": False}, (1, 1), "UPDATED"),
    "unpin": (["pin"], {"pinned": False}, (1, 1), "UPDATED"),
    "acknowledge": ([], {"acknowledgedAt": True, "readAt": True, "seenAt": True}, (0, 0), "UPDATED"),
}


@pytest.mark.parametrize("field", MARKS)
async def test_mark_changes_its_fields_once(tenant: Tenant, field: str) -> None:
    """The second call changes nothing and sends no event."""
    before, effects, counts, kind = EFFECTS[field]

    [id] = await send_numbered(tenant, "alice", 1, requireAck=True)

    async def mark(field: str) -> Json:
        return await tenant.mark("alice", field, id, until=FAR_FUTURE if field == "snooze" else None)

    for earlier in before:
        await mark(earlier)
    async with expect_events(tenant, "alice", kind) as events:
        first = await mark(field)
        second = await mark(field)
    assert (first["changed"], notification_ids({"nodes": first["notifications"]})) == (1, [id])
    assert (second["changed"], second["notifications"]) == (0, [])
    assert (first["unread"], first["unseen"]) == (second["unread"], second["unseen"]) == counts
    assert (events[0]["unread"], events[0]["unseen"]) == counts
    query = f"query ($id: ID!) {{ notification(id: $id) {{ {NOTIFICATION} acknowledgedAt }} }}"
    n = (await tenant.execute(query, user="alice", id=id))["notification"]
    assert {name: bool(n[name]) for name in effects} == effects
    assert {name: n[name] for name in first["notifications"][0]} == first["notifications"][0]
    assert events[0]["notification"] == first["notifications"][0]


async def test_mark_of_many_ids_numbers_each_and_responds_in_order(tenant: Tenant) -> None:
    found = await send_numbered(tenant, "alice", 5)
    async with expect_events(tenant, "alice", *["UPDATED"] * 4) as events:
        payload = await tenant.mark("alice", "markRead", *found[:4], found[0], "no-such-id", "")
    assert payload["changed"] == 4
    assert (
        notification_ids({"nodes": payload["notifications"]})
        == [event["notification"]["id"] for event in events]
        == found[:4]
    )
    assert [event["unread"] for event in events] == [4, 3, 2, 1]
    assert len({event["cursor"] for event in events}) == 4
    assert (await tenant.mark("alice", "markRead"))["changed"] == 0


async def test_payload_position_is_after_its_events(tenant: Tenant) -> None:
    [id] = await send_numbered(tenant, "alice", 1)
    payload = await tenant.mark("alice", "markRead", id)
    async with tenant.feed("alice", payload["position"]) as feed:
        await tenant.send("alice", title="Next")
        [event] = await feed.take(1)
    assert (event["kind"], event["notification"]["title"]) == ("ADDED", "Next")


async def test_acknowledge_requires_require_ack(tenant: Tenant) -> None:
    [id] = await send_numbered(tenant, "alice", 1)
    async with expect_events(tenant, "alice"):
        assert (await tenant.mark("alice", "acknowledge", id))["changed"] == 0
    assert (await tenant.inbox("alice"))["nodes"][-1]["readAt"] is None


async def test_unarchive_restores_the_order(tenant: Tenant) -> None:
    found = await send_numbered(tenant, "alice", 3)
    await tenant.mark("alice", "archive", found[1])
    assert notification_ids(await tenant.inbox("alice")) == [found[0], found[2]]
    await tenant.mark("alice", "unarchive", found[1])
    assert notification_ids(await tenant.inbox("alice")) == found


async def test_unsnooze_restores_the_order_and_the_marks(tenant: Tenant) -> None:
    found = await send_numbered(tenant, "alice", 3)
    await tenant.mark("alice", "markRead", found[2])
    await tenant.mark("alice", "snooze", found[2], until=FAR_FUTURE)
    await tenant.mark("alice", "unsnooze", found[2])
    page = await tenant.inbox("alice")
    assert notification_ids(page) == found
    assert page["nodes"][2]["readAt"]
    assert page["unread"] == 2


async def test_snooze_ends_at_the_top_and_unread(tenant: Tenant) -> None:
    found = await send_numbered(tenant, "alice", 3)
    await tenant.mark("alice", "markRead", found[2])
    replica = Replica()
    await replica.load(tenant, "alice")
    async with tenant.feed("alice", replica.cursor) as feed:
        until = seconds_from_now(0.5)
        await tenant.mark("alice", "snooze", found[2], until=until)
        events = await feed.take(2)
    assert [event["kind"] for event in events] == ["UPDATED", "ADDED"]
    assert events[0]["notification"]["snoozedUntil"] == until
    back = events[1]["notification"]
    assert (back["id"], back["snoozedUntil"], back["readAt"], back["seenAt"]) == (found[2], None, None, None)
    assert (events[1]["unread"], events[1]["unseen"]) == (3, 3)
    for event in events:
        replica.apply(event)
    fresh = Replica()
    await fresh.load(tenant, "alice")
    assert replica.state == fresh.state
    assert fresh.order == [found[2], found[0], found[1]]


async def test_snooze_of_an_archived_notification_returns_to_the_inbox(tenant: Tenant) -> None:
    [id] = await send_numbered(tenant, "alice", 1)
    await tenant.mark("alice", "archive", id)
    async with tenant.feed("alice", (await tenant.inbox("alice"))["position"]) as feed:
        await tenant.mark("alice", "snooze", id, until=seconds_from_now(0.3))
        assert [event["kind"] for event in await feed.take(2)] == ["UPDATED", "ADDED"]
    assert notification_ids(await tenant.inbox("alice")) == [id]


async def test_second_snooze_changes_the_end(tenant: Tenant) -> None:
    [id] = await send_numbered(tenant, "alice", 1)
    await tenant.mark("alice", "snooze", id, until=FAR_FUTURE)
    assert (await tenant.mark("alice", "snooze", id, until=FAR_FUTURE.replace("2090", "2091")))["changed"] == 1
    [n] = (await tenant.inbox("alice", view="SNOOZED"))["nodes"]
    assert n["snoozedUntil"] == "2091-01-01T00:00:00.000Z"


async def test_snooze_until_the_past_is_rejected(tenant: Tenant) -> None:
    [id] = await send_numbered(tenant, "alice", 1)
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.mark("alice", "snooze", id, until=seconds_from_now(-1))
    assert (refused.value.code, refused.value.errors[0]["extensions"]["field"]) == ("BAD_USER_INPUT", "until")


@pytest.mark.parametrize("before", [None, "markRead", "archive", "snooze"])
async def test_expired_notification_is_removed_in_every_state(tenant: Tenant, before: str | None) -> None:
    sent = await tenant.send("alice", title="Soon gone", expiresAt=seconds_from_now(1))
    page = await tenant.inbox("alice")
    [id] = notification_ids(page)
    async with tenant.feed("alice", page["position"]) as feed:
        if before:
            await tenant.mark("alice", before, id, until=FAR_FUTURE if before == "snooze" else None)
            await feed.take(1)
        [event] = await feed.take(1)
    assert (event["kind"], event["notification"]["id"], event["unread"], event["unseen"]) == ("REMOVED", id, 0, 0)
    page = await tenant.inbox("alice", view="ALL")
    assert (page["nodes"], page["unread"], page["unseen"]) == ([], 0, 0)
    assert (await tenant.execute(f'{{ notification(id: "{id}") {{ id }} }}', user="alice"))["notification"] is None
    for field in MARKS:  # and it stays removed
        payload = await tenant.mark("alice", field, id, until=FAR_FUTURE if field == "snooze" else None)
        assert payload["changed"] == 0
    send = (await tenant.execute(f'{{ send(id: "{sent["send"]["id"]}") {{ counts {{ channel status count }} }} }}'))[
        "send"
    ]
    assert send["counts"] == [{"channel": "IN_APP", "status": "EXPIRED", "count": 1}]


async def test_concurrent_marks_from_two_processes_count_correctly(tenant: Tenant) -> None:
    found = await send_numbered(tenant, "alice", 20)
    fields = ["markRead", "markUnread", "archive", "unarchive", "markSeen"]
    await asyncio.gather(*(tenant.mark("alice", fields[n % 5], *found[n % 7 :: 3]) for n in range(100)))
    replica = Replica()
    await replica.load(tenant, "alice")
    assert (replica.unread, replica.unseen) == replica.recounted
