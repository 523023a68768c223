"""Deliveries that wait for the end of quiet hours or of do-not-disturb, and that leave after a change of preferences."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from hub.platform.connections import Database
from tests.channel_setup import FakeChannels
from tests.client import Json, Tenant, eventually
from tests.conftest import scaled
from tests.digest_setup import find
from tests.quiet_hours.times import later, quiet_now, set_default_times, set_times, simulate, window

UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
REMOVE = "mutation ($id: ID!) { removeDevice(id: $id) }"
RECALL = "mutation ($id: ID!) { recallSend(id: $id) { id } }"
ERASE = "mutation ($id: ID!) { deleteUser(id: $id) }"
SEND_MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } } }"
MANY_USERS = scaled(300, 10_000)
HELD_MANY = scaled(1000, 10_000)
PUSH: Json = {"channels": ["IN_APP", "WEB_PUSH"]}
SPREAD = timedelta(minutes=2)


async def deliveries_of(tenant: Tenant, status: str, count: int = 1, **filter: Any) -> list[Json]:
    """Return the deliveries with a status once there are `count` of them, without briefings."""

    async def enough() -> list[Json] | None:
        _, found = await find(tenant, statuses=[status], **filter)
        return found if len(found) >= count else None

    found: list[Json] = await eventually(enough)
    return found


def arrived(channels: FakeChannels, delivery: Json) -> bool:
    return delivery["id"] in channels.arrivals()


async def test_push_waits_for_the_end_of_quiet_hours_and_nothing_else_does(
    acme: Tenant, alice: str, channels: FakeChannels
) -> None:
    quiet = quiet_now()
    await set_times(acme, alice, quietHours=quiet)
    everything: Json = {"channels": ["IN_APP", "WEB_PUSH", "EMAIL"]}
    outcome, reason, due_at = await simulate(acme, alice, "WEB_PUSH", **everything)
    assert (outcome, reason) == ("HELD", "QUIET_HOURS")
    assert await simulate(acme, alice, "EMAIL", **everything) == ("ACCEPTED", None, None)
    await acme.send(alice, **everything)
    [held] = await deliveries_of(acme, "HELD")
    assert (held["channel"], held["reason"], held["dueAt"], held["attempts"]) == (
        "WEB_PUSH",
        "QUIET_HOURS",
        due_at,
        [],
    )
    ends_at = datetime.now(UTC).replace(second=0, microsecond=0)
    while f"{ends_at:%H:%M}" != quiet["end"]:
        ends_at += timedelta(minutes=1)
    assert timedelta() <= datetime.fromisoformat(held["dueAt"]) - ends_at <= SPREAD
    [sent] = await deliveries_of(acme, "SENT")
    assert sent["channel"] == "EMAIL"
    [shown] = (await acme.inbox(alice))["nodes"]
    query = "query ($id: ID!) { notification(id: $id) { deliveries { channel status reason dueAt } } }"
    explained = (await acme.execute(query, user=alice, id=shown["id"]))["notification"]["deliveries"]
    assert {"channel": "WEB_PUSH", "status": "HELD", "reason": "QUIET_HOURS", "dueAt": due_at} in explained
    assert not arrived(channels, held)


async def test_held_push_leaves_when_the_quiet_hours_change(acme: Tenant, alice: str, channels: FakeChannels) -> None:
    await set_times(acme, alice, quietHours=quiet_now())
    await acme.send(alice, **PUSH)
    [held] = await deliveries_of(acme, "HELD")
    await set_times(acme, alice, quietHours=window(timedelta(hours=-1), timedelta(hours=9)))

    async def moved() -> bool:
        _, [found] = await find(acme)
        assert found["status"] == "HELD"
        delay = datetime.fromisoformat(found["dueAt"]) - datetime.fromisoformat(held["dueAt"])
        return delay == timedelta(hours=6)

    await eventually(moved)
    await set_times(acme, alice, quietHours=None)
    [sent] = await deliveries_of(acme, "SENT")
    assert sent["id"] == held["id"]
    assert arrived(channels, held)


async def test_held_push_leaves_when_the_time_zone_changes(acme: Tenant, alice: str) -> None:
    start, end = (quiet_now()[name] for name in ("start", "end"))
    await set_times(acme, alice, quietHours={"start": start, "end": end})
    await acme.send(alice, **PUSH)
    [held] = await deliveries_of(acme, "HELD")
    await acme.execute(UPSERT, users=[{"id": alice, "timezone": "Pacific/Auckland"}])  # 12 or 13 hours ahead
    [sent] = await deliveries_of(acme, "SENT")
    assert sent["id"] == held["id"]


async def test_do_not_disturb_holds_until_it_is_turned_off(acme: Tenant, alice: str) -> None:
    until = later(hours=5)
    await set_times(acme, alice, doNotDisturbUntil=until)
    outcome, reason, due_at = await simulate(acme, alice, "WEB_PUSH", **PUSH)
    assert (outcome, reason) == ("HELD", "DO_NOT_DISTURB")
    assert due_at
    assert timedelta() <= datetime.fromisoformat(due_at) - datetime.fromisoformat(until) <= SPREAD
    await acme.send(alice, **PUSH)
    await deliveries_of(acme, "HELD", reasons=["DO_NOT_DISTURB"])
    await set_times(acme, alice, doNotDisturbUntil=None)
    await deliveries_of(acme, "SENT")


async def test_delivery_that_expires_before_the_end_is_skipped_at_once(acme: Tenant, alice: str) -> None:
    await set_times(acme, alice, quietHours=quiet_now())
    soon: Json = {**PUSH, "expiresAt": later(hours=1)}
    assert await simulate(acme, alice, "WEB_PUSH", **soon) == ("SKIPPED", "QUIET_HOURS", None)
    await acme.send(alice, **soon)
    [shown] = (await acme.execute("{ inbox { nodes { deliveries { channel status reason } } } }", user=alice))["inbox"][
        "nodes"
    ]
    assert {"channel": "WEB_PUSH", "status": "SKIPPED", "reason": "QUIET_HOURS"} in shown["deliveries"]


async def test_sign_in_code_of_a_required_category_arrives_at_night(acme: Tenant, alice: str) -> None:
    await acme.define_category("news", "IN_APP", required=True)
    await set_times(acme, alice, quietHours=quiet_now())
    await acme.send(alice, **PUSH)
    await deliveries_of(acme, "SENT")
    await acme.send(alice, **PUSH, priority="LOW")
    await deliveries_of(acme, "HELD", reasons=["QUIET_HOURS"])
    await set_times(acme, alice, quietHours=None, doNotDisturbUntil=later(hours=1))
    await acme.send(alice, **PUSH, priority="CRITICAL")
    await deliveries_of(acme, "SENT", 2)
    await acme.send(alice, **PUSH, priority="HIGH")

    async def both_disturb() -> bool:  # also the one that waited
        return [one["reason"] for one in await deliveries_of(acme, "HELD", 2)] == ["DO_NOT_DISTURB"] * 2

    await eventually(both_disturb)


async def test_priority_that_a_window_allows_passes(acme: Tenant, alice: str) -> None:
    await set_times(acme, alice, quietHours=quiet_now(allow="HIGH"))
    assert (await simulate(acme, alice, "WEB_PUSH", **PUSH, priority="HIGH"))[0] == "ACCEPTED"
    assert (await simulate(acme, alice, "WEB_PUSH", **PUSH, priority="MEDIUM"))[0] == "HELD"


async def test_windows_that_touch_are_one_and_other_weekdays_are_free(acme: Tenant, alice: str) -> None:
    today = datetime.now(UTC).isoweekday()
    others = [day for day in range(1, 8) if day not in (today, today % 7 + 1, (today - 2) % 7 + 1)]
    await set_times(acme, alice, quietHours=quiet_now(days=others))
    assert (await simulate(acme, alice, "WEB_PUSH", **PUSH))[0] == "ACCEPTED"
    first = window(timedelta(hours=-1), timedelta(hours=1))
    second = window(timedelta(hours=1), timedelta(hours=5))
    await set_times(acme, alice, quietSchedule=[second, {**first, "end": second["start"]}])
    outcome, _, due_at = await simulate(acme, alice, "WEB_PUSH", **PUSH)
    assert (outcome, datetime.fromisoformat(due_at or "") > datetime.now(UTC) + timedelta(hours=4)) == ("HELD", True)


async def test_retry_that_meets_do_not_disturb_is_held_and_leaves_after_it(
    acme: Tenant, channels: FakeChannels
) -> None:
    """The first call fails. The user then turns on do-not-disturb."""
    path = await channels.add_browser(acme, "bob")
    channels.push.replies[path] = [503] * 3
    await acme.send("bob", **PUSH)
    [retrying] = await deliveries_of(acme, "RETRYING")
    await set_times(acme, "bob", doNotDisturbUntil=later(hours=5))
    [held] = await deliveries_of(acme, "HELD", reasons=["DO_NOT_DISTURB"])
    assert held["id"] == retrying["id"]
    assert held["attempts"]
    assert held["digestId"] is None, "the first call may have arrived"
    channels.push.replies[path] = []
    await set_times(acme, "bob", doNotDisturbUntil=None)
    [sent] = await deliveries_of(acme, "SENT")
    assert sent["id"] == held["id"]


async def test_step_that_is_due_in_a_quiet_time_waits_for_its_end(acme: Tenant, alice: str) -> None:
    await set_times(acme, alice, doNotDisturbUntil=later(hours=5))
    await acme.send(alice, channels=["IN_APP"], steps=[{"channels": ["WEB_PUSH"], "after": "PT1S"}])
    [held] = await deliveries_of(acme, "HELD", reasons=["DO_NOT_DISTURB"])
    await set_times(acme, alice, doNotDisturbUntil=None)
    [sent] = await deliveries_of(acme, "SENT")
    assert sent["notificationId"] == held["notificationId"]


async def test_held_push_ends_as_soon_as_it_is_not_wanted(acme: Tenant, channels: FakeChannels) -> None:
    users = ("reader", "archiver", "snoozer", "recalled", "nodevice", "muted", "erased")
    await channels.add_addresses(acme, *users, channels=["WEB_PUSH"])
    await acme.define_category("news", "IN_APP", "WEB_PUSH")
    sends = {}
    for user in users:
        await set_times(acme, user, quietHours=quiet_now())
        sends[user] = (await acme.send(user))["send"]["id"]
    await deliveries_of(acme, "HELD", len(users))
    marks = {"reader": ("markRead", None), "archiver": ("archive", None), "snoozer": ("snooze", later(days=1))}
    for user, (mark, until) in marks.items():
        [shown] = (await acme.inbox(user))["nodes"]
        await acme.mark(user, mark, shown["id"], until=until)
    await acme.execute(RECALL, id=sends["recalled"])
    [device] = (await acme.execute("{ me { devices { id } } }", user="nodevice"))["me"]["devices"]
    await acme.execute(REMOVE, user="nodevice", id=device["id"])
    mute = 'mutation ($at: DateTime!) { updatePreferences(input: {categories: [{category: "news", mutedUntil: $at}]}) { dailyLimit } }'
    await acme.execute(mute, user="muted", at=later(days=1))
    await acme.execute_as_admin(ERASE, id="erased")
    for user in ("nodevice", "muted"):
        await set_times(acme, user, quietHours=None)
    expected = {
        "reader": ("SKIPPED", "ALREADY_READ"),
        "archiver": ("SKIPPED", "ALREADY_READ"),
        "snoozer": ("SKIPPED", "SNOOZED"),
        "recalled": ("CANCELLED", "RECALLED"),
        "nodevice": ("SKIPPED", "NO_ADDRESS"),
        "muted": ("SKIPPED", "MUTED"),
    }

    async def ended() -> bool:
        _, found = await find(acme)
        return {one["userId"]: (one["status"], one["reason"]) for one in found} == expected

    await eventually(ended)
    _, found = await find(acme)
    assert not channels.arrivals().keys() & {one["id"] for one in found}


async def test_users_whose_quiet_hours_end_in_the_same_minute_are_not_due_at_once(
    database: Database, acme: Tenant, channels: FakeChannels
) -> None:
    """Their briefings are due throughout two minutes. When all of them are due, each arrives once."""
    ids = [f"user{number}" for number in range(MANY_USERS)]
    browser = channels.push.subscribe()
    keys = {"url": browser.endpoint, "p256dh": browser.p256dh_text, "auth": browser.auth_text}
    now = datetime.now(UTC)
    device = {"id": "d", "kind": "WEB_PUSH", "created_at": now, **keys}
    await database.users.insert_many(
        {
            "_id": f"{acme.name}/{id}",
            "created_at": now,
            "updated_at": now,
            "devices": [device | {"key": f"{acme.name}/{id}"}],
        }
        for id in ids
    )
    quiet = quiet_now()
    await set_default_times(acme, quietHours=quiet)
    for start in range(0, MANY_USERS, 500):
        for _ in range(2):
            await acme.send(*ids[start : start + 500], channels=["WEB_PUSH"])
    briefings = {"tenant": acme.name, "digest_kind": "BRIEFING"}
    waiting = {**briefings, "status": "HELD", "reason": "QUIET_HOURS"}
    due = [doc["due_at"] async for doc in database.deliveries.find(waiting)]
    assert len(due) == MANY_USERS
    assert max(due) - min(due) > SPREAD / 2
    assert {f"{at:%H:%M}" for at in due} >= {quiet["end"]}
    assert max(Counter(at.replace(microsecond=0) for at in due).values()) < MANY_USERS / 20
    await set_default_times(acme, quietHours=None)
    await database.deliveries.update_many(waiting, {"$set": {"due_at": datetime.now(UTC)}})

    async def all_sent() -> bool:
        return await database.deliveries.count_documents({"tenant": acme.name, "status": "SENT"}) == 3 * MANY_USERS

    await eventually(all_sent, scaled(60, 300))
    once = {**briefings, "item_count": 2, "attempts": {"$size": 1}}
    assert await database.deliveries.count_documents(once) == MANY_USERS


async def test_new_defaults_of_the_tenant_apply_to_later_sends(acme: Tenant, alice: str) -> None:
    await set_default_times(acme, quietHours=quiet_now())
    await acme.send(alice, **PUSH)
    [held] = await deliveries_of(acme, "HELD")
    await set_default_times(acme, quietHours=None)
    await acme.send(alice, **PUSH)
    [sent] = await deliveries_of(acme, "SENT")
    assert sent["id"] != held["id"]
    assert [one["id"] for one in await deliveries_of(acme, "HELD")] == [held["id"]]


async def test_all_held_deliveries_of_a_user_are_decided_again(database: Database, acme: Tenant, alice: str) -> None:
    """Sends that are under way during the change are included. All wait in one briefing."""
    await set_times(acme, alice, doNotDisturbUntil=later(hours=5))
    one = {"to": {"users": [alice]}, "category": "news", "content": {"title": "Hello", "body": ""}, **PUSH}

    async def send(count: int) -> None:
        assert all((await acme.execute(SEND_MANY, inputs=[one] * count))["sendMany"])

    for _ in range(HELD_MANY // 500):
        await send(500)
    sending = [asyncio.create_task(send(50)) for _ in range(10)]
    await set_times(acme, alice, doNotDisturbUntil=later(hours=9))
    await asyncio.gather(*sending)
    expected = HELD_MANY // 500 * 500 + 500
    of_alice = {"mailbox": f"{acme.name}/{alice}", "status": "HELD", "reason": "DO_NOT_DISTURB"}
    after = {"open": True, "revision": 2, "due_at": {"$gt": datetime.now(UTC) + timedelta(hours=8)}}

    async def finished() -> bool:
        user = await database.users.find_one({"_id": f"{acme.name}/{alice}"})
        assert user
        return "redecide_at" not in user

    await eventually(finished)
    [briefing] = await database.deliveries.find({**of_alice, **after}).to_list()
    items = {**of_alice, "digest_id": briefing["_id"], "due_at": None}
    assert await database.deliveries.count_documents(items) == expected == briefing["joined"]
    assert await database.deliveries.count_documents(of_alice) == expected + 1
