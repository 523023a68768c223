"""The inbox: pages, filters, marks and what the clock does, through the front door; and the indexes below it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from hub.clock import now, rfc3339
from hub.inbox.state import VIEWS
from hub.inbox.store import Inboxes, InboxQuery
from hub.model import InboxView, Position, Priority, mailbox_of
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from hub.status.sends import Sends
from tests.client import NOTIFICATION, Json, Refused, Replica, Tenant
from tests.processes import SECRET

ALL_FIELDS = (
    "id userId category categoryName title body data imageUrl actionUrl actions { key label url primary } priority tags createdAt "
    "updatedAt expiresAt seenAt readAt archivedAt snoozedUntil acknowledgedAt requireAck because "
    "deliveries { id notificationId sendId userId channel status reason createdAt updatedAt }"
)
LATER = "2090-01-01T00:00:00.000Z"
MARKS = ["markSeen", "markRead", "markUnread", "archive", "unarchive", "snooze", "unsnooze", "acknowledge"]


def in_s(seconds: float) -> str:
    return rfc3339(datetime.now(UTC) + timedelta(seconds=seconds))


async def fill(tenant: Tenant, user: str, count: int, **more: Any) -> list[str]:
    """Sends one after another; answers the ids, newest first."""
    for number in range(count):
        await tenant.send(user, title=f"Number {number}", **more)
    return [n["id"] for n in (await tenant.inbox(user, first=count))["nodes"]]


def ids(page: Json) -> list[str]:
    return [n["id"] for n in page["nodes"]]


@asynccontextmanager
async def quiet_but_for(tenant: Tenant, user: str, *kinds: str) -> AsyncIterator[list[Json]]:
    """What happens inside makes exactly these events, in this order; they are in the list afterwards."""
    events: list[Json] = []
    async with tenant.feed(user, (await tenant.inbox(user))["position"]) as feed:
        yield events
        await tenant.send(user, title="The end")
        while True:
            [event] = await feed.take(1)
            if event["notification"] and event["notification"]["title"] == "The end":
                break
            events.append(event)
    assert [event["kind"] for event in events] == list(kinds)


async def test_inbox_of_somebody_unknown_is_empty_and_has_a_position(tenant: Tenant) -> None:
    page = await tenant.inbox("nobody")
    assert (page["unread"], page["unseen"], page["nodes"]) == (0, 0, [])
    assert page["pageInfo"] == {"hasNextPage": False, "endCursor": None}
    async with tenant.feed("nobody", page["position"]) as feed:
        await tenant.send("nobody")
        [event] = await feed.take(1)
    assert (event["kind"], event["unread"], event["unseen"]) == ("ADDED", 1, 1)


async def test_notification_has_every_field_as_it_was_sent(tenant: Tenant) -> None:
    content = {
        "title": "Deploy *done*\n",
        "body": "<b>ü</b> 🎉",
        "imageUrl": "https://img.example/a.png?x=1",
        "actionUrl": "/deploys/7",
        "actions": [
            {"key": "open", "label": "Open", "url": "https://app.example/7", "primary": True},
            {"key": "later", "label": "Later"},
        ],
    }
    data = {"n": 1, "f": 1.5, "big": 2**53 + 1, "s": "ä", "l": [None, True, {}], "$where": "x", "a.b": {"": 0}}
    sent = await tenant.send(
        "alice", content=content, data=data, tags=["b", "a", "b"], priority="HIGH", expiresAt=LATER, requireAck=True
    )
    [n] = (await tenant.ask(f"{{ inbox {{ nodes {{ {ALL_FIELDS} }} }} }}", user="alice"))["inbox"]["nodes"]
    assert (
        n == (await tenant.ask(f'{{ notification(id: "{n["id"]}") {{ {ALL_FIELDS} }} }}', user="alice"))["notification"]
    )
    assert (n["title"], n["body"], n["imageUrl"], n["actionUrl"]) == tuple(
        content[name] for name in ("title", "body", "imageUrl", "actionUrl")
    )
    assert n["actions"] == [
        {"key": "open", "label": "Open", "url": "https://app.example/7", "primary": True},
        {"key": "later", "label": "Later", "url": None, "primary": False},
    ]
    assert (n["data"], n["tags"], n["priority"]) == (data, ["b", "a"], "HIGH")
    assert (n["category"], n["categoryName"]) == ("news", "news")
    assert (n["expiresAt"], n["requireAck"], n["userId"]) == (LATER, True, "alice")
    assert n["createdAt"] == n["updatedAt"]
    assert n["createdAt"].endswith("Z")
    assert [n[f"{name}At"] for name in ("seen", "read", "archived", "acknowledged")] == [None] * 4
    assert n["snoozedUntil"] is None
    assert n["because"]
    [delivery] = n["deliveries"]
    assert (delivery["channel"], delivery["status"], delivery["reason"]) == ("IN_APP", "DELIVERED", None)
    assert (delivery["notificationId"], delivery["sendId"], delivery["userId"]) == (
        n["id"],
        sent["send"]["id"],
        "alice",
    )
    await tenant.mark("alice", "markRead", n["id"])
    [delivery] = (await tenant.ask("{ inbox { nodes { deliveries { status } } } }", user="alice"))["inbox"]["nodes"][0][
        "deliveries"
    ]
    assert delivery["status"] == "READ"


async def test_me_and_user_show_the_same_person_and_inbox(tenant: Tenant) -> None:
    await tenant.send("alice")
    person = "id email locale timezone attributes createdAt updatedAt inbox { unread unseen nodes { id title } }"
    me = (await tenant.ask(f"{{ me {{ {person} }} }}", user="alice"))["me"]
    assert me == (await tenant.ask(f'{{ user(id: "alice") {{ {person} }} }}'))["user"]
    assert (me["id"], me["locale"], me["timezone"], me["inbox"]["unread"]) == ("alice", "en", "UTC", 1)
    query = 'query ($n: Int, $a: String) { user(id: "alice") { inbox(first: $n, after: $a, filter: {view: UNREAD}) { edges { cursor } } } }'
    [edge] = (await tenant.ask(query, n=1))["user"]["inbox"]["edges"]
    assert (await tenant.ask(query, n=1, a=edge["cursor"]))["user"]["inbox"]["edges"] == []


async def test_views_hold_what_their_names_say(tenant: Tenant) -> None:
    new, seen, read, archived, archived_read, snoozed = (await fill(tenant, "alice", 6))[::-1]
    await tenant.mark("alice", "markSeen", seen)
    await tenant.mark("alice", "markRead", read, archived_read)
    await tenant.mark("alice", "archive", archived, archived_read)
    await tenant.mark("alice", "snooze", snoozed, until=LATER)
    for view, expected in {
        None: [read, seen, new],
        "ACTIVE": [read, seen, new],
        "UNREAD": [seen, new],
        "SNOOZED": [snoozed],
        "ARCHIVED": [archived_read, archived],
        "ALL": [snoozed, archived_read, archived, read, seen, new],
    }.items():
        page = await tenant.inbox("alice", **({"view": view} if view else {}))
        assert ids(page) == expected, view
        assert (page["unread"], page["unseen"]) == (2, 1)  # of the whole inbox, whatever the view


async def test_filters_narrow_and_combine(tenant: Tenant) -> None:
    for category, tags, priority, title in (
        ("billing", ["urgent", "eu"], "HIGH", "Invoice is due"),
        ("billing", ["eu"], "LOW", "Invoice was paid"),
        ("deploy", ["urgent"], "CRITICAL", "Deploy failed"),
        ("deploy", [], "MEDIUM", "Deploy done"),
    ):
        await tenant.send(
            "alice", title=title, body=f"about {category}", category=category, tags=tags, priority=priority
        )

    async def titles(**filter: Any) -> list[str]:
        return [n["title"] for n in (await tenant.inbox("alice", **filter))["nodes"]]

    everything = ["Deploy done", "Deploy failed", "Invoice was paid", "Invoice is due"]
    assert await titles(categories=["billing"]) == everything[2:]
    assert await titles(categories=["deploy", "billing", "none"]) == everything
    assert await titles(categories=["none"]) == []
    assert await titles(categories=[]) == await titles(tags=[]) == await titles(priorities=[]) == everything
    assert await titles(tags=["urgent"]) == ["Deploy failed", "Invoice is due"]
    assert await titles(tags=["urgent", "eu"]) == everything[1:]
    assert await titles(priorities=["HIGH", "CRITICAL"]) == ["Deploy failed", "Invoice is due"]
    assert await titles(categories=["billing"], tags=["urgent"], priorities=["HIGH"], search="DUE") == everything[3:]
    assert await titles(search="invoice paid") == await titles(search=" PAID  invoice ") == ["Invoice was paid"]
    assert await titles(search="about deploy") == everything[:2]
    assert await titles(search="  ") == everything
    assert await titles(search=".*") == await titles(search="^D") == await titles(search="\\") == []
    assert await titles(search="deploy", view="ARCHIVED") == []
    for hostile in ("(", "[a", "a{1,99999}", "\\E", "$", "#", "%00", "\u200d"):
        assert await titles(search=hostile) == []
    with pytest.raises(Refused) as refused:
        await titles(search="a\0b")
    assert refused.value.errors[0]["extensions"] == {"code": "BAD_USER_INPUT", "field": "filter.search"}


async def test_search_knows_case_beyond_ascii(tenant: Tenant) -> None:
    await tenant.send("alice", title="Größe ÄNDERN")
    for search in ("größe", "ändern", "GRÖ"):
        assert len((await tenant.inbox("alice", search=search))["nodes"]) == 1


async def test_search_looks_at_the_newest_of_the_window_only(servers: tuple[Mongod, Redis], database: Database) -> None:
    settings = Settings(jwt_secret=(SECRET,), search_window=10)  # type: ignore[arg-type]
    mailbox = mailbox_of("window", "alice")
    at = now()
    await database.mailboxes.insert_one({"_id": mailbox, "epoch": "e", "modseq": 20, "unread": 20, "unseen": 20})
    await database.notifications.insert_many(
        [
            {
                "_id": f"window-{number}",
                "mailbox": mailbox,
                "send": "s",
                "category": "c",
                "priority": "LOW",
                "title": "needle",
                "body": "",
                "because": "",
                "created_at": at,
                "updated_at": at,
                "state": "new",
                "modseq": number,
                "added_modseq": number,
            }
            for number in range(1, 21)
        ]
    )
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True) as client:
        store = Inboxes(client["hub"], settings, now)
        page = await store.get_page(mailbox, InboxQuery(words=("needle",)), 100, None)
        assert page
        assert [n.added_modseq for n in page.notifications] == list(range(20, 10, -1))


async def test_pages_stay_stable_while_items_arrive_and_leave(tenant: Tenant) -> None:
    before = await fill(tenant, "alice", 25)
    found, after = [], None
    while True:
        query = "query ($a: String) { inbox(first: 4, after: $a) { nodes { id } edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"
        page = (await tenant.ask(query, user="alice", a=after))["inbox"]
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        info = page["pageInfo"]
        assert (info["startCursor"], info["endCursor"]) == (page["edges"][0]["cursor"], page["edges"][-1]["cursor"])
        assert info["hasPreviousPage"] == (after is not None)
        found += ids(page)
        await tenant.send("alice", title="Newer")
        await tenant.mark("alice", "archive", found[0])  # what was on an earlier page leaves
        await tenant.mark("alice", "markRead", before[-1])  # what is still to come changes
        if not info["hasNextPage"]:
            break
        after = info["endCursor"]
    assert found == before


async def test_page_size_is_held(tenant: Tenant) -> None:
    await fill(tenant, "alice", 3)
    page = await tenant.inbox("alice", first=3)
    assert (len(page["nodes"]), page["pageInfo"]["hasNextPage"]) == (3, False)
    page = await tenant.inbox("alice", first=2)
    assert (len(page["nodes"]), page["pageInfo"]["hasNextPage"]) == (2, True)
    assert len((await tenant.ask("{ inbox(first: null) { nodes { id } } }", user="alice"))["inbox"]["nodes"]) == 3


# field: set up first, what it sets, what else, unread and unseen after it
EFFECTS: dict[str, tuple[list[str], dict[str, bool], tuple[int, int], str]] = {
    "markSeen": ([], {"seenAt": True}, (1, 0), "UPDATED"),
    "markRead": ([], {"seenAt": True, "readAt": True}, (0, 0), "UPDATED"),
    "markUnread": (["markRead"], {"seenAt": True, "readAt": False}, (1, 0), "UPDATED"),
    "archive": ([], {"archivedAt": True, "readAt": False}, (0, 0), "UPDATED"),
    "unarchive": (["archive"], {"archivedAt": False}, (1, 1), "UPDATED"),
    "snooze": ([], {"snoozedUntil": True}, (0, 0), "UPDATED"),
    "unsnooze": (["snooze"], {"snoozedUntil": False}, (1, 1), "ADDED"),
    "acknowledge": ([], {"acknowledgedAt": True, "readAt": True, "seenAt": True}, (0, 0), "UPDATED"),
}


@pytest.mark.parametrize("field", MARKS)
async def test_mark_changes_what_it_says_once(tenant: Tenant, field: str) -> None:
    """The second time changes nothing and makes no event."""
    before, effects, counts, kind = EFFECTS[field]

    async def mark(field: str) -> Json:
        return await tenant.mark("alice", field, id, until=LATER if field == "snooze" else None)

    [id] = await fill(tenant, "alice", 1, requireAck=True)
    for earlier in before:
        await mark(earlier)
    async with quiet_but_for(tenant, "alice", kind) as events:
        first = await mark(field)
        second = await mark(field)
    assert (first["changed"], ids({"nodes": first["notifications"]})) == (1, [id])
    assert (second["changed"], second["notifications"]) == (0, [])
    assert (first["unread"], first["unseen"]) == (second["unread"], second["unseen"]) == counts
    assert (events[0]["unread"], events[0]["unseen"]) == counts
    query = f"query ($id: ID!) {{ notification(id: $id) {{ {NOTIFICATION} acknowledgedAt }} }}"
    n = (await tenant.ask(query, user="alice", id=id))["notification"]
    assert {name: bool(n[name]) for name in effects} == effects
    assert {name: n[name] for name in first["notifications"][0]} == first["notifications"][0]
    assert events[0]["notification"] == first["notifications"][0]


async def test_marks_of_many_ids_number_each_and_answer_in_order(tenant: Tenant) -> None:
    found = await fill(tenant, "alice", 5)
    async with quiet_but_for(tenant, "alice", *["UPDATED"] * 4) as events:
        payload = await tenant.mark("alice", "markRead", *found[:4], found[0], "no-such-id", "")
    assert payload["changed"] == 4
    assert ids({"nodes": payload["notifications"]}) == [event["notification"]["id"] for event in events] == found[:4]
    assert [event["unread"] for event in events] == [4, 3, 2, 1]
    assert len({event["cursor"] for event in events}) == 4
    assert (await tenant.mark("alice", "markRead"))["changed"] == 0


async def test_position_of_a_payload_is_where_its_events_end(tenant: Tenant) -> None:
    [id] = await fill(tenant, "alice", 1)
    payload = await tenant.mark("alice", "markRead", id)
    async with tenant.feed("alice", payload["position"]) as feed:
        await tenant.send("alice", title="Next")
        [event] = await feed.take(1)
    assert (event["kind"], event["notification"]["title"]) == ("ADDED", "Next")


async def test_acknowledge_needs_a_notification_that_asks_for_it(tenant: Tenant) -> None:
    [id] = await fill(tenant, "alice", 1)
    async with quiet_but_for(tenant, "alice"):
        assert (await tenant.mark("alice", "acknowledge", id))["changed"] == 0
    assert (await tenant.inbox("alice"))["nodes"][-1]["readAt"] is None


async def test_unarchive_puts_it_back_in_its_place(tenant: Tenant) -> None:
    found = await fill(tenant, "alice", 3)
    await tenant.mark("alice", "archive", found[1])
    assert ids(await tenant.inbox("alice")) == [found[0], found[2]]
    await tenant.mark("alice", "unarchive", found[1])
    assert ids(await tenant.inbox("alice")) == found


async def test_unsnooze_puts_it_on_top_as_it_was(tenant: Tenant) -> None:
    found = await fill(tenant, "alice", 3)
    await tenant.mark("alice", "markRead", found[2])
    await tenant.mark("alice", "snooze", found[2], until=LATER)
    await tenant.mark("alice", "unsnooze", found[2])
    page = await tenant.inbox("alice")
    assert ids(page) == [found[2], found[0], found[1]]
    assert page["nodes"][0]["readAt"]
    assert page["unread"] == 2


async def test_snooze_comes_back_by_itself_on_top_and_new(tenant: Tenant) -> None:
    found = await fill(tenant, "alice", 3)
    await tenant.mark("alice", "markRead", found[2])
    replica = Replica()
    await replica.load(tenant, "alice")
    async with tenant.feed("alice", replica.cursor) as feed:
        until = in_s(0.5)
        await tenant.mark("alice", "snooze", found[2], until=until)
        events = await feed.take(2)
    assert [event["kind"] for event in events] == ["UPDATED", "ADDED"]
    assert events[0]["notification"]["snoozedUntil"] == until
    back = events[1]["notification"]
    assert (back["id"], back["snoozedUntil"], back["readAt"], back["seenAt"]) == (found[2], None, None, None)
    assert (events[1]["unread"], events[1]["unseen"]) == (3, 3)
    for event in events:
        replica.apply(event)
    fresh = Replica()
    await fresh.load(tenant, "alice")
    assert replica.state == fresh.state
    assert fresh.order == [found[2], found[0], found[1]]


async def test_snooze_of_what_is_archived_comes_back_into_the_inbox(tenant: Tenant) -> None:
    [id] = await fill(tenant, "alice", 1)
    await tenant.mark("alice", "archive", id)
    async with tenant.feed("alice", (await tenant.inbox("alice"))["position"]) as feed:
        await tenant.mark("alice", "snooze", id, until=in_s(0.3))
        assert [event["kind"] for event in await feed.take(2)] == ["UPDATED", "ADDED"]
    assert ids(await tenant.inbox("alice")) == [id]


async def test_snooze_again_moves_its_end(tenant: Tenant) -> None:
    [id] = await fill(tenant, "alice", 1)
    await tenant.mark("alice", "snooze", id, until=LATER)
    assert (await tenant.mark("alice", "snooze", id, until=LATER.replace("2090", "2091")))["changed"] == 1
    [n] = (await tenant.inbox("alice", view="SNOOZED"))["nodes"]
    assert n["snoozedUntil"] == "2091-01-01T00:00:00.000Z"


async def test_snooze_until_the_past_is_refused(tenant: Tenant) -> None:
    [id] = await fill(tenant, "alice", 1)
    with pytest.raises(Refused) as refused:
        await tenant.mark("alice", "snooze", id, until=in_s(-1))
    assert (refused.value.code, refused.value.errors[0]["extensions"]["field"]) == ("BAD_USER_INPUT", "until")


@pytest.mark.parametrize("before", [None, "markRead", "archive", "snooze"])
async def test_expired_is_removed_wherever_it_lies(tenant: Tenant, before: str | None) -> None:
    sent = await tenant.send("alice", title="Soon gone", expiresAt=in_s(1))
    page = await tenant.inbox("alice")
    [id] = ids(page)
    async with tenant.feed("alice", page["position"]) as feed:
        if before:
            await tenant.mark("alice", before, id, until=LATER if before == "snooze" else None)
            await feed.take(1)
        [event] = await feed.take(1)
    assert (event["kind"], event["notification"]["id"], event["unread"], event["unseen"]) == ("REMOVED", id, 0, 0)
    page = await tenant.inbox("alice", view="ALL")
    assert (page["nodes"], page["unread"], page["unseen"]) == ([], 0, 0)
    assert (await tenant.ask(f'{{ notification(id: "{id}") {{ id }} }}', user="alice"))["notification"] is None
    for field in MARKS:  # and stays away
        payload = await tenant.mark("alice", field, id, until=LATER if field == "snooze" else None)
        assert payload["changed"] == 0
    send = (await tenant.ask(f'{{ send(id: "{sent["send"]["id"]}") {{ counts {{ channel status count }} }} }}'))["send"]
    assert send["counts"] == [{"channel": "IN_APP", "status": "EXPIRED", "count": 1}]


async def test_marks_from_two_processes_at_once_count_right(tenant: Tenant) -> None:
    found = await fill(tenant, "alice", 20)
    fields = ["markRead", "markUnread", "archive", "unarchive", "markSeen"]
    await asyncio.gather(*(tenant.mark("alice", fields[n % 5], *found[n % 7 :: 3]) for n in range(100)))
    replica = Replica()
    await replica.load(tenant, "alice")
    assert (replica.unread, replica.unseen) == replica.counted


# ------------------------------------------------------------- the indexes below


class Commands(CommandListener):
    """What a client asked the server, as it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in {"find", "aggregate"}:
            self.sent.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        raise AssertionError(event.failure)


