"""`/dev/outbox`, in development only: what left the hub, and what would have if its channel had a provider.

The page loads nothing from elsewhere and runs its own script only. What was sent is put into it as text; a mail is a
document of its own, in a frame without scripts, forms and access to the page.
"""

import re
from importlib.resources import files
from secrets import token_urlsafe

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from hub.clock import rfc3339
from hub.platform.connections import Database
from hub.status.captured import CapturedMessage, CapturedMessages

PAGE_CSP = "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; frame-src 'self'"
EMAIL_CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src http: https: data:; frame-ancestors 'self'; "
SANDBOX = "sandbox allow-popups allow-popups-to-escape-sandbox"  # links open in a tab of their own
CLOSED = "; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
PAGE_SIZE = 100
HEAD_TAG = re.compile(r"<head>", re.IGNORECASE)


def dev_outbox_routes(database: Database) -> list[BaseRoute]:
    """Its routes. `/dev/hook` is a receiver of webhooks that is content with everything."""
    catch = CapturedMessages(database)

    async def page(_: Request) -> Response:
        nonce = token_urlsafe(16)
        text = files("hub.api").joinpath("outbox.html").read_text().replace("{nonce}", nonce)
        return HTMLResponse(text, headers=HEADERS | {"content-security-policy": PAGE_CSP.format(nonce) + CLOSED})

    async def list_messages(request: Request) -> Response:
        """Newest first; with `?after=` those that came after that id."""
        found = await catch.newest(PAGE_SIZE, request.query_params.get("after", ""))
        body = orjson.dumps({"messages": [_to_json(caught) for caught in found]}, option=orjson.OPT_INDENT_2)
        return Response(body, media_type="application/json", headers=HEADERS)

    async def mail(request: Request) -> Response:
        caught = await catch.get(request.path_params["id"])
        if caught is None or caught.html is None:
            return PlainTextResponse("This mail is not kept here.\n", 404)
        html = HEAD_TAG.sub('<head><base target="_blank">', caught.html, count=1)
        return HTMLResponse(html, headers=HEADERS | {"content-security-policy": EMAIL_CSP + SANDBOX})

    async def accept_webhook(_: Request) -> Response:
        return Response(status_code=204)

    return [
        Route("/dev/outbox", page),
        Route("/dev/outbox.json", list_messages),
        Route("/dev/outbox/{id}", mail),
        Route("/dev/hook", accept_webhook, methods=["POST"]),
    ]


def _to_json(caught: CapturedMessage) -> dict[str, object]:
    """Every field, also those that are null."""
    return {name: getattr(caught, name) for name in caught.__struct_fields__} | {"at": rfc3339(caught.at)}
