"""The HTTP client for all outgoing requests. It limits the duration and size of requests and does not follow redirects.

The operator's URLs may refer to any host. To prevent SSRF, URLs of users and tenants (webhooks, push services) may
refer only to ports 80 and 443 on the public internet, and to the networks in HUB_EGRESS_ALLOW:

- The URL is parsed strictly. URLs that parsers may interpret differently are rejected.
- The client resolves the host name. If one of its addresses is not allowed, the request is rejected.
- The connection uses a checked address. The address is checked again when the socket is created, which protects against
  DNS rebinding and against mistakes in the other checks.
"""

import asyncio
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType
from msgspec import Struct
from yarl import URL

from hub import __version__

CONNECT_TIMEOUT_SHARE = 0.8  # of the timeout, to distinguish a slow connection from a slow response
TIMEOUT_S = 3.0  # callers wait for the response
JSON_MAX_BYTES = 1 << 20
RESPONSE_MAX_BYTES = 64 << 10  # only the status and an error message are used
DNS_TIMEOUT_S = 5.0
DNS_CACHE_S = 10  # of a checked DNS response
DNS_THREADS = 16  # so slow lookups of user-supplied names do not delay those of MongoDB and Redis
CONNECTIONS, CONNECTIONS_PER_HOST = 1000, 200  # above the concurrency of one worker, below its file limit
KEEP_ALIVE_S = 4.0  # below that of servers (uvicorn: 5 s), because a POST on a closing connection is lost
URL_MAX_CHARS = 2048
ALLOWED_PORTS = frozenset({80, 443})

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HTTP_URL = re.compile(r"https?://[!-~]+")  # ASCII without spaces and control characters
HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z][a-z0-9-]{0,61}[a-z0-9]")
"""A host name. Its last label starts with a letter; otherwise it could be read as a number (127.1, 0x7f000001)."""

FORBIDDEN_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; metadata of Alibaba
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform, reachable from its virtual machines
        "169.254.0.0/16",  # link-local: metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; metadata of Oracle
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
GLOBAL_V6 = IPv6Network("2000::/3")
"""Global unicast (RFC 4291). It excludes loopback, link-local, private, and multicast addresses, mapped and
compatible IPv4 addresses, and NAT64 (64:ff9b::/96, 64:ff9b:1::/48)."""
FORBIDDEN_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: contains an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # 6bone, returned
        "3fff::/20",  # documentation
    )
)


class OutboundHTTPError(Exception):
    """The request failed. `host_down`: no connection was made or TLS failed, so no URL of that host can be reached."""

    def __init__(self, text: str, *, host_down: bool = False) -> None:
        super().__init__(text)
        self.host_down = host_down


class AddressNotAllowed(OutboundHTTPError):
    """This URL may not be called. The error text states the reason and contains no part of the URL except the host."""


class HTTPResponse(Struct, frozen=True):
    """A response. `headers` have lowercase names. `body` is truncated to 64 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def networks(words: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of HUB_EGRESS_ALLOW. Raise ValueError for an invalid network."""
    return tuple(ip_network(word) for word in words)


def denial_reason(address: Address, port: int, allowed: Sequence[Network]) -> str | None:
    """Return the reason why this address may not be called, or None if it may be called."""
    if any(address in network for network in allowed):
        return None
    if port not in ALLOWED_PORTS:
        return f"port {port} is not 80 or 443 (HUB_EGRESS_ALLOW)"
    if isinstance(address, IPv4Address):
        public = not any(address in network for network in FORBIDDEN_V4)
    else:
        public = (
            address.scope_id is None
            and address in GLOBAL_V6
            and not any(address in network for network in FORBIDDEN_V6)
        )
    return None if public else "it is not an address of the public internet (HUB_EGRESS_ALLOW)"


