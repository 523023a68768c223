"""The door below HTTP: how many may come from an address, whose word on it counts, and clients that do not send or do
not read."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hub.api.transport.client_address import ClientAddresses, proxy_headers
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from tests.certificates import Certificate, certificate
from tests.client import Json, Tenant, eventually
from tests.commands import call
from tests.processes import SECRET, Deployment, Process

MOST = 3
PROXY, STRANGER, OTHER = "127.0.0.9", "127.0.0.1", "127.0.0.2"
REQUEST_TIMEOUT_S = 1.0
SOON_S = 10.0  # a bound for hangs
SHUTDOWN_S = 10.0
ENDED_S = 6.0  # clients that do not go are not waited for that long
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
FEED = "subscription { inbox { kind notification { body data } } }"


@pytest.fixture(scope="module")
async def narrow(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    """Few connections an address; believes one proxy, whatever uvicorn would."""
    mongod, redis = servers
    settings = {
        "connections_per_address": str(MOST),
        "trusted_proxies": f"{PROXY}, 10.0.0.0/8",
        "redis_prefix": "narrow:",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORWARDED_ALLOW_IPS", "*")
        deployment = Deployment(mongod.url, redis.url, apis=1, workers=0, **settings)
    async with deployment as running:
        yield running


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=["plain", "tls"])
async def impatient(
    request: pytest.FixtureRequest, servers: tuple[Mongod, Redis], mine: Certificate
) -> AsyncIterator["Impatient"]:
    """Waits for nobody, over plain TCP and over TLS."""
    mongod, redis = servers
    settings = {
        "request_timeout_s": str(REQUEST_TIMEOUT_S),
        "stalled_s": "1",
        "init_timeout_s": "0.5",
        "sockets_per_user": "2",
        "redis_prefix": f"impatient-{request.param}:",
    }
    tls = mine.trusting if request.param == "tls" else None
    if tls:
        settings |= {"ssl_certfile": str(mine.file), "ssl_keyfile": str(mine.key)}
    async with Deployment(mongod.url, redis.url, apis=1, workers=0, **settings) as running:
        yield Impatient(running.apis[0], tls)


class Impatient:
    def __init__(self, api: Process, tls: ssl.SSLContext | None) -> None:
        self.api = api
        self.tls = tls
        self.url = api.url.replace("http", "https") if tls else api.url

    def tenant(self, name: str) -> Tenant:
        return Tenant(name, [self.url], self.tls)

    async def metric(self, name: str) -> float:
        async with aiohttp.ClientSession() as session:
            return await metric(session, self.url, name, self.tls)


class Raw:
    """A connection that says what it is told, and reads only when asked to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, words: bytes) -> None:
        self.writer.write(words)

    async def answer(self) -> tuple[int, Json]:
        """Status and body of the next response."""
        async with asyncio.timeout(SOON_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(head.partition("content-length: ")[2].split()[0])
            return int(head.split()[1]), json.loads(await self.reader.readexactly(size))

    async def rest(self) -> bytes:
        """What comes until the server hangs up."""
        async with asyncio.timeout(SOON_S):
            found = b""
            try:
                while part := await self.reader.read(1 << 16):
                    found += part
            except ConnectionError:
                pass
            return found


@asynccontextmanager
async def raw(port: int, tls: ssl.SSLContext | None = None, source: str = STRANGER) -> AsyncIterator[Raw]:
    """With small buffers, so that who does not read is felt soon."""
    plain = unread(source)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    name = "127.0.0.1" if tls else None
    reader, writer = await asyncio.open_connection(sock=plain, ssl=tls, server_hostname=name, limit=1024)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def unread(source: str = STRANGER) -> socket.socket:
    """A socket whose kernel keeps little of what nobody reads."""
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.bind((source, 0))
    return made


async def metric(session: aiohttp.ClientSession, url: str, name: str, tls: ssl.SSLContext | None = None) -> float:
    async with session.get(url.replace("/graphql", "/metrics"), ssl=tls or True) as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def asking(tenant: Tenant, query: str, *, size: int | None = None) -> bytes:
    """A subscription by POST, as bytes; of another `size` than it has, if wanted."""
    body = json.dumps({"query": query}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
        f"authorization: Bearer {tenant.token('alice')}\r\ncontent-length: {size or len(body)}\r\n\r\n"
    )
    return head.encode() + body


def forwarded(client: str, proto: str = "https") -> bytes:
    return HEALTH[:-2] + f"x-forwarded-for: {client}\r\nx-forwarded-proto: {proto}\r\n\r\n".encode()


async def test_address_with_all_its_connections_is_told_so_at_once(narrow: Deployment) -> None:
    port = narrow.apis[0].port
    url = f"ws://127.0.0.1:{port}/graphql"
    async with AsyncExitStack() as stack:
        protocols = {"subprotocols": ["graphql-transport-ws"]}
        open_socket = await stack.enter_async_context(connect(url, **protocols))
        silent = await stack.enter_async_context(raw(port))
        asked = await stack.enter_async_context(raw(port))
        asked.say(HEALTH)
        assert (await asked.answer())[0] == 200
        async with raw(port) as fourth:
            fourth.say(HEALTH)
            status, answer = await fourth.answer()
        assert status == 429
        [error] = answer["errors"]
        assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfter": 5}
        assert "HUB_CONNECTIONS_PER_ADDRESS" in error["message"]
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, **protocols)
        assert refused.value.response.status_code == 429
        async with raw(port) as mute:
            assert await mute.rest() == b""
        asked.say(HEALTH)  # those who are in stay in
        assert (await asked.answer())[0] == 200
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(OTHER, 0))) as other:
            assert await metric(other, narrow.urls[0], "hub_connections_refused_total") >= 3

        async def let_in() -> bool:
            async with raw(port) as again:
                again.say(HEALTH)
                return (await again.answer())[0] == 200

        assert not await let_in()
        await open_socket.close()
        await eventually(let_in)
        silent.writer.close()
    assert narrow.apis[0].log.count("address_refused") == 1


