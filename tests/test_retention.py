"""The retention period of categories."""

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.inbox import retention_sweeps, search, state
from hub.inbox.notification_lookup import Notifications
from hub.inbox.retention_sweeps import RetentionSweep, RetentionSweeps
from hub.model import Notification, mailbox_of, notification_from
from hub.platform.connections import Database
from hub.status.sends import Sends
from hub.workflows import retention
from hub.workflows.retention import Retention
from tests.client import Tenant, eventually
from tests.clocks import hub_now
from tests.conftest import scaled
from tests.strategies import notifications

COUNTS = "query ($id: ID!) { send(id: $id) { counts { channel status count } } }"
UPSERT = """mutation ($input: CategoryInput!, $apply: Boolean) {
  upsertCategory(input: $input, applyRetention: $apply) { retention } }"""


DEADLINE_S = 5.0


async def set_retention(tenant: Tenant, period: str | None, *, apply: bool | None = None) -> None:
    fields = {"key": "news", "name": "News", "defaultChannels": ["IN_APP"], "retention": period}
    await tenant.execute_as_admin(UPSERT, input=fields, apply=apply)


async def test_notification_is_removed_after_its_retention_live_and_in_every_state(
    tenant: Tenant, database: Database
) -> None:
    await tenant.send("alice", title="Kept")
    await set_retention(tenant, "PT2S")
    sent = await tenant.send("alice", title="Gone")
    await tenant.send("alice", title="Hidden", channels=["EMAIL"])
    page = await tenant.inbox("alice")
    await tenant.mark("alice", "archive", page["nodes"][0]["id"])
    async with tenant.feed("alice", (await tenant.inbox("alice"))["position"]) as feed:
        [event] = await feed.take(1)
    assert (event["kind"], event["notification"]["title"], event["unread"]) == ("REMOVED", "Gone", 1)
    assert [n["title"] for n in (await tenant.inbox("alice", view="ALL"))["nodes"]] == ["Kept"]
    counts = (await tenant.execute(COUNTS, id=sent["send"]["id"]))["send"]["counts"]
    assert counts == [{"channel": "IN_APP", "status": "EXPIRED", "count": 1}]

    async def hidden_is_removed() -> bool:
        match = {"mailbox": mailbox_of(tenant.name, "alice"), "hidden": True, "removed_at": {"$exists": True}}
        return await database.notifications.count_documents(match) == 1

    await eventually(hidden_is_removed)


async def test_apply_retention_removes_what_was_sent_before(tenant: Tenant, database: Database) -> None:
    await tenant.send("alice", "bob", title="Old")
    await set_retention(tenant, "PT1S")
    stored = await database.notifications.find({"mailbox": mailbox_of(tenant.name, "alice")}).to_list()
    assert "retained_until" not in stored[0], "a change holds for new notifications"
    await set_retention(tenant, "PT1S", apply=True)

    async def removed() -> bool:
        return all([not (await tenant.inbox(user, view="ALL"))["nodes"] for user in ("alice", "bob")])

    await eventually(removed)

    async def finished() -> bool:
        return not await database.retention_sweeps.find_one({"_id": f"{tenant.name}/news"})

    await eventually(finished)


class Sweep:
    """The sweeps of one database, with a clock that the test moves."""

    def __init__(self, database: Database) -> None:
        self.at = hub_now()
        sends = Sends(database, Notifications(database))
        self.retention = Retention(RetentionSweeps(database), sends, lambda: self.at, DEADLINE_S)


async def test_sweep_takes_slices_and_waits_for_sends_under_way(
    tenant: Tenant, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SLICE", 4)
    monkeypatch.setattr(retention_sweeps, "SLICE", 4)
    name = f"retention{uuid4().hex[:8]}"
    own = database.client[name]
    users = [f"u{number}" for number in range(10)]
    for recipients in (1, 2, 10, 3, 1):
        await tenant.send(*users[:recipients], title="Old")
    for collection in ("sends", "notifications"):
        mine = {"tenant": tenant.name} if collection == "sends" else {"mailbox": {"$regex": f"^{tenant.name}/"}}
        await own[collection].insert_many(await database[collection].find(mine).to_list())
        await own[collection].create_index([("send", 1), ("_id", 1)], name="send")
        await own[collection].create_index([("tenant", 1), ("category", 1), ("_id", -1)], name="category")
    sweep = Sweep(own)
    sweep.at += timedelta(hours=1)  # the sends are old, and expansions among them may still commit chunks
    with_end = {"retained_until": {"$exists": True}}
    try:
        await sweep.retention.apply_to_earlier(tenant.name, "news", 86_400)
        assert await sweep.retention.continue_sweeps() == 0, "a send that began before the change may still commit"
        assert await own.notifications.count_documents(with_end) == 0
        sweep.at += timedelta(seconds=2 * DEADLINE_S)
        counts = []
        while await sweep.retention.continue_sweeps():
            counts.append(await own.notifications.count_documents(with_end))
        assert counts == [3, 13, 17]
        assert await own.retention_sweeps.count_documents({}) == 0
        stored = [notification_from(doc) async for doc in own.notifications.find({})]
        assert all(n.wake_at == n.retained_until == n.created_at + timedelta(days=1) for n in stored)
        await sweep.retention.apply_to_earlier(tenant.name, "news", None)
        sweep.at += timedelta(seconds=2 * DEADLINE_S)
        while await sweep.retention.continue_sweeps():
            pass
        assert await own.notifications.count_documents(with_end) == 0
        assert await own.notifications.count_documents({"wake_at": {"$exists": True}}) == 0
    finally:
        await database.client.drop_database(name)


@settings(max_examples=scaled(5, 50), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(notifications(), max_size=50, unique_by=lambda n: n.id), st.none() | st.integers(1, 600))
async def test_sweep_computes_the_same_times_as_a_mark(
    database: Database, stored: list[Notification], retention_s: int | None
) -> None:
    name = f"retention{uuid4().hex[:8]}"
    own = database.client[name]
    try:
        await own.notifications.create_index([("send", 1), ("_id", 1)], name="send")
        if stored:
            await own.notifications.insert_many([search.stored_document(n) for n in stored])
        sweeps = RetentionSweeps(own)
        sweep = RetentionSweep(id="t/c", tenant="t", category="c", started_at=hub_now(), retention_s=retention_s)
        await sweeps.start(sweep)
        assert await sweeps.apply(sweep, ["s"])
        found = {doc["_id"]: notification_from(doc) async for doc in own.notifications.find({})}
        for n in stored:
            ends_at = n.created_at + timedelta(seconds=retention_s) if retention_s else None
            expected = n if n.removed_at else state.with_state(replace(n, retained_until=ends_at))
            assert (found[n.id].wake_at, found[n.id].state) == (expected.wake_at, expected.state)
            assert found[n.id].retained_until == expected.retained_until
    finally:
        await database.client.drop_database(name)
