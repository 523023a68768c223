"""Disasters: a deployment is lost after a backup, and another one continues with the backup."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hub.platform.embedded_servers import Mongod
from tests import webhook_data
from tests.backup_setup import TENANT, Servers, Site, new_site
from tests.broadcasts import broadcast, get_send
from tests.channel_setup import connect_webhook, list_all_deliveries, wait_for_deliveries
from tests.cli_commands import base_url
from tests.client import Json, Replica, Tenant, eventually
from tests.conftest import fresh_servers
from tests.event_calls import cloud_event, list_events, post
from tests.rule_calls import UPSERT_RULE, rule_input
from tests.test_schedules import after
from tests.webhook_receiver import WebhookReceiver

OUTSIDE = ["IN_APP", "WEBHOOK"]
READ_CALLS = "/calls"


async def lose_after_a_backup(
    site: Site, receiver: WebhookReceiver, back_up: Callable[[], Any]
) -> tuple[str, dict[str, int]]:
    """Let a delivery and a webhook call wait, back up, and let both leave. Return a cursor from after the backup, and
    how often each id arrived."""
    async with site.running() as (deployment, acme):
        await connect_webhook(acme, receiver, "alice")
        _, secret = await webhook_data.create_endpoint(acme, f"{receiver.url}{READ_CALLS}", ["notification.read"])
        receiver.secrets[READ_CALLS] = secret
        await acme.fill_inbox("alice", 5)
        await acme.send("alice", channels=OUTSIDE)
        await acme.mark("alice", "markRead", (await acme.inbox("alice"))["nodes"][-1]["id"])
        await back_up()
        await deployment.workers[0].start()
        await wait_for_deliveries(acme, "DELIVERED")

        async def called() -> list[Any]:
            return receiver.bodies[READ_CALLS]

        await eventually(called)
        await acme.fill_inbox("alice", 3)
        cursor = (await acme.inbox("alice"))["position"]
        deployment.workers[0].kill()
    return cursor, {id: len(times) for id, times in receiver.received_at.items()}


async def first_event(acme: Tenant, cursor: str) -> Json:
    async with acme.feed("alice", cursor) as feed:
        return await anext(feed)


async def check_restored(site: Site, receiver: WebhookReceiver, cursor: str, arrived: dict[str, int]) -> None:
    """Check that a client with a cursor from after the backup loads its inbox again, before and after the restored
    inbox has overtaken the cursor, and that what waited leaves only when it is released."""
    assert len(arrived) == 2
    async with site.running() as (deployment, acme):
        await deployment.workers[0].start()
        assert (await first_event(acme, cursor))["kind"] == "RESYNC"
        await acme.fill_inbox("alice", 10)
        await acme.send("alice", channels=OUTSIDE)
        assert (await first_event(acme, cursor))["kind"] == "RESYNC"
        replica, expected = Replica(), Replica()
        await replica.load(acme, "alice")
        # not the newest notification, whose delivery would be SKIPPED with the reason ALREADY_READ
        await acme.mark("alice", "markRead", replica.order[1])
        async with acme.feed("alice", replica.cursor) as feed:
            replica.apply(await anext(feed))
        await expected.load(acme, "alice")
        assert (replica.state, replica.counts) == (expected.state, expected.counts)
        assert replica.counts == replica.recounted

        [new] = await wait_for_deliveries(acme, "DELIVERED")
        await eventually(lambda: called(receiver, 2))
        assert {id: len(receiver.received_at[id]) for id in arrived} == arrived
        [held] = [one for one in await list_all_deliveries(acme) if one["id"] != new["id"]]
        assert (held["id"] in arrived, held["status"], held["reason"], held["dueAt"]) == (
            True,
            "HELD",
            "RESTORED",
            None,
        )
        doctor = site.run("doctor").stdout
        assert f"1 deliveries, 1 webhook calls of the tenant {TENANT} are held since a restore" in doctor
        url = base_url(deployment)
        preview = site.run("replay", "--reason", "restored", "--dry-run", "--tenant", TENANT, url=url)
        assert preview.stdout.splitlines()[0] == "1 delivery would be sent again."
        released = site.run("replay", "--reason", "restored", "--tenant", TENANT, url=url)
        assert released.returncode == 0, released.stderr
        assert released.stdout.splitlines()[0] == held["id"]
        assert released.stdout.splitlines()[-1] == "1 webhook calls, events, and sends continue."

        async def both_left() -> bool:
            return all(len(receiver.received_at[id]) == times + 1 for id, times in arrived.items())

        await eventually(both_left)
        await wait_for_deliveries(acme, "DELIVERED", 2)
        assert "since a restore" not in site.run("doctor").stdout


async def called(receiver: WebhookReceiver, times: int) -> bool:
    return len(receiver.bodies[READ_CALLS]) >= times


async def test_restored_hub_resyncs_clients_and_sends_nothing_twice(
    servers: Servers, receiver: WebhookReceiver, folder: Path
) -> None:
    lost, new = new_site(servers), new_site(servers)

    async def back_up() -> None:
        lost.back_up(folder / "backup")

    cursor, arrived = await lose_after_a_backup(lost, receiver, back_up)
    output = new.restore(folder / "backup")
    assert "Held: 1 deliveries, 1 webhook calls, 0 events." in output
    await check_restored(new, receiver, cursor, arrived)


async def test_adopted_copy_of_files_resyncs_clients_and_sends_nothing_twice(
    receiver: WebhookReceiver, folder: Path
) -> None:
    """The copy is made of the files of a MongoDB that is stopped for it, as a snapshot of a volume is."""
    async with fresh_servers() as (mongod, redis):
        lost = new_site((mongod, redis))

        async def back_up() -> None:
            await mongod.stop()
            shutil.copytree(mongod.folder, folder / "mongo", ignore=shutil.ignore_patterns("mongod.lock", "port"))
            await mongod.start()

        cursor, arrived = await lose_after_a_backup(lost, receiver, back_up)
        copy = Mongod(folder / "mongo")
        await copy.start()
        try:
            new = lost._replace(mongo_url=copy.url)
            output = new.restore("--adopt")
            assert "Held: 1 deliveries, 1 webhook calls, 0 events." in output
            await check_restored(new, receiver, cursor, arrived)
        finally:
            await copy.stop()


async def prepare_work(acme: Tenant, receiver: WebhookReceiver) -> dict[str, str]:
    """Let a broadcast, a send whose time has come, an event, a step, and a delivery of a paused channel wait. Return
    the sends."""
    await connect_webhook(acme, receiver, "alice")
    await acme.execute_as_admin(UPSERT_RULE, input=rule_input())
    sends = {"broadcast": (await broadcast(acme))["id"]}
    later = await acme.send("alice", sendAt=after(days=1))
    sends["later"] = later["send"]["id"]
    steps = [{"channels": ["WEBHOOK"], "after": "P1D"}]
    sends["step"] = (await acme.send("alice", channels=["IN_APP"], steps=steps))["send"]["id"]
    order = cloud_event("1", type="shop.order.shipped", data={"customer": "alice", "order": 1})
    assert (await post(acme, order))[0] in {200, 202}
    return sends


async def test_all_work_that_waited_is_held_and_continues_when_released(
    servers: Servers, receiver: WebhookReceiver, folder: Path
) -> None:
    lost, new = new_site(servers), new_site(servers)
    async with lost.running() as (_, acme):
        sends = await prepare_work(acme, receiver)
        lost.back_up(folder / "backup")
    output = new.restore(folder / "backup")
    assert "Held: 1 deliveries, 0 webhook calls, 1 events. Paused: 1 sends." in output
    async with new.running() as (deployment, acme):
        await deployment.workers[0].start()
        marker = await acme.send("alice", channels=OUTSIDE)
        await wait_for_deliveries(acme, "DELIVERED")
        paused = "query ($id: ID!) { send(id: $id) { status pausedReason } }"
        found = (await acme.execute(paused, id=sends["broadcast"]))["send"]
        assert found["status"] == "PAUSED"
        assert "A backup was restored" in found["pausedReason"]
        assert (await get_send(acme, sends["later"]))["status"] == "SCHEDULED"
        [event] = await list_events(acme)
        assert (event["status"], event["results"]) == ("RECEIVED", [])
        [step] = await list_all_deliveries(acme, sendId=sends["step"])
        assert (step["status"], step["reason"]) == ("HELD", "RESTORED")

        released = new.run("replay", "--reason", "restored", "--tenant", TENANT, url=base_url(deployment))
        assert released.stdout.splitlines()[-1] == "2 webhook calls, events, and sends continue."

        async def continued() -> bool:
            [event] = await list_events(acme)
            sent = await get_send(acme, sends["broadcast"])
            return event["status"] == "PROCESSED" and sent["status"] == "ACCEPTED"

        await eventually(continued)
        [step] = await list_all_deliveries(acme, sendId=sends["step"])
        assert (step["status"], step["reason"], bool(step["dueAt"])) == ("HELD", "STEP", True), "it keeps its time"
        assert len(await list_all_deliveries(acme, sendId=marker["send"]["id"])) == 1


async def test_what_waited_leaves_after_a_restore_with_send_waiting(
    servers: Servers, receiver: WebhookReceiver, folder: Path
) -> None:
    lost, new = new_site(servers), new_site(servers)
    async with lost.running() as (_, acme):
        await connect_webhook(acme, receiver, "alice")
        await acme.send("alice", channels=OUTSIDE)
        lost.back_up(folder / "backup")
    assert "Held" not in new.restore(folder / "backup", "--send-waiting")
    async with new.running() as (deployment, acme):
        await deployment.workers[0].start()
        await wait_for_deliveries(acme, "DELIVERED")


async def test_restored_cannot_be_replayed_with_other_reasons(tenant: Tenant) -> None:
    query = "mutation ($f: DeliveryFilter) { replay(filter: $f) }"
    error = await webhook_data.error_of(tenant, query, f={"reasons": ["RESTORED", "REFUSED"]})
    assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "filter.reasons")
    assert "two calls" in error["message"]
