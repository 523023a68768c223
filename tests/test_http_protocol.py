"""HTTP clients: media types, origins, pipelining, and bounds for bytes without a token."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hub.api.transport.media_types import EVENTS, GRAPHQL_JSON, JSON, parse_accept
from hub.api.transport.websocket_read_flow import WebSocketReader
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Tenant, eventually
from tests.processes import CANCELLATION_WARNINGS, Deployment, Process
from tests.raw_connections import FEED, RawConnection, open_raw
from tests.telemetry import resident_bytes
from tests.websocket_frames import FIN, PING, TEXT, frame, handshake

QUERY = b'{"query": "{ me { id } }"}'
PAGE = "https://app.example.org"
GROWS_LESS_THAN_BYTES = 40 << 20
FLOOD_BYTES = 30 << 20
GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
async def api(servers: tuple[Mongod, Redis]) -> AsyncIterator[Process]:
    """One process whose pages of one origin may call it."""
    mongod, redis = servers
    settings = {"allowed_origins": "HTTPS://App.example.org:443/", "redis_prefix": "http:", "write_timeout_s": "2"}
    async with Deployment(mongod.url, redis.url, apis=1, workers=0, **settings) as running:
        yield running.apis[0]


@pytest.fixture
async def local_tenant(api: Process) -> AsyncIterator[Tenant]:
    async with Tenant("http", [api.url]) as tenant:
        yield tenant
    assert "Traceback" not in CANCELLATION_WARNINGS.sub("", api.log)


@pytest.mark.parametrize(
    ("header", "single", "events"),
    [
        ("", JSON, False),
        ("*/*", JSON, False),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON, False),
        (JSON, JSON, False),
        (GRAPHQL_JSON, GRAPHQL_JSON, False),
        (EVENTS, EVENTS, True),
        ("text/*", JSON, True),
        (f"{GRAPHQL_JSON}, {EVENTS}", GRAPHQL_JSON, True),
        (f"{EVENTS}, {GRAPHQL_JSON}", EVENTS, True),
        (f"{EVENTS};q=0.1, {JSON}", JSON, True),
        (f"{JSON};q=0.5, {EVENTS};q=0.6", EVENTS, True),
        (f"{GRAPHQL_JSON};charset=utf-8, {JSON};charset=utf-8, {EVENTS}", GRAPHQL_JSON, True),
        (f"{JSON};q=0.9, {GRAPHQL_JSON}", GRAPHQL_JSON, False),
        (f"{JSON};q=0, application/*", GRAPHQL_JSON, False),
        (f"{GRAPHQL_JSON};q=0.5, */*", JSON, False),
        (f"*/*, {EVENTS};q=0", JSON, False),
        (f"multipart/mixed;deferSpec=20220824, {GRAPHQL_JSON}, {JSON}", GRAPHQL_JSON, False),
        (f"{GRAPHQL_JSON.upper()} ; Q=1.0", GRAPHQL_JSON, False),
        (f"{GRAPHQL_JSON};q=7, {JSON};q=0.1", JSON, False),
        ("image/png", JSON, False),
    ],
)
def test_accept_header_selects_the_best_media_type(header: str, single: str, events: bool) -> None:
    found = parse_accept(header)
    assert (found.single, found.events) == (single, events)


@pytest.mark.parametrize(
    "accept", [f"{GRAPHQL_JSON}, {EVENTS}", f"{JSON}, {EVENTS};q=0.1", f"{EVENTS}", "application/*, text/*"]
)
async def test_subscription_by_post_is_a_stream_if_accepted(local_tenant: Tenant, accept: str) -> None:
    """A query of the same client is answered by order and q."""
    headers = {"authorization": f"Bearer {local_tenant.token('alice')}", "accept": accept}
    async with local_tenant.http.post(local_tenant.urls[0], json={"query": FEED}, headers=headers) as response:
        assert (response.status, response.content_type) == (200, EVENTS)
    async with local_tenant.http.post(
        local_tenant.urls[0], json={"query": "{ me { id } }"}, headers=headers
    ) as response:
        assert (response.status, response.content_type) == (200, parse_accept(accept).single)


async def test_subscription_by_post_without_a_stream_names_the_media_type(local_tenant: Tenant) -> None:
    headers = {"authorization": f"Bearer {local_tenant.token('alice')}", "accept": JSON}
    async with local_tenant.http.post(local_tenant.urls[0], json={"query": FEED}, headers=headers) as response:
        assert response.status == 400
        assert EVENTS in (await response.json())["errors"][0]["message"]


@pytest.mark.parametrize(
    ("headers", "body", "field"),
    [
        ({"content-type": "text/plain"}, QUERY, "content-type"),
        ({"content-type": "application/graphql"}, b"{ me { id } }", "content-type"),
        ({"content-type": GRAPHQL_JSON}, QUERY, "content-type"),
        ({"content-type": "multipart/form-data; boundary=x"}, b"--x--\r\n", "content-type"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"query=x", "content-type"),
        ({"content-type": "application/json; charset=utf-16"}, QUERY, "content-type"),
        ({"content-type": 'application/json; charset="ISO-8859-1"'}, QUERY, "content-type"),
        ({"content-type": JSON, "content-encoding": "gzip"}, gzip.compress(QUERY, mtime=0), "content-encoding"),
        ({"content-type": JSON, "content-encoding": "br"}, QUERY, "content-encoding"),
        ({"content-type": JSON}, gzip.compress(QUERY, mtime=0), "body"),
        ({"content-type": JSON}, b"\xef\xbb\xbf" + QUERY, "body"),
        ({"content-type": JSON}, QUERY.decode().encode("utf-16"), "body"),
        ({"content-type": JSON}, QUERY.decode().encode("utf-16-be"), "body"),
        ({"content-type": JSON}, QUERY.decode().encode("utf-32-le"), "body"),
    ],
)
async def test_body_of_another_media_type_is_rejected_with_the_accepted_ones(
    local_tenant: Tenant, headers: dict[str, str], body: bytes, field: str
) -> None:
    token = {"authorization": f"Bearer {local_tenant.token('alice')}"}
    async with local_tenant.http.post(local_tenant.urls[0], data=body, headers=token | headers) as response:
        [error] = (await response.json())["errors"]
        assert response.status == 415
        assert (response.headers["accept-post"], response.headers["accept-encoding"]) == (JSON, "identity")
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert error["message"].startswith("Send application/json in UTF-8")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": 'Application/JSON; Charset="UTF-8"'},
        {"content-type": "application/json;charset=utf8"},
        {"content-type": JSON, "content-encoding": "identity"},
    ],
)
async def test_body_with_a_json_media_type_variant_is_accepted(local_tenant: Tenant, headers: dict[str, str]) -> None:
    token = {"authorization": f"Bearer {local_tenant.token('alice')}"}
    async with local_tenant.http.post(local_tenant.urls[0], data=QUERY, headers=token | headers) as response:
        assert response.status == 200


async def test_page_of_an_allowed_origin_may_send_any_header(local_tenant: Tenant) -> None:
    """For example headers of tracing and error trackers. Credentials are never allowed, because there are no
    cookies."""
    requested = "authorization,baggage,sentry-trace,tracestate,apollographql-client-name,x-anything"
    headers = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": requested}
    async with local_tenant.http.options(local_tenant.urls[0], headers=headers) as response:
        assert response.status == 200
        assert response.headers["access-control-allow-origin"] == PAGE
        assert response.headers["access-control-allow-headers"] == requested
        assert "access-control-allow-credentials" not in response.headers
    async with local_tenant.http.options(
        local_tenant.urls[0], headers=headers | {"origin": "https://evil.example"}
    ) as response:
        assert "access-control-allow-origin" not in response.headers
    receipts = local_tenant.urls[0].replace("/graphql", "/r/x")
    async with local_tenant.http.options(receipts, headers=headers) as response:
        assert response.headers["access-control-allow-headers"] == requested


@pytest.mark.parametrize(
    "path", ["/unsubscribe/x/", "/r/x/", "/providers/ses/", "/healthz/", "/readyz/", "/metrics/", "/graphql/", "//x/"]
)
async def test_path_with_an_extra_slash_does_not_redirect_to_the_host_header(local_tenant: Tenant, path: str) -> None:
    address = local_tenant.urls[0].replace("/graphql", path)
    for method in ("GET", "POST"):
        headers = {"host": "evil.example"}
        async with local_tenant.http.request(method, address, headers=headers, allow_redirects=False) as response:
            assert response.status >= 400
            assert "evil.example" not in f"{response.headers} {await response.text()}"


async def flood(server: RawConnection, part: bytes) -> int:
    """Send this repeatedly without reading, up to FLOOD_BYTES, until the hub accepts nothing for a second. Return the
    number of accepted bytes."""
    parts = part * (65_536 // len(part) + 1)
    sent = 0
    while sent < FLOOD_BYTES:
        server.write(parts)
        try:
            await asyncio.wait_for(server.writer.drain(), 1)
        except (TimeoutError, ConnectionError):
            break
        sent += len(parts)
    return sent


async def test_pipelined_requests_are_not_read_ahead(api: Process) -> None:
    """Megabytes of requests on one connection without a token, whose responses are not read."""
    before = resident_bytes(api)
    post = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    for request in (GET, post):
        async with open_raw(api.port) as server:
            await flood(server, request)
            assert resident_bytes(api) - before < GROWS_LESS_THAN_BYTES


async def test_pipelined_requests_are_all_answered_in_order(api: Process) -> None:
    count = 3000
    async with open_raw(api.port) as server:
        server.write(b"".join(GET.replace(b"/healthz", b"/%d" % n) if n % 10 else GET for n in range(count)))
        for n in range(count):
            head = (await asyncio.wait_for(server.reader.readuntil(b"\r\n\r\n"), 10)).decode().lower()
            size = int(head.partition("content-length: ")[2].split()[0])
            body = await server.reader.readexactly(size)
            assert head.split()[1] == ("404" if n % 10 else "200"), (n, head, body)


async def test_pipelined_requests_with_split_bodies_are_answered(local_tenant: Tenant, api: Process) -> None:
    """In whatever pieces they arrive."""
    body = b'{"query": "{ me { id } }", "x": "' + b"\r\n\r\n" * 100_000 + b'"}'
    body = body.replace(b"\r\n\r\n", b"\\r\\n ")
    token = local_tenant.token("alice")
    head = f"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\nauthorization: Bearer {token}\r\n"
    complete = (f"{head}content-length: {len(body)}\r\n\r\n".encode() + body) * 3
    async with open_raw(api.port) as server:
        for start in range(0, len(complete), 70_001):
            server.write(complete[start : start + 70_001])
            await asyncio.sleep(0)
        for _ in range(3):
            status, response = await server.read_response()
            assert (status, response) == (200, {"data": {"me": {"id": "alice"}}})


async def test_unsupported_upgrade_is_ignored(local_tenant: Tenant, api: Process) -> None:
    """Java's HttpClient sends this with every first request (RFC 9110, 7.8)."""
    token = f"authorization: Bearer {local_tenant.token('alice')}\r\ncontent-type: {JSON}\r\n"
    upgrade = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
    head = f"POST /graphql HTTP/1.1\r\nhost: x\r\n{upgrade}{token}content-length: {len(QUERY)}\r\n\r\n".encode()
    async with open_raw(api.port) as server:
        for _ in range(2):
            server.write(head + QUERY)
            assert await server.read_response() == (200, {"data": {"me": {"id": "alice"}}})