async def test_client_whom_a_trusted_proxy_names_is_counted_in_the_proxys_stead(narrow: Deployment) -> None:
    api = narrow.apis[0]
    async with Tenant("proxied", narrow.urls) as tenant, AsyncExitStack() as stack:

        async def streams(client: str) -> int:
            held = await stack.enter_async_context(raw(api.port, source=PROXY))
            request = asking(tenant, FEED)
            held.say(request.replace(b"\r\n\r\n", f"\r\nX-Forwarded-For: {client}\r\n\r\n".encode(), 1))
            async with asyncio.timeout(SOON_S):
                return int((await held.reader.readuntil(b"\r\n")).split()[1])

        async def asks(client: str) -> int:
            async with raw(api.port, source=PROXY) as one:
                one.say(forwarded(client))
                return (await one.answer())[0]

        for spoofed in range(MOST):  # what stands before the client's own address is the client's word
            assert await streams(f"6.6.6.{spoofed}, 203.0.113.5, 10.1.1.1") == 200
        assert await asks("203.0.113.5:4711") == 429
        assert await asks("6.6.6.6, 203.0.113.5") == 429
        assert await streams("203.0.113.5") == 429
        with pytest.raises(InvalidStatus) as refused:
            named = {"X-Forwarded-For": "203.0.113.5"}
            options = {"additional_headers": named, "local_addr": (PROXY, 0)}
            await connect(f"ws://127.0.0.1:{api.port}/graphql", subprotocols=["graphql-transport-ws"], **options)
        assert refused.value.response.status_code == 429
        assert await asks("203.0.113.6") == 200
        assert await asks("unknown") == 200
        for host in range(MOST):  # an IPv6 network is one client
            assert await streams(f"2001:db8::{host + 1:x}") == 200
        assert await asks("[2001:db8::abcd]:443") == 429
        assert await asks("2001:db8:0:1::1") == 200
        await stack.aclose()

        async def left() -> bool:
            return await asks("203.0.113.5") == 200

        await eventually(left)


async def test_forwarded_headers_of_anybody_else_are_nobodys_word(narrow: Deployment) -> None:
    port = narrow.apis[0].port
    async with AsyncExitStack() as stack:
        for number in range(MOST + 1):
            one = await stack.enter_async_context(raw(port, source=OTHER))
            one.say(forwarded(f"8.8.8.{number}"))
            assert (await one.answer())[0] == (200 if number < MOST else 429)


@pytest.mark.parametrize(("source", "scheme"), [(PROXY, "https"), (OTHER, "http")])
async def test_forwarded_proto_counts_from_a_trusted_proxy_only(source: str, scheme: str) -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["scheme"])

    settings = Settings(jwt_secret=SECRET, trusted_proxies=PROXY)  # type: ignore[arg-type]
    headers = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-for", b"7.7.7.7")]
    scope = {"type": "http", "scheme": "http", "client": (source, 1), "headers": headers}
    await proxy_headers(app, ClientAddresses(settings))(scope, None, None)  # type: ignore[arg-type]
    assert seen == [scheme]


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("1.2.3.4, 203.0.113.5 , 10.0.0.1,10.0.0.2", "203.0.113.5"),
        ("203.0.113.5:80", "203.0.113.5"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("2001:db8::1%eth0", "2001:db8::1"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("203.0.113.5, unknown", None),
        ("203.0.113.5, unknown, 10.0.0.1", "10.0.0.1"),
        ("", None),
        ("::1, [", None),
    ],
)
def test_forwarded_for_is_read_from_its_end(header: str, client: str | None) -> None:
    settings = Settings(jwt_secret=SECRET, trusted_proxies="10.0.0.0/8")  # type: ignore[arg-type]
    assert ClientAddresses(settings).from_forwarded_for([header]) == client
    assert ClientAddresses(settings).from_forwarded_for(header.split(", ")) == client


