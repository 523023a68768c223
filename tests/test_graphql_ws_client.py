"""The npm package `graphql-ws` in Node: it is disconnected, reconnects, and misses nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.conftest import NODE, scaled
from tests.processes import Deployment, Process

CUTS = scaled(2, 20)  # of each kind


class Proxy:
    """A proxy in front of an API process that cuts connections like a network failure."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._to)
            self._open.add(upstream)
            await asyncio.gather(_pour(reader, upstream), _pour(upstream_reader, writer))
            self._open.discard(upstream)
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.transport.abort()


class Watch:
    """`watch.mjs` in its own process. `lines`: its output."""

    def __init__(self) -> None:
        self.lines: list[Json] = []

    @property
    def events(self) -> list[Json]:
        return [line["event"] for line in self.lines if "event" in line]

    @property
    def connections(self) -> list[Json]:
        return [line for line in self.lines if "connected" in line]

    async def connected(self, times: int) -> None:
        async def check() -> bool:
            return len(self.connections) >= times

        await eventually(check)

    async def received(self, count: int) -> None:
        async def check() -> bool:
            return len(self.events) >= count

        await eventually(check)

    async def more_events(self, count: int = 10) -> None:
        """Return when the client has received that many more events."""
        await self.received(len(self.events) + count)


@asynccontextmanager
async def watching(node: str, url: str, token_file: Path, position: str) -> AsyncIterator[Watch]:
    process = await asyncio.create_subprocess_exec(
        *(node, NODE / "watch.mjs", url, token_file, position),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert process.stdout
    assert process.stdin
    watch, out = Watch(), process.stdout

    async def listen() -> None:
        async for line in out:
            watch.lines.append(json.loads(line))

    listening = asyncio.create_task(listen())
    try:
        yield watch
    finally:
        process.stdin.close()
        await process.wait()
        await listening


class Sender:
    """Sends numbered notifications to alice, each until it succeeds. `titles`: those that were accepted."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._stop = asyncio.Event()
        self.titles: list[str] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._stop.is_set():
            number = str(len(self.titles))
            try:
                await self._tenant.send("alice", title=number, idempotencyKey=number)
            except (aiohttp.ClientError, GraphQLErrors, OSError):
                await asyncio.sleep(0.02)
            else:
                self.titles.append(number)

    async def stop(self) -> None:
        self._stop.set()
        await self._task


async def disconnect_repeatedly(api: Process, proxy: Proxy, watch: Watch) -> int:
    """Kill the process, cut the connection and stop the process, `CUTS` times. Return the number of connections."""
    connections = 1
    for _ in range(CUTS):
        for disconnect in ("kill", "cut", "stop"):
            await watch.more_events()
            if disconnect == "kill":
                api.kill()
                await api.start()
            elif disconnect == "cut":
                proxy.cut()
            else:
                await api.stop()
                await api.start()
            connections += 1
            await watch.connected(connections)
    return connections


def check_events(watch: Watch, position: str, sent: list[str]) -> None:
    """Each notification was received once, and each connection continued after the last event of the one before."""
    assert [event["notification"]["title"] for event in watch.events] == sent
    assert {event["kind"] for event in watch.events} == {"ADDED"}
    assert len({event["notification"]["id"] for event in watch.events}) == len(sent)
    assert not [line for line in watch.lines if "failed" in line or "completed" in line]
    assert 4403 in [line.get("closed") for line in watch.lines]
    cursor = position
    for line in watch.lines:
        if "event" in line:
            cursor = line["event"]["cursor"]
        elif "connected" in line:
            assert line["connected"] == cursor


@pytest.mark.timeout(600)
async def test_graphql_ws_client_disconnected_repeatedly_receives_each_event_once(
    node: str, servers: tuple[Mongod, Redis], tmp_path: Path
) -> None:
    mongod, redis = servers
    async with Deployment(mongod.url, redis.url, apis=1, workers=0) as running:
        [api] = running.apis
        token_file = tmp_path / "token"
        async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant, Proxy(api.port) as proxy:
            token_file.write_text(tenant.token("alice"))
            position = (await tenant.inbox("alice"))["position"]
            url = f"ws://127.0.0.1:{proxy.port}/graphql"
            async with watching(node, url, token_file, position) as watch:
                await watch.connected(1)
                sender = Sender(tenant)
                connections = await disconnect_repeatedly(api, proxy, watch)

                # The token expires under the open socket. The next connection sends a fresh one.
                token_file.write_text(tenant.token("alice", expires_in_s=2))
                proxy.cut()
                await watch.connected(connections + 1)
                token_file.write_text(tenant.token("alice"))
                await watch.connected(connections + 2)
                await watch.more_events()

                await sender.stop()
                await watch.received(len(sender.titles))
            check_events(watch, position, sender.titles)
            assert watch.events[-1]["unread"] == len(sender.titles) == (await tenant.inbox("alice"))["unread"]


async def test_graphql_ws_client_reconnects_after_close_code_1012(
    node: str, servers: tuple[Mongod, Redis], tmp_path: Path
) -> None:
    mongod, redis = servers
    async with Deployment(mongod.url, redis.url, apis=1, workers=0) as running:
        [api] = running.apis
        async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
            (tmp_path / "token").write_text(tenant.token("alice"))
            position = (await tenant.inbox("alice"))["position"]
            async with watching(node, api.url.replace("http", "ws"), tmp_path / "token", position) as watch:
                await watch.connected(1)
                await api.stop()
                await api.start()
                await watch.connected(2)
            assert watch.lines[1] == {"closed": 1012}
