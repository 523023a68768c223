"""Malformed HTTP requests and WebSocket frames, sent as raw bytes."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from tests.client import Tenant
from tests.conftest import Stopwatch
from tests.websocket_frames import BINARY, CLOSE, FIN, PING, TEXT, frame, handshake, truncated_frame

pytestmark = pytest.mark.usefixtures("no_internal_errors")
PROTOCOL_ERROR, INVALID_DATA, TOO_BIG, BAD_REQUEST, FORBIDDEN = 1002, 1007, 1009, 4400, 4403
HANG_S = 10.0
INIT = b'{"type": "connection_init"}'


FRAMES: dict[str, tuple[bytes, int]] = {
    "bytes": (frame(FIN | BINARY, INIT), BAD_REQUEST),
    "no bytes": (frame(FIN | BINARY), BAD_REQUEST),
    "bytes in two frames": (frame(BINARY, b"a") + frame(FIN, b"b"), BAD_REQUEST),
    "an unmasked message": (frame(FIN | TEXT, INIT, masked=False), PROTOCOL_ERROR),
    "opcode 3": (frame(FIN | 0x3, INIT), PROTOCOL_ERROR),
    "opcode 7": (frame(FIN | 0x7, INIT), PROTOCOL_ERROR),
    "opcode 11": (frame(FIN | 0xB), PROTOCOL_ERROR),
    "opcode 15": (frame(FIN | 0xF), PROTOCOL_ERROR),
    "compressed, as was not agreed": (frame(FIN | 0x40 | TEXT, INIT), PROTOCOL_ERROR),
    "reserved bit 2": (frame(FIN | 0x20 | TEXT, INIT), PROTOCOL_ERROR),
    "reserved bit 3": (frame(FIN | 0x10 | TEXT, INIT), PROTOCOL_ERROR),
    "the rest of nothing": (frame(FIN, INIT), PROTOCOL_ERROR),
    "a second beginning": (frame(TEXT, b"{") + frame(FIN | TEXT, b"}"), PROTOCOL_ERROR),
    "a ping in parts": (frame(PING, b"a"), PROTOCOL_ERROR),
    "a ping too large": (frame(FIN | PING, b"x" * 126), PROTOCOL_ERROR),
    "a close in parts": (frame(CLOSE, b""), PROTOCOL_ERROR),
    "half a close code": (frame(FIN | CLOSE, b"\x03"), PROTOCOL_ERROR),
    "close code 0": (frame(FIN | CLOSE, struct.pack("!H", 0)), PROTOCOL_ERROR),
    "close code 999": (frame(FIN | CLOSE, struct.pack("!H", 999)), PROTOCOL_ERROR),
    "close code 1005, which is never sent": (frame(FIN | CLOSE, struct.pack("!H", 1005)), PROTOCOL_ERROR),
    "close code 65535": (frame(FIN | CLOSE, struct.pack("!H", 65535)), PROTOCOL_ERROR),
    "a reason that is not UTF-8": (frame(FIN | CLOSE, b"\x03\xe8\xff\xfe"), INVALID_DATA),
    "not UTF-8": (frame(FIN | TEXT, b"\xff\xfe\xfd"), INVALID_DATA),
    "half a character": (frame(FIN | TEXT, b'"\xf0\x9f\x8e'), INVALID_DATA),
    "an overlong slash": (frame(FIN | TEXT, b'"\xc0\xaf"'), INVALID_DATA),
    "half a surrogate": (frame(FIN | TEXT, b'"\xed\xa0\x80"'), INVALID_DATA),
    "not UTF-8 in parts": (frame(TEXT, b'"\xf0\x9f') + frame(FIN, b'xx"'), INVALID_DATA),
    "a message too large": (truncated_frame(65_537), TOO_BIG),
    "a message too large in parts": (frame(TEXT, b" " * 65_530) + frame(FIN, b" " * 7), TOO_BIG),
    "a message that says it has 1 GB": (truncated_frame(1 << 30), TOO_BIG),
    "a message that says it has 2 ** 63 - 1 bytes": (truncated_frame((1 << 63) - 1), TOO_BIG),
    "a message that says it has 2 ** 64 - 1 bytes": (truncated_frame((1 << 64) - 1), TOO_BIG),
    "parts that are well": (frame(TEXT, INIT[:5]) + frame(0) * 1000 + frame(FIN, INIT[5:]), FORBIDDEN),
    "1,025 parts": (frame(TEXT) + frame(0) * 1024, TOO_BIG),
    "parts of a byte": (frame(TEXT, b" ") + frame(0, b" ") * 1024, TOO_BIG),
    "HTTP": (b"GET /graphql HTTP/1.1\r\nHost: x\r\n\r\n" * 5, PROTOCOL_ERROR),
    "zeros": (b"\0" * 100, PROTOCOL_ERROR),
    "ones": (b"\xff" * 100, PROTOCOL_ERROR),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)), PROTOCOL_ERROR),
}


class RawClient:
    """A connection to an API process that sends raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def status(self) -> int:
        """Return the status of the next response, or 0 if the connection was closed without one."""
        line = await self.reader.readline()
        if not line:
            return 0
        while (await self.reader.readline()).strip():
            pass
        return int(line.split()[1])

    async def close_code(self) -> int:
        """Return the code of the next close frame. Other frames are skipped."""
        while True:
            opcode, size = await self.reader.readexactly(2)
            if size == 126:
                [size] = struct.unpack("!H", await self.reader.readexactly(2))
            payload = await self.reader.readexactly(size)
            if opcode == FIN | CLOSE:
                return int.from_bytes(payload[:2], "big")


