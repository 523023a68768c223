"""Workers that are killed while they expand sends to everyone, which are also paused and resumed."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest

from tests.broadcasts import broadcast, count_recipients, create_users, get_send
from tests.client import Json, Tenant, eventually
from tests.conftest import fresh_servers, scaled
from tests.inbox_watchers import count_titles, find_log_faults, retry_until_answered
from tests.pause.sends import change
from tests.processes import Deployment, Process
from tests.telemetry import resident_bytes

USERS = scaled(2000, 100_000)
KILLS = scaled(3, 20)
PAUSES = scaled(2, 5)
SENDS = scaled(3, 2)  # an expansion of few users has one part
EXCLUDED = ["user-000100", "user-001999", "nobody"]
BUSY = "user-000042"  # gets other sends at the same time
BUSY_RATE = 50  # sends per second
WITHIN_S = scaled(120, 1800)
GROWTH_MAX_MB = 100  # of the memory of a process, with any number of users

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
            send = await retry_until_answered(partial(get_send, self._tenant, id))  # a count may take long
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

    async def pause_and_resume(self) -> None:
        """Nobody gets a send while it is paused."""
        for id in self.seen:
            await retry_until_answered(partial(change, self._tenant, "pauseSend", id))
        await self.look()
        paused = {id: send["recipients"] for id, send in self.seen.items()}
        await asyncio.sleep(0.5)
        await self.look()
        assert {id: (send["status"], send["recipients"]) for id, send in self.seen.items()} == {
            id: ("PAUSED", recipients) for id, recipients in paused.items()
        }
        for id in self.seen:
            await retry_until_answered(partial(change, self._tenant, "resumeSend", id))


@asynccontextmanager
async def sends_to_one_user(tenant: Tenant) -> AsyncIterator[list[str]]:
    """Send to BUSY at a constant rate. Yield the titles of the sends that were answered, and at the end, of all."""
    answered: list[str] = []

    async def send(title: str) -> None:
        await retry_until_answered(partial(tenant.send, BUSY, title=title, idempotencyKey=title), WITHIN_S)
        answered.append(title)

    async def send_all() -> None:
        async with asyncio.TaskGroup() as group:
            while not ended.is_set():
                group.create_task(send(f"plain {len(sent)}"))
                sent.append("")
                await asyncio.sleep(1 / BUSY_RATE)

    sent: list[str] = []
    ended = asyncio.Event()
    sending = asyncio.create_task(send_all())
    try:
        yield answered
    finally:
        ended.set()
        await sending


@asynccontextmanager
async def memory_of(processes: Sequence[Process]) -> AsyncIterator[dict[int, list[int]]]:
    """Yield the resident memory of each process over time, in bytes by process id."""
    found: dict[int, list[int]] = {}

    async def measure() -> None:
        while True:
            for process in processes:
                if process.running:
                    found.setdefault(process.pid, []).append(resident_bytes(process))
            await asyncio.sleep(1)

    measuring = asyncio.create_task(measure())
    try:
        yield found
        assert not measuring.done(), measuring.exception()
    finally:
        measuring.cancel()


@pytest.mark.timeout(scaled(300, 3600))
async def test_sigkill_of_workers_during_a_broadcast_loses_and_duplicates_nobody() -> None:
    """The sends are also paused and resumed, and one recipient gets many other sends at the same time."""
    chosen = random.Random(1)
    changes = ["kill"] * KILLS + ["pause"] * PAUSES
    chosen.shuffle(changes)
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
            processes = [*deployment.apis, *deployment.workers]
            async with sends_to_one_user(tenant) as plain, memory_of(processes) as memory:
                for number, what in enumerate(changes):
                    due = len(expected) * SENDS * (number + chosen.random()) / (len(changes) + 1)

                    async def reached(due: float = due) -> bool:
                        return await looks.look() >= due

                    await eventually(reached, WITHIN_S)
                    if what == "pause":
                        await looks.pause_and_resume()
                        continue
                    worker = deployment.workers[number % 2]
                    worker.kill()
                    await worker.start()
                await eventually(looks.are_complete, WITHIN_S)
            took_s = time.monotonic() - started_at
            growth_mb = max(max(sizes) - sizes[0] for sizes in memory.values()) / 1e6
            log.info(
                "%d sends to %d users in %.1f s, and %d sends to one user; a process grew by %.0f MB, the largest to %.0f MB",
                SENDS, len(users), took_s, len(plain), growth_mb, max(map(max, memory.values())) / 1e6,
            )  # fmt: skip
            assert growth_mb < GROWTH_MAX_MB
            for id in ids:
                assert await count_recipients(tenant, id) == Counter(expected)
            assert await count_titles(tenant, BUSY) == Counter([*plain, *map(str, range(SENDS))])
            others = chosen.sample(sorted(expected - {BUSY}), 50)
            pages = await asyncio.gather(*(tenant.inbox(user) for user in others))
            assert {(page["unread"], len(page["nodes"])) for page in pages} == {(SENDS, SENDS)}
            assert not find_log_faults(processes)
