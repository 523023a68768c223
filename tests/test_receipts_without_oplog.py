"""Receipts of sends whose first receipts are older than MongoDB's oplog."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from pymongo import AsyncMongoClient

from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.server_process import HOST
from hub.utc_time import now
from tests.client import GraphQLErrors, Json, Tenant
from tests.processes import Deployment
from tests.test_receipts import open_receipts, send_id


class StandaloneMongod(Mongod):
    """A MongoDB server without replication. Entries of its oplog can be deleted."""

    def _arguments(self) -> list[str]:
        arguments = super()._arguments()
        index = arguments.index("--replSet")
        return arguments[:index] + arguments[index + 2 :]


async def delete_oplog(data: Path) -> None:
    """Delete all entries of the oplog but the last one."""
    mongod = StandaloneMongod(data, single_member=False)
    await mongod.start()
    async with AsyncMongoClient[Json](f"mongodb://{HOST}:{mongod.port}/?directConnection=true") as client:
        oplog = client["local"]["oplog.rs"]
        last = await oplog.find_one({}, sort=[("$natural", -1)])
        assert last
        await oplog.delete_many({"ts": {"$lt": last["ts"]}})
    await mongod.stop()


async def keep_marking(tenant: Tenant, user: str) -> None:
    [n] = (await tenant.inbox(user))["nodes"]
    while True:
        for mark in ("markRead", "markUnread"):
            await tenant.mark(user, mark, n["id"])
            await asyncio.sleep(0.05)


async def test_old_send_has_an_error_of_its_own_and_a_scheduled_one_begins_at_its_time(tmp_path: Path) -> None:
    mongod, redis = Mongod(tmp_path / "mongo"), Redis(tmp_path / "redis")
    await mongod.start()
    await redis.start()
    try:
        async with (
            Deployment(mongod.url, redis.url, apis=1, workers=0) as deployment,
            Tenant("acme", deployment.urls) as tenant,
        ):
            old, scheduled = [await send_id(tenant, user) for user in ("alice", "bob")]
        await mongod.stop()
        await delete_oplog(tmp_path / "mongo")
        await mongod.start()
        async with (
            Deployment(mongod.url, redis.url, apis=1, workers=0) as deployment,
            Tenant("acme", deployment.urls) as tenant,
            AsyncMongoClient[Json](mongod.url) as client,
        ):
            async with open_receipts(tenant, old) as feed:
                with pytest.raises(GraphQLErrors, match=r"older than MongoDB's oplog") as raised:
                    await feed.take(1)
            assert raised.value.code == "CURSOR_EXPIRED"
            await client["hub"].sends.update_one({"_id": scheduled}, {"$set": {"send_at": now() + timedelta(hours=1)}})
            async with open_receipts(tenant, scheduled) as feed:
                marking = asyncio.create_task(keep_marking(tenant, "bob"))
                try:
                    [receipt] = await feed.take(1)
                finally:
                    marking.cancel()
            assert receipt["sendId"] == scheduled
    finally:
        await redis.stop()
        await mongod.stop()
