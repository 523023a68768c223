"""Random operations over two API processes. Afterwards all views agree: every client, the inbox query, a recount of the
documents, and the counts of the mailboxes."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tests import mongo_assertions as documents
from tests.client import Replica, Tenant, eventually
from tests.conftest import scaled
from tests.mongo_assertions import StoredTenant
from tests.random_clients import FollowingClient, RandomUsers, follow_inboxes, instant_ahead

USERS = [f"user{number}" for number in range(10)]  # enough that a send to all of them is published as one broadcast
CROWDED = USERS[:3]
ACTORS = 12
OPERATIONS = scaled(400, 5000)
SETTLED_WITHIN_S = 20.0


@pytest.fixture
def seed() -> str:
    """HUB_TEST_SEED repeats the choices of an earlier run, but not its timing."""
    chosen = os.environ.get("HUB_TEST_SEED", str(time.time_ns()))
    print(f"HUB_TEST_SEED={chosen}")  # noqa: T201 - printed if the test fails
    return chosen


@pytest.mark.timeout(600)
async def test_random_operations_leave_all_clients_and_the_store_equal(
    tenant: Tenant, stored: StoredTenant, seed: str
) -> None:
    for user in USERS:
        await tenant.fill_inbox(user, 150 if user in CROWDED else 5)
    staying, returning = ([FollowingClient(tenant, user) for user in USERS] for _ in range(2))
    hasty = [FollowingClient(tenant, user) for user in USERS[1:6]]
    watchers = [*staying, *returning, *hasty]
    await asyncio.gather(*(watcher.load() for watcher in watchers))
    random_users = RandomUsers(tenant, {watcher.user: watcher.replica for watcher in staying})
    left = iter(range(OPERATIONS))

    async def act(random: Random) -> None:
        for _ in left:
            await random_users.act(random)

    async def change_much() -> None:
        """A filtered change, too large for single events. It is repeated if it was not large enough."""
        while not any(watcher.resyncs for watcher in staying):
            await tenant.fill_inbox(CROWDED[0], 150)
            await tenant.mark_all(CROWDED[0], "markAllRead", categories=["news"])

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(follow_inboxes(*staying))
        await stack.enter_async_context(follow_inboxes(*returning, cut=Random(f"{seed}/returning"), max_events=60))
        await stack.enter_async_context(follow_inboxes(*hasty, cut=Random(f"{seed}/hasty"), max_events=3))
        async with asyncio.TaskGroup() as group:
            for actor in range(ACTORS):
                group.create_task(act(Random(f"{seed}/{actor}")))
            group.create_task(change_much())

        async def nothing_due() -> bool:
            return not await stored.count_due(datetime.now(UTC) + timedelta(minutes=10))

        await eventually(nothing_due, SETTLED_WITHIN_S)
        heads = {user: await stored.mailbox(user) for user in USERS}
        await asyncio.gather(*(watcher.caught_up(heads[watcher.user]["modseq"]) for watcher in watchers))

    for user in USERS:
        found = await stored.notifications(user)
        head = heads[user]
        counts = (head["unread"], head["unseen"])
        assert counts == documents.count_unread_unseen(found), user
        assert_numbered(found, head["modseq"])
        documents.check_live_keys(found)
        loaded = Replica()
        await loaded.load(tenant, user)
        assert loaded.state == documents.mark_rows(found), user
        assert loaded.counts == loaded.recounted == counts, user
        for watcher in watchers:
            if watcher.user == user:
                assert watcher.replica.modseq == head["modseq"], (user, watcher.resyncs)
                assert watcher.replica.state == loaded.state, (user, watcher.resyncs)
                assert watcher.replica.counts == watcher.replica.recounted == counts, (user, watcher.resyncs)
        assert await views(tenant, user) == expected_views(found), user
    assert (
        random_users.sent.items() <= (await stored.count_per_send()).items()
    )  # a successful send is stored for every recipient, once
    print(Counter(event["kind"] for watcher in staying for event in watcher.events))  # noqa: T201


async def test_concurrent_large_filtered_changes_reach_open_clients(tenant: Tenant, stored: StoredTenant) -> None:
    """They may share a transaction, of which only a part is published."""
    url = tenant.urls[0]
    await tenant.fill_inbox("alice", 200)
    watcher = FollowingClient(tenant, "alice")
    await watcher.load()
    hundred = watcher.replica.order[:100]
    async with follow_inboxes(watcher):
        for round in range(10):
            field = "markRead" if round % 2 else "markUnread"
            marks = [tenant.mark("alice", field, *hundred[part:][:70], url=url) for part in (0, 10, 20, 30)]
            everything = tenant.mark_all("alice", "archiveAll", categories=["news"], url=url)
            await asyncio.gather(*marks[:2], everything, *marks[2:])
            await watcher.caught_up((await stored.mailbox("alice"))["modseq"])
            assert watcher.replica.state == documents.mark_rows(await stored.notifications("alice"))
            assert watcher.replica.counts == watcher.replica.recounted
            await tenant.mark("alice", "unarchive", *watcher.replica.order, url=url)
            await watcher.caught_up((await stored.mailbox("alice"))["modseq"])
    assert watcher.resyncs


async def test_snoozes_of_one_send_that_end_together_return_to_each_user(tenant: Tenant, stored: StoredTenant) -> None:
    """Many changes of one send are published as one message; these differ."""
    watchers = [FollowingClient(tenant, user) for user in USERS]
    await tenant.send(*USERS, requireAck=True)
    await asyncio.gather(*(watcher.load() for watcher in watchers))
    until = instant_ahead(seconds=2)
    async with follow_inboxes(*watchers):
        for index, watcher in enumerate(watchers):
            [id] = watcher.replica.order
            if index % 2:
                await tenant.mark(watcher.user, "acknowledge", id)
            await tenant.mark(watcher.user, "snooze", id, until=until)

        async def awake() -> bool:
            return not await stored.count_due(datetime.now(UTC) + timedelta(minutes=10))

        await eventually(awake)
        for index, watcher in enumerate(watchers):
            await watcher.caught_up((await stored.mailbox(watcher.user))["modseq"])
            found = await stored.notifications(watcher.user)
            assert watcher.replica.state == documents.mark_rows(found), index
            assert bool(found[0].get("acknowledged_at")) is bool(index % 2)
            assert watcher.replica.counts == (1, 1)
            assert watcher.resyncs == 0


def assert_numbered(found: list[dict[str, object]], last: int) -> None:
    """Sort keys are unique, and no number exceeds the mailbox's."""
    listed = [n for n in found if not n.get("hidden")]
    added = [n["added_modseq"] for n in listed]
    assert len(set(added)) == len(added)
    assert all(n["added_modseq"] <= n["modseq"] <= last for n in listed)  # type: ignore[operator]


async def views(tenant: Tenant, user: str) -> dict[str, list[str]]:
    return {view: [id async for id in ids(tenant, user, view)] for view in ("ACTIVE", "UNREAD", "SNOOZED", "ARCHIVED")}


async def ids(tenant: Tenant, user: str, view: str) -> AsyncIterator[str]:
    """Page by page."""
    after = None
    while True:
        page = await tenant.inbox(user, first=37, after=after, view=view)
        for node in page["nodes"]:
            yield node["id"]
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


def expected_views(found: list[dict[str, object]]) -> dict[str, list[str]]:
    rows = documents.mark_rows(found)
    active = [row for row in rows if not row[3] and not row[4]]
    return {
        "ACTIVE": [row[0] for row in active],
        "UNREAD": [row[0] for row in active if not row[2]],
        "SNOOZED": [row[0] for row in rows if row[4]],
        "ARCHIVED": [row[0] for row in rows if row[3]],
    }