def test_trusted_proxy_that_is_no_network_is_named() -> None:
    for wrong, said in [("10.0.0.1/8", "has host bits set"), ("*", "does not appear to be")]:
        done = call("serve", jwt_secret=SECRET, trusted_proxies=wrong)
        assert done.returncode == 2
        assert done.stderr.startswith("HUB_TRUSTED_PROXIES: ")
        assert said in done.stderr


SLOW = {
    "nothing": (b"", [], None),
    "half a head": (b"GET /healthz HTTP/1.1\r\nhost: x\r\n", [], 408),
    "a head, slowly": (b"GET /healthz HTTP/1.1\r\nhost: x\r\n", [b"a: b\r\n"] * 1000, 408),
    "empty lines": (HEALTH, [b"\r\n"] * 1000, None),
    "half of a second request": (HEALTH + b"GET /he", [b"a"] * 1000, 408),
}


@pytest.mark.parametrize("what", SLOW)
async def test_client_that_does_not_finish_its_request_is_cut(impatient: Impatient, what: str) -> None:
    first, drops, status = SLOW[what]
    async with raw(impatient.api.port, impatient.tls) as slow:

        async def drip() -> None:
            for drop in drops:
                await asyncio.sleep(0.1)
                slow.say(drop)

        slow.say(first)
        if HEALTH in first:
            assert (await slow.answer())[0] == 200
        dripping = asyncio.create_task(drip())
        if status:
            got, answer = await slow.answer()
            assert got == status
            assert "HUB_REQUEST_TIMEOUT_S" in answer["errors"][0]["message"]
        assert await slow.rest() == b""
        dripping.cancel()


async def test_client_that_does_not_finish_its_body_is_cut(impatient: Impatient) -> None:
    async with impatient.tenant("slow") as tenant, raw(impatient.api.port, impatient.tls) as slow:
        before = await impatient.metric('hub_connections_cut_total{why="request"}')
        slow.say(asking(tenant, FEED, size=1000))
        status, answer = await slow.answer()
        assert (status, answer["errors"][0]["extensions"]["code"]) == (408, "BAD_USER_INPUT")
        assert await slow.rest() == b""
        assert await impatient.metric('hub_connections_cut_total{why="request"}') == before + 1
    assert "Traceback" not in impatient.api.log


async def test_patience_is_for_one_request_not_for_the_connection(impatient: Impatient) -> None:
    async with raw(impatient.api.port, impatient.tls) as steady:
        until = time.monotonic() + 2 * REQUEST_TIMEOUT_S
        while time.monotonic() < until:
            steady.say(HEALTH[:20])
            await asyncio.sleep(0.2)
            steady.say(HEALTH[20:])
            assert (await steady.answer())[0] == 200


async def test_socket_that_does_not_say_who_it_is_is_closed(impatient: Impatient) -> None:
    address = impatient.url.replace("http", "ws", 1)
    async with connect(address, subprotocols=["graphql-transport-ws"], ssl=impatient.tls) as silent:  # type: ignore[list-item]
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(SOON_S):
                await silent.recv()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 4408


async def test_socket_and_stream_outlive_the_time_that_a_request_has(impatient: Impatient) -> None:
    async with impatient.tenant("lasting") as tenant, raw(impatient.api.port, impatient.tls) as stream:
        stream.say(asking(tenant, FEED))
        async with tenant.feed("alice") as feed:
            await asyncio.sleep(1.5 * REQUEST_TIMEOUT_S)
            await tenant.send("alice")
            assert (await feed.take(1))[0]["kind"] == "ADDED"
            async with asyncio.timeout(SOON_S):
                await stream.reader.readuntil(b'"ADDED"')


@pytest.mark.parametrize("upgrade", ["", "connection: upgrade\r\nupgrade: websocket\r\n"])
async def test_head_without_end_is_refused(impatient: Impatient, upgrade: str) -> None:
    async with raw(impatient.api.port, impatient.tls) as endless:
        endless.say(f"GET /graphql HTTP/1.1\r\nhost: x\r\n{upgrade}".encode())
        endless.say((b"x-filler: " + b"y" * 1000 + b"\r\n") * 400)
        assert b" 431 " in (await endless.rest()).splitlines()[0]
    async with raw(impatient.api.port, impatient.tls) as long:  # within our limit, not within the WebSocket's
        long.say(f"GET /graphql HTTP/1.1\r\nhost: x\r\n{upgrade}cookie: {'a' * 10_000}\r\n\r\n".encode())
        async with asyncio.timeout(SOON_S):
            said = await long.reader.readuntil(b"\r\n")
        assert said.split()[1] == (b"431" if upgrade else b"401")
    assert "Traceback" not in impatient.api.log


