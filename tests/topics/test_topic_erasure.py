"""Export and erasure of users who are subscribed to topics, also during a subscription."""

import asyncio
from typing import Any

from hub.model import mailbox_of
from hub.platform.connections import DURABLE, SNAPSHOT, Database
from tests.client import Tenant, eventually
from tests.conftest import scaled
from tests.topics.calls import (
    leave,
    list_topics,
    own_topics,
    subscribe,
    unsubscribe,
    upsert_topic,
)

EXPORT = "mutation ($id: ID!) { exportUser(id: $id) }"
ERASE = "mutation ($id: ID!) { deleteUser(id: $id) }"


async def count_stored(database: Database, tenant: Tenant, user: str) -> tuple[int, int, int]:
    """Return the number of users, of their counted subscriptions, and of stored subscriptions."""
    mailbox = mailbox_of(tenant.name, user)
    stored = await database.users.find({"_id": mailbox}).to_list()
    counted = sum(doc["subscription_count"] for doc in stored)
    return len(stored), counted, await database.topic_subscriptions.count_documents({"mailbox": mailbox})


async def test_export_contains_the_subscriptions(tenant: Tenant) -> None:
    for key in ("left", "removed", "news"):
        await upsert_topic(tenant, key, visible=True)
        await subscribe(tenant, key, "alice")
    await leave(tenant, "left", "alice")
    await leave(tenant, "removed", "alice")
    await unsubscribe(tenant, "removed", "alice")
    exported: Any = (await tenant.execute_as_admin(EXPORT, id="alice"))["exportUser"]
    times = {one.pop("topic"): one for one in exported["subscriptions"]}
    assert {key: sorted(one) for key, one in times.items()} == {
        "left": ["createdAt", "leftAt"],
        "news": ["createdAt"],
        "removed": ["createdAt", "leftAt"],
    }
    assert sorted(exported["profile"]) == ["createdAt", "updatedAt"]
    assert exported["complete"]


async def test_erased_user_is_subscribed_to_nothing(tenant: Tenant, database: Database) -> None:
    count = scaled(20, 600)
    await asyncio.gather(*(subscribe(tenant, f"t{n}", "alice", "bob") for n in range(count)))
    assert await count_stored(database, tenant, "alice") == (1, count, count)
    assert await tenant.execute_as_admin(ERASE, id="alice") == {"deleteUser": True}
    assert await count_stored(database, tenant, "alice") == (0, 0, 0)
    assert {topic["subscribers"] for topic in (await list_topics(tenant))["nodes"]} == {1}
    assert await own_topics(tenant, "alice") == ([], {})


async def test_user_erased_at_the_same_time_has_all_or_nothing(tenant: Tenant, database: Database) -> None:
    others = [f"u{n}" for n in range(50)]
    for n in range(scaled(10, 200)):
        await subscribe(tenant, f"a{n}", "alice")
        await asyncio.gather(
            subscribe(tenant, f"b{n}", *others, "alice"),
            tenant.execute_as_admin(ERASE, id="alice"),
            subscribe(tenant, f"c{n}", "alice"),
        )
        users, counted, stored = await count_stored(database, tenant, "alice")
        assert counted == stored
        assert users or not stored


async def test_user_erased_during_a_subscription_does_not_come_back(tenant: Tenant, database: Database) -> None:
    await subscribe(tenant, "first", "alice", "bob")
    mailbox = {"_id": mailbox_of(tenant.name, "alice")}

    async def aborted() -> int:
        return int((await database.command("serverStatus"))["transactions"]["totalAborted"])

    async with database.client.start_session() as session:
        async with await session.start_transaction(read_concern=SNAPSHOT, write_concern=DURABLE):
            await database.users.delete_one(mailbox, session=session)
            await database.topic_subscriptions.delete_many({"mailbox": mailbox["_id"]}, session=session)
            before = await aborted()
            call = asyncio.create_task(subscribe(tenant, "second", "alice", "bob", "carol"))

            async def has_aborted() -> bool:
                return await aborted() > before

            await eventually(has_aborted)
        assert await call == 2
    assert await count_stored(database, tenant, "alice") == (0, 0, 0)
    assert await count_stored(database, tenant, "bob") == (1, 2, 2)