@asynccontextmanager
async def open_client(tenant: Tenant) -> AsyncIterator[RawClient]:
    to = urlsplit(tenant.next_url())
    reader, writer = await asyncio.open_connection(to.hostname, to.port)
    try:
        async with asyncio.timeout(HANG_S):
            yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("what", FRAMES)
async def test_invalid_frame_closes_the_socket(tenant: Tenant, stopwatch: Stopwatch, what: str) -> None:
    sent, code = FRAMES[what]
    async with open_client(tenant) as connection:
        connection.writer.write(handshake())
        assert await connection.status() == 101
        with stopwatch(what):
            connection.writer.write(sent)
            assert await connection.close_code() == code
        if code >= BAD_REQUEST:  # the hub waits for a close frame of the client
            connection.writer.write(frame(FIN | CLOSE, struct.pack("!H", code)))
        with suppress(ConnectionResetError):
            assert not await connection.reader.read()  # and it is closed


@pytest.mark.parametrize(
    "left",
    [
        b"",
        frame(FIN | TEXT, INIT)[:10],
        frame(TEXT, INIT),
        truncated_frame(60_000),
        frame(TEXT) + frame(0) * 100_000,
        frame(FIN | PING, b"x"),
        bytes((FIN | TEXT,)),
    ],
)
async def test_socket_aborted_in_the_middle_is_released(tenant: Tenant, left: bytes) -> None:
    async with open_client(tenant) as connection:
        connection.writer.write(handshake() + left)
        assert await connection.status() == 101
    assert (await tenant.execute("{ me { id } }", user="alice"))["me"]


async def status(tenant: Tenant, stopwatch: Stopwatch, what: str, sent: bytes) -> int:
    async with open_client(tenant) as connection:
        with stopwatch(what):
            connection.writer.write(sent)
            return await connection.status()


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({"sec_websocket_key": None}, {400}),
        ({"sec_websocket_key": "x"}, {400}),
        ({"sec_websocket_key": "ü" * 24}, {400}),
        ({"sec_websocket_version": None}, {400}),
        ({"sec_websocket_version": "8"}, {400, 426}),
        ({"sec_websocket_version": "x"}, {400, 426}),
        ({"connection": "close"}, {401}),
        ({"upgrade": "h2c"}, {401}),
        ({"sec_websocket_protocol": ", ,"}, {101, 400}),
        ({"sec_websocket_protocol": '"'}, {101, 400}),
        ({"sec_websocket_protocol": None}, {101}),  # it is rejected with 4406
        ({"sec_websocket_extensions": "permessage-deflate; server_max_window_bits=999"}, {101, 400}),
        ({"sec_websocket_extensions": ";;;"}, {101, 400}),
        ({"origin": "https://evil.example"}, {403}),
        ({"origin": "null"}, {403}),
        ({"origin": "\xff"}, {403}),
        ({"host": "", "origin": ""}, {101, 403}),
    ],
    ids=str,
)
async def test_invalid_handshake_is_rejected(
    tenant: Tenant, stopwatch: Stopwatch, headers: dict[str, str | None], statuses: set[int]
) -> None:
    assert await status(tenant, stopwatch, f"handshake {headers}", handshake(**headers)) in statuses


def posted(body: bytes, *headers: str) -> bytes:
    return "\r\n".join(["POST /graphql HTTP/1.1", "host: x", *headers, "", ""]).encode("latin-1") + body