async def test_event_streams_count_among_a_users_sockets(impatient: Impatient) -> None:
    async with impatient.tenant("streams") as tenant:
        headers = {"authorization": f"Bearer {tenant.token('alice')}", "accept": "text/event-stream"}

        def stream() -> aiohttp.client._RequestContextManager:
            return tenant.http.post(impatient.url, json={"query": FEED}, headers=headers)

        async with tenant.socket("alice"):
            async with stream() as first:
                assert first.status == 200
                async with stream() as refused:
                    assert refused.status == 429
                    assert refused.headers["retry-after"] == "5"
                    [error] = (await refused.json())["errors"]
                assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfter": 5}
                assert "HUB_SOCKETS_PER_USER" in error["message"]
                with pytest.raises(ConnectionClosed) as closed:
                    async with tenant.socket("alice"):
                        pass
                assert closed.value.rcvd
                assert closed.value.rcvd.code == 4429
                async with tenant.socket("bob"), tenant.socket("bob"):
                    pass
                first.close()

                async def room_again() -> bool:
                    async with stream() as again:
                        again.close()
                        return again.status == 200

                await eventually(room_again)


async def rain(tenant: Tenant) -> None:
    """Some megabytes for alice."""
    query = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { duplicate } }"
    one = {
        "to": {"users": ["alice"]},
        "category": "news",
        "content": {"title": "Big", "body": "x" * 16_000},
        "data": {"x": "y" * 16_000},
    }
    for _ in range(12):
        assert all((await tenant.ask(query, inputs=[one] * 25))["sendMany"])


@asynccontextmanager
async def deaf(tenant: Tenant, port: int, door: str) -> AsyncIterator[None]:
    """A subscription of alice's that nobody reads from, with much to read."""
    async with AsyncExitStack() as stack:
        if door == "sse":
            stream = await stack.enter_async_context(raw(port, tenant.tls))
            stream.say(asking(tenant, FEED))
            await stream.reader.readuntil(b"\n\n")
        else:
            plain = unread()
            await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
            options = {"max_queue": 1, "ping_interval": None, "close_timeout": 0}
            url = tenant.urls[0].replace("http", "ws", 1)
            socket = await connect(url, sock=plain, ssl=tenant.tls, subprotocols=["graphql-transport-ws"], **options)
            stack.callback(socket.transport.abort)
            payload = {"authorization": f"Bearer {tenant.token('alice')}"}
            await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
            assert "connection_ack" in str(await socket.recv())
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": FEED}}))
            await socket.send(json.dumps({"type": "ping"}))
            assert "pong" in str(await socket.recv())
        await asyncio.sleep(0.2)
        await rain(tenant)
        yield


@pytest.mark.parametrize(
    ("door", "cut"),
    [("sse", 'hub_connections_cut_total{why="stalled"}'), ("ws", 'hub_websockets_aborted_total{why="stalled"}')],
)
async def test_client_that_stops_reading_is_cut_and_its_place_is_free(
    impatient: Impatient, door: str, cut: str
) -> None:
    async with impatient.tenant(f"deaf-{door}") as tenant:
        before = await impatient.metric(cut)
        async with deaf(tenant, impatient.api.port, door):

            async def is_cut() -> bool:
                return await impatient.metric(cut) == before + 1

            await eventually(is_cut)
            async with tenant.socket("alice"), tenant.socket("alice"):
                pass
    assert "Traceback" not in impatient.api.log


@pytest.mark.parametrize("secure", [False, True])
async def test_sigterm_ends_in_time_whatever_clients_do(
    servers: tuple[Mongod, Redis], mine: Certificate, secure: bool
) -> None:
    mongod, redis = servers
    settings = {"shutdown_seconds": str(SHUTDOWN_S), "request_timeout_s": "60", "stalled_s": "60"}
    if secure:
        settings |= {"ssl_certfile": str(mine.file), "ssl_keyfile": str(mine.key)}
    tls = mine.trusting if secure else None
    api = Process("serve", mongod.url, redis.url, redis_prefix="ending:", **settings)
    await api.start()
    url = api.url.replace("http", "https") if secure else api.url
    try:
        async with Tenant(f"ending-{secure}", [url], tls) as tenant, AsyncExitStack() as stack:
            for door in ("sse", "ws"):
                await stack.enter_async_context(deaf(tenant, api.port, door))
            for words in (b"", HEALTH, HEALTH[:-2], asking(tenant, FEED, size=1000)):
                (await stack.enter_async_context(raw(api.port, tls))).say(words)
            await asyncio.sleep(0.3)
            assert await api.stop(within_s=ENDED_S) == 0
    finally:
        api.kill()
    assert "Traceback" not in api.log
