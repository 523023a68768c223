"""What waits in quiet hours or in a digest ends when it is not wanted, and leaves when the preferences change."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hub import utc_time
from hub.platform.connections import Database
from tests.channel_setup import FakeChannels
from tests.client import Json, Tenant, eventually
from tests.quiet_hours.times import UPDATE_DEFAULTS, later, quiet_now, set_times, simulate, window

UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
REMOVE = "mutation ($id: ID!) { removeDevice(id: $id) }"
RECALL = "mutation ($id: ID!) { recallSend(id: $id) { id } }"
ERASE = "mutation ($id: ID!) { deleteUser(id: $id) }"
WAITING_USERS = ("reader", "archiver", "snoozer", "recalled", "replaced", "nodevice", "muted", "erased")
PUSH: Json = {"channels": ["IN_APP", "WEB_PUSH"]}
LAST = datetime.max.replace(tzinfo=UTC)


async def stop_waiting(acme: Tenant, notifications: dict[str, str], sends: dict[str, str]) -> None:
    """Make one notification of each user unwanted, in the way that the name of the user says."""
    marks = {"reader": ("markRead", None), "archiver": ("archive", None), "snoozer": ("snooze", later(days=1))}
    for user, (mark, until) in marks.items():
        await acme.mark(user, mark, notifications[user], until=until)
    await acme.execute(RECALL, id=sends["recalled"])
    await acme.send("replaced", channels=["IN_APP"], collapseKey="key")
    [device] = (await acme.execute("{ me { devices { id } } }", user="nodevice"))["me"]["devices"]
    await acme.execute(REMOVE, user="nodevice", id=device["id"])
    mute = 'mutation ($at: DateTime!) { updatePreferences(input: {categories: [{category: "news", mutedUntil: $at}]}) { dailyLimit } }'
    await acme.execute(mute, user="muted", at=later(days=1))
    await acme.execute_as_admin(ERASE, id="erased")


async def test_digest_leaves_without_what_ended_while_it_waited(
    acme: Tenant, channels: FakeChannels, database: Database
) -> None:
    """Each user has three items, and the second one ends. A digest without a device, or of a muted category, is not
    sent. A digest that is due in quiet hours waits, and leaves when they change, or the time zone of the user does."""
    await channels.add_addresses(acme, *WAITING_USERS, "quiet", "traveller", channels=["WEB_PUSH"])
    start, end = (quiet_now()[name] for name in ("start", "end"))
    for user in ("quiet", "traveller"):
        await set_times(acme, user, quietHours={"start": start, "end": end})
    users = (*WAITING_USERS, "quiet", "traveller")
    digest: Json = {"channels": ["IN_APP", "WEB_PUSH"], "digest": {"key": "k", "window": "PT1H"}}
    sends, notifications = {}, {}
    for number, more in ((1, {}), (2, {"collapseKey": "key"}), (3, {})):
        for user in users:
            sent = (await acme.send(user, title=f"item {number}", **digest, **more))["send"]["id"]
            if number == 2:
                sends[user] = sent
                notifications[user] = (await acme.inbox(user))["nodes"][0]["id"]
    await stop_waiting(acme, notifications, sends)
    of_tenant = {"tenant": acme.name}
    await database.deliveries.update_many({**of_tenant, "open": True}, {"$set": {"due_at": utc_time.now()}})

    async def two_wait() -> bool:
        held = {**of_tenant, "digest_key": {"$exists": True}, "status": "HELD", "reason": "QUIET_HOURS"}
        return await database.deliveries.count_documents(held) == 2

    await eventually(two_wait)
    await set_times(acme, "quiet", quietHours=window(timedelta(hours=-2), timedelta(hours=-1)))
    await acme.execute(UPSERT, users=[{"id": "traveller", "timezone": "Pacific/Auckland"}])
    kept = {("SENT", None): 2}
    expected = {
        "reader": {("SKIPPED", "ALREADY_READ"): 1} | kept,
        "archiver": {("SKIPPED", "ALREADY_READ"): 1} | kept,
        "snoozer": {("SKIPPED", "SNOOZED"): 1} | kept,
        "recalled": {("CANCELLED", "RECALLED"): 1} | kept,
        "replaced": {("CANCELLED", "REPLACED"): 1} | kept,
        "nodevice": {("SKIPPED", "NO_ADDRESS"): 3},
        "muted": {("SKIPPED", "MUTED"): 3},
        "quiet": {("SENT", None): 3},
        "traveller": {("SENT", None): 3},
    }

    async def ended() -> bool:
        found: dict[str, Counter[tuple[str, str | None]]] = {user: Counter() for user in expected}
        async for doc in database.deliveries.find({**of_tenant, "digest_id": {"$exists": True}}):
            found[doc["mailbox"].partition("/")[2]][doc["status"], doc.get("reason")] += 1
        return found == expected

    await eventually(ended)
    digests = await database.deliveries.find({**of_tenant, "digest_key": {"$exists": True}}).to_list()
    assert Counter((doc["status"], doc.get("reason")) for doc in digests) == {
        ("SENT", None): 7,
        ("SKIPPED", "EMPTY"): 2,
    }
    pushed = {push["id"]: push["body"] for push, _ in channels.push.pushes}
    bodies = {doc["mailbox"].partition("/")[2]: pushed.get(doc["_id"]) for doc in digests}
    whole, without = "item 3\nitem 2\nitem 1", "item 3\nitem 1"
    not_sent = dict.fromkeys(("nodevice", "muted"))
    assert bodies == dict.fromkeys(expected, without) | {"quiet": whole, "traveller": whole} | not_sent


async def test_held_push_of_a_replaced_notification_ends(acme: Tenant, alice: str, database: Database) -> None:
    await set_times(acme, alice, quietHours=quiet_now())
    await acme.send(alice, **PUSH, collapseKey="key")
    await acme.send(alice, channels=["IN_APP"], collapseKey="key")
    items = {"mailbox": f"{acme.name}/{alice}", "notification": {"$exists": True}}

    async def ended() -> bool:
        found = await database.deliveries.find(items).to_list()
        return [(doc["status"], doc.get("reason")) for doc in found] == [("CANCELLED", "REPLACED")]

    await eventually(ended)


async def test_send_that_read_the_old_preferences_is_decided_again(
    acme: Tenant, alice: str, database: Database
) -> None:
    """It commits when everything else has been decided again."""
    await set_times(acme, alice, doNotDisturbUntil=later(hours=5))
    await acme.send(alice, **PUSH)
    of_alice = {"mailbox": f"{acme.name}/{alice}", "status": "HELD"}
    with_time = {**of_alice, "due_at": {"$exists": True}}

    async def decided() -> bool:
        after = {**of_alice, "revision": 2, "due_at": {"$gt": datetime.now(UTC) + timedelta(hours=8)}}
        return await database.deliveries.count_documents(after) == 1

    await set_times(acme, alice, doNotDisturbUntil=later(hours=9))
    await eventually(decided)

    async def only_the_last_pass_remains() -> bool:
        user = await database.users.find_one({"_id": f"{acme.name}/{alice}"})
        assert user
        return bool(user.get("redecide_at", LAST) > datetime.now(UTC) + timedelta(seconds=2))

    await eventually(only_the_last_pass_remains)
    before_the_change = {"due_at": datetime.now(UTC) + timedelta(hours=5), "revision": 1}
    assert (await database.deliveries.update_one(with_time, {"$set": before_the_change})).modified_count == 1
    await eventually(decided)


async def test_window_without_a_zone_is_in_that_of_the_user_or_else_of_the_tenant(acme: Tenant, alice: str) -> None:
    start, end = (quiet_now()[name] for name in ("start", "end"))
    await set_times(acme, alice, quietHours={"start": start, "end": end})
    assert (await simulate(acme, alice, "WEB_PUSH", **PUSH))[0] == "HELD"
    await acme.execute_as_admin(UPDATE_DEFAULTS, input={"timezone": "Pacific/Auckland"})
    assert (await simulate(acme, alice, "WEB_PUSH", **PUSH))[0] == "ACCEPTED"
    await acme.execute(UPSERT, users=[{"id": alice, "timezone": "UTC"}])
    assert (await simulate(acme, alice, "WEB_PUSH", **PUSH))[0] == "HELD"
    await set_times(acme, alice, quietHours={"start": start, "end": end, "timezone": "Pacific/Auckland"})
    assert (await simulate(acme, alice, "WEB_PUSH", **PUSH))[0] == "ACCEPTED"
