"""A paused channel makes no call for its tenant, and after it is resumed, each delivery is decided again."""

from typing import Any

import pytest

from hub import utc_time
from hub.model import Delivery, DeliveryStatus, Reason, Role
from hub.outbox.claims import Claims, NoReceipts, Settlement
from hub.outbox.lanes import PAUSED_LANES, SCHEDULER_LANES, lane_of, paused_lane
from tests.audit_calls import audit_log, execute_as
from tests.channel_setup import WORKER_DIED, list_all_deliveries
from tests.cli_commands import base_url, run_command
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.pause.sends import PAUSE_CHANNEL, RESUME_CHANNEL, Running, change, states, wait_for_states
from tests.processes import SECRET

USERS = [f"user-{number}" for number in range(200)]
PAUSED = ("HELD", "PAUSED")
SENT = ("SENT", None)
WITHIN_S = 60
LIST = "{ pausedChannels { channel since reason held } }"
QUEUES = "{ queues { channel priority waiting held } }"
SIMULATE = "query ($i: SendInput!) { simulate(input: $i) { decisions { channel outcome reason dueAt } } }"


async def pause(tenant: Tenant, channel: str = "EMAIL", reason: str | None = None) -> bool:
    paused: bool = (await tenant.execute_as_admin(PAUSE_CHANNEL, channel=channel, reason=reason))["pauseChannel"]
    return paused


async def resume(tenant: Tenant, channel: str = "EMAIL") -> bool:
    resumed: bool = (await tenant.execute_as_admin(RESUME_CHANNEL, channel=channel))["resumeChannel"]
    return resumed


async def send(tenant: Tenant, *users: str, **more: Any) -> str:
    id: str = (await tenant.send(*users, **{"channels": ["IN_APP", "EMAIL"], **more}))["send"]["id"]
    return id


async def wait_for_lane(running: Running, send: str, prefix: str) -> Json:
    """Return the delivery of a send once it waits on such a lane without `due_at`."""

    async def waits() -> Any:
        doc = await running.database.deliveries.find_one({"send": send, "status": "HELD", "due_at": None})
        return doc if doc and doc["lane"].startswith(prefix) else None

    doc: Json = await eventually(waits, WITHIN_S)
    return doc


async def wait_for_queues(tenant: Tenant, expected: list[Json]) -> None:
    """The lanes may contain ids several times, which workers remove."""

    async def reached() -> bool:
        return bool((await tenant.execute(QUEUES))["queues"] == expected)

    await eventually(reached, WITHIN_S)


async def test_no_call_is_made_while_paused_and_each_delivery_leaves_once_although_workers_die(
    running: Running, acme: Tenant
) -> None:
    workers = running.deployment.workers
    await running.fakes.add_addresses(acme, *USERS, channels=["EMAIL"])
    await running.fakes.add_addresses(acme, USERS[0], channels=["WEBHOOK"])
    assert await pause(acme)
    id = await send(acme, *USERS)

    async def some_are(state: tuple[str, str | None]) -> bool:
        return (await states(acme, id))[state] >= 5

    await eventually(lambda: some_are(PAUSED), WITHIN_S)
    for worker in workers:
        worker.kill()
    for worker in workers:
        await worker.start()
    await wait_for_states(acme, id, {PAUSED: len(USERS)}, WITHIN_S)
    found = await list_all_deliveries(acme, sendId=id)
    assert {(one["dueAt"], len(one["attempts"])) for one in found} == {(None, 0)}
    assert not running.fakes.arrivals().keys() & {one["id"] for one in found}
    waiting = {"channel": "EMAIL", "priority": "MEDIUM", "waiting": 0, "held": len(USERS)}
    await wait_for_queues(acme, [waiting])
    webhook = await send(acme, USERS[0], channels=["WEBHOOK"])
    await wait_for_states(acme, webhook, {("DELIVERED", None): 1}, WITHIN_S)

    running.fakes.set_delay(0.1)
    assert await resume(acme)
    await eventually(lambda: some_are(SENT), WITHIN_S)
    workers[0].kill()
    await workers[0].start()
    await wait_for_states(acme, id, {SENT: len(USERS)}, WITHIN_S)
    arrivals = running.fakes.arrivals()
    for one in await list_all_deliveries(acme, sendId=id):
        died = sum(attempt["error"] == WORKER_DIED for attempt in one["attempts"])
        assert 1 <= len(arrivals[one["id"]]) <= 1 + died
    await wait_for_queues(acme, [])