def stages(plan: Any) -> set[str]:
    """Every stage name within a winning plan."""
    found: set[str] = set()
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            found.add(plan["stage"])
        for name, value in plan.items():
            if name == "$sort":
                found.add("SORT")
            if name not in {"rejectedPlans", "command"}:
                found |= stages(value)
    elif isinstance(plan, list):
        for value in plan:
            found |= stages(value)
    return found


async def test_every_query_of_the_walk_reads_by_index_and_sorts_nothing(
    tenant: Tenant, servers: tuple[Mongod, Redis]
) -> None:
    sent = await tenant.send("alice", expiresAt=LATER)
    await fill(tenant, "alice", 30, tags=["x"])
    key = mailbox_of(tenant.name, "alice")
    settings = Settings(jwt_secret=(SECRET,))  # type: ignore[arg-type]
    commands = Commands()
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True, event_listeners=[commands]) as client:
        database = client["hub"]
        store, sends = Inboxes(database, settings, now), Sends(database)
        head = await store.get_mailbox(key)
        assert head
        for view in InboxView:
            for after in (None, 20):
                for wanted in (
                    InboxQuery(view=view),
                    InboxQuery(view=view, categories=("news",)),
                    InboxQuery(view=view, categories=("a", "news", "z")),
                    InboxQuery(view=view, tags=("x",), priorities=(Priority.MEDIUM,)),
                    InboxQuery(view=view, words=("number",)),
                    InboxQuery(view=view, categories=("news",), words=("number",)),
                ):
                    await store.get_page(key, wanted, 20, after)
        await store.list_ids(key, InboxQuery(), VIEWS[InboxView.UNREAD], 1000, upto=head.modseq)
        async with client.start_session() as session:
            await store.list_in_states(key, VIEWS[InboxView.ACTIVE], 1001, session)
        await store.backlog(key, Position(head.epoch, 3, 1 << 40))
        await store.backlog(key, Position(head.epoch, 3, 1 << 40, "within"))
        await store.list_due(now(), 500)
        await store.get_mailboxes([key])
        send = await sends.get(tenant.name, sent["send"]["id"])
        assert send
        for at in (None, sent["send"]["id"]):
            await sends.notifications(send, 20, at)
            for category in (None, "news"):
                for since in (None, now() - timedelta(days=1)):
                    await sends.page(tenant.name, category=category, since=since, until=None, first=20, after=at)
        asked = [*commands.sent]
        assert len(asked) > 60
        for command in asked:
            found = await explained(database, command)
            assert found & {"IXSCAN", "IDHACK"}, command
            assert not found & {"COLLSCAN", "SORT"}, (command, found)
        commands.sent.clear()
        await sends.counts([send.id])  # sorts its few groups, nothing else
        [command] = commands.sent
        found = await explained(database, command)
        assert "IXSCAN" in found
        assert "COLLSCAN" not in found


async def explained(database: Any, command: dict[str, Any]) -> set[str]:
    """The stages of the plan that the server chooses for a command that was sent."""
    session = {"lsid", "readConcern", "txnNumber", "startTransaction", "autocommit"}
    bare = {name: value for name, value in command.items() if name[0] != "$" and name not in session}
    return stages(await database.command({"explain": bare, "verbosity": "queryPlanner"}))
