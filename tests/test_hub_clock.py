"""The hub uses MongoDB's clock. Changes of the machine's clock have no effect."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from hub import ids, utc_time
from hub.model import Content
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.server_clock import ServerClock
from hub.runtime.container import build_components
from hub.settings import Settings
from hub.workflows.send_request import SendRequest

MOMENTS = st.integers(946_684_800_000, 7_258_118_400_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
STEP = timedelta(minutes=10)


async def test_step_of_the_machine_clock_does_not_change_the_hub_clock(database: Database) -> None:
    """Neither before nor after the next reading of MongoDB's clock."""
    steps = [timedelta()]
    hub = ServerClock(database, lambda: utc_time.now() + steps[-1])
    await hub.sync()
    for step in (STEP, -STEP):
        steps.append(step)
        assert abs(hub.now() - utc_time.now()) < timedelta(seconds=5)
        await hub.sync()
        assert abs(hub.now() - utc_time.now()) < timedelta(seconds=5)


async def test_wrong_machine_clock_is_corrected_by_mongodb(database: Database) -> None:
    """Independent of the local clock."""
    hub = ServerClock(database, lambda: utc_time.now() + timedelta(days=400))
    await hub.sync()
    assert abs(hub.now() - utc_time.now()) < timedelta(seconds=5)


async def test_clock_advances_with_the_monotonic_clock(database: Database) -> None:
    """Independent of the local clock."""
    passed_s = 0.0
    hub = ServerClock(database, utc_time.now, lambda: time.monotonic() + passed_s)
    await hub.sync()
    before = hub.now()
    passed_s = 600.0
    assert timedelta(seconds=600) <= hub.now() - before < timedelta(seconds=605)


async def test_clock_read_often_never_goes_back(database: Database) -> None:
    """A reading that differs by no more than its own error moves the clock back by no more than that error."""
    hub = ServerClock(database, utc_time.now)
    await hub.sync()
    newest = hub.now()
    for _ in range(50):
        await hub.sync()
        assert hub.now() >= newest - timedelta(milliseconds=50)
        newest = max(newest, hub.now())


async def test_send_uses_the_hub_clock_for_ids_creation_and_order(servers: tuple[Mongod, Redis]) -> None:
    """The clock of a process is a day behind two others: its send sorts between theirs, and `since` finds it."""
    mongod, redis = servers
    tenant = f"t{uuid4().hex[:12]}"
    created = []
    settings = Settings(mongo_url=mongod.url, redis_url=redis.url, jwt_secret=("s" * 32,))
    async with build_components(settings) as hub:
        real = hub.server_clock.now
        for days in (0, 3, 1):
            off = timedelta(days=days)
            hub.server_clock.now = lambda off=off: real() + off  # type: ignore[method-assign, misc]
            publish = hub.services.publish
            publish._clock = publish._committer._transactions._clock = hub.server_clock.now
            request = SendRequest(users=("alice",), category="news", content=Content(title="Hello", body="you"))
            created.append((off, (await publish.send(tenant, request, None)).send))
        for off, send in created:
            assert abs(send.created_at - real() - off) < timedelta(minutes=1)
            assert abs(ids.id_time(send.id) - real() - off) < timedelta(minutes=1)
        requested: Any = {"category": None, "until": None, "first": 10, "after": None}
        page = await hub.services.sends.page(tenant, since=None, **requested)
        assert [send.id for send in page] == [created[1][1].id, created[2][1].id, created[0][1].id]
        late = await hub.services.sends.page(tenant, since=real() + timedelta(hours=12), **requested)
        assert [send.id for send in late] == [created[1][1].id, created[2][1].id]
    async with AsyncMongoClient(mongod.url, tz_aware=True) as client:
        async for receipt in client["hub"].receipts.find({"tenant": tenant}):
            assert abs(ids.id_time(receipt["_id"]) - receipt["at"]) < timedelta(seconds=2)


@given(st.lists(MOMENTS, min_size=1, max_size=20))
def test_ids_are_uuids_of_their_instant_and_sort_by_creation(moments: list[datetime]) -> None:
    """Also for many ids of one millisecond."""
    for at in sorted(moments):
        created = [ids.new_id(at) for _ in range(20)]
        assert created == sorted(set(created))
        for id in created:
            assert UUID(id).version == 7
            assert (
                timedelta() <= ids.id_time(id) - utc_time.floor_ms(at) <= timedelta(milliseconds=ids.CLOCK_STEP_BACK_MS)
            )
        assert created[0] >= ids.first_id_at(utc_time.floor_ms(at))


def test_ids_keep_their_order_when_the_clock_goes_back_a_little() -> None:
    """By less than a second, like a reading of MongoDB's clock."""
    now = utc_time.now()
    created = [ids.new_id(now - timedelta(milliseconds=back)) for back in (0, 1, 500, 999)]
    assert created == sorted(created)


async def test_clock_runs_on_while_mongodb_is_away() -> None:
    """It keeps its last reading."""
    async with AsyncMongoClient("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=50) as client:
        hub = ServerClock(client["hub"], utc_time.now)
        running = asyncio.create_task(hub.run())
        await asyncio.sleep(0.1)
        assert abs(hub.now() - utc_time.now()) < timedelta(seconds=5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
