"""The webhook events of whole sends."""

import json
from collections import Counter
from typing import Any

from hub.model import Role
from tests.broadcasts import broadcast, expanded
from tests.client import Json, Tenant, eventually
from tests.pause.sends import Running, change
from tests.webhook_data import CREATE, execute_as

USERS = [f"user-{number}" for number in range(12)]
PAUSE = "mutation ($id: ID!) { pauseSend(id: $id) { pausedReason } }"
PER_RECIPIENT = ["notification.created", "notification.read", "delivery.sent"]
ERASE = "mutation ($id: ID!) { deleteUser(id: $id) }"


async def test_endpoints_without_events_get_one_call_for_an_expanded_send(running: Running, acme: Tenant) -> None:
    """Another endpoint names the events of each recipient, and a third one names the event of the send."""
    receiver = running.fakes.receiver
    paths = [f"/{acme.name}/{name}" for name in ("all", "each", "send")]
    for path, events in zip(paths, (None, PER_RECIPIENT, ["send.expanded"]), strict=True):
        created = await execute_as(acme, CREATE, input={"url": f"{receiver.url}{path}", "events": events})
        receiver.secrets[path] = created["secret"]
    await running.fakes.add_addresses(acme, *USERS, channels=["EMAIL"])
    id = (await broadcast(acme, channels=["IN_APP", "EMAIL"]))["id"]
    assert (await expanded(acme, id))["recipients"] == len(USERS)
    named = (await acme.send("bob", category="news"))["send"]["id"]

    async def wait_for(*expected: dict[tuple[str, str], int]) -> None:
        async def arrived() -> bool:
            bodies = [receiver.bodies[path] for path in paths]
            return list(expected) == [Counter((one["type"], one["data"]["sendId"]) for one in of) for of in bodies]

        await eventually(arrived)

    other = {("notification.created", named): 1}
    of_send = {("send.expanded", id): 1}
    of_recipients = {("notification.created", id): len(USERS), ("delivery.sent", id): len(USERS)}
    await wait_for(of_send | other, of_recipients | other, of_send)
    [n] = (await acme.inbox(USERS[0]))["nodes"]
    await acme.mark(USERS[0], "markRead", n["id"])
    await wait_for(of_send | other, of_recipients | other | {("notification.read", id): 1}, of_send)
    [body] = receiver.bodies[paths[2]]
    assert body["data"] == {"sendId": id, "category": "news", "status": "ACCEPTED", "recipients": len(USERS)}
    assert await running.database.webhook_calls.count_documents({"tenant": acme.name, "event": "send.expanded"}) == 2


async def test_each_pause_has_one_event_with_its_reason(running: Running, acme: Tenant) -> None:
    """After the erasure of the person who paused the send, the stored call does not name the person."""
    await execute_as(acme, CREATE, input={"url": f"{running.fakes.receiver.url}/none", "events": ["send.paused"]})
    id = (await acme.send("rex", channels=["IN_APP"]))["send"]["id"]
    olga = {"authorization": f"Bearer {acme.token('olga', role=Role.ADMIN)}"}
    for _ in range(2):
        assert (await acme.execute_raw(PAUSE, headers=olga, id=id))["data"]["pauseSend"]
    await change(acme, "resumeSend", id)
    await change(acme, "pauseSend", id)

    async def reasons() -> list[Any]:
        calls: list[Json] = await running.database.webhook_calls.find({"tenant": acme.name}).sort("_id").to_list()
        bodies = [json.loads(call["payload"]) for call in calls]
        assert all((body["type"], body["data"]["sendId"]) == ("send.paused", id) for body in bodies)
        return [body["data"]["reason"] for body in bodies]

    assert await reasons() == ["Paused by olga.", "Paused by service."]
    await acme.execute_as_admin(ERASE, id="olga")
    assert await reasons() == ["Paused by erased.", "Paused by service."]
