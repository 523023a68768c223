"""Resumed feeds: a client with its last cursor misses nothing, gets nothing twice, and ends equal to a client that
stayed connected."""

import asyncio
import time
from random import Random

import pytest

from hub.inbox.cursors import decode_position, encode_position
from tests.client import GraphQLErrors, Json, Replica, Tenant, eventually
from tests.conftest import scaled
from tests.mongo_assertions import StoredTenant
from tests.random_clients import FollowingClient, RandomUsers, follow_inboxes, instant_ahead

AWAY_CHANGES = 500
DAY_S = 86_400
FEED_MAX_CHANGES = 1000


def modseq(cursor: str) -> int:
    return decode_position(cursor, "cursor").modseq


def alter_cursor(cursor: str, **changes: object) -> str:
    """Return a cursor that the hub could have issued, with some of its parts changed."""
    return encode_position(decode_position(cursor, "cursor")._replace(**changes))  # type: ignore[arg-type]


async def catch_up(tenant: Tenant, user: str, replica: Replica, upto: int, *, at_once: int | None = None) -> list[Json]:
    """Subscribe from the cursor of the replica up to the change `upto`, with a new connection after every `at_once`
    events.
    Return the events."""
    events: list[Json] = []
    async with asyncio.timeout(60):
        while replica.modseq < upto or decode_position(replica.cursor, "cursor").up_to_id:
            async with tenant.feed(user, replica.cursor) as feed:
                left = at_once
                while left != 0 and (replica.modseq < upto or decode_position(replica.cursor, "cursor").up_to_id):
                    event = await anext(feed)
                    events.append(event)
                    replica.apply(event)
                    left = left and left - 1
    return events


def sort_keys(events: list[Json]) -> list[tuple[int, str]]:
    """Return number and notification of each event."""
    return [(modseq(event["cursor"]), (event["notification"] or {"id": ""})["id"]) for event in events]


def copy_replica(replica: Replica) -> Replica:
    copy = Replica()
    copy.items, copy.cursor, copy.unread, copy.unseen = dict(replica.items), replica.cursor, *replica.counts
    return copy


async def test_client_away_for_500_changes_gets_each_once_and_equals_one_that_stayed(
    tenant: Tenant, stored: StoredTenant
) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201 - printed if the test fails
    random = Random(seed)
    await tenant.fill_inbox("alice", 60)
    stayed = FollowingClient(tenant, "alice")
    await stayed.load()
    away, often_cut, over_sse = copy_replica(stayed.replica), copy_replica(stayed.replica), copy_replica(stayed.replica)
    start = away.modseq
    random_users = RandomUsers(tenant, {"alice": stayed.replica})
    async with follow_inboxes(stayed):
        while stayed.replica.modseq < start + AWAY_CHANGES:
            await asyncio.gather(*(random_users.act(random, no_clock_changes=True, no_resync=True) for _ in range(4)))
            untold = not {"ALL_READ", "ALL_ARCHIVED"} <= {event["kind"] for event in stayed.events}
            for field in ("markAllRead", "archiveAll") if untold or random.random() < 0.03 else ():
                await tenant.fill_inbox("alice", 5)
                await tenant.mark_all("alice", field)
        end = modseq((await tenant.inbox("alice"))["position"])
        await stayed.caught_up(end)
    kinds = {event["kind"] for event in stayed.events}
    assert {"ADDED", "UPDATED", "ALL_READ", "ALL_ARCHIVED"} <= kinds
    assert stayed.resyncs == 0

    loaded = Replica()
    await loaded.load(tenant, "alice")
    changed = await stored.list_changes_after("alice", start)
    heads = (loaded.unread, loaded.unseen)

    def assert_same(replica: Replica, events: list[Json]) -> None:
        assert sort_keys(events) == changed
        assert {event["notification"]["id"]: event["notification"] for event in events} == {
            id: loaded.items[id] for _, id in changed
        }
        assert {(event["unread"], event["unseen"]) for event in events} == {heads}
        assert replica.state == stayed.replica.state == loaded.state
        assert replica.counts == replica.recounted == stayed.replica.counts == heads

    assert_same(away, await catch_up(tenant, "alice", away, end))
    assert_same(often_cut, await catch_up(tenant, "alice", often_cut, end, at_once=1))
    events = []
    async for payload in tenant.stream_events("alice", over_sse.cursor):
        [event] = payload["data"].values()
        events.append(event)
        over_sse.apply(event)
        if len(events) == len(changed):
            break
    assert_same(over_sse, events)


