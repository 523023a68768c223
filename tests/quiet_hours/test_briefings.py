"""Briefings: what quiet hours and do-not-disturb hold leaves in one message per device."""

from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from hub import utc_time
from hub.decide.plan import Decision
from hub.model import Channel, Delivery, DeliveryStatus, DigestKind, Priority, Reason
from hub.outbox.lanes import lane_of
from hub.platform.connections import Database
from hub.send.digest_preparation import collect_items
from hub.send.state_after_outcome import Transition
from hub.workflows.recipients_work import document_count
from tests.channel_setup import FakeChannels
from tests.client import Json, Tenant, eventually
from tests.digest_setup import HOUR, find
from tests.quiet_hours.times import later, quiet_now, set_times, simulate, window

PUSH: Json = {"channels": ["WEB_PUSH"]}
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"


async def wait_for(tenant: Tenant, *expected: tuple[str, int, str], **filter: Any) -> list[Json]:
    """Return the briefings once they have these statuses, numbers of items, and channels, newest first."""

    async def found() -> list[Json] | None:
        briefings, _ = await find(tenant, **filter)
        states = [(one["status"], one["itemCount"], one["channel"]) for one in briefings]
        return briefings if sorted(states) == sorted(expected) else None

    briefings: list[Json] = await eventually(found)
    return briefings


def pushes_of(channels: FakeChannels, briefing: Json) -> list[Json]:
    return [push for push, _ in channels.push.pushes if push["id"] == briefing["id"]]


async def test_held_deliveries_of_all_categories_leave_in_one_message_per_device(
    acme: Tenant, channels: FakeChannels
) -> None:
    """Also those of a step. A digest leaves by itself. The text is in the language of the user."""
    await channels.add_addresses(acme, "anna", channels=["WEB_PUSH", "MOBILE_PUSH", "EMAIL"])
    await acme.execute(UPSERT, users=[{"id": "anna", "locale": "de"}])
    await set_times(acme, "anna", quietHours=quiet_now())
    both: Json = {"channels": ["IN_APP", "WEB_PUSH", "MOBILE_PUSH", "EMAIL"]}
    sends = [
        await acme.send("anna", title="one", **both),
        await acme.send("anna", title="two", **both, category="other", priority="HIGH"),
        await acme.send("anna", title="three", steps=[{"channels": both["channels"][1:3]}]),
    ]
    await acme.send("anna", title="four", **PUSH, digest=HOUR)
    briefings = await wait_for(
        acme, ("HELD", 3, "WEB_PUSH"), ("HELD", 3, "MOBILE_PUSH"), ("HELD", 1, "WEB_PUSH"), userId="anna"
    )
    _, _, due_at = await simulate(acme, "anna", "WEB_PUSH", **both)
    waiting = {one["id"]: one for one in briefings if one["reason"] == "QUIET_HOURS"}
    _, items = await find(acme, userId="anna", reasons=["QUIET_HOURS"])
    assert Counter(one["digestId"] for one in items) == dict.fromkeys(waiting, 3)
    assert {one["dueAt"] for one in (*items, *waiting.values())} == {due_at}
    for one in waiting.values():
        assert [n["title"] for n in one["items"]] == ["three", "two", "one"]
        assert one["sendId"] == sends[2]["send"]["id"]
    await set_times(acme, "anna", quietHours=None)
    sent = await wait_for(
        acme, ("SENT", 3, "WEB_PUSH"), ("SENT", 3, "MOBILE_PUSH"), ("HELD", 1, "WEB_PUSH"), userId="anna"
    )
    [push] = pushes_of(channels, next(one for one in sent if (one["status"], one["channel"]) == ("SENT", "WEB_PUSH")))
    assert push["title"] == "Während Sie weg waren: 3 neue Benachrichtigungen"
    assert push["body"] == "three\ntwo\none"

    async def settled() -> bool:
        _, items = await find(acme, userId="anna", statuses=["SENT"])
        return Counter((one["channel"], one["digestId"] in waiting) for one in items) == {
            ("WEB_PUSH", True): 3, ("MOBILE_PUSH", True): 3, ("EMAIL", False): 2,
        }  # fmt: skip

    await eventually(settled)


async def test_deliveries_that_wait_for_different_ends_have_different_briefings(
    acme: Tenant, channels: FakeChannels
) -> None:
    """Do-not-disturb ends in one hour, and the quiet hours, which HIGH passes, in three."""
    await channels.add_addresses(acme, "ben", channels=["WEB_PUSH"])
    await set_times(acme, "ben", quietHours=quiet_now(allow="HIGH"), doNotDisturbUntil=later(hours=1))
    for priority in ("HIGH", "MEDIUM", "HIGH", "MEDIUM"):
        _, _, due_at = await simulate(acme, "ben", "WEB_PUSH", **PUSH, priority=priority)
        await acme.send("ben", **PUSH, priority=priority)
        _, [newest, *_] = await find(acme, userId="ben")
        assert newest["dueAt"] == due_at
    briefings = await wait_for(acme, ("HELD", 2, "WEB_PUSH"), ("HELD", 2, "WEB_PUSH"), userId="ben")
    assert len({one["dueAt"] for one in briefings}) == 2


