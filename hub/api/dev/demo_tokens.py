"""`POST /dev/tokens`, in development only: the tokens that the demo page calls with, good for minutes.

They are handed to that page on this machine and to nobody else. The connection comes from this machine, and through no
proxy or tunnel; the address bar names this machine, and not a name of somebody's that leads here (DNS rebinding); and
the page is the hub's own: one of another port has another `Origin`, and a webhook has none.
"""

import re
import time
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from hub.api.auth import sign_token_for
from hub.api.responses import PRIVATE_HEADERS
from hub.model import Role
from hub.settings import Settings

PATH = "/dev/tokens"
USERS = ("alice", "bob")  # whom `hub dev` begins with
SERVICE = "service"
LIFETIME_S = 600.0
LOOPBACK_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
REFUSAL = {
    "error": "Tokens are for the demo page on the hub's own machine: open it by the address that the hub printed."
}


def dev_token_routes(settings: Settings) -> list[BaseRoute]:
    """Its route; none where an issuer signs the tokens, and not the hub."""
    if not settings.jwt_secret:
        return []

    async def tokens(request: Request) -> Response:
        if not _from_own_page(request):
            return JSONResponse(REFUSAL, 403, PRIVATE_HEADERS)
        handed = {user: sign_token_for(settings, user, Role.USER, LIFETIME_S) for user in USERS}
        handed[SERVICE] = sign_token_for(settings, None, Role.SERVICE, LIFETIME_S)
        return JSONResponse({"tokens": handed, "expiresAt": int(time.time() + LIFETIME_S)}, headers=PRIVATE_HEADERS)

    return [Route(PATH, tokens, methods=["POST"])]


def _from_own_page(request: Request) -> bool:
    host = request.headers.get("host", "")
    return (
        request.client is not None
        and _is_loopback(request.client.host)
        and not any(name in request.headers for name in FORWARDED)
        and LOOPBACK_HOST.fullmatch(host) is not None
        and request.headers.get("origin") == f"{request.url.scheme}://{host}"
        and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    )


def _is_loopback(client: str) -> bool:
    try:
        return ip_address(client).is_loopback
    except ValueError:  # a name, as a server behind a UNIX socket or a test client tells
        return False
