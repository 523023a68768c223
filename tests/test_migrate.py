"""`hub migrate` builds the indexes of a new version while processes of the earlier version run."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.cli_commands import run_command
from tests.client import Json, Tenant
from tests.processes import SECRET, Process

NEW = ("notifications.send", "sends.category")  # the indexes that the earlier version does not have


@pytest.fixture
async def store(servers: tuple[Mongod, Redis]) -> AsyncIterator[Database]:
    name = f"migrate{uuid4().hex[:8]}"
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True) as client:
        yield client[name]
        await client.drop_database(name)


async def test_process_starts_after_migrate_has_built_the_indexes(
    store: Database, servers: tuple[Mongod, Redis]
) -> None:
    mongod, redis = servers
    own = {"mongo_database": store.name, "redis_prefix": f"{store.name}:"}
    stores = {"mongo_url": mongod.url, "redis_url": redis.url, "jwt_secret": SECRET} | own
    earlier = Process("serve", mongod.url, redis.url, **own)
    await earlier.start()  # creates the indexes, because the database is empty
    try:
        async with Tenant("acme", [earlier.url]) as tenant:
            await tenant.send("alice")
            for index in NEW:
                collection, _, name = index.partition(".")
                await store[collection].drop_index(name)
            await store.notifications.create_index([("at", 1)], name="tombstones", expireAfterSeconds=60)
            for command in ("serve", "work"):
                process = Process(command, mongod.url, redis.url, **own)
                with pytest.raises(AssertionError, match=rf"{NEW[0]}, {NEW[1]}\. Run `hub migrate`") as refused:
                    await process.start()
                assert "Traceback" not in str(refused.value)
            assert "Run `hub migrate`" in run_command("doctor", **stores).stdout

            migrating = asyncio.create_task(asyncio.to_thread(partial(run_command, "migrate", **stores)))
            await tenant.send("alice", title="Meanwhile")
            done = await migrating
            assert (done.returncode, done.stderr) == (0, "")
            for index in NEW:
                assert f"Building {index}: about " in done.stdout
            assert "Dropped notifications.tombstones" in done.stdout
            assert "MongoDB has all" in done.stdout
            later = Process("serve", mongod.url, redis.url, **own)
            await later.start()
            try:
                await tenant.send("alice", title="Later", url=later.url)
                assert len((await tenant.inbox("alice", url=earlier.url))["nodes"]) == 3, "both versions run"
            finally:
                await later.stop()
            again = run_command("migrate", **stores)
            assert (again.returncode, again.stdout.count("\n")) == (0, 1), again.stdout
    finally:
        await earlier.stop()


async def test_hub_in_development_builds_missing_indexes_itself(store: Database, servers: tuple[Mongod, Redis]) -> None:
    await store.users.insert_one({"_id": "acme/alice"})
    mongod, redis = servers
    process = Process("serve", mongod.url, redis.url, mode="development", mongo_database=store.name)
    await process.start()
    await process.stop()
    assert "device" in await store.users.index_information()


async def test_migrate_refuses_an_index_with_other_keys(store: Database, servers: tuple[Mongod, Redis]) -> None:
    await store.sends.create_index([("tenant", 1)], name="category")
    refused = run_command("migrate", mongo_url=servers[0].url, jwt_secret=SECRET, mongo_database=store.name)
    assert refused.returncode == 1
    assert refused.stderr.startswith("These indexes have other keys or options than those of this version: sends.cat")


async def test_migrate_refuses_the_data_of_a_newer_version(store: Database, servers: tuple[Mongod, Redis]) -> None:
    await store.migrations.insert_one({"_id": "schema", "major": 99})
    refused = run_command("migrate", mongo_url=servers[0].url, jwt_secret=SECRET, mongo_database=store.name)
    assert refused.returncode == 1
    assert "version 99" in refused.stderr
    assert await store.list_collection_names() == ["migrations"], "nothing was changed"
