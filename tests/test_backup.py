"""`hub backup` and `hub restore`: what they copy, what they refuse, and how they continue."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aioboto3
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from hub.backup import snapshot, writer
from hub.backup.snapshot import Snapshot, SnapshotGone
from hub.backup.storage import Folder
from hub.backup.writer import BackupError, BackupWriter
from hub.platform.connections import Database
from tests.backup_setup import Servers, Site, new_site
from tests.cli_commands import environment
from tests.client import eventually
from tests.conftest import fresh_servers
from tests.hub_process import CONSTANTS, ForkedProcess
from tests.processes import SECRET
from tests.test_intake import AWS_VARIABLES, CREDENTIALS

SMALL_CHUNKS = {"hub.backup.writer.CHUNK_BYTES": 1000, "hub.backup.writer.SAVE_EVERY_S": 0}
EXCLUDED = {"captured_messages"}


@pytest.fixture
async def site(servers: Servers) -> Site:
    """A deployment that was stopped. Its inboxes have content."""
    made = new_site(servers)
    async with made.running() as (_, acme):
        await asyncio.gather(*(acme.fill_inbox(user, 20) for user in ("alice", "bob")))
        await acme.mark_all("bob", "markAllSeen")
    return made


async def contents(database: Database) -> dict[str, Any]:
    """Return the documents, as bytes, and the indexes of each collection."""
    found = {}
    for name in await database.list_collection_names():
        raw: Any = database.get_collection(name, codec_options=snapshot.RAW)
        documents: list[RawBSONDocument] = await raw.find().sort("_id", 1).to_list()
        indexes = await database[name].index_information()
        found[name] = [doc.raw for doc in documents], indexes
    return found


async def all_contents(site: Site) -> dict[str, Any]:
    async with site.database() as database:
        return await contents(database)


def without_epochs(documents: list[bytes]) -> list[dict[str, Any]]:
    return [{**RawBSONDocument(raw), "epoch": ""} for raw in documents]


def assert_restored(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name in before.keys() - EXCLUDED:
        old, new = before[name], after[name]
        if name == "mailboxes":
            old, new = (without_epochs(old[0]), old[1]), (without_epochs(new[0]), new[1])
        elif name == "audit_log":
            new = new[0][: len(old[0])], new[1]  # the restore has an entry
        assert old == new, name


async def test_restored_database_has_the_same_documents_and_indexes(servers: Servers, site: Site, folder: Path) -> None:
    async with site.database() as database:
        await database.notes.insert_many([{"_id": id} for id in (1, "a", 2.5, uuid4().bytes)])  # of another program
        await database.notes.create_index("text", name="own", sparse=True)
        before = await contents(database)
    output = site.back_up(folder / "backup")
    manifest = json.loads((folder / "backup" / "manifest.json").read_text())
    assert f"{sum(one['documents'] for one in manifest['collections']):,} documents of " in output
    new = new_site(servers)
    new.restore(folder / "backup")
    after = await all_contents(new)
    assert_restored(before, after)
    assert {doc["epoch"] for doc in map(RawBSONDocument, after["mailboxes"][0])}.isdisjoint(
        doc["epoch"] for doc in map(RawBSONDocument, before["mailboxes"][0])
    )
    modes = {path.stat().st_mode & 0o777 for path in (folder / "backup").iterdir()}
    assert (modes, (folder / "backup").stat().st_mode & 0o777) == ({0o600}, 0o700)


async def test_backup_goes_to_s3_and_comes_back(
    servers: Servers, site: Site, moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**AWS_VARIABLES, "AWS_ENDPOINT_URL": moto_url}.items():
        monkeypatch.setenv(name, value)
    bucket = f"backups-{uuid4().hex[:8]}"
    async with aioboto3.Session(**CREDENTIALS).client("s3", endpoint_url=moto_url) as s3:
        location = {"LocationConstraint": CREDENTIALS["region_name"]}
        await s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=location)
    before = await all_contents(site)
    target = f"s3://{bucket}/hub/today"
    site.back_up(target)
    assert "complete backup" in site.run("backup", target).stderr
    assert "NoSuchBucket" in site.run("backup", "s3://missing-bucket/hub").stderr
    assert "name a bucket and a prefix" in site.run("backup", "s3://bucket").stderr
    new = new_site(servers)
    new.restore(target)
    assert_restored(before, await all_contents(new))


@asynccontextmanager
async def slow_backup(site: Site, target: Path) -> AsyncIterator[ForkedProcess]:
    """Start a backup with small chunks. Yield it when several are stored."""
    settings = {"mongo_url": site.mongo_url, "redis_url": site.redis_url, "mongo_database": site.name}
    variables = environment(**settings, jwt_secret=SECRET) | {CONSTANTS: json.dumps(SMALL_CHUNKS)}
    log = target.with_suffix(".log")
    process = ForkedProcess(["backup", str(target)], variables, log, log)

    async def has_chunks() -> bool:
        return len(await asyncio.to_thread(lambda: list(target.glob("*.bson")))) >= 5

    try:
        await eventually(has_chunks, longest_pause_s=0.01)
        yield process
    finally:
        process.kill()


async def test_backup_that_was_killed_continues_with_the_same_snapshot(
    servers: Servers, site: Site, folder: Path
) -> None:
    async with site.running() as (_, acme):
        for _ in range(5):
            await acme.fill_inbox("carol", 400)
    before = await all_contents(site)
    target = folder / "backup"
    async with slow_backup(site, target) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert not (target / "manifest.json").exists(), "it was killed before its end"
    assert "was stopped" in new_site(servers).run("restore", str(target)).stderr
    async with site.running() as (_, acme):
        await acme.fill_inbox("alice", 10)
        await acme.mark_all("bob", "markAllRead")
    done = site.run("backup", str(target))
    assert "The backup continues" in done.stderr
    assert "starts again" not in done.stderr
    new = new_site(servers)
    new.restore(target)
    after = await all_contents(new)
    for one in (before, after):
        one.pop("workers", None)  # sent heartbeats while `before` was read
    assert_restored(before, after)


async def test_backup_whose_snapshot_is_gone_starts_again(servers: Servers, site: Site, folder: Path) -> None:
    target = folder / "backup"
    async with slow_backup(site, target) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    incomplete = target / "manifest.incomplete.json"
    manifest = json.loads(incomplete.read_text())
    manifest["snapshot"] = [1_700_000_000, 1]
    incomplete.write_text(json.dumps(manifest))
    done = site.run("backup", str(target))
    assert (done.returncode, "starts again" in done.stderr) == (0, True)
    new = new_site(servers)
    new.restore(target)
    before, after = await all_contents(site), await all_contents(new)
    before.pop("backups")  # the record of this backup, written after it
    assert_restored(before, after)


class ForgetfulFolder(Folder):
    """MongoDB loses the history of the snapshot after the second chunk."""

    def __init__(self, path: Path, database: Database) -> None:
        super().__init__(path)
        self._database = database
        self._chunks = 0

    async def write(self, name: str, data: bytes) -> None:
        await super().write(name, data)
        self._chunks += name.endswith(".bson")
        if self._chunks == 2:
            await self._database.client.admin.command({"setParameter": 1, snapshot.WINDOW: 0})
            at = Snapshot(self._database)
            await at.read("notes", [])

            async def gone() -> bool:
                await self._database.notes.insert_one({"_id": uuid4().hex})
                try:
                    await at.read("notes", [])
                except SnapshotGone:
                    return True
                return False

            await eventually(gone, 120)


async def test_backup_that_takes_too_long_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fresh_servers() as (mongod, _), AsyncMongoClient[dict[str, Any]](mongod.url) as client:
        database = client["hub"]
        await database.notes.insert_many([{"_id": f"n{number:04}", "text": "x" * 100} for number in range(1000)])
        monkeypatch.setattr(writer, "CHUNK_BYTES", 1000)
        storage = ForgetfulFolder(folder / "backup", database)
        with pytest.raises(BackupError, match=r"minSnapshotHistoryWindowInSeconds.*snapshot of MongoDB's volume"):
            await BackupWriter(database, storage, 4, [], lambda _: None).run()


async def test_history_is_kept_while_a_backup_runs_and_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fresh_servers() as (mongod, _), AsyncMongoClient[dict[str, Any]](mongod.url) as client:
        database = client["hub"]
        await database.notes.insert_one({"_id": 1})

        async def window() -> int:
            return int((await client.admin.command({"getParameter": 1, snapshot.WINDOW: 1}))[snapshot.WINDOW])

        original = await window()
        started = Snapshot(database)
        await started.read("notes", [])
        assert await window() == original
        monkeypatch.setattr(started, "_started_s", started._started_s - 0.6 * original)
        await started.read("notes", [])
        assert await window() == 2 * original
        await started.close()
        assert await window() == original
        killed = Snapshot(database)
        monkeypatch.setattr(killed, "_started_s", killed._started_s - 0.6 * original)
        await killed.read("notes", [])
        continued = Snapshot(database, killed.at, killed.original_window_s)
        await continued.read("notes", [])
        await continued.close()
        assert await window() == original, "the process that continues sets it back"


async def test_restore_refuses_what_it_cannot_restore(servers: Servers, site: Site, folder: Path) -> None:
    target, new = folder / "backup", new_site(servers)
    site.back_up(target)
    assert "is not empty" in site.run("restore", str(target)).stderr
    assert "this is not a backup" in new.run("restore", str(folder / "none")).stderr
    assert "contains no data of a hub" in new.run("restore", "--adopt").stderr
    assert "contains no data of a hub" in new.run("backup", str(folder / "other")).stderr
    assert new.run("restore").returncode == new.run("restore", str(target), "--adopt").returncode == 2
    (folder / "full").mkdir()
    (folder / "full" / "letter.txt").write_text("Hello")
    assert "contains other files" in site.run("backup", str(folder / "full")).stderr

    path = target / "manifest.json"
    text = path.read_text()
    manifest = json.loads(text)
    for changes in ({"hub_version": "7.0.0"}, {"data_version": 3}):
        path.write_text(json.dumps(manifest | changes))
        refused = new.run("restore", str(target))
        assert (refused.returncode, "and then upgrade" in refused.stderr) == (1, True)
    path.write_text(text)
    assert await all_contents(new) == {}, "nothing was written"
    without_redis = new._replace(redis_url="redis://127.0.0.1:1/0")
    assert "HUB_REDIS_URL" in without_redis.run("restore", str(target)).stderr


async def test_hub_does_not_start_on_an_incomplete_restore(servers: Servers, site: Site, folder: Path) -> None:
    target, new = folder / "backup", new_site(servers)
    site.back_up(target)
    chunk = next(target.glob("sends-*.bson"))
    data = chunk.read_bytes()
    chunk.write_bytes(data[:-1] + b"\x01")
    assert "another SHA-256" in new.run("restore", str(target)).stderr
    for command in (
        ["serve"],
        ["work"],
        ["restore", str(target)],
        ["restore", "--adopt"],
        ["backup", str(folder / "b")],
    ):
        refused = new.run(*command)
        assert (refused.returncode, "dropDatabase" in refused.stderr + refused.stdout) == (1, True), command
    async with new.database() as database:
        await database.client.drop_database(database)
    chunk.write_bytes(data)
    new.restore(target)

    other = new_site(servers)
    async with other.database() as database:
        await database.migrations.insert_many([{"_id": "schema", "major": 4}, {"_id": "restore", "loaded": True}])
    refused = other.run("serve")
    assert "hub restore --adopt" in refused.stderr + refused.stdout
    other.restore("--adopt")
    async with other.running():
        pass


async def test_only_keys_with_the_prefix_are_deleted(servers: Servers, site: Site, folder: Path) -> None:
    site.back_up(folder / "backup")
    new = new_site(servers)
    async with Redis.from_url(servers[1].url) as redis:
        other = f"{new.name}x:lane:EMAIL/HIGH/acme"
        await redis.set(f"{new.name}:lane:EMAIL/HIGH/acme", "1")
        await redis.set(other, "1")
        assert "\n1 keys were deleted in Redis.\n" in new.restore(folder / "backup")
        assert await redis.exists(other)
        assert not await redis.exists(f"{new.name}:lane:EMAIL/HIGH/acme")
        await redis.delete(other)
