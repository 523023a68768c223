"""Pinned notifications: by the sender or the user, the same on every device, and gone with their notification."""

import asyncio
from typing import Any

import pytest

from tests.client import Json, Replica, Tenant
from tests.inbox_data import FAR_FUTURE, notification_ids, seconds_from_now, send_numbered


async def pinned_ids(tenant: Tenant, **filter: Any) -> list[str]:
    return notification_ids(await tenant.inbox("alice", pinned=True, **filter))


async def loaded_replica(tenant: Tenant) -> Replica:
    replica = Replica()
    await replica.load(tenant, "alice")
    return replica


async def test_send_pins_and_the_filter_pages_through_both_kinds(tenant: Tenant) -> None:
    plain = await send_numbered(tenant, "alice", 2)
    sent = (await send_numbered(tenant, "alice", 3, pinned=True))[:3]
    page = await tenant.inbox("alice")
    assert [n["pinned"] for n in page["nodes"]] == [True, True, True, False, False]
    assert (page["unread"], page["unseen"]) == (5, 5)
    first = await tenant.inbox("alice", first=2, pinned=True)
    assert (notification_ids(first), first["pageInfo"]["hasNextPage"], first["unread"]) == (sent[:2], True, 5)
    rest = await tenant.inbox("alice", first=2, after=first["pageInfo"]["endCursor"], pinned=True)
    assert (notification_ids(rest), rest["pageInfo"]["hasNextPage"]) == (sent[2:], False)
    assert notification_ids(await tenant.inbox("alice", pinned=False)) == plain
    assert await pinned_ids(tenant, search="number 1") == [sent[1]]
    assert await pinned_ids(tenant, categories=["other"]) == []


async def test_pin_is_live_on_every_device_and_a_resumed_one_gets_it_once(tenant: Tenant) -> None:
    found = await send_numbered(tenant, "alice", 3)
    away = await loaded_replica(tenant)
    devices = [await loaded_replica(tenant) for _ in tenant.urls]

    async def follow(device: Replica, url: str) -> list[Json]:
        async with tenant.feed("alice", device.cursor, url=url) as feed:
            events = await feed.take(3)
        for event in events:
            device.apply(event)
        return events

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(follow(*both)) for both in zip(devices, tenant.urls, strict=True)]
        for field, id in (("pin", found[2]), ("pin", found[0]), ("unpin", found[0])):
            assert (await tenant.mark("alice", field, id))["changed"] == 1
    for task in tasks:
        assert [(event["kind"], event["notification"]["pinned"]) for event in task.result()] == [
            ("UPDATED", True),
            ("UPDATED", True),
            ("UPDATED", False),
        ]
    async with tenant.feed("alice", away.cursor) as feed:
        for event in await feed.take(2):  # each changed notification once, as it is now
            away.apply(event)
    fresh = await loaded_replica(tenant)
    assert [device.state for device in (*devices, away)] == [fresh.state] * (len(devices) + 1)
    assert fresh.order == found, "a pin keeps the order"
    assert fresh.counts == away.counts == (3, 3)
    assert await pinned_ids(tenant) == [found[2]]


@pytest.mark.parametrize(("leave", "back"), [("archive", "unarchive"), ("snooze", "unsnooze")])
async def test_pin_of_a_notification_outside_the_inbox_shows_when_it_returns(
    tenant: Tenant, leave: str, back: str
) -> None:
    [id] = await send_numbered(tenant, "alice", 1, pinned=True)
    await tenant.mark("alice", leave, id, until=FAR_FUTURE if leave == "snooze" else None)
    assert (await pinned_ids(tenant), await pinned_ids(tenant, view="ALL")) == ([], [id])
    await tenant.mark("alice", back, id)
    assert await pinned_ids(tenant) == [id]


async def test_archive_all_includes_pinned_ones_and_its_undo_brings_them_back(tenant: Tenant) -> None:
    plain = await send_numbered(tenant, "alice", 1)
    [id] = (await send_numbered(tenant, "alice", 1, pinned=True))[:1]
    token = (await tenant.mark_all("alice", "archiveAll"))["undoToken"]
    assert await pinned_ids(tenant) == []
    undo = "mutation ($token: String!) { undoMarkAll(token: $token) { changed } }"
    assert (await tenant.execute(undo, user="alice", token=token))["undoMarkAll"]["changed"] == 2
    assert await pinned_ids(tenant) == [id]
    assert (await tenant.mark_all("alice", "archiveAll", pinned=False))["changed"] == 1
    assert notification_ids(await tenant.inbox("alice", view="ARCHIVED")) == plain


async def test_expired_or_recalled_pinned_notification_is_removed(tenant: Tenant) -> None:
    recalled = await tenant.send("alice", title="Recalled", pinned=True)
    await tenant.send("alice", title="Expires", pinned=True, expiresAt=seconds_from_now(1))
    start = await loaded_replica(tenant)
    async with tenant.feed("alice", start.cursor) as feed:
        recall = "mutation ($id: ID!) { recallSend(id: $id) { id } }"
        await tenant.execute(recall, id=recalled["send"]["id"])
        assert [event["kind"] for event in await feed.take(2)] == ["REMOVED", "REMOVED"]
    assert await pinned_ids(tenant, view="ALL") == []
    page = await tenant.inbox("alice")
    assert (page["nodes"], page["unread"], page["unseen"]) == ([], 0, 0)


async def test_sender_decides_if_a_replacement_is_pinned(tenant: Tenant) -> None:
    """The end of an incident replaces its pinned start, and is not pinned unless the sender says so."""
    for title, pinned in (("Down", True), ("Still down", True), ("Up again", False)):
        await tenant.send("alice", title=title, collapseKey="outage", pinned=pinned)
        [n] = (await tenant.inbox("alice"))["nodes"]
        assert (n["title"], n["pinned"]) == (title, pinned)
    assert await pinned_ids(tenant, view="ALL") == []