@pytest.mark.parametrize("at_once", [1, 7, None])
async def test_client_resuming_during_changes_gets_each_once(tenant: Tenant, at_once: int | None) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201 - printed if the test fails
    await tenant.fill_inbox("alice", 200)
    stayed = FollowingClient(tenant, "alice")
    await stayed.load()
    away = copy_replica(stayed.replica)
    random_users = RandomUsers(tenant, {"alice": stayed.replica})
    done = asyncio.Event()

    async def go_on(random: Random) -> None:
        while not done.is_set():
            await random_users.act(random, no_resync=True)

    async with follow_inboxes(stayed):
        await tenant.fill_inbox("alice", scaled(50, 300) if at_once == 1 else 300)
        async with asyncio.TaskGroup() as group:
            for actor in range(2):
                group.create_task(go_on(Random(f"{seed}/{actor}")))
            start = (await tenant.inbox("alice"))["position"]
            events = await catch_up(tenant, "alice", away, modseq(start) + scaled(30, 200), at_once=at_once)
            done.set()

        async def settled() -> int:
            """Return the last number, once the clock has nothing left to change."""
            snoozed = await tenant.inbox("alice", view="SNOOZED", first=100)
            late = [n for n in snoozed["nodes"] if n["snoozedUntil"] < instant_ahead(minutes=1)]
            page = await tenant.inbox("alice")
            return 0 if late else modseq(page["position"])

        end = await eventually(settled)
        await stayed.caught_up(end)
        events += await catch_up(tenant, "alice", away, end, at_once=at_once)
    assert sort_keys(events) == sorted(set(sort_keys(events)))
    loaded = Replica()
    await loaded.load(tenant, "alice")
    if loaded.modseq == end:  # nothing has expired since
        assert away.state == stayed.replica.state == loaded.state
        assert away.counts == away.recounted == stayed.replica.counts == loaded.counts


async def test_backlog_of_mark_all_cut_in_the_middle_loses_and_duplicates_nothing(
    tenant: Tenant, stored: StoredTenant
) -> None:
    await tenant.fill_inbox("alice", 30)
    away = Replica()
    await away.load(tenant, "alice")
    start = away.modseq
    await tenant.mark_all("alice", "markAllRead")
    changed = await stored.list_changes_after("alice", start)
    assert {number for number, _ in changed} == {start + 1}
    events = await catch_up(tenant, "alice", copy_replica(away), start + 1, at_once=1)
    assert sort_keys(events) == changed

    # Notifications that have arrived change again, and so do those that have not.
    async with tenant.feed("alice", away.cursor) as feed:
        for event in await feed.take(10):
            away.apply(event)
    got, missing = changed[:10], changed[10:]
    await tenant.mark("alice", "markUnread", got[0][1], missing[0][1])
    await tenant.mark("alice", "archive", got[9][1], missing[-1][1])
    events = await catch_up(tenant, "alice", away, start + 5)
    again = [(start + 2, got[0][1]), (start + 3, missing[0][1]), (start + 4, got[9][1]), (start + 5, missing[-1][1])]
    assert sort_keys(events) == missing[1:-1] + again
    loaded = Replica()
    await loaded.load(tenant, "alice")
    assert (away.state, away.counts) == (loaded.state, loaded.counts)


async def test_notification_added_and_removed_while_away_arrives_as_removed(tenant: Tenant) -> None:
    await tenant.send("alice", title="stays")
    await tenant.send("alice", title="goes", expiresAt=instant_ahead(seconds=2))
    replica, knows_neither = (
        Replica(),
        encode_position(decode_position((await tenant.inbox("alice"))["position"], "")._replace(modseq=0)),
    )
    await replica.load(tenant, "alice")
    assert len(replica.items) == 2

    async def removed() -> bool:
        return (await tenant.inbox("alice"))["unread"] == 1

    await eventually(removed)
    [event] = await catch_up(tenant, "alice", replica, replica.modseq + 1)
    assert (event["kind"], event["notification"]["title"], event["unread"]) == ("REMOVED", "goes", 1)
    async with tenant.feed("alice", knows_neither) as feed:
        events = await feed.take(2)
    assert [(event["kind"], event["notification"]["title"]) for event in events] == [
        ("ADDED", "stays"),
        ("REMOVED", "goes"),
    ]


