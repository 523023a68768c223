"""Workers that are killed while they expand sends to everyone."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.broadcasts import broadcast, count_recipients, create_users, get_send
from tests.client import Json, Tenant, eventually
from tests.conftest import fresh_servers, scaled
from tests.inbox_watchers import find_log_faults
from tests.processes import Deployment

USERS = scaled(2000, 100_000)
KILLS = scaled(5, 20)
SENDS = scaled(3, 2)  # an expansion of few users has one part
EXCLUDED = ["user-000100", "user-001999", "nobody"]
WITHIN_S = scaled(120, 1800)

log = logging.getLogger(__name__)


class Looks:
    """What was seen of a send: the numbers must never decrease, and never exceed the number of users."""

    def __init__(self, tenant: Tenant, ids: Sequence[str], expected: int) -> None:
        self._tenant = tenant
        self._expected = expected
        self.seen: dict[str, Json] = {id: {"recipients": 0, "counted": 0, "status": "EXPANDING"} for id in ids}

    async def look(self) -> int:
        """Return the number of recipients of all sends so far."""
        for id, before in self.seen.items():
            send = await get_send(self._tenant, id)
            assert before["recipients"] <= send["recipients"] <= self._expected
            assert send["recipients"] <= send["total"]
            assert (before["status"], send["status"]) != ("ACCEPTED", "EXPANDING")
            if send["status"] == "ACCEPTED":
                assert send["recipients"] == self._expected
            counted = sum(row["count"] for row in send["counts"])  # up to some seconds old
            assert before["counted"] <= counted <= self._expected
            self.seen[id] = send | {"counted": counted}
        return sum(send["recipients"] for send in self.seen.values())

    async def are_complete(self) -> bool:
        await self.look()
        states = {(send["status"], send["counted"]) for send in self.seen.values()}
        return states == {("ACCEPTED", self._expected)}


@pytest.mark.timeout(scaled(300, 3600))
async def test_sigkill_of_workers_during_a_broadcast_loses_and_duplicates_nobody() -> None:
    chosen = random.Random(1)
    async with fresh_servers() as (mongod, redis):
        async with (
            Deployment(mongod.url, redis.url, apis=1, workers=2, oplog_hours="0", commit_deadline_s="2") as deployment,
            Tenant("acme", deployment.urls) as tenant,
        ):
            users = [f"user-{number:06}" for number in range(USERS)]
            await create_users(tenant, users)
            expected = set(users) - set(EXCLUDED)
            started_at = time.monotonic()
            ids = [(await broadcast(tenant, str(number), without=EXCLUDED))["id"] for number in range(SENDS)]
            looks = Looks(tenant, ids, len(expected))
            for kill in range(KILLS):
                due = len(expected) * SENDS * (kill + chosen.random()) / (KILLS + 1)

                async def reached(due: float = due) -> bool:
                    return await looks.look() >= due

                await eventually(reached, WITHIN_S)
                worker = deployment.workers[kill % 2]
                worker.kill()
                await worker.start()
            await eventually(looks.are_complete, WITHIN_S)
            log.info("%d sends to %d users, in %.1f s", SENDS, len(users), time.monotonic() - started_at)
            for id in ids:
                assert await count_recipients(tenant, id) == Counter(expected)
            pages = await asyncio.gather(*(tenant.inbox(user) for user in chosen.sample(sorted(expected), 50)))
            assert {(page["unread"], len(page["nodes"])) for page in pages} == {(SENDS, SENDS)}
            assert not find_log_faults([*deployment.apis, *deployment.workers])
