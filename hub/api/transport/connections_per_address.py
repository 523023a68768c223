"""Client addresses and the connection limit per address.

A connection is counted when it is accepted, before any data is read. Connections from a trusted proxy are not counted,
because they contain requests from many clients. Instead, each request and each WebSocket from the proxy is counted by
the client address in `X-Forwarded-For` until it ends. uvicorn's handling of `X-Forwarded-For` is disabled because
uvicorn trusts 127.0.0.1 by default and accepts any text as an address.
"""

from collections.abc import Awaitable, Iterable
from ipaddress import IPv4Address, IPv6Address

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.api.client_address import address_limit_key, parse_address
from hub.api.errors import to_graphql_error
from hub.api.transport.keyed_limiter import RETRY_AFTER_S, KeyedLimiter
from hub.errors import RateLimited
from hub.platform import metrics
from hub.settings import Settings

log = structlog.get_logger(__name__)


class ClientAddresses:
    """Counts the connections of this process by client address."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = settings.trusted_proxies
        self._connections = KeyedLimiter(settings.address_max_connections)
        self._warned = False
        message = (
            f"Your address has {settings.address_max_connections} open connections (HUB_ADDRESS_MAX_CONNECTIONS). If "
            "it belongs to a proxy, add it to HUB_TRUSTED_PROXIES."
        )
        self.refusal_body = orjson.dumps({"errors": [to_graphql_error(RateLimited(message, RETRY_AFTER_S), "")]})

    def is_proxy(self, address: str) -> bool:
        """Return True if the forwarding headers from this address are trusted."""
        return bool(self._trusted) and self._trusts(parse_address(address))

    def acquire(self, address: str) -> str | None:
        """Count one connection. Return the key to pass to `release`, or None if the limit is reached."""
        key = address_limit_key(address)
        if self._connections.acquire(key):
            return key
        metrics.connections_refused.inc()
        if not self._warned:
            self._warned = True
            log.warning("address_refused", address=key, settings="HUB_ADDRESS_MAX_CONNECTIONS, HUB_TRUSTED_PROXIES")
        return None

    def release(self, key: str) -> None:
        """Remove one connection that `acquire` counted."""
        self._connections.release(key)

    def from_forwarded_for(self, forwarded_for: Iterable[str]) -> str | None:
        """Return the last address in `X-Forwarded-For` that is not a trusted proxy, or None.

        Earlier addresses are not trusted because a client can send any header."""
        nearest = None
        for part in reversed(",".join(forwarded_for).split(",")):
            address = parse_address(part)
            if address is None:
                break
            nearest = str(address)
            if not self._trusts(address):
                break
        return nearest

    def _trusts(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def proxy_headers(app: ASGIApp, addresses: ClientAddresses) -> ASGIApp:
    """Return an app that sets `client` and `scheme` from the headers of trusted proxies."""

    def dispatch(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return the awaitable of the app. A coroutine here would stay in memory as long as the WebSocket is open."""
        direct = not scope.get("client") or not addresses.is_proxy(scope["client"][0])
        return app(scope, receive, send) if direct else forwarded(scope, receive, send)

    async def forwarded(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        proto = headers.get("x-forwarded-proto")
        if proto in {"http", "https"}:
            scope["scheme"] = proto if scope["type"] == "http" else proto.replace("http", "ws")
        client = addresses.from_forwarded_for(headers.getlist("x-forwarded-for"))
        if client is None:
            await app(scope, receive, send)
            return
        scope["client"] = (client, 0)
        key = addresses.acquire(client)
        if key is None:
            headers_429 = {"retry-after": f"{RETRY_AFTER_S:.0f}"}
            await Response(addresses.refusal_body, 429, headers_429, "application/json")(scope, receive, send)
            return
        try:
            await app(scope, receive, send)
        finally:
            addresses.release(key)

    return dispatch
