"""Sends to everyone that are cancelled, recalled, paused, or resolved at random moments, while processes are killed."""

import asyncio
import random

import pytest

from tests.broadcasts import UPSERTED_AT_ONCE, broadcast, count_recipients, get_send
from tests.channel_setup import list_all_deliveries
from tests.client import Tenant, eventually
from tests.conftest import scaled
from tests.inbox_watchers import retry_until_answered
from tests.pause.sends import POLL_PAUSE_S, Running, change, get, wait_until_quiet
from tests.processes import Process

USERS = [f"user-{number:04}" for number in range(scaled(250, 1500))]
MOMENTS = scaled(1, 50)
WITHIN_S = scaled(120, 600)
RESOLVE = "mutation ($key: String!) { resolve(collapseKey: $key) }"
STARTED = {"PROCESSING", "SENT"}
ENDS = {
    "cancelSend": ("CANCELLED", "CANCELLED", "CANCELLED"),
    "recallSend": ("RECALLED", "CANCELLED", "RECALLED"),
    "pauseSend": ("PAUSED", "HELD", "PAUSED"),
    "resolve": ("CANCELLED", "CANCELLED", "RESOLVED"),
}
"""The status of the send after each mutation, and the status and reason of its emails that were not sent."""


class StoppedSend:
    """A send that one mutation stops. After the answer, it reaches nobody else, and only emails that a worker has
    begun to send leave. The caller repeats the mutation if it is not answered."""

    def __init__(self, running: Running, tenant: Tenant, mutation: str, id: str) -> None:
        self._running = running
        self._tenant = tenant
        self._mutation = mutation
        self._id = id

    async def stop(self, moment: float) -> None:
        """Stop it when it has reached that share of the users."""

        async def reached() -> bool:
            send = await retry_until_answered(lambda: get_send(self._tenant, self._id))
            return bool(send["recipients"] >= moment * len(USERS))

        await eventually(reached, WITHIN_S)
        await retry_until_answered(self._call)
        emails = await retry_until_answered(self._list_emails)
        arrived = set(self._running.fakes.arrivals())  # perhaps the worker was killed before it stored the result
        self._begun = {id for id, (status, _) in emails.items() if status in STARTED} | arrived
        self._reached = await retry_until_answered(lambda: count_recipients(self._tenant, self._id))

    async def check(self) -> None:
        await self._wait_for_the_rest()
        await wait_until_quiet(self._tenant, self._id, WITHIN_S)
        emails = await self._list_emails()
        send = await get(self._tenant, self._id)
        status, *end = ENDS[self._mutation]
        if send["status"] == "ACCEPTED" and self._mutation == "resolve":  # it was complete before
            await eventually(self._is_in_no_inbox, WITHIN_S)
            return
        assert send["status"] == status
        assert await count_recipients(self._tenant, self._id) == self._reached
        assert set(self._reached.values()) <= {1}
        assert len(emails) == len(self._reached)
        assert set(emails.values()) <= {("SENT", None), tuple(end)}
        assert self._running.fakes.arrivals().keys() & emails.keys() <= self._begun
        if self._mutation in ("cancelSend", "pauseSend"):
            assert await self._count_in_inboxes() == len(self._reached)
            await change(self._tenant, "recallSend", self._id)
            await self._wait_for_the_rest()
        await eventually(self._is_in_no_inbox, WITHIN_S)  # a resolution of more than 1,000 continues

    async def _call(self) -> None:
        if self._mutation == "resolve":
            await self._tenant.execute(RESOLVE, key=self._mutation)
        else:
            await change(self._tenant, self._mutation, self._id)

    async def _list_emails(self) -> dict[str, tuple[str, str | None]]:
        """Return status and reason of each email by its id."""
        found = await list_all_deliveries(self._tenant, sendId=self._id)
        return {one["id"]: (one["status"], one["reason"]) for one in found if one["channel"] == "EMAIL"}

    async def _wait_for_the_rest(self) -> None:
        """`remaining` falls until nothing is left."""
        last: int | None = None

        async def complete() -> bool:
            nonlocal last
            await asyncio.sleep(POLL_PAUSE_S)
            remaining = (await get(self._tenant, self._id))["remaining"]
            assert remaining is None or last is None or remaining <= last
            last = remaining
            return remaining is None

        await eventually(complete, WITHIN_S)

    async def _count_in_inboxes(self) -> int:
        match = {"send": self._id, "removed_at": {"$exists": False}}
        return await self._running.database.notifications.count_documents(match)

    async def _is_in_no_inbox(self) -> bool:
        return await self._count_in_inboxes() == 0


async def kill_soon(process: Process | None) -> None:
    """Kill a process at a random moment, and start it again."""
    await asyncio.sleep(random.uniform(0, 0.5))
    if process:
        process.kill()
        await process.start()


@pytest.mark.timeout(scaled(300, 3600))
async def test_stopped_sends_reach_nobody_else_and_leave_the_inboxes(running: Running, acme: Tenant) -> None:
    """At each moment, four sends are stopped in different ways, and a process is killed."""
    deployment, fakes, _ = running
    for start in range(0, len(USERS), UPSERTED_AT_ONCE):
        await fakes.add_addresses(acme, *USERS[start : start + UPSERTED_AT_ONCE], channels=["EMAIL"])
    fakes.set_delay(0.05)
    for _ in range(MOMENTS):
        sends = []
        for mutation in random.sample(sorted(ENDS), len(ENDS)):
            send = await broadcast(acme, mutation, channels=["IN_APP", "EMAIL"], collapseKey=mutation)
            sends.append(StoppedSend(running, acme, mutation, send["id"]))
        victim = random.choice([*deployment.workers, *deployment.apis, None])
        await asyncio.gather(kill_soon(victim), *(one.stop(random.random()) for one in sends))
        await asyncio.gather(*(one.check() for one in sends))
