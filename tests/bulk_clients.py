"""Thousands of clients in one process: inbox subscriptions on asyncio protocols, which cost the machine a fraction of
what they cost the server."""

import asyncio
import json
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from random import Random

from tests.client import Json, Tenant, eventually
from tests.processes import Process

OPENING_S = 20.0
SMALL_BYTES = 4096  # receive buffer of a client that stops reading
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
FEED = "subscription ($after: Cursor) { inbox(after: $after) { cursor kind notification { title body data } } }"
EVENT = re.compile(rb'"cursor":"([^"]*)","kind":"([A-Z_]+)","notification":(?:null|{"title":"([^"]*)")')


class BulkClient(asyncio.Protocol):
    """One socket with one subscription. `titles`: the titles that arrived over all its connections, in order. `cursor`:
    the last one, with which the next connection resumes."""

    def __init__(self, token: str, on_title: Callable[[str], None] = lambda _: None) -> None:
        self._token = token
        self._on_title = on_title
        self._transport: asyncio.Transport | None = None
        self._bytes = bytearray()
        self._upgraded = False
        self._gone: asyncio.Future[None] | None = None
        self.subscribed: asyncio.Future[None] | None = None
        self.titles: list[str] = []
        self.other_kinds: list[str] = []
        """Event kinds other than ADDED."""
        self.cursor: str | None = None
        self.close_codes: list[int] = []
        """The close codes that the server sent."""
        self.errors: list[Json] = []

    async def open(self, port: int) -> None:
        """Connect and subscribe. Raise OSError if nothing listens or the server goes away."""
        loop = asyncio.get_running_loop()
        self._bytes.clear()
        self._upgraded = False
        self.subscribed, self._gone = loop.create_future(), loop.create_future()
        async with asyncio.timeout(OPENING_S):
            await loop.create_connection(lambda: self, "127.0.0.1", port)
            await self.subscribed

    async def wait_closed(self) -> None:
        """Return when the connection has ended."""
        assert self._gone
        await self._gone

    async def reconnect_forever(self, port: int, random: Random, pace: float) -> None:
        """Keep the connection open until cancelled. Reconnect with the delays of the npm package graphql-ws, times
        `pace`."""
        attempt = 0
        while True:
            with suppress(OSError):
                if self._transport is None:
                    await self.open(port)
                    attempt = 0
                await self.wait_closed()
            await asyncio.sleep((2**attempt + random.uniform(0.3, 3)) * pace)
            attempt += 1

    def stop_reading(self) -> None:
        """Stop reading permanently, like a laptop whose lid was closed."""
        assert self._transport
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
        self.pause_reading()

    def pause_reading(self) -> None:
        """Pause until `resume_reading`, like a suspended tab."""
        assert self._transport
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        assert self._transport
        self._transport.resume_reading()

    def close(self) -> None:
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(UPGRADE)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        if self.subscribed and not self.subscribed.done():
            self.subscribed.set_exception(ConnectionResetError("lost while opening"))
        if self._gone and not self._gone.done():
            self._gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        if not self._upgraded:
            head, end, rest = bytes(self._bytes).partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._upgraded = True
            self._bytes[:] = rest
            self._send_json({"type": "connection_init", "payload": {"authorization": f"Bearer {self._token}"}})
        at = 0
        while size := _frame_bounds(self._bytes, at):
            start, end_at = size
            self._handle_frame(self._bytes[at], bytes(self._bytes[start:end_at]))
            at = end_at
        del self._bytes[:at]

    def _handle_frame(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._write(PONG, payload)
        elif opcode == CLOSE:
            self.close_codes.append(struct.unpack("!H", payload[:2])[0])
            self._write(CLOSE, payload[:2])
        elif payload.startswith(b'{"id":"1","type":"next"'):
            found = EVENT.search(payload)
            assert found, payload[:300]
            cursor, kind, title = (part.decode() for part in found.groups(b""))
            self.cursor = cursor
            if kind == "ADDED":
                self.titles.append(title)
                self._on_title(title)
            else:
                self.other_kinds.append(kind)
        else:
            self._handle_message(json.loads(payload))

    def _handle_message(self, message: Json) -> None:
        match message["type"]:
            case "connection_ack":
                self._subscribe()
                assert self.subscribed
                if not self.subscribed.done():
                    self.subscribed.set_result(None)
            case "error":
                self.errors += message["payload"]
                self.close()
            case "complete":
                self.close()
            case other:
                raise AssertionError(other)

    def _subscribe(self) -> None:
        payload = {"query": FEED, "variables": {"after": self.cursor}}
        self._send_json({"id": "1", "type": "subscribe", "payload": payload})

    def _send_json(self, message: Json) -> None:
        self._write(TEXT, json.dumps(message).encode())

    def _write(self, opcode: int, payload: bytes) -> None:
        """Write a frame. The mask is zeros, which leaves the payload unchanged (RFC 6455, 5.3)."""
        if self._transport and not self._transport.is_closing():
            size = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
            self._transport.write(bytes((opcode,)) + size + bytes(4) + payload)


def _frame_bounds(data: bytearray, at: int) -> tuple[int, int] | None:
    """Return where the payload of the frame at `at` begins and ends, or None if it is incomplete."""
    have = len(data)
    if have < at + 2:
        return None
    size, start = data[at + 1], at + 2
    if size >= 126:
        digits = 2 if size == 126 else 8
        if have < start + digits:
            return None
        size = int.from_bytes(data[start : start + digits], "big")
        start += digits
    return (start, start + size) if have >= start + size else None


@asynccontextmanager
async def closing_clients(lines: list[BulkClient]) -> AsyncIterator[None]:
    """Close these clients at the end, and those added to the list meanwhile."""
    try:
        yield
    finally:
        for line in lines:
            line.close()
        await asyncio.sleep(0.1)


async def open_all(lines: Iterable[BulkClient], port: int, at_once: int = 64) -> None:
    """Open the clients, `at_once` at a time."""
    waiting = iter(list(lines))

    async def part() -> None:
        for line in waiting:
            await line.open(port)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(part())


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def read_metric(tenant: Tenant, api: Process, name: str) -> float:
    async with tenant.http.get(api.url.replace("/graphql", "/metrics")) as response:
        text = await response.text()
    return next((float(line.split()[-1]) for line in text.splitlines() if line.rpartition(" ")[0] == name), 0.0)


async def wait_for_subscriptions(api: Process, count: int, tenant: Tenant) -> None:
    """Return when that many subscriptions are open."""

    async def connection() -> bool:
        return await read_metric(tenant, api, "hub_feeds") == count

    await eventually(connection, 60)


async def measure_queries(stop: asyncio.Event, tenant: Tenant, url: str, every_s: float = 0.02) -> list[float]:
    """Return the latencies of the queries of an unrelated user, in milliseconds."""
    durations = []
    while not stop.is_set():
        started_at = time.monotonic()
        await tenant.inbox("somebody-else", first=5, url=url)
        durations.append((time.monotonic() - started_at) * 1000)
        await asyncio.sleep(every_s)
    return durations