async def test_broadcast_waits_and_leaves(running: Running, acme: Tenant) -> None:
    await running.fakes.add_addresses(acme, *USERS[:30], channels=["EMAIL"])
    await pause(acme)
    fields: Json = {"to": {"everyone": True}, "category": "news", "content": {"title": "T", "body": ""}}
    fields["channels"] = ["EMAIL"]
    id = (await acme.execute("mutation ($i: SendInput!) { send(input: $i) { send { id } } }", i=fields))["send"][
        "send"
    ]["id"]
    await wait_for_states(acme, id, {PAUSED: 30}, WITHIN_S)
    await resume(acme)
    await wait_for_states(acme, id, {SENT: 30}, WITHIN_S)
    arrivals = running.fakes.arrivals()
    assert [len(arrivals[one["id"]]) for one in await list_all_deliveries(acme, sendId=id)] == [1] * 30


@pytest.mark.parametrize("first", ["send", "channel"])
async def test_delivery_waits_for_its_send_and_for_its_channel(running: Running, acme: Tenant, first: str) -> None:
    """It is a step, which the scheduler releases. Whatever is resumed first, it then waits for the other."""
    await running.fakes.add_addresses(acme, "bo", channels=["EMAIL"])
    await pause(acme)
    id = await send(acme, "bo", channels=["IN_APP"], steps=[{"channels": ["EMAIL"], "after": "PT1S"}])
    await wait_for_lane(running, id, PAUSED_LANES)
    await change(acme, "pauseSend", id)
    if first == "send":
        await change(acme, "resumeSend", id)
        doc = await wait_for_lane(running, id, PAUSED_LANES)
        assert doc["_id"] not in running.fakes.arrivals()
        await resume(acme)
    else:
        await resume(acme)
        await wait_for_lane(running, id, SCHEDULER_LANES[0])
        await pause(acme)
        await change(acme, "resumeSend", id)
        doc = await wait_for_lane(running, id, PAUSED_LANES)
        assert doc["_id"] not in running.fakes.arrivals()
        await resume(acme)
    await wait_for_states(acme, id, {SENT: 1}, WITHIN_S)
    [sent] = await list_all_deliveries(acme, sendId=id)
    assert len(running.fakes.arrivals()[sent["id"]]) == 1


async def test_retry_is_held_and_what_was_read_or_expired_does_not_leave(running: Running, acme: Tenant) -> None:
    await running.fakes.add_addresses(acme, "rita", "ron", channels=["EMAIL"])
    running.fakes.mail.replies["RCPT"] = "450 4.2.1 try later"
    retried = await send(acme, "rita")

    async def tried() -> bool:
        return (await states(acme, retried))["RETRYING", None] == 1

    await eventually(tried, WITHIN_S)
    await pause(acme)
    read = await send(acme, "ron")
    for id in (retried, read):
        await wait_for_states(acme, id, {PAUSED: 1}, WITHIN_S)
    [held] = await list_all_deliveries(acme, sendId=retried)
    running.fakes.mail.clear_fault()
    [n] = (await acme.inbox("ron"))["nodes"]
    await acme.mark("ron", "markRead", n["id"])
    await wait_for_states(acme, read, {("SKIPPED", "ALREADY_READ"): 1}, WITHIN_S)
    await resume(acme)
    await wait_for_states(acme, retried, {SENT: 1}, WITHIN_S)
    [sent] = await list_all_deliveries(acme, sendId=retried)
    assert len(sent["attempts"]) == len(held["attempts"]) + 1
    assert len(running.fakes.arrivals()[sent["id"]]) == 1


async def test_delivery_that_a_worker_holds_after_the_channel_was_resumed_is_not_lost(
    running: Running, acme: Tenant
) -> None:
    """A worker claims one while the channel is paused, and settles it later. A release holds another one late."""
    await running.fakes.add_addresses(acme, "wes", channels=["EMAIL"])
    await pause(acme)
    steps = [{"channels": ["EMAIL"], "after": "P1D"}]
    ids = [await send(acme, "wes", channels=["IN_APP"], steps=steps) for _ in range(2)]
    claimed, late = [(await list_all_deliveries(acme, sendId=id))[0]["id"] for id in ids]
    deliveries = running.database.deliveries
    queued = {"status": "ACCEPTED", "enqueue_count": 1, "lane": lane_of("EMAIL", "MEDIUM", acme.name)}
    await deliveries.update_one({"_id": claimed}, {"$set": queued})
    hub_time: Any = utc_time.now
    claims = Claims(running.database, "deliveries", Delivery, hub_time, utc_time.now, 60, NoReceipts())
    [job] = await claims.claim([claimed], lease_s=60)
    await resume(acme)

    async def marked() -> bool:
        return await deliveries.find_one({"_id": claimed, "resumed": True}) is not None

    await eventually(marked, WITHIN_S)
    lane = paused_lane("EMAIL", "MEDIUM", acme.name)
    await deliveries.update_one({"_id": late}, {"$set": {"lane": lane, "reason": "PAUSED"}, "$unset": {"due_at": ""}})
    held = Settlement(
        job=job, status=DeliveryStatus.HELD, reason=Reason.PAUSED, due_at=None, attempts=(), tries=0,
        lease_expirations=0, lane=lane,
    )  # fmt: skip
    await claims.settle([held])
    for id in ids:
        await wait_for_states(acme, id, {SENT: 1}, WITHIN_S)
    done = {"_id": acme.name, "resumed_channels": {"$exists": False}}

    async def complete() -> bool:
        return await running.database.tenants.find_one(done) is not None

    await eventually(complete, WITHIN_S)


