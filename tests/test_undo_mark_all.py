"""Undo of a "mark all": exactly what the call marked is reverted, and no later change is."""

import pytest

from hub.platform.connections import Database
from tests.client import Json, Tenant
from tests.conftest import scaled
from tests.graphql_errors import BAD_USER_INPUT, expect_error
from tests.inbox_data import read_until_resync
from tests.test_mark_all import count_documents, counts, insert_inbox

MANY = scaled(1_200, 100_000)  # more than one transaction
UNTIL = "2090-01-02T08:00:00.000Z"


async def undo(tenant: Tenant, token: str, user: str = "alice") -> Json:
    query = "mutation ($token: String!) { m: undoMarkAll(token: $token) { changed unread unseen undoToken } }"
    payload: Json = (await tenant.execute(query, user=user, token=token))["m"]
    return payload


async def titles(tenant: Tenant, view: str) -> list[str]:
    return [n["title"] for n in (await tenant.inbox("alice", view=view))["nodes"]]


@pytest.mark.timeout(1200)
async def test_undo_of_a_large_mark_all_reverts_what_was_not_changed_since(tenant: Tenant, database: Database) -> None:
    await insert_inbox(database, tenant, "alice", MANY)
    newest = [n["id"] for n in (await tenant.inbox("alice"))["nodes"]]
    await tenant.mark("alice", "markRead", *newest[:3])
    marked = await tenant.mark_all("alice", "markAllRead")
    assert (marked["changed"], marked["unread"]) == (MANY - 3, 0)
    await tenant.mark("alice", "archive", newest[3])
    await tenant.mark("alice", "markUnread", newest[4])
    await tenant.mark("alice", "markRead", newest[4])
    await tenant.send("alice", title="Later")
    [later, *_] = (await tenant.inbox("alice"))["nodes"]
    await tenant.mark("alice", "markRead", later["id"])
    async with tenant.feed("alice", (await tenant.inbox("alice"))["position"]) as feed:
        undone = await undo(tenant, marked["undoToken"])
        await read_until_resync(feed)
    assert (undone["changed"], undone["unread"], undone["undoToken"]) == (MANY - 5, MANY - 5, None)
    assert await count_documents(database, tenant, "alice") == await counts(database, tenant, "alice")
    unread = {n["id"] for n in (await tenant.inbox("alice", view="UNREAD", first=100))["nodes"]}
    assert not unread & {*newest[:5], later["id"]}
    assert (await undo(tenant, marked["undoToken"]))["changed"] == 0


async def test_undo_of_archive_all_restores_each_view(tenant: Tenant) -> None:
    for title in ("Snoozed", "Archived", "Read", "Unread"):
        await tenant.send("alice", title=title)
    ids = {n["title"]: n["id"] for n in (await tenant.inbox("alice"))["nodes"]}
    await tenant.mark("alice", "snooze", ids["Snoozed"], until=UNTIL)
    await tenant.mark("alice", "archive", ids["Archived"])
    await tenant.mark("alice", "markRead", ids["Read"])
    marked = await tenant.mark_all("alice", "archiveAll", view="ALL")
    assert marked["changed"] == 3
    assert (await undo(tenant, marked["undoToken"], user="bob"))["changed"] == 0
    async with tenant.feed("alice", marked["position"]) as feed:
        assert (await undo(tenant, marked["undoToken"]))["unread"] == 1
        events = await feed.take(3)
    assert {event["kind"] for event in events} == {"UPDATED"}
    assert await titles(tenant, "ACTIVE") == ["Unread", "Read"]
    assert await titles(tenant, "UNREAD") == ["Unread"]
    assert await titles(tenant, "ARCHIVED") == ["Archived"]
    [snoozed] = (await tenant.inbox("alice", view="SNOOZED"))["nodes"]
    assert (snoozed["title"], snoozed["snoozedUntil"]) == ("Snoozed", UNTIL)


async def test_token_exists_only_for_what_can_be_undone(tenant: Tenant) -> None:
    await tenant.send("alice", title="One")
    assert (await tenant.mark_all("alice", "markAllSeen"))["undoToken"] is None
    first = await tenant.mark_all("alice", "markAllRead")
    assert first["undoToken"]
    assert (await tenant.mark_all("alice", "markAllRead"))["undoToken"] is None
    archived = await tenant.mark_all("alice", "archiveAll")
    assert (await undo(tenant, first["undoToken"]))["changed"] == 0, "the later mark would be reverted"
    assert (await undo(tenant, archived["undoToken"]))["changed"] == 1
    assert (await undo(tenant, first["undoToken"]))["changed"] == 0
    position = (await tenant.inbox("alice"))["position"]
    assert await expect_error(undo(tenant, position)) == (BAD_USER_INPUT, "token")