async def test_invalid_bytes_after_a_request_are_answered_after_it(api: Process) -> None:
    async with open_raw(api.port) as server:
        server.write(GET + GET + b"garbage\r\n\r\n")
        assert [(await server.read_response())[0] for _ in range(3)] == [200, 200, 400]
        assert await server.read_to_end() == b""
    for invalid in (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        async with open_raw(api.port) as server:
            server.write(GET)
            assert (await server.read_response())[0] == 200
            server.write(GET + invalid + GET)
            assert (await server.read_response())[0] == 200
            status, response = await server.read_response()
            assert (status, response["errors"][0]["extensions"]["code"]) == (400, "BAD_USER_INPUT")
            assert await server.read_to_end() == b""
    async with open_raw(api.port) as server:
        server.write(GET + handshake() + GET)
        assert (await server.read_response())[0] == 200
        assert (await server.read_response())[0] == 400
        assert await server.read_to_end() == b""


async def test_stream_followed_by_a_request_ends_with_its_connection(local_tenant: Tenant, api: Process) -> None:
    """The stream frees its slot among the sockets of its user each time."""
    body = b'{"query": "subscription { inbox { kind } }"}'
    token = f"authorization: Bearer {local_tenant.token('bob')}\r\naccept: {EVENTS}\r\ncontent-type: {JSON}\r\n"
    head = f"POST /graphql HTTP/1.1\r\nhost: x\r\n{token}content-length: {len(body)}\r\n\r\n"

    async def context() -> bool:
        async with open_raw(api.port) as server:
            server.write(head.encode() + body + GET * 50)
            return b" 200 " in await server.reader.readuntil(b"\r\n")

    for _ in range(50):
        await eventually(context)


async def test_pings_without_reading_the_pongs_are_not_read_ahead(api: Process) -> None:
    """The same holds for many messages before `connection_init`."""
    before = resident_bytes(api)
    for part in (frame(FIN | PING, b"x" * 125), frame(FIN | TEXT, b'{"type": "ping"}'), frame(FIN | PING)):
        async with open_raw(api.port) as server:
            server.write(handshake())
            await server.reader.readuntil(b"\r\n\r\n")
            assert await flood(server, part) < FLOOD_BYTES
            assert resident_bytes(api) - before < GROWS_LESS_THAN_BYTES


async def test_many_frames_at_once_do_not_block_other_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends only empty frames does not block others."""
    read: list[bytes] = []
    others = 0  # turns of other clients

    def parse(_: object, data: bytes) -> None:
        time.sleep(0.002)  # the time of a few hundred frames
        read.append(data)

    class Reader(WebSocketReader):
        _can_accept = True

        def __init__(self) -> None:
            self.loop = asyncio.get_running_loop()
            self.conn = SimpleNamespace(parser_exc=None)  # type: ignore[assignment]

        def _update_reading(self) -> None: ...

    monkeypatch.setattr(WebSocketsSansIOProtocol, "data_received", parse)
    sent = bytes(range(256)) * 4 * 20
    Reader().data_received(sent)
    while b"".join(read) != sent:
        assert len(b"".join(read)) < len(sent)
        others += 1
        await asyncio.sleep(0)
    assert others > 3


async def test_socket_that_reads_gets_a_pong_for_each_ping(api: Process) -> None:
    count = 20_000
    async with open_raw(api.port) as server:
        server.write(handshake())
        await server.reader.readuntil(b"\r\n\r\n")
        server.write(b"".join(frame(FIN | PING, b"%05d" % n) for n in range(count)))
        for n in range(count):
            pong = await asyncio.wait_for(server.reader.readexactly(7), 10)
            assert pong == bytes((FIN | 0xA, 5)) + b"%05d" % n


async def test_many_connections_with_large_headers_use_little_memory(api: Process) -> None:
    """200 connections, each with the maximum of headers and without an end."""
    before = resident_bytes(api)
    async with AsyncExitStack() as stack:
        for _ in range(200):
            server = await stack.enter_async_context(open_raw(api.port))
            server.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + b"a:\r\n" * 15_000)
        async with open_raw(api.port) as server:
            server.write(GET)
            assert (await server.read_response())[0] == 200
        assert resident_bytes(api) - before < GROWS_LESS_THAN_BYTES


async def test_close_during_messages_logs_no_traceback(local_tenant: Tenant, api: Process) -> None:
    """Messages and the close of the client in one segment, or only the end of the connection."""
    goodbye = frame(FIN | 0x8, b"\x03\xe8")
    init = f'{{"type": "connection_init", "payload": {{"authorization": "Bearer {local_tenant.token("alice")}"}}}}'.encode()
    query = b'{"id": "%d", "type": "subscribe", "payload": {"query": "{ me { id } }"}}'
    feed = b'{"id": "f%d", "type": "subscribe", "payload": {"query": "subscription { inbox { kind } }"}}'
    for round in range(30):
        async with open_raw(api.port) as server:
            messages = [init, *[b'{"type": "ping"}'] * (round % 7), *(query % n for n in range(round % 5))]
            messages += [feed % n for n in range(round % 3)] + [b'{"type": "ping"}'] * (round % 4)
            output = handshake() + b"".join(frame(FIN | TEXT, message) for message in messages)
            if round % 2:
                server.write(handshake())
                await server.reader.readuntil(b"\r\n\r\n")
                output = output[len(handshake()) :]
            server.write(output + (goodbye if round % 3 else b""))
            if round % 4 == 0:
                await asyncio.sleep(0.01)
            if round % 5:
                await asyncio.wait_for(server.reader.read(1), 5)
    assert (await local_tenant.execute("{ me { id } }", user="alice"))["me"]
