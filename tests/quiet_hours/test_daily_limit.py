"""The daily limit of interruptions."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from hub import utc_time
from hub.platform.connections import Database
from tests.channel_setup import FakeChannels, list_all_deliveries
from tests.client import Json, Tenant, eventually
from tests.digest_setup import HOUR, find
from tests.quiet_hours.times import later, set_times, simulate

LIMIT, SENDS = 5, 50
INBOX = "{ inbox(first: 100) { nodes { id deliveries { channel status reason } } } }"
SEND_DELIVERIES = "query ($id: ID!) { send(id: $id) { notifications(hidden: true) { nodes { deliveries { channel status reason } } } } }"


async def inbox_of(tenant: Tenant, user: str) -> list[Json]:
    nodes: list[Json] = (await tenant.execute(INBOX, user=user))["inbox"]["nodes"]
    return nodes


async def wait_for_pushes(tenant: Tenant, count: int) -> None:
    async def all_sent() -> bool:
        found = await list_all_deliveries(tenant)
        return Counter(one["status"] for one in found) == {"SENT": count}

    await eventually(all_sent)


@pytest.mark.parametrize("requested", [["IN_APP", "WEB_PUSH"], ["WEB_PUSH"]], ids=["shown", "hidden"])
async def test_exactly_the_limit_of_concurrent_sends_interrupts_and_all_are_in_the_inbox(
    acme: Tenant, channels: FakeChannels, requested: list[str]
) -> None:
    """The sends go to two processes. Three browsers of a user count once."""
    for _ in range(3):
        await channels.add_browser(acme, "alice")
    await set_times(acme, "alice", dailyLimit=LIMIT)
    await asyncio.gather(*(acme.send("alice", channels=requested) for _ in range(SENDS)))
    await wait_for_pushes(acme, 3 * LIMIT)
    pushed = {one["notificationId"] for one in await list_all_deliveries(acme)}
    assert len(pushed) == LIMIT
    shown = await inbox_of(acme, "alice")
    over = [
        n for n in shown if {"channel": "WEB_PUSH", "status": "SKIPPED", "reason": "DAILY_LIMIT"} in n["deliveries"]
    ]
    assert len(over) == SENDS - LIMIT
    assert not {n["id"] for n in over} & pushed
    assert len(shown) == (SENDS if "IN_APP" in requested else SENDS - LIMIT)


async def test_over_the_limit_live_clients_get_the_notification(acme: Tenant, channels: FakeChannels) -> None:
    await channels.add_browser(acme, "alice")
    await set_times(acme, "alice", dailyLimit=0)
    query = "subscription ($after: Cursor) { inbox(after: $after) { kind unread notification { title } } }"
    async with acme.feed("alice", (await acme.inbox("alice"))["position"], query=query) as feed:
        await acme.send("alice", title="Quiet", channels=["WEB_PUSH"])
        [event] = await feed.take(1)
    assert event == {"kind": "ADDED", "unread": 1, "notification": {"title": "Quiet"}}


async def test_inbox_that_is_switched_off_stays_off_over_the_limit(acme: Tenant, channels: FakeChannels) -> None:
    await channels.add_browser(acme, "alice")
    await acme.define_category("news", "WEB_PUSH")
    off = {"categories": [{"category": "news", "channel": "IN_APP", "enabled": False}]}
    await set_times(acme, "alice", dailyLimit=0, **off)
    send = await acme.send("alice")
    assert await inbox_of(acme, "alice") == []
    [n] = (await acme.execute(SEND_DELIVERIES, id=send["send"]["id"]))["send"]["notifications"]["nodes"]
    assert {"channel": "WEB_PUSH", "status": "SKIPPED", "reason": "DAILY_LIMIT"} in n["deliveries"]


async def test_critical_and_required_notifications_pass_and_do_not_count(acme: Tenant, channels: FakeChannels) -> None:
    await channels.add_browser(acme, "alice")
    await acme.define_category("security", required=True)
    await set_times(acme, "alice", dailyLimit=1)
    push: dict[str, Any] = {"channels": ["WEB_PUSH"]}
    for _ in range(2):
        await acme.send("alice", **push, priority="CRITICAL")
        await acme.send("alice", **push, category="security")
    assert await simulate(acme, "alice", "WEB_PUSH", **push) == ("ACCEPTED", None, None)
    await acme.send("alice", **push, category="security", priority="LOW")  # the only one that counts
    assert await simulate(acme, "alice", "WEB_PUSH", **push) == ("SKIPPED", "DAILY_LIMIT", None)
    assert await simulate(acme, "alice", "IN_APP", **push) == ("ACCEPTED", None, None)
    await wait_for_pushes(acme, 5)


async def test_briefing_counts_once_when_it_leaves(acme: Tenant, channels: FakeChannels) -> None:
    """Three held notifications leave together on two browsers. The next two are over the limit, and are shown."""
    for _ in range(2):
        await channels.add_browser(acme, "alice")
    await set_times(acme, "alice", dailyLimit=1, doNotDisturbUntil=later(hours=5))
    for _ in range(3):
        await acme.send("alice", channels=["WEB_PUSH"])
    assert {one["status"] for one in await list_all_deliveries(acme)} == {"HELD"}
    assert await inbox_of(acme, "alice") == []
    await set_times(acme, "alice", doNotDisturbUntil=None)
    await wait_for_pushes(acme, 8)
    await set_times(acme, "alice", doNotDisturbUntil=later(hours=5))
    over = [(await acme.send("alice", channels=["WEB_PUSH"]))["send"]["id"] for _ in range(2)]
    await set_times(acme, "alice", doNotDisturbUntil=None)

    async def decided() -> bool:
        found = Counter((one["status"], one["reason"]) for one in await list_all_deliveries(acme))
        return found == {("SENT", None): 8, ("SKIPPED", "DAILY_LIMIT"): 6} and len(await inbox_of(acme, "alice")) == 2

    await eventually(decided)
    skipped = await list_all_deliveries(acme, statuses=["SKIPPED"])
    assert {one["sendId"] for one in skipped} == set(over)
    assert {one["notificationId"] for one in skipped} == {n["id"] for n in await inbox_of(acme, "alice")}


async def test_digest_counts_once_on_several_devices(acme: Tenant, channels: FakeChannels, database: Database) -> None:
    for _ in range(2):
        await channels.add_browser(acme, "alice")
    await set_times(acme, "alice", dailyLimit=1)
    for _ in range(2):
        await acme.send("alice", channels=["WEB_PUSH"], digest=HOUR)
    due = {"$set": {"due_at": utc_time.now()}}
    await database.deliveries.update_many({"tenant": acme.name, "open": True}, due)
    await wait_for_pushes(acme, 2 + 4)
    assert await simulate(acme, "alice", "WEB_PUSH", channels=["WEB_PUSH"]) == ("SKIPPED", "DAILY_LIMIT", None)


async def test_briefing_with_a_notification_that_passes_the_limit_does_not_count(
    acme: Tenant, channels: FakeChannels
) -> None:
    """All leave in one message, also over the limit."""
    await channels.add_browser(acme, "alice")
    await acme.define_category("security", "WEB_PUSH", required=True)
    await set_times(acme, "alice", dailyLimit=0, doNotDisturbUntil=later(hours=5))
    for category in ("security", "news", "security"):
        await acme.send("alice", channels=["WEB_PUSH"], category=category)
    await set_times(acme, "alice", doNotDisturbUntil=None)
    await wait_for_pushes(acme, 1 + 3)
    [briefing], items = await find(acme)
    assert {one["digestId"] for one in items} == {briefing["id"]}


async def test_later_step_is_another_interruption(acme: Tenant, channels: FakeChannels) -> None:
    await channels.add_browser(acme, "alice")
    await set_times(acme, "alice", dailyLimit=2)
    steps = [{"channels": ["WEB_PUSH"], "after": f"PT{seconds}S"} for seconds in (1, 2)]
    await acme.send("alice", channels=["WEB_PUSH"], steps=steps)

    async def decided() -> bool:
        found = Counter((one["status"], one["reason"]) for one in await list_all_deliveries(acme))
        return found == {("SENT", None): 2, ("SKIPPED", "DAILY_LIMIT"): 1}

    await eventually(decided)
    assert len(await inbox_of(acme, "alice")) == 1


async def test_retry_does_not_count_again(acme: Tenant, channels: FakeChannels) -> None:
    path = await channels.add_browser(acme, "alice")
    channels.push.replies[path] = [503, 503]
    await set_times(acme, "alice", dailyLimit=1)
    await acme.send("alice", channels=["WEB_PUSH"])
    await wait_for_pushes(acme, 1)
    [sent] = await list_all_deliveries(acme)
    assert len(sent["attempts"]) == 3


async def test_counted_message_that_is_skipped_afterwards_still_counts(acme: Tenant, channels: FakeChannels) -> None:
    path = await channels.add_browser(acme, "alice")
    channels.push.replies[path] = [503] * 3
    await set_times(acme, "alice", dailyLimit=1)
    await acme.send("alice", channels=["IN_APP", "WEB_PUSH"])
    await acme.mark("alice", "markRead", (await inbox_of(acme, "alice"))[0]["id"])

    async def skipped() -> bool:
        return [one["reason"] for one in await list_all_deliveries(acme)] == ["ALREADY_READ"]

    await eventually(skipped)
    assert await simulate(acme, "alice", "WEB_PUSH", channels=["WEB_PUSH"]) == ("SKIPPED", "DAILY_LIMIT", None)


async def test_parts_of_an_interruption_that_leave_in_different_transactions_count_once(
    acme: Tenant, channels: FakeChannels, database: Database
) -> None:
    """The browser of both notifications is due before the phone of the first one."""
    await channels.add_browser(acme, "alice")
    await channels.add_phone(acme, "alice")
    await set_times(acme, "alice", dailyLimit=2)
    step = {"channels": ["WEB_PUSH", "MOBILE_PUSH"], "after": "PT1H"}
    for _ in range(2):
        await acme.send("alice", channels=["IN_APP"], steps=[step])
    for count, channel in ((2, "WEB_PUSH"), (4, "MOBILE_PUSH")):
        match = {"tenant": acme.name, "channel": channel}
        await database.deliveries.update_many(match, {"$set": {"due_at": utc_time.now()}})

        async def decided(of: str = channel) -> bool:
            found = await list_all_deliveries(acme, channels=[of])
            return not {"HELD", "ACCEPTED", "PROCESSING"} & {one["status"] for one in found}

        await eventually(decided)
        found = Counter((one["status"], one["reason"]) for one in await list_all_deliveries(acme))
        assert found["SENT", None] == count
    mailbox = await database.mailboxes.find_one({"_id": f"{acme.name}/alice"})
    assert mailbox
    assert mailbox["interruptions"]["count"] == 2
