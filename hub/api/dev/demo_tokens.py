"""`POST /dev/tokens`, in development only: access tokens for the demo page, valid for minutes.

Only the hub's own page on this machine can get tokens:

- The connection comes directly from this machine, not through a proxy or tunnel.
- `Host` is a name of this machine, not another name that resolves to the same address (DNS rebinding).
- `Origin` is the hub's origin. A page on another port has a different origin, and a webhook call has no origin.
"""

import re
import time
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from hub.api.auth import sign_token_for
from hub.api.public_responses import PRIVATE_HEADERS
from hub.model import Role
from hub.settings import Settings

PATH = "/dev/tokens"
USERS = ("alice", "bob")  # the users that `hub dev` creates
SERVICE = "service"
ADMIN = "admin"  # with a user: the page shares a connection among the tokens of one user
LIFETIME_S = 600.0
LOOPBACK_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
REJECTION = {
    "error": "Tokens are only for the demo page on the hub's own machine. Open it at the URL that `hub dev` printed."
}


def dev_token_routes(settings: Settings) -> list[BaseRoute]:
    """Return the route. Return no route if only an external issuer can sign tokens."""
    if not settings.jwt_secret:
        return []

    async def tokens(request: Request) -> Response:
        if not _from_own_page(request):
            return JSONResponse(REJECTION, 403, PRIVATE_HEADERS)
        signed = {user: sign_token_for(settings, user, Role.USER, LIFETIME_S) for user in USERS}
        signed[SERVICE] = sign_token_for(settings, None, Role.SERVICE, LIFETIME_S)
        signed[ADMIN] = sign_token_for(settings, ADMIN, Role.ADMIN, LIFETIME_S)
        return JSONResponse({"tokens": signed, "expiresAt": int(time.time() + LIFETIME_S)}, headers=PRIVATE_HEADERS)

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
    except ValueError:  # not an IP address, for example for a UNIX socket or a test client
        return False