AS_JSON = "content-type: application/json"
QUERY = b'{"query": "{ __typename }"}'
REQUESTS: dict[str, tuple[bytes, set[int]]] = {
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", {400}),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", {400}),
    "the same host twice": (b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n", {400}),
    "two hosts in HTTP 1.0": (b"GET /healthz HTTP/1.0\r\nhost: x\r\nhost: y\r\n\r\n", {400}),
    "a host with a path": (b"GET /healthz HTTP/1.1\r\nhost: x/y\r\n\r\n", {400}),
    "a host with a space": (b"GET /healthz HTTP/1.1\r\nhost: x y\r\n\r\n", {400}),
    "a host with a user": (b"GET /healthz HTTP/1.1\r\nhost: me@x\r\n\r\n", {400}),
    "no host in HTTP 1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", {200}),
    "HTTP 2.0": (b"GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n", {400}),
    "HTTP 0.9 in a whole line": (b"GET /healthz HTTP/0.9\r\nhost: x\r\n\r\n", {400}),
    "300 headers": (b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 300 + b"\r\n", {431}),
    # 0: closed without a response, which is acceptable for some of these
    "no HTTP": (b"hello\r\n\r\n", {400}),
    "zeros": (b"\0" * 1000, {400}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)), {400}),
    "HTTP 0.9": (b"GET /graphql\r\n\r\n", {400, 401}),
    "HTTP 9": (b"GET /graphql HTTP/9.9\r\nhost: x\r\n\r\n", {400, 505}),
    "HTTP 2 from the start": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    "a method nobody knows": (b"HACK /graphql HTTP/1.1\r\nhost: x\r\n\r\n", {400, 405}),
    "a path of everything": (b"GET /../../%00%ff?%zz&&=&query HTTP/1.1\r\nhost: x\r\n\r\n", {400, 404}),
    "a whole address": (b"GET http://evil.example/graphql HTTP/1.1\r\nhost: x\r\n\r\n", {400, 401, 404}),
    "CONNECT": (b"CONNECT evil.example:443 HTTP/1.1\r\nhost: x\r\n\r\n", {0, 400, 404, 405}),
    "a header without a colon": (b"GET /graphql HTTP/1.1\r\nhost\r\n\r\n", {400}),
    "a header with NUL": (b"GET /graphql HTTP/1.1\r\nhost: x\r\na: \0\r\n\r\n", {400}),
    "a folded header": (b"GET /graphql HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n", {400, 401}),
    "a space before the colon": (b"GET /graphql HTTP/1.1\r\nhost : x\r\n\r\n", {400}),
    "no line ends but LF": (b"GET /graphql HTTP/1.1\nhost: x\n\n", {400, 401}),
    "a length that is a word": (posted(b"", "content-length: many", AS_JSON), {400}),
    "a length below 0": (posted(b"", "content-length: -1", AS_JSON), {400}),
    "a length of 30 digits": (posted(b"", "content-length: " + "9" * 30, AS_JSON), {400}),
    "two lengths": (posted(QUERY, "content-length: 27", "content-length: 5", AS_JSON), {400}),
    "a length and chunks": (
        posted(b"0\r\n\r\n", "content-length: 27", "transfer-encoding: chunked", AS_JSON),
        {400, 401},
    ),
    "an encoding nobody knows": (posted(QUERY, "transfer-encoding: rot13", AS_JSON), {400, 401, 501}),
    "chunked twice": (posted(b"0\r\n\r\n", "transfer-encoding: chunked, chunked", AS_JSON), {400, 401}),
    "authorization twice": (
        posted(QUERY, "content-length: 27", AS_JSON, "authorization: Bearer a", "authorization: Bearer b"),
        {400, 401},
    ),
    "authorization of bytes": (posted(QUERY, "content-length: 27", AS_JSON, "authorization: Bearer \xff\xfe"), {401}),
    "authorization of 50 kB": (posted(QUERY, "content-length: 27", AS_JSON, "authorization: " + "x" * 50_000), {401}),
}
CHUNKS: dict[str, tuple[bytes, set[int]]] = {
    "a size that is a word": (b"many\r\n", {400}),
    "a size of 40 digits": (b"f" * 40 + b"\r\n", {400}),
    "a size below 0": (b"-5\r\nhello\r\n", {400}),
    "no line end after a chunk": (b"5\r\nhelloworld\r\n0\r\n\r\n", {400}),
    "an extension of 100 kB": (b"1;" + b"x" * 100_000 + b"\r\n{\r\n0\r\n\r\n", {400}),
    "no chunk at all": (b"0\r\n\r\n", {400}),
    "a byte a chunk": (b"".join(b"1\r\n%c\r\n" % byte for byte in b"[" * 5000) + b"0\r\n\r\n", {400}),
    "a trailer": (b"2\r\n{}\r\n0\r\nauthorization: Bearer x\r\n\r\n", {400}),
    "300 trailers": (b"2\r\n{}\r\n0\r\n" + b"a: b\r\n" * 300 + b"\r\n", {431}),
}
HEADERS: dict[str, tuple[list[str], set[int]]] = {
    "no type": ([], {415}),
    "two types": ([AS_JSON, "content-type: text/plain"], {200, 400}),
    "a type of nonsense": (["content-type: ;;;=,"], {415}),
    "JSON in UTF-16, as it says": (["content-type: application/json; charset=utf-16"], {415}),
    "gzip, as it says": ([AS_JSON, "content-encoding: gzip"], {415}),
    "accepts nothing known": ([AS_JSON, "accept: image/png"], {200}),
    "accepts nonsense": ([AS_JSON, "accept: ,,;q=;;q=nan,application/json;q=-inf,*/*;q=x, ;"], {200}),
    "accepts 10,000 types": ([AS_JSON, "accept: " + "a/b;q=0.1," * 5000], {200}),
    "a request id of nonsense": ([AS_JSON, 'x-request-id: "}\x1b[31m{{7*7}}\xff'], {200, 400}),
    "an empty idempotency key": ([AS_JSON, "idempotency-key:"], {400}),
    "an idempotency key of bytes": ([AS_JSON, "idempotency-key: \xff\xfe"], {200, 400}),
    "an origin of nonsense": ([AS_JSON, "origin: \xff://["], {200, 400, 403}),
    "a host of nonsense": ([AS_JSON, "host: [::::]:99999999", "origin: http://["], {200, 400}),
    "forwarded from nowhere": ([AS_JSON, "x-forwarded-for: \xff, ,999.1.1.1", 'forwarded: for="_x'], {200}),
    "an upgrade to nothing": ([AS_JSON, "connection: upgrade", "upgrade: nonsense"], {200, 400}),
    "expects the impossible": ([AS_JSON, "expect: 500-teapot"], {200, 417}),
    "500 headers": ([AS_JSON, *(f"x-{n}: {n}" for n in range(500))], {431}),
}


