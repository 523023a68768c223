"""A paused send makes no call, and after it is resumed, each of its deliveries is decided again."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from hub import utc_time
from hub.model import Delivery, DeliveryStatus, Reason, Role
from hub.outbox.claims import Claims, NoReceipts, Settlement
from hub.outbox.lanes import lane_of, scheduler_lane
from tests.channel_setup import list_all_deliveries
from tests.cli_commands import base_url, run_command
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.conftest import scaled
from tests.digest_setup import HOUR, TITLE, mails_to, text_of
from tests.pause.sends import Running, change, get, run_last_round, states, wait_for_states, wait_until_quiet
from tests.processes import SECRET
from tests.quiet_hours.times import later, quiet_now, set_times

USERS = [f"user-{number}" for number in range(scaled(60, 500))]
EMAIL: Json = {"channels": ["IN_APP", "EMAIL"]}
REMINDER = [{"channels": ["EMAIL"], "after": "PT2S"}]
PAUSED = ("HELD", "PAUSED")
MUTE = "mutation ($input: PreferencesInput!) { updatePreferences(input: $input) { channels { channel } } }"
ERASE = "mutation ($id: ID!) { deleteUser(id: $id) }"
NOT_STARTED = {"ACCEPTED", "HELD", "RETRYING"}


async def send(tenant: Tenant, *users: str, **more: Any) -> str:
    id: str = (await tenant.send(*users, **more))["send"]["id"]
    return id


async def test_no_call_starts_after_the_answer_and_each_delivery_leaves_once(running: Running, acme: Tenant) -> None:
    await running.fakes.add_addresses(acme, *USERS, channels=["EMAIL"])
    running.fakes.set_delay(0.2)
    id = await send(acme, *USERS, **EMAIL)

    async def some_arrived() -> bool:
        return (await states(acme, id))["SENT", None] >= 5

    await eventually(some_arrived)
    paused = await change(acme, "pauseSend", id)
    assert (paused["status"], paused["pausedReason"]) == ("PAUSED", "Paused by service.")
    waiting = {one["id"] for one in await list_all_deliveries(acme, sendId=id) if one["status"] in NOT_STARTED}
    assert waiting
    found = await wait_until_quiet(acme, id)
    assert waiting.isdisjoint(running.fakes.arrivals())
    held = [one for one in found if one["status"] == "HELD"]
    assert {one["id"] for one in held} >= waiting
    assert {(one["reason"], one["dueAt"], len(one["attempts"])) for one in held} == {("PAUSED", None, 0)}
    for user in (USERS[0], USERS[-1]):
        assert (await acme.inbox(user))["unread"] == 1
    running.fakes.set_delay(0)
    resumed = await change(acme, "resumeSend", id)
    assert (resumed["status"], resumed["pausedReason"], resumed["remaining"]) == ("ACCEPTED", None, None)
    await wait_for_states(acme, id, {("SENT", None): len(USERS)}, within_s=scaled(40, 120))
    arrivals = running.fakes.arrivals()
    assert [len(arrivals[one["id"]]) for one in found] == [1] * len(USERS)


async def test_retry_is_held_and_continues(running: Running, acme: Tenant) -> None:
    await running.fakes.add_addresses(acme, "rita", channels=["EMAIL"])
    running.fakes.mail.replies["RCPT"] = "450 4.2.1 try later"
    id = await send(acme, "rita", **EMAIL)

    async def tried() -> bool:
        [one] = await list_all_deliveries(acme, sendId=id)
        return one["status"] == "RETRYING"

    await eventually(tried)
    await change(acme, "pauseSend", id)
    await wait_for_states(acme, id, {PAUSED: 1})
    [held] = await list_all_deliveries(acme, sendId=id)
    running.fakes.mail.clear_fault()
    await change(acme, "resumeSend", id)
    await wait_for_states(acme, id, {("SENT", None): 1})
    [sent] = await list_all_deliveries(acme, sendId=id)
    assert len(sent["attempts"]) == len(held["attempts"]) + 1
    assert len(running.fakes.arrivals()[sent["id"]]) == 1


@pytest.mark.parametrize(
    ("mutation", "end"), [("resumeSend", ("SKIPPED", "NO_ADDRESS")), ("cancelSend", ("CANCELLED", "CANCELLED"))]
)
async def test_delivery_that_a_worker_holds_after_the_send_was_resumed_or_cancelled_is_not_lost(
    running: Running, acme: Tenant, mutation: str, end: tuple[str, str]
) -> None:
    """A worker claims it while the send is paused, and settles it later."""
    id = await send(acme, "wes", channels=["IN_APP"], steps=[{"channels": ["EMAIL"], "after": "P1D"}])
    await change(acme, "pauseSend", id)
    [step] = await list_all_deliveries(acme, sendId=id)
    queued = {"status": "ACCEPTED", "enqueue_count": 1, "lane": lane_of("EMAIL", "MEDIUM", acme.name)}
    await running.database.deliveries.update_one({"_id": step["id"]}, {"$set": queued})
    hub_time: Any = utc_time.now
    claims = Claims(running.database, "deliveries", Delivery, hub_time, utc_time.now, 60, NoReceipts())
    [job] = await claims.claim([step["id"]], lease_s=60)
    await change(acme, mutation, id)
    if mutation == "resumeSend":
        await run_last_round(running.database, id)
    held = Settlement(
        job=job, status=DeliveryStatus.HELD, reason=Reason.PAUSED, due_at=None, attempts=(), tries=0,
        lease_expirations=0, lane=scheduler_lane("MEDIUM", acme.name),
    )  # fmt: skip
    await claims.settle([held])
    await wait_for_states(acme, id, {end: 1})


async def test_steps_wait_and_leave_with_current_preferences(running: Running, acme: Tenant) -> None:
    """One recipient reads the notification while the send is paused, and another one turns the channel off."""
    await running.fakes.add_addresses(acme, "ann", "bob", "cay", channels=["EMAIL"])
    steps = [*REMINDER, {"channels": ["IN_APP"], "after": "PT2S"}]
    id = await send(acme, "ann", "bob", "cay", channels=["WEBHOOK"], steps=steps)
    await change(acme, "pauseSend", id)
    await wait_for_states(acme, id, {PAUSED: 6})
    assert (await acme.inbox("ann"))["nodes"] == []
    await acme.execute(MUTE, user="bob", input={"channels": [{"channel": "EMAIL", "enabled": False}]})
    await change(acme, "resumeSend", id)
    await wait_for_states(acme, id, {("SENT", None): 2, ("SKIPPED", "PREFERENCE"): 1})
    assert (await acme.inbox("ann"))["unread"] == 1
    again = await send(acme, "ann", channels=["IN_APP"], steps=REMINDER)
    await change(acme, "pauseSend", again)
    await wait_for_states(acme, again, {PAUSED: 1})
    [n] = (await acme.inbox("ann", first=1))["nodes"]
    await acme.mark("ann", "markRead", n["id"])
    await wait_for_states(acme, again, {("SKIPPED", "ALREADY_READ"): 1})


async def test_delivery_that_expired_or_is_quiet_now_does_not_leave(running: Running, acme: Tenant) -> None:
    await running.fakes.add_addresses(acme, "eve", channels=["EMAIL"])
    await running.fakes.add_addresses(acme, "quinn", channels=["WEB_PUSH"])
    steps = [{"channels": ["EMAIL", "WEB_PUSH"], "after": "PT1S"}]
    late = await send(acme, "eve", steps=steps, channels=["IN_APP"], expiresAt=later(seconds=4))
    quiet = await send(acme, "quinn", steps=steps, channels=["IN_APP"])
    for id in (late, quiet):
        await change(acme, "pauseSend", id)
    await wait_for_states(acme, late, {PAUSED: 1, ("SKIPPED", "NO_ADDRESS"): 1})
    await wait_for_states(acme, quiet, {PAUSED: 1, ("SKIPPED", "NO_ADDRESS"): 1})
    await set_times(acme, "quinn", quietHours=quiet_now())

    async def expired() -> bool:
        return not (await acme.inbox("eve"))["nodes"]

    await eventually(expired)
    for id in (late, quiet):
        await change(acme, "resumeSend", id)
    await wait_for_states(acme, late, {("EXPIRED", None): 1, ("SKIPPED", "NO_ADDRESS"): 1})
    await wait_for_states(acme, quiet, {("HELD", "QUIET_HOURS"): 1, ("SKIPPED", "NO_ADDRESS"): 1})


async def test_item_of_a_paused_send_leaves_its_digest_and_is_sent_alone(running: Running, acme: Tenant) -> None:
    await running.fakes.add_addresses(acme, "dia", channels=["EMAIL"])
    sent = [await send(acme, "dia", title=f"item-{n}", digest=HOUR, **EMAIL) for n in range(3)]
    await change(acme, "pauseSend", sent[1])
    match = {"open": True, "tenant": acme.name}
    assert (await running.database.deliveries.update_many(match, {"$set": {"due_at": utc_time.now()}})).modified_count
    await wait_for_states(acme, sent[0], {("SENT", None): 1})
    await wait_for_states(acme, sent[1], {PAUSED: 1})
    [mail] = mails_to(running.fakes, "dia")
    assert TITLE.findall(text_of(mail)) == ["item-2", "item-0"]
    await change(acme, "resumeSend", sent[1])
    await wait_for_states(acme, sent[1], {("SENT", None): 1})
    assert [mail["Subject"] for mail in mails_to(running.fakes, "dia")[1:]] == ["item-1"]


async def test_scheduled_send_is_published_after_it_is_resumed_unless_it_expired(acme: Tenant) -> None:
    at = later(seconds=1.5)
    due, expired, later_on = [
        await send(acme, user, sendAt=time, **more)
        for user, time, more in (
            ("sam", at, {}),
            ("sue", at, {"expiresAt": later(seconds=2.5)}),
            ("sid", later(hours=1), {}),
        )
    ]
    for id in (due, expired, later_on):
        assert (await change(acme, "pauseSend", id))["status"] == "PAUSED"
    marker = await send(acme, "sol", sendAt=later(seconds=3))

    async def passed() -> bool:
        return (await get(acme, marker))["status"] == "ACCEPTED"

    await eventually(passed)
    assert [(await get(acme, id))["status"] for id in (due, expired)] == ["PAUSED", "PAUSED"]
    assert (await acme.inbox("sam"))["nodes"] == []
    for id in (due, expired, later_on):
        assert (await change(acme, "resumeSend", id))["status"] == "SCHEDULED"

    async def published() -> bool:
        return [(await get(acme, id))["status"] for id in (due, expired)] == ["ACCEPTED", "EXPIRED"]

    await eventually(published)
    assert len((await acme.inbox("sam"))["nodes"]) == 1
    assert (await get(acme, later_on))["status"] == "SCHEDULED"


async def test_paused_schedule_can_be_resolved_and_loses_erased_users(acme: Tenant) -> None:
    resolved = await send(acme, "ria", sendAt=later(hours=1), collapseKey="outage")
    erased = await send(acme, "ray", sendAt=later(hours=1))
    for id in (resolved, erased):
        await change(acme, "pauseSend", id)
    await acme.execute('mutation { resolve(collapseKey: "outage") }')
    await acme.execute_as_admin(ERASE, id="ray")
    for id, reason in ((resolved, "RESOLVED"), (erased, None)):
        ended = await get(acme, id)
        assert (ended["status"], ended["reason"], ended["pausedReason"]) == ("CANCELLED", reason, None)


@pytest.mark.parametrize(("mutation", "status"), [("cancelSend", "CANCELLED"), ("recallSend", "RECALLED")])
async def test_cancel_and_recall_end_a_paused_send(running: Running, acme: Tenant, mutation: str, status: str) -> None:
    await running.fakes.add_addresses(acme, "cem", channels=["EMAIL"])
    id = await send(acme, "cem", channels=["IN_APP"], steps=[{"channels": ["EMAIL"], "after": "PT1S"}])
    await change(acme, "pauseSend", id)
    await wait_for_states(acme, id, {PAUSED: 1})
    ended = await change(acme, mutation, id)
    assert (ended["status"], ended["pausedReason"], ended["remaining"]) == (status, None, None)
    assert await states(acme, id) == {("CANCELLED", status): 1}
    for refused in ("pauseSend", "resumeSend"):
        with pytest.raises(GraphQLErrors, match=r"It was (canceled|recalled)\.") as raised:
            await change(acme, refused, id)
        assert raised.value.code == "CONFLICT"


async def test_repeated_pause_and_resume_change_nothing(acme: Tenant) -> None:
    id = await send(acme, "rex", channels=["IN_APP"])
    query = "mutation ($id: ID!) { pauseSend(id: $id) { pausedReason } }"
    headers = {"authorization": f"Bearer {acme.token('olga', role=Role.ADMIN)}"}
    first = await acme.execute_raw(query, headers=headers, id=id)
    assert first["data"]["pauseSend"]["pausedReason"] == "Paused by olga."
    assert (await change(acme, "pauseSend", id))["pausedReason"] == "Paused by olga."
    await acme.execute_as_admin(ERASE, id="olga")
    assert (await get(acme, id))["pausedReason"] == "Paused by erased."
    for _ in range(2):
        assert (await change(acme, "resumeSend", id))["status"] == "ACCEPTED"
    for mutation in ("pauseSend", "resumeSend"):
        async with Tenant("another", acme.urls) as another:
            with pytest.raises(GraphQLErrors) as raised:
                await change(another, mutation, id)
        assert raised.value.code == "NOT_FOUND"
        with pytest.raises(GraphQLErrors) as raised:
            await acme.execute(f"mutation ($id: ID!) {{ {mutation}(id: $id) {{ id }} }}", user="rex", id=id)
        assert raised.value.code == "FORBIDDEN"


async def test_commands_pause_resume_cancel_and_recall(running: Running, acme: Tenant) -> None:
    id = await send(acme, "cli", channels=["IN_APP"])
    for command, status in (
        ("pause", "PAUSED"),
        ("resume", "ACCEPTED"),
        ("cancel", "CANCELLED"),
        ("recall", "RECALLED"),
    ):
        options = ["--url", base_url(running.deployment), "--tenant", acme.name]
        done = run_command("sends", command, id, *options, jwt_secret=SECRET)
        assert (done.returncode, done.stdout) == (0, f"{id} is {status}.\n"), done.stderr
    done = run_command("sends", "pause", id, *options, jwt_secret=SECRET)
    assert done.returncode == 1
    assert "It was recalled." in done.stderr


async def test_release_that_read_the_send_before_a_pause_conflicts(running: Running, acme: Tenant) -> None:
    """Otherwise it would show an IN_APP step, or a step over the daily limit, after the pause."""
    for worker in running.deployment.workers:
        worker.kill()
    await running.fakes.add_addresses(acme, "ira", channels=["EMAIL"])
    id = await send(acme, "ira", channels=["WEBHOOK"], steps=[{"channels": ["IN_APP", "EMAIL"], "after": "P1D"}])
    step = {"send": id, "channel": "EMAIL"}
    deliveries = running.database.deliveries
    due = {"$set": {"due_at": utc_time.now()}}
    assert (await deliveries.update_many({"send": id, "status": "HELD"}, due)).modified_count == 2
    async with running.database.client.start_session() as session:
        await session.start_transaction()
        assert await deliveries.find_one(step, session=session)
        await change(acme, "pauseSend", id)
        with pytest.raises(OperationFailure) as conflict:
            await deliveries.delete_one(step, session=session)
        assert conflict.value.has_error_label("TransientTransactionError")
        await session.abort_transaction()
    await asyncio.gather(*(worker.start() for worker in running.deployment.workers))
    await wait_for_states(acme, id, {PAUSED: 2})
    assert (await acme.inbox("ira"))["nodes"] == []


async def test_subscription_to_a_resumed_send_ends_before_the_last_round(running: Running, acme: Tenant) -> None:
    id = await send(acme, "sun", channels=["IN_APP"])
    await change(acme, "pauseSend", id)
    await change(acme, "resumeSend", id)
    later_round = {"$set": {"leased_until": utc_time.now() + timedelta(hours=1)}}
    assert (await running.database.sends.update_one({"_id": id, "claim": {"$exists": True}}, later_round)).matched_count
    async with acme.socket() as socket, asyncio.timeout(60):
        states = await socket.subscribe("subscription ($id: ID!) { send(id: $id) { status } }", variables={"id": id})
        assert [state["status"] async for state in states] == ["ACCEPTED"]