async def test_part_of_a_briefing_leaves_when_the_preferences_change(acme: Tenant, channels: FakeChannels) -> None:
    """The user lets HIGH pass. The others wait in another briefing, until the window that the user makes longer ends."""
    await channels.add_addresses(acme, "cleo", channels=["WEB_PUSH"])
    await set_times(acme, "cleo", quietHours=quiet_now())
    for title, priority in (("one", "MEDIUM"), ("two", "HIGH"), ("three", "LOW"), ("four", "HIGH")):
        await acme.send("cleo", title=title, **PUSH, priority=priority)
    [first] = await wait_for(acme, ("HELD", 4, "WEB_PUSH"), userId="cleo")
    await set_times(acme, "cleo", quietHours=quiet_now(allow="HIGH"))
    await wait_for(acme, ("SENT", 2, "WEB_PUSH"), ("HELD", 2, "WEB_PUSH"), userId="cleo")
    [push] = pushes_of(channels, first)
    assert push["body"] == "four\ntwo"
    await set_times(acme, "cleo", quietHours=window(timedelta(hours=-1), timedelta(hours=9), allow="HIGH"))

    async def moved() -> Json | None:
        [held], _ = await find(acme, userId="cleo", statuses=["HELD"])
        return held if held["dueAt"] > later(hours=8) else None

    held = await eventually(moved)
    assert [n["title"] for n in held["items"]] == ["three", "one"]
    await set_times(acme, "cleo", quietHours=None)
    await wait_for(acme, ("SENT", 2, "WEB_PUSH"), ("SENT", 2, "WEB_PUSH"), userId="cleo")


async def test_delivery_whose_worker_meets_a_quiet_time_joins_the_briefing(
    acme: Tenant, channels: FakeChannels, database: Database
) -> None:
    """Its worker asks again right before the call, and gives it back."""
    await channels.add_addresses(acme, "dora", channels=["WEB_PUSH"])
    await set_times(acme, "dora", doNotDisturbUntil=later(hours=1))
    for _ in range(2):
        await acme.send("dora", **PUSH)
    [briefing], [item, _] = await find(acme, userId="dora")
    accepted = {
        "status": "ACCEPTED",
        "due_at": utc_time.now(),
        "lane": lane_of(Channel.WEB_PUSH, Priority.MEDIUM, acme.name),
    }
    await database.deliveries.update_one({"_id": item["id"]}, {"$set": accepted, "$unset": {"digest_id": ""}})
    await database.deliveries.update_one({"_id": briefing["id"]}, {"$inc": {"joined": -1}})

    async def joined() -> bool:
        [now], items = await find(acme, userId="dora")
        return now["itemCount"] == 2 and {one["digestId"] for one in items} == {briefing["id"]}

    await eventually(joined)


async def test_step_that_is_due_in_a_quiet_time_joins_the_briefing_of_each_device(
    acme: Tenant, channels: FakeChannels
) -> None:
    for _ in range(2):
        await channels.add_browser(acme, "emil")
    await set_times(acme, "emil", doNotDisturbUntil=later(hours=5))
    await acme.send("emil", title="one", **PUSH)
    await acme.send("emil", title="two", channels=["IN_APP"], steps=[{"channels": ["WEB_PUSH"], "after": "PT1S"}])
    briefings = await wait_for(acme, ("HELD", 2, "WEB_PUSH"), ("HELD", 2, "WEB_PUSH"), userId="emil")
    [shown] = (await acme.inbox("emil"))["nodes"]
    await acme.mark("emil", "markRead", shown["id"])
    await set_times(acme, "emil", doNotDisturbUntil=None)
    sent = await wait_for(acme, ("SENT", 1, "WEB_PUSH"), ("SENT", 1, "WEB_PUSH"), userId="emil")
    assert {one["id"] for one in sent} == {one["id"] for one in briefings}

    async def ended() -> bool:
        _, items = await find(acme, userId="emil")
        return Counter((one["status"], one["reason"]) for one in items) == {
            ("SENT", None): 2,
            ("SKIPPED", "ALREADY_READ"): 2,
        }

    await eventually(ended)


async def test_briefing_whose_items_all_wait_is_decided_again_at_the_first_end() -> None:
    """The worker reads the newest item first."""
    now = utc_time.now()
    values: Json = {"tenant": "acme", "mailbox": "acme/fay", "channel": Channel.WEB_PUSH, "created_at": now}
    values |= {"updated_at": now, "category": "", "status": "HELD", "priority": Priority.LOW}
    briefing = Delivery(id="briefing", digest_kind=DigestKind.BRIEFING, joined=3, **values)
    ends = {f"item-{n}": now + timedelta(hours=hours) for n, hours in enumerate((2, 1, 3))}
    items = [Delivery(id=id, digest_id="briefing", **values) for id in ends]

    async def answer(result: Any) -> Any:
        return result

    digests = SimpleNamespace(
        count_joined=lambda _: answer({"briefing": 3}),
        take_waiting=lambda *_: answer((items, None)),
        set_item_counts=lambda _: answer(None),
    )
    stores: Any = SimpleNamespace(digests=digests, load=lambda _: answer(None))
    held = await collect_items(
        [briefing], stores, lambda one, *_: Transition(DeliveryStatus.HELD, None, ends[one.id]), now
    )
    assert held == {"briefing": Transition(DeliveryStatus.HELD, None, ends["item-1"])}


@pytest.mark.parametrize(("reason", "count"), [(Reason.QUIET_HOURS, 4), (Reason.DIGEST, 4), (Reason.STEP, 2)])
def test_size_of_a_send_contains_the_digests_and_briefings_that_it_may_open(reason: Reason, count: int) -> None:
    held = Decision(Channel.WEB_PUSH, DeliveryStatus.HELD, reason, devices=("phone", "laptop"))
    assert document_count(held) == count
