"""The cancellation, recall, and resumption of large sends continue in the background, also after a process was killed."""

import asyncio
import random
from collections import Counter

import pytest

from hub.workflows.send_change_rounds import COUNTED_IN_CALL_MAX
from tests.channel_setup import list_all_deliveries
from tests.client import Tenant, eventually
from tests.conftest import FULL_SCALE, scaled
from tests.mongo_assertions import stored_receipts
from tests.pause.sends import Running, change, email_counts, get, run_last_round, wait_for_states

USERS = [f"user-{number}" for number in range(600)]
PAUSES = 20
BULK_USERS = [f"bulk-{number}" for number in range(scaled(100, 600))]
KILLS = scaled(4, 30)
SOON = [{"channels": ["EMAIL"], "after": "PT1S"}, {"channels": ["EMAIL"], "after": "PT2S"}]
UPDATE_TENANT = "mutation ($input: TenantInput!) { updateTenant(input: $input) { id } }"
LATE = [{"channels": ["EMAIL"], "after": "P1D"}, {"channels": ["EMAIL"], "after": "P2D"}]


async def wait_until_complete(tenant: Tenant, id: str) -> None:
    async def complete() -> bool:
        return (await get(tenant, id))["remaining"] is None

    await eventually(complete, scaled(90, 900))


async def test_resumption_continues_after_workers_are_killed(running: Running, acme: Tenant) -> None:
    """No worker runs when the send is resumed. Then workers are killed at random moments. Each delivery ends once, with
    the preferences of that time."""
    deployment, fakes, database = running
    await fakes.add_addresses(acme, *USERS, channels=["EMAIL"])
    id = (await acme.send(*USERS, channels=["IN_APP"], steps=SOON))["send"]["id"]
    await change(acme, "pauseSend", id)
    total = 2 * len(USERS)
    await wait_for_states(acme, id, {("HELD", "PAUSED"): total}, within_s=90, count=email_counts)
    no_email = {"preferences": {"channels": [{"channel": "EMAIL", "enabled": False}]}}
    await acme.execute_as_admin(UPDATE_TENANT, input=no_email)
    for worker in deployment.workers:
        worker.kill()
    assert (await change(acme, "resumeSend", id))["remaining"] == total
    assert (await get(acme, id))["remaining"] == total
    for kill in range(KILLS):
        worker = deployment.workers[kill % 2]
        await worker.start()
        await asyncio.sleep(random.uniform(0, 0.3))
        worker.kill()
    await asyncio.gather(*(worker.start() for worker in deployment.workers))
    await wait_until_complete(acme, id)
    await wait_for_states(acme, id, {("SKIPPED", "PREFERENCE"): total}, within_s=90, count=email_counts)
    receipts = await stored_receipts(database, tenant=acme.name, channel="EMAIL", status="SKIPPED")
    assert len(receipts) == total


async def test_last_round_finds_what_was_held_after_the_resumption(running: Running, acme: Tenant) -> None:
    """A release that read the send as paused is committed after the first round. The process of that round was killed,
    and its lease has ended."""
    id = (await acme.send("lea", channels=["IN_APP"], steps=LATE[:1]))["send"]["id"]
    await change(acme, "pauseSend", id)
    await change(acme, "resumeSend", id)
    held = {"$set": {"reason": "PAUSED"}, "$unset": {"due_at": ""}}
    assert (await running.database.deliveries.update_one({"send": id, "status": "HELD"}, held)).modified_count == 1
    await run_last_round(running.database, id)
    await wait_for_states(acme, id, {("SKIPPED", "NO_ADDRESS"): 1})


async def test_large_recall_and_cancellation_continue_in_the_background(running: Running, acme: Tenant) -> None:
    await running.fakes.add_addresses(acme, *USERS, channels=["EMAIL"])
    recalled, cancelled = [
        (await acme.send(*USERS, title=title, channels=["IN_APP"], steps=LATE))["send"]["id"]
        for title in ("Recalled", "Cancelled")
    ]
    total = 2 * len(USERS)
    send = await change(acme, "cancelSend", cancelled)
    assert (send["status"], send["remaining"]) == ("CANCELLED", total)
    send = await change(acme, "recallSend", recalled)
    assert (send["status"], send["remaining"]) == ("RECALLED", total + len(USERS))
    for id, reason in ((cancelled, "CANCELLED"), (recalled, "RECALLED")):
        await wait_until_complete(acme, id)
        assert await email_counts(acme, id) == {("CANCELLED", reason): total}
    for user in (USERS[0], USERS[-1]):
        assert [n["title"] for n in (await acme.inbox(user))["nodes"]] == ["Cancelled"]
    match = {"send": recalled, "removed_at": {"$exists": False}}
    assert await running.database.notifications.count_documents(match) == 0


@pytest.mark.skipif(not FULL_SCALE, reason="`make prove` runs it, because it writes very many deliveries")
async def test_cancellation_of_very_many_deliveries_responds_with_an_estimate(running: Running, acme: Tenant) -> None:
    await running.fakes.add_addresses(acme, "lea", channels=["EMAIL"])
    id = (await acme.send("lea", channels=["IN_APP"], steps=LATE[:1]))["send"]["id"]
    deliveries = running.database.deliveries
    email = await deliveries.find_one({"send": id, "channel": "EMAIL"})
    assert email
    total = COUNTED_IN_CALL_MAX + 5_000
    copies = [{**email, "_id": f"{email['_id']}-{n}", "notification": f"{id}-{n}"} for n in range(1, total)]
    await deliveries.insert_many(copies, ordered=False)
    assert (await change(acme, "cancelSend", id))["remaining"] == COUNTED_IN_CALL_MAX

    async def counted() -> bool:
        remaining = (await get(acme, id))["remaining"]
        return remaining is None or remaining != COUNTED_IN_CALL_MAX

    await eventually(counted, 120)
    await wait_until_complete(acme, id)
    assert await email_counts(acme, id) == {("CANCELLED", "CANCELLED"): total}


async def test_pauses_and_resumptions_at_random_moments_deliver_to_everyone_once(
    running: Running, acme: Tenant
) -> None:
    """Pauses and resumptions also overlap."""
    await running.fakes.add_addresses(acme, *BULK_USERS, channels=["EMAIL"])
    running.fakes.set_delay(0.1)
    steps = [{"channels": ["EMAIL"], "after": "PT1S"}]
    id = (await acme.send(*BULK_USERS, channels=["IN_APP", "EMAIL"], steps=steps))["send"]["id"]
    for _ in range(PAUSES):
        await asyncio.gather(*(change(acme, mutation, id) for mutation in ("pauseSend", "resumeSend")))
        await asyncio.sleep(random.uniform(0, 0.15))
        await change(acme, random.choice(["pauseSend", "resumeSend"]), id)
        await asyncio.sleep(random.uniform(0, 0.15))
    running.fakes.set_delay(0)
    await change(acme, "resumeSend", id)
    await wait_for_states(
        acme, id, {("SENT", None): 2 * len(BULK_USERS)}, within_s=scaled(120, 300), count=email_counts
    )
    arrivals = running.fakes.arrivals()
    sent = await list_all_deliveries(acme, sendId=id)
    assert Counter(len(arrivals[one["id"]]) for one in sent) == {1: 2 * len(BULK_USERS)}
