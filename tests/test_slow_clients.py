"""Clients that do not finish their requests, or do not read what they subscribed to."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hub.platform.embedded_servers import Mongod, Redis
from tests.certificates import Certificate, create_certificate
from tests.client import SUBPROTOCOL, Tenant, eventually
from tests.inbox_watchers import find_log_faults
from tests.processes import Deployment, Process
from tests.raw_connections import FEED, HANG_S, HEALTH, open_raw, small_buffer_socket, subscription_request, sum_metric

REQUEST_TIMEOUT_S = 1.0
SHUTDOWN_S = 10.0
EXIT_WITHIN_S = 6.0  # clients that do not close are not waited for that long


@pytest.fixture(scope="module")
def server_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=["plain", "tls"])
async def impatient_hub(
    request: pytest.FixtureRequest, servers: tuple[Mongod, Redis], server_certificate: Certificate
) -> AsyncIterator["ImpatientHub"]:
    """A process with short timeouts, over plain TCP and over TLS."""
    mongod, redis = servers
    settings = {
        "request_timeout_s": str(REQUEST_TIMEOUT_S),
        "write_timeout_s": "1",
        "websocket_init_timeout_s": "0.5",
        "user_max_connections": "2",
        "redis_prefix": f"impatient-{request.param}:",
    }
    tls = server_certificate.trusting if request.param == "tls" else None
    if tls:
        settings |= {"ssl_certfile": str(server_certificate.file), "ssl_keyfile": str(server_certificate.key)}
    async with Deployment(mongod.url, redis.url, apis=1, workers=0, **settings) as running:
        yield ImpatientHub(running.apis[0], tls)


class ImpatientHub:
    def __init__(self, api: Process, tls: ssl.SSLContext | None) -> None:
        self.api = api
        self.tls = tls
        self.url = api.url.replace("http", "https") if tls else api.url

    def tenant(self, name: str) -> Tenant:
        return Tenant(name, [self.url], self.tls)

    async def metric(self, name: str) -> float:
        async with aiohttp.ClientSession() as session:
            return await sum_metric(session, self.url, name, self.tls)


SLOW = {
    "nothing": (b"", [], None),
    "half a head": (b"GET /healthz HTTP/1.1\r\nhost: x\r\n", [], 408),
    "a head, slowly": (b"GET /healthz HTTP/1.1\r\nhost: x\r\n", [b"a: b\r\n"] * 1000, 408),
    "empty lines": (HEALTH, [b"\r\n"] * 1000, None),
    "half of a second request": (HEALTH + b"GET /he", [b"a"] * 1000, 408),
}


@pytest.mark.parametrize("what", SLOW)
async def test_client_that_does_not_finish_its_request_is_disconnected(impatient_hub: ImpatientHub, what: str) -> None:
    first, drops, status = SLOW[what]
    async with open_raw(impatient_hub.api.port, impatient_hub.tls) as slow:

        async def drip() -> None:
            for drop in drops:
                await asyncio.sleep(0.1)
                slow.write(drop)

        slow.write(first)
        if HEALTH in first:
            assert (await slow.read_response())[0] == 200
        dripping = asyncio.create_task(drip())
        if status:
            got, response = await slow.read_response()
            assert got == status
            assert "HUB_REQUEST_TIMEOUT_S" in response["errors"][0]["message"]
        assert await slow.read_to_end() == b""
        dripping.cancel()


async def test_client_that_does_not_finish_its_body_is_disconnected(impatient_hub: ImpatientHub) -> None:
    async with impatient_hub.tenant("slow") as tenant, open_raw(impatient_hub.api.port, impatient_hub.tls) as slow:
        before = await impatient_hub.metric('hub_connections_aborted_total{why="request"}')
        slow.write(subscription_request(tenant, FEED, size=1000))
        status, response = await slow.read_response()
        assert (status, response["errors"][0]["extensions"]["code"]) == (408, "BAD_USER_INPUT")
        assert await slow.read_to_end() == b""
        assert await impatient_hub.metric('hub_connections_aborted_total{why="request"}') == before + 1
    assert "Traceback" not in impatient_hub.api.log


async def test_request_timeout_is_per_request_not_per_connection(impatient_hub: ImpatientHub) -> None:
    async with open_raw(impatient_hub.api.port, impatient_hub.tls) as steady:
        until = time.monotonic() + 2 * REQUEST_TIMEOUT_S
        while time.monotonic() < until:
            steady.write(HEALTH[:20])
            await asyncio.sleep(0.2)
            steady.write(HEALTH[20:])
            assert (await steady.read_response())[0] == 200


async def test_socket_without_connection_init_is_closed(impatient_hub: ImpatientHub) -> None:
    address = impatient_hub.url.replace("http", "ws", 1)
    async with connect(address, subprotocols=[SUBPROTOCOL], ssl=impatient_hub.tls) as silent:
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(HANG_S):
                await silent.recv()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 4408


async def test_socket_and_stream_outlive_the_request_timeout(impatient_hub: ImpatientHub) -> None:
    async with impatient_hub.tenant("lasting") as tenant, open_raw(impatient_hub.api.port, impatient_hub.tls) as stream:
        stream.write(subscription_request(tenant, FEED))
        async with tenant.feed("alice") as feed:
            await asyncio.sleep(1.5 * REQUEST_TIMEOUT_S)
            await tenant.send("alice")
            assert (await feed.take(1))[0]["kind"] == "ADDED"
            async with asyncio.timeout(HANG_S):
                await stream.reader.readuntil(b'"ADDED"')


@pytest.mark.parametrize("upgrade", ["", "connection: upgrade\r\nupgrade: websocket\r\n"])
async def test_endless_request_head_is_rejected(impatient_hub: ImpatientHub, upgrade: str) -> None:
    async with open_raw(impatient_hub.api.port, impatient_hub.tls) as endless:
        endless.write(f"GET /graphql HTTP/1.1\r\nhost: x\r\n{upgrade}".encode())
        endless.write((b"x-filler: " + b"y" * 1000 + b"\r\n") * 400)
        assert b" 431 " in (await endless.read_to_end()).splitlines()[0]
    async with open_raw(
        impatient_hub.api.port, impatient_hub.tls
    ) as long:  # within our limit, not within the WebSocket's
        long.write(f"GET /graphql HTTP/1.1\r\nhost: x\r\n{upgrade}cookie: {'a' * 10_000}\r\n\r\n".encode())
        async with asyncio.timeout(HANG_S):
            output = await long.reader.readuntil(b"\r\n")
        assert output.split()[1] == (b"431" if upgrade else b"401")
    assert "Traceback" not in impatient_hub.api.log


async def test_event_streams_count_toward_the_socket_limit(impatient_hub: ImpatientHub) -> None:
    async with impatient_hub.tenant("streams") as tenant:
        headers = {"authorization": f"Bearer {tenant.token('alice')}", "accept": "text/event-stream"}

        def stream() -> aiohttp.client._RequestContextManager:
            return tenant.http.post(impatient_hub.url, json={"query": FEED}, headers=headers)

        async with tenant.socket("alice"):
            async with stream() as first:
                assert first.status == 200
                async with stream() as refused:
                    assert refused.status == 429
                    assert refused.headers["retry-after"] == "5"
                    [error] = (await refused.json())["errors"]
                assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfter": 5}
                assert "HUB_USER_MAX_CONNECTIONS" in error["message"]
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


async def send_megabytes(tenant: Tenant) -> None:
    """Send several megabytes to alice."""
    query = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { duplicate } }"
    one = {
        "to": {"users": ["alice"]},
        "category": "news",
        "content": {"title": "Big", "body": "x" * 16_000},
        "data": {"x": "y" * 16_000},
    }
    for _ in range(12):
        assert all((await tenant.execute(query, inputs=[one] * 25))["sendMany"])


@asynccontextmanager
async def unread_subscription(tenant: Tenant, port: int, door: str) -> AsyncIterator[None]:
    """A subscription of alice that is not read, with much to read."""
    async with AsyncExitStack() as stack:
        if door == "sse":
            stream = await stack.enter_async_context(open_raw(port, tenant.tls))
            stream.write(subscription_request(tenant, FEED))
            await stream.reader.readuntil(b"\n\n")
        else:
            plain = small_buffer_socket()
            await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
            options: Any = {"max_queue": 1, "ping_interval": None, "close_timeout": 0}
            url = tenant.urls[0].replace("http", "ws", 1)
            socket = await connect(url, sock=plain, ssl=tenant.tls, subprotocols=[SUBPROTOCOL], **options)
            stack.callback(socket.transport.abort)
            payload = {"authorization": f"Bearer {tenant.token('alice')}"}
            await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
            assert "connection_ack" in str(await socket.recv())
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": FEED}}))
            await socket.send(json.dumps({"type": "ping"}))
            assert "pong" in str(await socket.recv())
        await asyncio.sleep(0.2)
        await send_megabytes(tenant)
        yield


@pytest.mark.parametrize(
    ("door", "cut"),
    [("sse", 'hub_connections_aborted_total{why="stalled"}'), ("ws", 'hub_websockets_aborted_total{why="stalled"}')],
)
async def test_client_that_stops_reading_is_disconnected_and_frees_its_slot(
    impatient_hub: ImpatientHub, door: str, cut: str
) -> None:
    async with impatient_hub.tenant(f"deaf-{door}") as tenant:
        before = await impatient_hub.metric(cut)
        async with unread_subscription(tenant, impatient_hub.api.port, door):

            async def is_cut() -> bool:
                return await impatient_hub.metric(cut) == before + 1

            await eventually(is_cut)
            async with tenant.socket("alice"), tenant.socket("alice"):
                pass
    assert "Traceback" not in impatient_hub.api.log


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.usefixtures("new_interpreters")
async def test_sigterm_ends_in_time_with_unresponsive_clients(
    servers: tuple[Mongod, Redis], server_certificate: Certificate, secure: bool
) -> None:
    mongod, redis = servers
    settings = {"shutdown_timeout_s": str(SHUTDOWN_S), "request_timeout_s": "60", "write_timeout_s": "60"}
    if secure:
        settings |= {"ssl_certfile": str(server_certificate.file), "ssl_keyfile": str(server_certificate.key)}
    tls = server_certificate.trusting if secure else None
    api = Process("serve", mongod.url, redis.url, redis_prefix="ending:", **settings)
    await api.start()
    url = api.url.replace("http", "https") if secure else api.url
    try:
        async with Tenant(f"ending-{secure}", [url], tls) as tenant, AsyncExitStack() as stack:
            for door in ("sse", "ws"):
                await stack.enter_async_context(unread_subscription(tenant, api.port, door))
            for words in (b"", HEALTH, HEALTH[:-2], subscription_request(tenant, FEED, size=1000)):
                (await stack.enter_async_context(open_raw(api.port, tls))).write(words)
            await asyncio.sleep(0.3)
            assert await api.stop(within_s=EXIT_WITHIN_S) == 0
    finally:
        api.kill()
    assert not find_log_faults([api])
