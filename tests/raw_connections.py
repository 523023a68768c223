"""TCP connections that send exact bytes and read only on request."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.client import Json, Tenant

PROXY, CLIENT_ADDRESS, OTHER = "127.0.0.9", "127.0.0.1", "127.0.0.2"
HANG_S = 10.0  # a limit for calls that must not hang
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
FEED = "subscription { inbox { kind notification { body data } } }"


class RawConnection:
    """A connection that writes exact bytes and reads only on request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, words: bytes) -> None:
        self.writer.write(words)

    async def read_response(self) -> tuple[int, Json]:
        """Return status and body of the next response."""
        async with asyncio.timeout(HANG_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(head.partition("content-length: ")[2].split()[0])
            return int(head.split()[1]), json.loads(await self.reader.readexactly(size))

    async def read_to_end(self) -> bytes:
        """Return everything until the server closes the connection."""
        async with asyncio.timeout(HANG_S):
            found = b""
            try:
                while part := await self.reader.read(1 << 16):
                    found += part
            except ConnectionError:
                pass
            return found


@asynccontextmanager
async def open_raw(
    port: int, tls: ssl.SSLContext | None = None, source: str = CLIENT_ADDRESS
) -> AsyncIterator[RawConnection]:
    """Connect with small buffers, so the server notices soon that the client does not read."""
    plain = small_buffer_socket(source)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    name = "127.0.0.1" if tls else None
    reader, writer = await asyncio.open_connection(sock=plain, ssl=tls, server_hostname=name, limit=1024)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.transport.abort()


def small_buffer_socket(source: str = CLIENT_ADDRESS) -> socket.socket:
    """Return a socket with a small receive buffer."""
    created = socket.socket()
    created.setblocking(False)
    created.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    created.bind((source, 0))
    return created


async def sum_metric(session: aiohttp.ClientSession, url: str, name: str, tls: ssl.SSLContext | None = None) -> float:
    async with session.get(url.replace("/graphql", "/metrics"), ssl=tls or True) as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def subscription_request(tenant: Tenant, query: str, *, size: int | None = None) -> bytes:
    """Return a subscription by POST as bytes, optionally with another content length."""
    body = json.dumps({"query": query}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
        f"authorization: Bearer {tenant.token('alice')}\r\ncontent-length: {size or len(body)}\r\n\r\n"
    )
    return head.encode() + body
