"""Client addresses behind proxies, and the connection limit per address."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from hub.api.transport.connections_per_address import ClientAddresses, proxy_headers
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from tests.cli_commands import run_command
from tests.client import SUBPROTOCOL, Tenant, eventually
from tests.processes import SECRET, Deployment
from tests.raw_connections import FEED, HANG_S, HEALTH, OTHER, PROXY, open_raw, subscription_request, sum_metric

MAX_CONNECTIONS = 3


@pytest.fixture(scope="module")
async def limited_hub(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    """A process with few connections per address, which trusts one proxy, whatever uvicorn's variable allows."""
    mongod, redis = servers
    settings = {
        "address_max_connections": str(MAX_CONNECTIONS),
        "trusted_proxies": f"{PROXY}, 10.0.0.0/8",
        "redis_prefix": "narrow:",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORWARDED_ALLOW_IPS", "*")
        deployment = Deployment(mongod.url, redis.url, apis=1, workers=0, **settings)
    async with deployment as running:
        yield running


def forwarded(client: str, proto: str = "https") -> bytes:
    return HEALTH[:-2] + f"x-forwarded-for: {client}\r\nx-forwarded-proto: {proto}\r\n\r\n".encode()


async def test_address_at_its_connection_limit_is_rejected_immediately(limited_hub: Deployment) -> None:
    port = limited_hub.apis[0].port
    url = f"ws://127.0.0.1:{port}/graphql"
    async with AsyncExitStack() as stack:
        protocols: Any = {"subprotocols": [SUBPROTOCOL]}
        open_socket = await stack.enter_async_context(connect(url, **protocols))
        silent = await stack.enter_async_context(open_raw(port))
        requested = await stack.enter_async_context(open_raw(port))
        requested.write(HEALTH)
        assert (await requested.read_response())[0] == 200
        async with open_raw(port) as fourth:
            fourth.write(HEALTH)
            status, response = await fourth.read_response()
        assert status == 429
        [error] = response["errors"]
        assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfter": 5}
        assert "HUB_ADDRESS_MAX_CONNECTIONS" in error["message"]
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, **protocols)
        assert refused.value.response.status_code == 429
        async with open_raw(port) as mute:
            assert await mute.read_to_end() == b""
        requested.write(HEALTH)  # open connections stay open
        assert (await requested.read_response())[0] == 200
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(OTHER, 0))) as other:
            assert await sum_metric(other, limited_hub.urls[0], "hub_connections_refused_total") >= 3

        async def let_in() -> bool:
            async with open_raw(port) as again:
                again.write(HEALTH)
                return (await again.read_response())[0] == 200

        assert not await let_in()
        await open_socket.close()
        await eventually(let_in)
        silent.writer.close()
    assert limited_hub.apis[0].log.count("address_refused") == 1


async def test_client_named_by_a_trusted_proxy_is_counted_instead_of_the_proxy(limited_hub: Deployment) -> None:
    api = limited_hub.apis[0]
    async with Tenant("proxied", limited_hub.urls) as tenant, AsyncExitStack() as stack:

        async def streams(client: str) -> int:
            held = await stack.enter_async_context(open_raw(api.port, source=PROXY))
            request = subscription_request(tenant, FEED)
            held.write(request.replace(b"\r\n\r\n", f"\r\nX-Forwarded-For: {client}\r\n\r\n".encode(), 1))
            async with asyncio.timeout(HANG_S):
                return int((await held.reader.readuntil(b"\r\n")).split()[1])

        async def asks(client: str) -> int:
            async with open_raw(api.port, source=PROXY) as one:
                one.write(forwarded(client))
                return (await one.read_response())[0]

        for spoofed in range(MAX_CONNECTIONS):  # entries before the client's address were sent by the client itself
            assert await streams(f"6.6.6.{spoofed}, 203.0.113.5, 10.1.1.1") == 200
        assert await asks("203.0.113.5:4711") == 429
        assert await asks("6.6.6.6, 203.0.113.5") == 429
        assert await streams("203.0.113.5") == 429
        with pytest.raises(InvalidStatus) as refused:
            named = {"X-Forwarded-For": "203.0.113.5"}
            options: Any = {"additional_headers": named, "local_addr": (PROXY, 0)}
            await connect(f"ws://127.0.0.1:{api.port}/graphql", subprotocols=[SUBPROTOCOL], **options)
        assert refused.value.response.status_code == 429
        assert await asks("203.0.113.6") == 200
        assert await asks("unknown") == 200
        for host in range(MAX_CONNECTIONS):  # an IPv6 network is one client
            assert await streams(f"2001:db8::{host + 1:x}") == 200
        assert await asks("[2001:db8::abcd]:443") == 429
        assert await asks("2001:db8:0:1::1") == 200
        await stack.aclose()

        async def left() -> bool:
            return await asks("203.0.113.5") == 200

        await eventually(left)


async def test_forwarded_headers_of_untrusted_clients_are_ignored(limited_hub: Deployment) -> None:
    port = limited_hub.apis[0].port
    async with AsyncExitStack() as stack:
        for number in range(MAX_CONNECTIONS + 1):
            one = await stack.enter_async_context(open_raw(port, source=OTHER))
            one.write(forwarded(f"8.8.8.{number}"))
            assert (await one.read_response())[0] == (200 if number < MAX_CONNECTIONS else 429)


@pytest.mark.parametrize(("source", "scheme"), [(PROXY, "https"), (OTHER, "http")])
async def test_forwarded_proto_is_accepted_only_from_a_trusted_proxy(source: str, scheme: str) -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["scheme"])

    settings = Settings(jwt_secret=SECRET, trusted_proxies=PROXY)
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
def test_forwarded_for_is_read_from_the_end(header: str, client: str | None) -> None:
    settings = Settings(jwt_secret=SECRET, trusted_proxies="10.0.0.0/8")
    assert ClientAddresses(settings).from_forwarded_for([header]) == client
    assert ClientAddresses(settings).from_forwarded_for(header.split(", ")) == client


def test_invalid_trusted_proxy_is_named() -> None:
    for invalid, output in [("10.0.0.1/8", "has host bits set"), ("*", "does not appear to be")]:
        done = run_command("serve", jwt_secret=SECRET, trusted_proxies=invalid)
        assert done.returncode == 2
        assert done.stderr.startswith("HUB_TRUSTED_PROXIES: ")
        assert output in done.stderr
