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

from hub.api.auth import sign_for
from hub.api.responses import DISCREET
from hub.model import Role
from hub.settings import Settings

PATH = "/dev/tokens"
PEOPLE = ("alice", "bob")  # whom `hub dev` begins with
SERVICE = "service"
GOOD_S = 600.0
HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
REFUSED = {
    "error": "Tokens are for the demo page on the hub's own machine: open it by the address that the hub printed."
}


def dev_tokens(settings: Settings) -> list[BaseRoute]:
    """Its route; none where an issuer signs the tokens, and not the hub."""
    if not settings.jwt_secret:
        return []

    async def tokens(request: Request) -> Response:
        if not _from_own_page(request):
            return JSONResponse(REFUSED, 403, DISCREET)
        handed = {user: sign_for(settings, user, Role.USER, GOOD_S) for user in PEOPLE}
        handed[SERVICE] = sign_for(settings, None, Role.SERVICE, GOOD_S)
        return JSONResponse({"tokens": handed, "expiresAt": int(time.time() + GOOD_S)}, headers=DISCREET)

    return [Route(PATH, tokens, methods=["POST"])]


def _from_own_page(request: Request) -> bool:
    host = request.headers.get("host", "")
    return (
        request.client is not None
        and _is_here(request.client.host)
        and not any(name in request.headers for name in FORWARDED)
        and HERE.fullmatch(host) is not None
        and request.headers.get("origin") == f"{request.url.scheme}://{host}"
        and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    )


def _is_here(client: str) -> bool:
    try:
        return ip_address(client).is_loopback
    except ValueError:  # a name, as a server behind a UNIX socket or a test client tells
        return False