async def test_paused_channels_are_shown_and_audited(running: Running, acme: Tenant) -> None:
    options = ["--tenant", acme.name, "--url", base_url(running.deployment)]
    assert (await acme.execute(LIST))["pausedChannels"] == []
    reason = "The relay rejects our sender."
    printed = run_command("channels", "pause", "email", "--reason", reason, *options, jwt_secret=SECRET)
    assert printed.stdout == "EMAIL is paused.\n", printed.stderr
    assert not await pause(acme, reason="Another one.")
    await running.fakes.add_addresses(acme, "ann", channels=["EMAIL"])
    id = await send(acme, "ann")
    await wait_for_states(acme, id, {PAUSED: 1}, WITHIN_S)
    [paused] = (await acme.execute(LIST))["pausedChannels"]
    assert (paused["channel"], paused["reason"], paused["held"]) == ("EMAIL", reason, 1)
    printed = run_command("channels", "list", *options, jwt_secret=SECRET)
    assert printed.stdout == f"EMAIL  {paused['since']}  1 held  {reason}\n", printed.stderr
    problems = (await acme.execute_as_admin("{ health { problems } }"))["health"]["problems"]
    assert len(problems) == 1
    assert reason in problems[0]
    assert "hub channels resume EMAIL" in problems[0]
    fields: Json = {"to": {"users": ["ann"]}, "category": "news", "content": {"title": "T", "body": ""}}
    [simulated] = (await acme.execute(SIMULATE, i=fields | {"channels": ["IN_APP", "EMAIL"]}))["simulate"]
    assert [one for one in simulated["decisions"] if one["outcome"] != "SKIPPED"] == [
        {"channel": "IN_APP", "outcome": "ACCEPTED", "reason": None, "dueAt": None},
        {"channel": "EMAIL", "outcome": "HELD", "reason": "PAUSED", "dueAt": None},
    ]
    async with Tenant(f"{acme.name}x", running.deployment.urls) as other:
        assert (await other.execute(LIST))["pausedChannels"] == []
        await running.fakes.add_addresses(other, "ann", channels=["EMAIL"])
        await wait_for_states(other, await send(other, "ann"), {SENT: 1}, WITHIN_S)
    assert (await execute_as(acme, "ben", RESUME_CHANNEL, channel="EMAIL"))["resumeChannel"]
    assert not await resume(acme)
    await wait_for_states(acme, id, {SENT: 1}, WITHIN_S)
    entries = await audit_log(acme, target="EMAIL")
    paused_by = {"paused": {"before": False, "after": True}, "reason": {"after": reason}}
    assert [(entry["actor"], entry["action"], entry["changes"]) for entry in entries] == [
        ("admin", "pauseChannel", paused_by),
        ("ben", "resumeChannel", {"paused": {"before": True, "after": False}}),
    ]


async def test_only_administrators_pause_channels_with_calls(acme: Tenant) -> None:
    for query in (PAUSE_CHANNEL, RESUME_CHANNEL):
        with pytest.raises(GraphQLErrors) as refused:
            await acme.execute(query, channel="EMAIL")
        assert refused.value.code == "FORBIDDEN"
    user = {"authorization": f"Bearer {acme.token('ann', role=Role.USER)}"}
    assert (await acme.execute_raw(LIST, headers=user))["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    for arguments, field in (({"channel": "IN_APP"}, "channel"), ({"channel": "SMS", "reason": "x" * 1025}, "reason")):
        with pytest.raises(GraphQLErrors) as refused:
            await acme.execute_as_admin(PAUSE_CHANNEL, **arguments)
        assert refused.value.code == "BAD_USER_INPUT"
        assert refused.value.errors[0]["extensions"]["field"] == field
