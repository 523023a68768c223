"""The mutations of these tests, and what the tests wait for."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

from hub import utc_time
from hub.platform.connections import Database
from tests.channel_setup import FakeChannels, list_all_deliveries
from tests.client import Json, Tenant, eventually
from tests.processes import Deployment

SEND = "id status reason pausedReason remaining"
POLL_PAUSE_S = 0.2  # polls of large sends would otherwise delay the workers
GET = f"query ($id: ID!) {{ send(id: $id) {{ {SEND} }} }}"
PAUSE_CHANNEL = "mutation ($channel: Channel!, $reason: String) { pauseChannel(channel: $channel, reason: $reason) }"
RESUME_CHANNEL = "mutation ($channel: Channel!) { resumeChannel(channel: $channel) }"


States = Counter[tuple[str, str | None]]
Count = Callable[[Tenant, str], Awaitable[States]]


class Running(NamedTuple):
    deployment: Deployment
    fakes: FakeChannels
    database: Database


async def change(tenant: Tenant, mutation: str, id: str) -> Json:
    """Call `pauseSend`, `resumeSend`, `cancelSend`, or `recallSend`. Return the send."""
    query = f"mutation ($id: ID!) {{ changed: {mutation}(id: $id) {{ {SEND} }} }}"
    send: Json = (await tenant.execute(query, id=id))["changed"]
    return send


async def get(tenant: Tenant, id: str) -> Json:
    send: Json = (await tenant.execute(GET, id=id))["send"]
    return send


async def run_last_round(database: Database, id: str) -> None:
    """Let the last round of a resumption run now, as if its process had been killed, and wait until it is complete."""
    resumed, now = {"_id": id, "claim": {"$exists": True}}, utc_time.now()
    due = {"claim": "killed", "leased_until": now, "resumed_at": now - timedelta(minutes=1)}
    assert (await database.sends.update_one(resumed, {"$set": due})).modified_count == 1

    async def complete() -> bool:
        return await database.sends.find_one(resumed) is None

    await eventually(complete)


async def states(tenant: Tenant, id: str) -> States:
    """Count the deliveries of a send by status and reason."""
    return Counter((one["status"], one["reason"]) for one in await list_all_deliveries(tenant, sendId=id))


async def email_counts(tenant: Tenant, id: str) -> States:
    """Count the emails of a large send by status and reason."""
    query = "query ($id: ID!) { send(id: $id) { counts { channel status count reasons { reason count } } } }"
    found: States = Counter()
    for row in (await tenant.execute(query, id=id))["send"]["counts"]:
        if row["channel"] == "EMAIL":
            reasons = {(row["status"], one["reason"]): one["count"] for one in row["reasons"]}
            found += Counter(reasons)
            found[row["status"], None] += row["count"] - sum(reasons.values())
    return +found


async def wait_for_states(
    tenant: Tenant, id: str, expected: dict[tuple[str, str | None], int], within_s: float = 90, count: Count = states
) -> None:
    found: States = Counter()

    async def reached() -> bool:
        nonlocal found
        found = await count(tenant, id)
        if found != expected:
            await asyncio.sleep(POLL_PAUSE_S)
        return found == expected

    try:
        await eventually(reached, within_s)
    except AssertionError:
        assert found == expected, found


async def wait_until_quiet(tenant: Tenant, id: str, within_s: float = 90) -> list[Json]:
    """Return the deliveries of a send once none is due and none is being processed."""
    found: list[Json] = []

    def moving() -> list[Json]:
        return [one for one in found if one["status"] in {"ACCEPTED", "PROCESSING", "RETRYING"}]

    async def quiet() -> bool:
        nonlocal found
        found = await list_all_deliveries(tenant, sendId=id)
        return not moving()

    try:
        await eventually(quiet, within_s)
    except AssertionError:
        assert not moving(), Counter((one["status"], one["reason"]) for one in moving())
    return found
