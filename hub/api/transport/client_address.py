"""From where clients call, and how many connections each address may have.

A connection is counted when it is made, before a byte of it is read. Connections of a trusted proxy are everybody's:
what comes through them is counted by the address that the proxy names, each request and each socket as long as it
lasts. uvicorn's own reading of `X-Forwarded-For` stays off: it trusts 127.0.0.1 unless told otherwise, and takes any
word for an address.
"""

from collections.abc import Awaitable, Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.api.errors import refused
from hub.api.transport.concurrency import BUSY_S, Places
from hub.errors import RateLimited
from hub.platform import metrics
from hub.settings import Settings

SITE_BITS = 64  # of an IPv6 address: whoever has one has all that begin with these

log = structlog.get_logger(__name__)


class Addresses:
    """All clients of this process."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = settings.trusted_proxies
        self._places = Places(settings.connections_per_address)
        self._told = False
        message = (
            f"Your address has {settings.connections_per_address} open connections (HUB_CONNECTIONS_PER_ADDRESS). If "
            "it is a proxy's, name it in HUB_TRUSTED_PROXIES."
        )
        self.refusal = orjson.dumps({"errors": [refused(RateLimited(message, BUSY_S), "")]})

    def is_proxy(self, address: str) -> bool:
        """Whether what it says of clients is believed."""
        return bool(self._trusted) and self._trusts(_read(address))

    def take(self, address: str) -> str | None:
        """A place for a connection, to `leave` when it ends; None where there is none left."""
        place = _place(address)
        if self._places.take(place):
            return place
        metrics.connections_refused.inc()
        if not self._told:
            self._told = True
            log.warning("address_refused", address=place, settings="HUB_CONNECTIONS_PER_ADDRESS, HUB_TRUSTED_PROXIES")
        return None

    def leave(self, place: str) -> None:
        self._places.leave(place)

    def named(self, forwarded_for: Iterable[str]) -> str | None:
        """The client that trusted proxies name: the last address in `X-Forwarded-For` that is none of theirs, for what
        stands before it may be anybody's word. None where they name nobody."""
        nearest = None
        for word in reversed(",".join(forwarded_for).split(",")):
            address = _read(word)
            if address is None:
                break
            nearest = str(address)
            if not self._trusts(address):
                break
        return nearest

    def _trusts(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def behind_proxies(app: ASGIApp, addresses: Addresses) -> ASGIApp:
    """The app as trusted proxies hand it requests: `client` and `scheme` are the client's own."""

    def heard(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Without a coroutine of its own: that would stay as long as a socket does."""
        direct = not scope.get("client") or not addresses.is_proxy(scope["client"][0])
        return app(scope, receive, send) if direct else forwarded(scope, receive, send)

    async def forwarded(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        proto = headers.get("x-forwarded-proto")
        if proto in {"http", "https"}:
            scope["scheme"] = proto if scope["type"] == "http" else proto.replace("http", "ws")
        client = addresses.named(headers.getlist("x-forwarded-for"))
        if client is None:
            await app(scope, receive, send)
            return
        scope["client"] = (client, 0)
        place = addresses.take(client)
        if place is None:
            busy = {"retry-after": f"{BUSY_S:.0f}"}
            await Response(addresses.refusal, 429, busy, "application/json")(scope, receive, send)
            return
        try:
            await app(scope, receive, send)
        finally:
            addresses.leave(place)

    return heard


def _read(word: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it, with or without a port."""
    host = word.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    with suppress(ValueError):
        address = ip_address(host.partition("%")[0])
        return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
    return None


def _place(address: str) -> str:
    found = _read(address)
    return str(ip_network((found, SITE_BITS), strict=False)) if isinstance(found, IPv6Address) else str(found)
