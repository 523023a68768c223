"""A fake push service for Chromium. A push arrives as from the vendor: over Chromium's own connection, decrypted by its
own code.

Chromium speaks GCM: it checks in, registers each subscription, and holds a TLS connection (MCS) that delivers pushes.
All of them use protobuf; this module writes only the required fields. One thing is not tested: the vendor's own server.
A script in the page replaces the vendor's URL in a subscription by the URL of this server before the hub gets it."""

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from tests.fake_providers import FakeHTTPServer, create_certificate

VERSION = bytes([41])
PING, PONG, LOGIN, LOGGED_IN, MESSAGE = 0, 1, 2, 3, 8  # MCS tags
RECEIVED_IDS = 10  # field of LOGIN: ids of messages that arrived before
REPLACE_ENDPOINT = """(url) => {
  const endpoint = Object.getOwnPropertyDescriptor(PushSubscription.prototype, "endpoint");
  const exchange = (given) => given.replace(/^https:.*[/]fcm[/]send/, url);
  Object.defineProperty(PushSubscription.prototype, "endpoint", {
    get() { return exchange(endpoint.get.call(this)); },
  });
  const toJSON = PushSubscription.prototype.toJSON;
  PushSubscription.prototype.toJSON = function () {
    return { ...toJSON.call(this), endpoint: this.endpoint };
  };
}"""


def encode_varint(value: int) -> bytes:
    """Encode a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def encode_field(key: int, value: str | bytes | int) -> bytes:
    """Encode a field: text, bytes or a message; an int as varint."""
    if isinstance(value, int):
        return encode_varint(key << 3) + encode_varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return encode_varint(key << 3 | 2) + encode_varint(len(raw)) + raw


def decode_texts(message: bytes, key: int) -> list[str]:
    """Return the texts of a field."""
    found, at = [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte, at = message[at], at + 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        kind = varint()
        if kind & 7 == 2:
            size = varint()
            if kind >> 3 == key:
                found.append(message[at : at + size].decode())
            at += size
        elif kind & 7 == 1:
            at += 8
        else:
            varint()
    return found


def encode_fixed64(key: int, value: int) -> bytes:
    return encode_varint(key << 3 | 1) + value.to_bytes(8, "little")


class LocalPushService(FakeHTTPServer):
    """`pushes`: the requests of the hub, unchanged: path, headers and encrypted body.

    Chromium sometimes drops its connection, together with data that was just written. When it reconnects, it lists the
    messages that it received, and gets the others."""

    def __init__(self) -> None:
        super().__init__()
        self.pushes: list[tuple[str, dict[str, str], bytes]] = []
        self._registered: dict[str, dict[str, str]] = {}
        self._connections: list[StreamWriter] = []
        self._forwarded: dict[str, bytes] = {}

    async def open(self, folder: Path) -> "LocalPushService":
        """Listen for Chromium too, with a new certificate."""
        await self.__aenter__()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*create_certificate(folder))
        self._mcs = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        return self

    async def close(self) -> None:
        for connection in self._connections:
            connection.transport.abort()
        self._mcs.close()
        await super().close()

    @property
    def arguments(self) -> list[str]:
        """The command-line arguments for Chromium."""
        port = self._mcs.sockets[0].getsockname()[1]
        return [
            f"--gcm-checkin-url={self.url}/checkin",
            f"--gcm-registration-url={self.url}/register",
            f"--gcm-mcs-endpoint=https://127.0.0.1:{port}",
            "--ignore-certificate-errors",
        ]

    @property
    def script(self) -> str:
        """A script for every page, which replaces the URL of its subscriptions."""
        return f"({REPLACE_ENDPOINT})('{self.url}/push')"

    async def respond(self, request: web.Request, body: bytes) -> web.Response:
        if request.path == "/checkin":
            return web.Response(
                body=encode_field(1, 1) + encode_field(3, 1) + encode_fixed64(7, 1) + encode_fixed64(8, 1)
            )
        if request.path == "/register":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            token = f"subscription-{len(self._registered)}"
            self._registered[token] = form
            return web.Response(text=f"token={token}")
        token = request.path.rpartition("/")[2]
        if token not in self._registered:
            return web.Response(status=404)
        self.pushes.append((request.path, {name.lower(): v for name, v in request.headers.items()}, body))
        self._forward(self._registered[token], body)
        return web.Response(status=201)

    def _forward(self, registered: dict[str, str], body: bytes) -> None:
        def text(key: str, value: str) -> bytes:
            return encode_field(7, encode_field(1, key) + encode_field(2, value))

        id = f"push-{len(self.pushes)}"
        message = (
            encode_field(3, registered["sender"])
            + encode_field(5, registered["app"])
            + text("content-encoding", "aes128gcm")
            + text("subtype", registered["X-subtype"])
            + encode_field(9, id)
            + encode_field(21, body)
        )
        self._forwarded[id] = bytes([MESSAGE]) + encode_varint(len(message)) + message
        for connection in self._connections[-1:]:
            connection.write(self._forwarded[id])

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await reader.readexactly(1)
            writer.write(VERSION)
            while True:
                tag, size = (await reader.readexactly(1))[0], await self._number(reader)
                message = await reader.readexactly(size)
                if tag == LOGIN:
                    welcome = encode_field(1, "here")
                    writer.write(bytes([LOGGED_IN]) + encode_varint(len(welcome)) + welcome)
                    for id in decode_texts(message, RECEIVED_IDS):
                        self._forwarded.pop(id, None)
                    writer.writelines(self._forwarded.values())
                    self._connections.append(writer)
                elif tag == PING:
                    writer.write(bytes([PONG, 0]))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if writer in self._connections:
                self._connections.remove(writer)
            writer.close()

    async def _number(self, reader: StreamReader) -> int:
        value = shift = 0
        while True:
            byte: Any = (await reader.readexactly(1))[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return int(value)
