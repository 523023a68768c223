"""The local servers start, keep their data, and never outlive their parent."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis as RedisClient

from hub.platform import embedded_servers, server_process, server_programs
from hub.platform.embedded_servers import Mongod, Redis, ReplicaSet
from hub.platform.server_process import ServerProcess
from hub.platform.server_programs import ServerError

S = TypeVar("S", bound=ServerProcess | ReplicaSet)

PARENT = """
import asyncio, sys
from pathlib import Path
from hub.platform.embedded_servers import Mongod, Redis

async def main():
    folder = Path(sys.argv[1])
    servers = [Mongod(folder), Redis(folder)]
    for server in servers:
        await server.start()
    print(*(server.port for server in servers), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def started(server: S) -> AsyncIterator[S]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def insert(url: str, number: int) -> None:
    client: AsyncMongoClient[dict[str, int]] = AsyncMongoClient(url, w="majority", journal=True, timeoutMS=20_000)
    async with client:
        await client.test.things.insert_one({"_id": number})


async def stored(url: str) -> list[int]:
    client: AsyncMongoClient[dict[str, int]] = AsyncMongoClient(url, timeoutMS=20_000)
    async with client:
        return [thing["_id"] async for thing in client.test.things.find().sort("_id")]


async def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.01)


async def test_mongod_restarted_keeps_data_and_port(folder: Path) -> None:
    async with started(Mongod(folder)) as first:
        await insert(first.url, 1)
        await first.start()  # no effect: it runs
        first.kill()
        assert first.pid is None
        await first.start()
        assert await stored(first.url) == [1]
    async with started(Mongod(folder)) as second:
        assert second.url == first.url
        assert await stored(second.url) == [1]


async def test_mongod_on_another_port_keeps_data_and_takes_writes(folder: Path) -> None:
    async with started(Mongod(folder)) as first:
        await insert(first.url, 1)
    (folder / "port").unlink()
    async with started(Mongod(folder)) as second:
        assert second.url != first.url
        await insert(second.url, 2)
        assert await stored(second.url) == [1, 2]


async def test_mongod_on_a_used_folder_fails_with_a_message(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_servers, "DATA_LOCK_TIMEOUT_S", 0)
    async with started(Mongod(folder)) as first:
        with pytest.raises(ServerError, match="in use by another mongod"):
            await Mongod(folder).start()
        await insert(first.url, 1)


async def test_redis_restarted_keeps_its_url_and_no_data(folder: Path) -> None:
    async with started(Redis(folder)) as server:
        url = server.url
        async with RedisClient.from_url(url) as client:
            await client.set("key", "value")
        server.kill()
        await server.start()
        assert server.url == url
        async with RedisClient.from_url(url) as client:
            assert await client.get("key") is None


async def test_suspended_server_does_not_respond_until_resumed_and_still_stops(folder: Path) -> None:
    async with started(Redis(folder)) as server, RedisClient.from_url(server.url) as client:
        server.suspend()
        ping = asyncio.ensure_future(client.ping())
        assert not (await asyncio.wait([ping], timeout=0.2))[0]
        server.resume()
        assert await ping
        server.suspend()


async def test_servers_stop_within_the_ctrl_c_timeout(folder: Path) -> None:
    mongod, redis = Mongod(folder), Redis(folder)
    async with started(mongod), started(redis):
        since = time.monotonic()
        await redis.stop()
        await mongod.stop()
        assert time.monotonic() - since < 4
        await mongod.stop()  # no effect: it does not run


async def test_servers_die_with_a_killed_parent(folder: Path) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, folder, stdout=subprocess.PIPE)
    assert parent.stdout
    ports = [int(port) for port in (await parent.stdout.readline()).split()]
    assert len(ports) == 2
    await insert(f"mongodb://127.0.0.1:{ports[0]}/?replicaSet=hub", 1)
    parent.kill()
    await parent.wait()
    await wait_until(lambda: not any(server_process.is_listening(port) for port in ports))
    async with started(Mongod(folder)) as server:
        assert await stored(server.url) == [1]


async def test_replica_set_elects_another_when_its_primary_is_killed(folder: Path) -> None:
    async with started(ReplicaSet(folder)) as servers:
        await insert(servers.url, 1)
        primary = await servers.primary()
        assert primary
        primary.kill()
        await insert(servers.url, 2)
        await primary.start()
        assert await stored(servers.url) == [1, 2]


async def test_server_that_ends_shows_its_log(folder: Path) -> None:
    program = folder / "broken"
    program.write_text("#!/bin/sh\necho no memory left\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(ServerError, match=r"redis-server ended with status 3[\s\S]*no memory left"):
        await Redis(folder, binary=str(program)).start()


async def test_server_on_a_used_port_fails_with_a_message(folder: Path) -> None:
    async with started(Redis(folder)) as first:
        with pytest.raises(ServerError, match=f"Port {first.port} on 127.0.0.1, meant for redis-server, is taken"):
            await Redis(folder, port=first.port).start()


@pytest.mark.parametrize(
    ("program", "system", "words"),
    [
        (server_programs.MONGOD, "Linux", ["mongod", "notification-hub[servers]", "HUB_MONGO_URL"]),
        (server_programs.MONGOD, "Darwin", ["brew install mongodb-community"]),
        (server_programs.REDIS, "Linux", ["apt-get install redis-server", "HUB_REDIS_URL"]),
        (server_programs.REDIS, "Darwin", ["brew install redis"]),
        (server_programs.REDIS, "Windows", ["redis-server for Windows"]),
    ],
)
def test_find_without_a_program_names_what_to_install(
    program: server_programs.Program, system: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("platform.system", lambda: system)
    with pytest.raises(ServerError) as caught:
        server_programs.find(program)
    assert all(word in str(caught.value) for word in words)


def test_find_with_an_invalid_program_setting_names_it() -> None:
    with pytest.raises(ServerError, match="/nowhere/mongod cannot be run as mongod"):
        server_programs.find(server_programs.MONGOD, "/nowhere/mongod")


def test_find_prefers_setting_then_path_then_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = folder / "fiftyone/db/bin/mongod"
    wheel.parent.mkdir(parents=True)
    wheel.write_text("#!/bin/sh\n")
    (folder / "fiftyone/__init__.py").touch()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PATH", str(folder / "bin"))
    assert server_programs.find(server_programs.MONGOD) == str(wheel)
    assert os.access(wheel, os.X_OK)  # wheels do not always preserve the executable bit
    on_path = folder / "bin/mongod"
    on_path.parent.mkdir()
    on_path.write_text("#!/bin/sh\n")
    on_path.chmod(0o755)
    assert server_programs.find(server_programs.MONGOD) == str(on_path)
    assert server_programs.find(server_programs.MONGOD, str(wheel)) == str(wheel)
