"""The items of paused sends in digests."""

from typing import Any

from hub import utc_time
from tests.client import Json, Tenant, eventually
from tests.digest_setup import HOUR, TITLE, mails_to, text_of
from tests.pause.sends import PAUSE_CHANNEL, RESUME_CHANNEL, Running, change, wait_for_states
from tests.quiet_hours.times import set_times

PAUSED = ("HELD", "PAUSED")
SENT = ("SENT", None)


async def send_item(tenant: Tenant, user: str, channel: str, **more: Any) -> str:
    id: str = (await tenant.send(user, channels=["IN_APP", channel], **more))["send"]["id"]
    return id


async def make_due(running: Running, tenant: Tenant, **match: Any) -> None:
    """Make the digests of a tenant due now."""
    digests: Json = {"tenant": tenant.name, "digest_key": {"$exists": True}, **match}
    due = {"$set": {"due_at": utc_time.now()}}
    assert (await running.database.deliveries.update_many(digests, due)).modified_count == 1


async def test_digest_with_nothing_but_paused_items_stays_open_and_is_counted_when_it_leaves(
    running: Running, acme: Tenant
) -> None:
    await running.fakes.add_addresses(acme, "dee", channels=["WEB_PUSH"])
    await set_times(acme, "dee", dailyLimit=1)
    paused = await send_item(acme, "dee", "WEB_PUSH", digest=HOUR)
    await change(acme, "pauseSend", paused)
    await make_due(running, acme, open=True)

    async def decided_again() -> bool:
        later = {"tenant": acme.name, "open": True, "due_at": {"$gt": utc_time.now()}}
        return await running.database.deliveries.find_one(later) is not None

    await eventually(decided_again)
    await wait_for_states(acme, paused, {("HELD", "DIGEST"): 1})
    other = await send_item(acme, "dee", "WEB_PUSH")
    await wait_for_states(acme, other, {SENT: 1})
    await change(acme, "resumeSend", paused)
    await make_due(running, acme, open=True)
    await wait_for_states(acme, paused, {("SKIPPED", "DAILY_LIMIT"): 1})


async def test_digest_that_was_tried_waits_with_its_paused_item(running: Running, acme: Tenant) -> None:
    """The first call may have arrived, so no item leaves the digest."""
    await running.fakes.add_addresses(acme, "tia", channels=["EMAIL"])
    running.fakes.mail.replies["RCPT"] = "450 4.2.1 try later"
    first, second = [await send_item(acme, "tia", "EMAIL", title=f"item-{n}", digest=HOUR) for n in range(2)]
    await make_due(running, acme, open=True)

    async def tried() -> bool:
        match = {"tenant": acme.name, "digest_key": {"$exists": True}, "status": "RETRYING"}
        return await running.database.deliveries.find_one(match) is not None

    await eventually(tried)
    await change(acme, "pauseSend", second)
    running.fakes.mail.clear_fault()
    for id in (first, second):
        await wait_for_states(acme, id, {PAUSED: 1})
    assert mails_to(running.fakes, "tia") == []
    await change(acme, "resumeSend", second)
    await make_due(running, acme, status="HELD", reason="PAUSED")
    for id in (first, second):
        await wait_for_states(acme, id, {SENT: 1})
    assert [TITLE.findall(text_of(mail)) for mail in mails_to(running.fakes, "tia")] == [["item-1", "item-0"]]


async def test_digest_of_a_paused_channel_stays_open_and_leaves_as_one_message(running: Running, acme: Tenant) -> None:
    await running.fakes.add_addresses(acme, "pia", channels=["EMAIL"])
    ids = [await send_item(acme, "pia", "EMAIL", title=f"item-{n}", digest=HOUR) for n in range(2)]
    await acme.execute_as_admin(PAUSE_CHANNEL, channel="EMAIL")
    await make_due(running, acme, open=True)

    async def decided_again() -> bool:
        later = {"tenant": acme.name, "open": True, "due_at": {"$gt": utc_time.now()}}
        return await running.database.deliveries.find_one(later) is not None

    await eventually(decided_again, 60)
    ids.append(await send_item(acme, "pia", "EMAIL", title="item-2", digest=HOUR))
    await acme.execute_as_admin(RESUME_CHANNEL, channel="EMAIL")
    await make_due(running, acme, open=True)
    for id in ids:
        await wait_for_states(acme, id, {SENT: 1})
    mails = [TITLE.findall(text_of(mail)) for mail in mails_to(running.fakes, "pia")]
    assert mails == [["item-2", "item-1", "item-0"]]


async def test_digest_that_was_closed_waits_as_a_whole_for_its_channel(running: Running, acme: Tenant) -> None:
    await running.fakes.add_addresses(acme, "tom", channels=["EMAIL"])
    running.fakes.mail.replies["RCPT"] = "450 4.2.1 try later"
    ids = [await send_item(acme, "tom", "EMAIL", title=f"item-{n}", digest=HOUR) for n in range(2)]
    await make_due(running, acme, open=True)

    async def tried() -> bool:
        match = {"tenant": acme.name, "digest_key": {"$exists": True}, "status": "RETRYING"}
        return await running.database.deliveries.find_one(match) is not None

    await eventually(tried, 60)
    await acme.execute_as_admin(PAUSE_CHANNEL, channel="EMAIL")
    running.fakes.mail.clear_fault()
    for id in ids:
        await wait_for_states(acme, id, {PAUSED: 1})
    assert mails_to(running.fakes, "tom") == []
    await acme.execute_as_admin(RESUME_CHANNEL, channel="EMAIL")
    for id in ids:
        await wait_for_states(acme, id, {SENT: 1})
    assert [TITLE.findall(text_of(mail)) for mail in mails_to(running.fakes, "tom")] == [["item-1", "item-0"]]