@pytest.mark.parametrize("what", REQUESTS)
async def test_invalid_http_request_is_rejected(tenant: Tenant, stopwatch: Stopwatch, what: str) -> None:
    sent, statuses = REQUESTS[what]
    assert await status(tenant, stopwatch, what, sent) in statuses


@pytest.mark.parametrize("what", CHUNKS)
async def test_invalid_chunks_are_rejected(tenant: Tenant, stopwatch: Stopwatch, what: str) -> None:
    sent, statuses = CHUNKS[what]
    token = f"authorization: Bearer {tenant.token('alice')}"
    sent = posted(sent, "transfer-encoding: chunked", AS_JSON, token)
    assert await status(tenant, stopwatch, what, sent) in statuses


@pytest.mark.parametrize("what", HEADERS)
async def test_nonsense_headers_are_harmless(tenant: Tenant, stopwatch: Stopwatch, what: str) -> None:
    headers, statuses = HEADERS[what]
    token = f"authorization: Bearer {tenant.token('alice')}"
    sent = posted(QUERY, f"content-length: {len(QUERY)}", token, *headers)
    assert await status(tenant, stopwatch, what, sent) in statuses


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?query",
        "?query=",
        "?query=%ff",
        "?query=%00",
        "?query=%7B",
        "?query=%7B__typename%7D&variables=",
        "?query=%7B__typename%7D&variables=%5B%5D",
        "?query=%7B__typename%7D&variables=" + "%5B" * 5000,
        "?query=%7B__typename%7D&variables=NaN",
        "?query=%7B__typename%7D&extensions=x",
        "?query=%7B__typename%7D&extensions=7",
        "?query=%7B__typename%7D&extensions=%7B%22persistedQuery%22%3A7%7D",
        "?extensions=%7B%22persistedQuery%22%3A%7B%22version%22%3A1%7D%7D",
        "?query=%7Ba%7D&query=%7Bb%7D&operationName=c&operationName=d",
        "?" + "&".join(f"a{n}=1" for n in range(5000)),
        "?query=" + "%7B" * 10_000,
    ],
    ids=lambda query: str(query)[:60],
)
async def test_unknown_paths_are_rejected(tenant: Tenant, stopwatch: Stopwatch, query: str) -> None:
    async with open_client(tenant) as connection:
        with stopwatch(query[:60]):
            lines = [f"GET /graphql{query} HTTP/1.1", "host: x", f"authorization: Bearer {tenant.token('alice')}"]
            connection.writer.write("\r\n".join([*lines, "", ""]).encode())
            head = (await connection.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length:")[2].split()[0])
            response = json.loads(await connection.reader.readexactly(length))
    assert response["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_incomplete_body_is_released(tenant: Tenant) -> None:
    for length, sent in ((100, b'{"query":'), (1 << 20, b"x" * 100_000), (27, b"")):
        async with open_client(tenant) as connection:
            token = f"authorization: Bearer {tenant.token('alice')}"
            connection.writer.write(posted(sent, f"content-length: {length}", AS_JSON, token))
            await connection.writer.drain()
    assert (await tenant.execute("{ me { id } }", user="alice"))["me"]