async def test_more_than_1000_missed_changes_are_a_resync(tenant: Tenant) -> None:
    await tenant.send("alice")
    cursor = (await tenant.inbox("alice"))["position"]
    await tenant.fill_inbox("alice", FEED_MAX_CHANGES)
    async with tenant.feed("alice", cursor) as feed:
        events = await feed.take(FEED_MAX_CHANGES, 30)
        assert [modseq(event["cursor"]) for event in events] == list(range(2, FEED_MAX_CHANGES + 2))
        # A long backlog does not count toward the limit of a slow client.
        await tenant.send("alice", title="live")
        [event] = await feed.take(1)
        assert (event["kind"], event["notification"]["title"]) == ("ADDED", "live")
    await assert_resync(tenant, cursor)


@pytest.mark.parametrize("waiting", [400, 1000])
async def test_live_changes_after_a_long_backlog_cause_no_resync(tenant: Tenant, waiting: int) -> None:
    await tenant.send("alice")
    cursor = (await tenant.inbox("alice"))["position"]
    await tenant.fill_inbox("alice", waiting)
    async with tenant.feed("alice", cursor) as feed:
        await feed.take(1)  # the rest waits, most of it in the hub
        for _ in range(20):
            await tenant.send("alice")
        events = await feed.take(waiting + 19, 30)
    assert [modseq(event["cursor"]) for event in events] == list(range(3, waiting + 22))


async def assert_resync(tenant: Tenant, cursor: str) -> None:
    """RESYNC with the current counts, then the end. The feed continues from its cursor."""
    page = await tenant.inbox("alice")
    async with tenant.feed("alice", cursor) as feed:
        async with asyncio.timeout(60):
            [event] = [event async for event in feed]
        assert (event["kind"], event["notification"]) == ("RESYNC", None)
        assert (event["unread"], event["unseen"]) == (page["unread"], page["unseen"])
        assert modseq(event["cursor"]) == modseq(page["position"])
    payloads = [payload async for payload in tenant.stream_events("alice", cursor)]
    assert [payload["data"]["inbox"]["kind"] for payload in payloads] == ["RESYNC"]
    async with tenant.feed("alice", page["position"]) as feed:
        await tenant.send("alice", title="after")
        [event] = await feed.take(1)
        assert (event["kind"], event["notification"]["title"]) == ("ADDED", "after")


async def test_cursor_that_cannot_be_resumed_is_a_resync(tenant: Tenant) -> None:
    await tenant.fill_inbox("alice", 3)
    cursor = (await tenant.inbox("alice"))["position"]
    now = int(time.time())
    for foreign in (
        alter_cursor(cursor, epoch="deadbeef"),
        alter_cursor(cursor, modseq=1_000_000),
        alter_cursor(cursor, modseq=10**18 - 1, time=0),
        alter_cursor(cursor, modseq=1, time=now - 31 * DAY_S),
    ):
        await assert_resync(tenant, foreign)
    async with tenant.feed("alice", alter_cursor(cursor, modseq=1, time=now - 29 * DAY_S)) as feed:
        events = await feed.take(2)
        assert [event["kind"] for event in events] == ["ADDED", "ADDED"]


@pytest.mark.parametrize("rubbish", ["", "x", "å", "AAAA", "e30", "a.b.c.d", "*" * 40, "bS41", "\x00", "=" * 9, " "])
async def test_invalid_cursor_is_bad_user_input_over_websocket_and_sse(tenant: Tenant, rubbish: str) -> None:
    async with tenant.feed("alice", rubbish) as feed:
        with pytest.raises(GraphQLErrors) as refused:
            await feed.take(1)
    assert refused.value.code == "BAD_USER_INPUT"
    assert refused.value.errors[0]["extensions"]["field"] == "after"
    [payload] = [payload async for payload in tenant.stream_events("alice", rubbish)]
    assert payload["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_cursor_with_invalid_characters_is_bad_user_input(tenant: Tenant) -> None:
    cursor = (await tenant.inbox("alice"))["position"]
    for damaged in (cursor + "!", cursor + "!!!!", cursor[:8] + "\n \n " + cursor[8:], cursor[:-1], cursor + "="):
        async with tenant.feed("alice", damaged) as feed:
            with pytest.raises(GraphQLErrors) as refused:
                await feed.take(1)
        assert refused.value.code == "BAD_USER_INPUT", damaged