class OutboundHTTP:
    """The client, which is an async context manager. Each process has one client. `allow`: see HUB_EGRESS_ALLOW."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._allowed = networks(allow)
        self._resolver = _Resolver(self._allowed)
        self._trusted_session: aiohttp.ClientSession | None = None
        self._untrusted_session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "OutboundHTTP":
        self._trusted_session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            socket_factory=self._socket,
            ttl_dns_cache=DNS_CACHE_S,
            limit=CONNECTIONS,
            limit_per_host=CONNECTIONS_PER_HOST,
            keepalive_timeout=KEEP_ALIVE_S,
        )
        self._untrusted_session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),  # `_call` has one deadline for the whole request
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": f"notification-hub/{__version__}", "accept-encoding": "identity"},
            auto_decompress=False,  # a small compressed body may expand to gigabytes
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in (self._trusted_session, self._untrusted_session):
            if session:
                await session.close()
        await self._resolver.close()

    async def fetch_json(self, url: str) -> Any:
        """Return the JSON at a URL of the operator. Raise OutboundHTTPError unless the response is a 200 with JSON."""
        assert self._trusted_session
        try:
            async with self._trusted_session.get(url, allow_redirects=False) as response:
                body = await _read(response, JSON_MAX_BYTES + 1)
                if response.status != 200 or len(body) > JSON_MAX_BYTES:
                    raise OutboundHTTPError(f"{response.status}, {len(body)} bytes")
                return orjson.loads(body)
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise OutboundHTTPError(repr(error)) from error

    def check(self, url: str) -> URL:
        """Return the parsed URL if it passes all checks that need no DNS lookup. Raise AddressNotAllowed otherwise."""
        if len(url) > URL_MAX_CHARS or not HTTP_URL.fullmatch(url) or "\\" in url:
            raise AddressNotAllowed(
                f"a URL begins with http:// or https:// and has at most {URL_MAX_CHARS} ASCII characters without "
                "spaces (write other host names in their xn-- form)"
            )
        try:
            parsed = URL(url, encoded=True)
            host, port = (parsed.raw_host or "").lower(), parsed.port or 0
        except ValueError:
            raise AddressNotAllowed("this is not a valid URL") from None
        if "@" in parsed.raw_authority:
            raise AddressNotAllowed("a URL must not contain a user or password")
        try:
            literal = ip_address(host)
        except ValueError:
            if not HOST_NAME.fullmatch(host):
                raise AddressNotAllowed("its host is not a valid host name or IP address") from None
            if port not in ALLOWED_PORTS and not self._allowed:
                raise AddressNotAllowed(f"port {port} is not 80 or 443 (HUB_EGRESS_ALLOW)") from None
        else:
            if why := denial_reason(literal, port, self._allowed):
                raise AddressNotAllowed(f"{host}: {why}")
        return parsed

    async def get(self, url: str, timeout_s: float) -> HTTPResponse:
        """Send a GET request to an untrusted URL, as `post` does."""
        return await self._call("GET", url, None, {}, timeout_s)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> HTTPResponse:
        """Send a POST request to an untrusted URL and return the response, of any status. Raise AddressNotAllowed if
        the URL may not be called, OutboundHTTPError without a response within `timeout_s`."""
        return await self._call("POST", url, body, headers, timeout_s)

    async def _call(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> HTTPResponse:
        assert self._untrusted_session
        target = self.check(url)
        connecting = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s * CONNECT_TIMEOUT_SHARE)
        options: dict[str, Any] = {"allow_redirects": False, "timeout": connecting}
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._untrusted_session.request(method, target, data=body, headers=headers, **options) as response,
            ):
                received = await _read(response, RESPONSE_MAX_BYTES)
                if not response.content.at_eof():
                    response.close()  # otherwise the connection would stay open with unread data
                received_headers = {name.lower(): value for name, value in response.headers.items()}
                return HTTPResponse(response.status, received_headers, received)
        except aiohttp.ConnectionTimeoutError:
            raise OutboundHTTPError("the connection timed out", host_down=True) from None
        except TimeoutError:
            raise OutboundHTTPError(f"no response within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # the text may quote the whole URL
            host_down = isinstance(error, aiohttp.ClientConnectorError)  # DNS, TCP or TLS
            raise OutboundHTTPError(describe_error(error), host_down=host_down) from None

    def _socket(self, info: AddrInfoType) -> socket.socket:
        """Create the socket for a connection, after a last check of its address."""
        family, kind, protocol, _, (host, port, *_) = info
        if why := denial_reason(ip_address(host), int(port), self._allowed):
            raise AddressNotAllowed(why)
        return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    """Resolves host names. Raises AddressNotAllowed if one of the addresses may not be called."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        lookup = loop.run_in_executor(self._threads, resolve_name, host, port, family)
        try:
            async with asyncio.timeout(DNS_TIMEOUT_S):
                addresses = await lookup
        except TimeoutError:
            raise OSError(None, "the DNS lookup timed out") from None
        for _, address in addresses:
            if why := denial_reason(ip_address(address), port, self._allowed):
                raise AddressNotAllowed(f"{host}: {why}")  # without the address, which may be internal
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in addresses
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def resolve_name(host: str, port: int, family: socket.AddressFamily) -> list[tuple[int, str]]:
    """Return the families and addresses of a host name. Blocks the thread. Raise OSError if there are no addresses."""
    entries = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys((int(kind), str(address[0])) for kind, _, _, _, address in entries))


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Return the first `max_bytes` bytes of a response."""
    body = b""
    while len(body) < max_bytes and (more := await response.content.read(max_bytes - len(body))):
        body += more
    return body


def describe_error(error: Exception) -> str:
    """Return a description of the cause of an error, without URLs."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name does not resolve"
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        return "the certificate is invalid, or TLS failed"
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else type(error).__name__
