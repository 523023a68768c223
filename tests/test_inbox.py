"""Inbox queries: fields, views, filters, search and pages."""

from typing import Any

import pytest
from pymongo import AsyncMongoClient

from hub.inbox.inbox_reader import Inboxes, InboxQuery
from hub.model import mailbox_of
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from hub.utc_time import now
from tests.client import GraphQLErrors, Json, Tenant
from tests.clocks import hub_now
from tests.inbox_data import FAR_FUTURE, notification_ids, send_numbered
from tests.processes import SECRET

ALL_FIELDS = (
    "id userId category categoryName title body data imageUrl actionUrl actions { key label url primary } priority tags createdAt "
    "updatedAt expiresAt seenAt readAt archivedAt snoozedUntil acknowledgedAt requireAck because "
    "actor { name avatarUrl } actedKey actedAt threadKey "
    "deliveries { id notificationId sendId userId channel status reason createdAt updatedAt }"
)


async def test_inbox_of_an_unknown_user_is_empty_and_has_a_position(tenant: Tenant) -> None:
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
        "actor": {"name": "Carol Ü", "avatarUrl": "/people/carol.png"},
    }
    data = {"n": 1, "f": 1.5, "big": 2**53 + 1, "s": "ä", "l": [None, True, {}], "$where": "x", "a.b": {"": 0}}
    sent = await tenant.send(
        "alice",
        content=content,
        data=data,
        tags=["b", "a", "b"],
        priority="HIGH",
        expiresAt=FAR_FUTURE,
        requireAck=True,
        threadKey="deploy 7",
    )
    [n] = (await tenant.execute(f"{{ inbox {{ nodes {{ {ALL_FIELDS} }} }} }}", user="alice"))["inbox"]["nodes"]
    assert (
        n
        == (await tenant.execute(f'{{ notification(id: "{n["id"]}") {{ {ALL_FIELDS} }} }}', user="alice"))[
            "notification"
        ]
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
    assert (n["expiresAt"], n["requireAck"], n["userId"]) == (FAR_FUTURE, True, "alice")
    assert (n["actor"], n["threadKey"]) == (content["actor"], "deploy 7")
    assert (n["actedKey"], n["actedAt"]) == (None, None)
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
    [delivery] = (await tenant.execute("{ inbox { nodes { deliveries { status } } } }", user="alice"))["inbox"][
        "nodes"
    ][0]["deliveries"]
    assert delivery["status"] == "READ"


async def test_me_and_user_return_the_same_user_and_inbox(tenant: Tenant) -> None:
    await tenant.send("alice")
    user = "id email locale timezone attributes createdAt updatedAt inbox { unread unseen nodes { id title } }"
    me = (await tenant.execute(f"{{ me {{ {user} }} }}", user="alice"))["me"]
    assert me == (await tenant.execute(f'{{ user(id: "alice") {{ {user} }} }}'))["user"]
    assert (me["id"], me["locale"], me["timezone"], me["inbox"]["unread"]) == ("alice", "en", "UTC", 1)
    query = 'query ($n: Int, $a: String) { user(id: "alice") { inbox(first: $n, after: $a, filter: {view: UNREAD}) { edges { cursor } } } }'
    [edge] = (await tenant.execute(query, n=1))["user"]["inbox"]["edges"]
    assert (await tenant.execute(query, n=1, a=edge["cursor"]))["user"]["inbox"]["edges"] == []


async def test_view_contains_the_notifications_in_its_states(tenant: Tenant) -> None:
    new, seen, read, archived, archived_read, snoozed = (await send_numbered(tenant, "alice", 6))[::-1]
    await tenant.mark("alice", "markSeen", seen)
    await tenant.mark("alice", "markRead", read, archived_read)
    await tenant.mark("alice", "archive", archived, archived_read)
    await tenant.mark("alice", "snooze", snoozed, until=FAR_FUTURE)
    for view, expected in {
        None: [read, seen, new],
        "ACTIVE": [read, seen, new],
        "UNREAD": [seen, new],
        "SNOOZED": [snoozed],
        "ARCHIVED": [archived_read, archived],
        "ALL": [snoozed, archived_read, archived, read, seen, new],
    }.items():
        page = await tenant.inbox("alice", **(Json(view=view) if view else {}))
        assert notification_ids(page) == expected, view
        assert (page["unread"], page["unseen"]) == (2, 1)  # of the whole inbox, in every view


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
    with pytest.raises(GraphQLErrors) as refused:
        await titles(search="a\0b")
    assert refused.value.errors[0]["extensions"] == {"code": "BAD_USER_INPUT", "field": "filter.search"}


async def test_search_folds_case_beyond_ascii(tenant: Tenant) -> None:
    await tenant.send("alice", title="Größe ÄNDERN")
    for search in ("größe", "ändern", "GRÖ"):
        assert len((await tenant.inbox("alice", search=search))["nodes"]) == 1


async def test_search_covers_only_the_newest_notifications(servers: tuple[Mongod, Redis], database: Database) -> None:
    settings = Settings(jwt_secret=(SECRET,), search_max_notifications=10)
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
        store = Inboxes(client["hub"], settings, hub_now)
        page = await store.get_page(mailbox, InboxQuery(words=("needle",)), 100, None)
        assert page
        assert [n.added_modseq for n in page.notifications] == list(range(20, 10, -1))


async def test_pages_stay_stable_while_items_arrive_and_leave(tenant: Tenant) -> None:
    before = await send_numbered(tenant, "alice", 25)
    found, after = [], None
    while True:
        query = "query ($a: String) { inbox(first: 4, after: $a) { nodes { id } edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"
        page = (await tenant.execute(query, user="alice", a=after))["inbox"]
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        info = page["pageInfo"]
        assert (info["startCursor"], info["endCursor"]) == (page["edges"][0]["cursor"], page["edges"][-1]["cursor"])
        assert info["hasPreviousPage"] == (after is not None)
        found += notification_ids(page)
        await tenant.send("alice", title="Newer")
        await tenant.mark("alice", "archive", found[0])  # an item of an earlier page leaves
        await tenant.mark("alice", "markRead", before[-1])  # an item of a later page changes
        if not info["hasNextPage"]:
            break
        after = info["endCursor"]
    assert found == before


async def test_page_size_is_respected(tenant: Tenant) -> None:
    await send_numbered(tenant, "alice", 3)
    page = await tenant.inbox("alice", first=3)
    assert (len(page["nodes"]), page["pageInfo"]["hasNextPage"]) == (3, False)
    page = await tenant.inbox("alice", first=2)
    assert (len(page["nodes"]), page["pageInfo"]["hasNextPage"]) == (2, True)
    assert len((await tenant.execute("{ inbox(first: null) { nodes { id } } }", user="alice"))["inbox"]["nodes"]) == 3
