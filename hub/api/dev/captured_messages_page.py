"""`/dev/outbox`, in development only: the messages that the hub sent, or would have sent with a provider.

The page loads nothing from other origins and runs only its own script. Messages are inserted as text. HTML, such as
that of an email, is shown in a sandboxed frame that cannot run scripts, submit forms, or access the page.
"""

import re
from secrets import token_urlsafe

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from hub.api.public_responses import TEMPLATES
from hub.platform.connections import Database
from hub.status.captured import CapturedMessage, CapturedMessages
from hub.utc_time import rfc3339

PAGE_CSP = "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; frame-src 'self'"
EMAIL_CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src http: https: data:; frame-ancestors 'self'; "
SANDBOX = "sandbox allow-popups allow-popups-to-escape-sandbox"  # links open in a new tab
CLOSED = "; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
PAGE_SIZE = 100
HEAD_TAG = re.compile(r"<head>", re.IGNORECASE)


def dev_outbox_routes(database: Database) -> list[BaseRoute]:
    """Return the routes. `/dev/hook` accepts all webhook calls."""
    captured = CapturedMessages(database)

    async def page(_: Request) -> Response:
        nonce = token_urlsafe(16)
        html = TEMPLATES.get_template("outbox.html").render(nonce=nonce)
        return HTMLResponse(html, headers=HEADERS | {"content-security-policy": PAGE_CSP.format(nonce) + CLOSED})

    async def list_messages(request: Request) -> Response:
        """Return the messages, newest first. `?after=` returns only messages after that id."""
        messages = await captured.newest(PAGE_SIZE, request.query_params.get("after", ""))
        body = orjson.dumps({"messages": [_to_json(message) for message in messages]}, option=orjson.OPT_INDENT_2)
        return Response(body, media_type="application/json", headers=HEADERS)

    async def email(request: Request) -> Response:
        message = await captured.get(request.path_params["id"])
        if message is None or message.html is None:
            return PlainTextResponse("The outbox has no page for this id.\n", 404)
        html = HEAD_TAG.sub('<head><base target="_blank">', message.html, count=1)
        return HTMLResponse(html, headers=HEADERS | {"content-security-policy": EMAIL_CSP + SANDBOX})

    async def accept_webhook(_: Request) -> Response:
        return Response(status_code=204)

    return [
        Route("/dev/outbox", page),
        Route("/dev/outbox.json", list_messages),
        Route("/dev/outbox/{id}", email),
        Route("/dev/hook", accept_webhook, methods=["POST"]),
    ]


def _to_json(message: CapturedMessage) -> dict[str, object]:
    """Return all fields of a message, including fields that are null."""
    return {name: getattr(message, name) for name in message.__struct_fields__} | {"at": rfc3339(message.at)}
