"""Helpers for endpoints that need no access token: body limit, error responses, security headers, HTML page."""

import math
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from html import escape

from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from hub.api.errors import to_graphql_error
from hub.errors import HubError, NotFound, RateLimited, TooLarge, Unavailable
from hub.ids import new_id
from hub.platform.translations import Language, accepted_language, marked
from hub.settings import Settings

PRIVATE_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}
STYLE = """
:root { color-scheme: light dark; --back: #f3f4f6; --card: #fff; --line: #e4e7ec; --text: #171a21; --soft: #4a5160; }
@media (prefers-color-scheme: dark) {
  :root { --back: #101216; --card: #1b1e24; --line: #2b2f38; --text: #f2f4f7; --soft: #c0c6d2; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px 16px; background: var(--back);
  color: var(--text); font: 16px/1.6 -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, Arial, sans-serif; }
main { width: 100%; max-width: 460px; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 32px 36px; overflow-wrap: anywhere; }
.tenant { margin: 0 0 14px; font-size: 15px; font-weight: 600; color: var(--soft); }
h1 { margin: 0; font-size: 23px; line-height: 1.3; letter-spacing: -0.01em; }
p { margin: 12px 0 0; color: var(--soft); }
button { margin-top: 24px; width: 100%; min-height: 48px; padding: 11px 20px; border: 1px solid var(--text);
  border-radius: 9px; background: var(--text); color: var(--card); font: inherit; font-weight: 600; cursor: pointer; }
button.second { background: none; color: var(--text); border-color: var(--soft); }
button:focus-visible { outline: 3px solid #2f6fed; outline-offset: 2px; }
@media (max-width: 480px) { main { padding: 26px 22px; } }
"""
PAGE_CSP = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

LINK_NOT_VALID = marked("This link is not valid")
REQUEST_FAILED = marked("That did not work")
TRY_LATER = marked("Please try again later.")

Handler = Callable[[Request], Awaitable[Response]]


class HtmlPage(Struct, frozen=True):
    """A page for users. `button` is its label and the query of the POST to the same URL."""

    title: str
    text: str
    language: Language
    tenant: str = ""
    button: tuple[str, str] | None = None
    secondary: bool = False
    """Whether the button has less emphasis."""
    comment: str = ""
    """An HTML comment with details for developers."""


def render_page(page: HtmlPage, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the page as a response. It has no scripts and loads nothing."""
    tenant = f'<p class="tenant">{escape(page.tenant)}</p>\n' if page.tenant else ""
    form = ""
    if page.button:
        words, query = page.button
        look = ' class="second"' if page.secondary else ""
        form = f'<form method="post" action="?{escape(query)}"><button{look}>{escape(words)}</button></form>\n'
    comment = f"<!-- {escape(page.comment)} -->\n" if page.comment else ""
    reader, title = page.language, escape(page.title)
    html = f"""<!doctype html>
<html lang="{reader.tag}" dir="{reader.direction}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{tenant}<h1>{title}</h1>
<p>{escape(page.text)}</p>
{form}{comment}</main>
</body>
</html>
"""
    return HTMLResponse(html, status, {**PRIVATE_HEADERS, "content-security-policy": PAGE_CSP, **(headers or {})})


def html_errors(handler: Handler) -> Handler:
    """Return errors as pages, in the language of `Accept-Language`."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - told, and logged where it is internal
            status, message, headers = _error_response(error)
            reader = accepted_language(request.headers.get("accept-language", ""))
            title = LINK_NOT_VALID if status == 404 else REQUEST_FAILED
            page = HtmlPage(reader.text(title), _advice(error, message, reader), reader, comment=message)
            return render_page(page, status, headers)

    return answered


def _advice(error: Exception, message: str, reader: Language) -> str:
    """Return what a user can do. Messages for developers appear only in the comment of the page."""
    if isinstance(error, RateLimited):
        one = "This link was opened too often. Try again in {number} second."
        many = "This link was opened too often. Try again in {number} seconds."
        return reader.plural(one, many, math.ceil(error.extensions["retryAfter"]))
    return reader.text(message if isinstance(error, NotFound) else TRY_LATER)


def json_errors(handler: Handler) -> Handler:
    """Return errors as JSON. Any origin may call, because the token in the URL is the only credential."""

    async def answered(request: Request) -> Response:
        try:
            response = await handler(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001 - told, and logged where it is internal
            status, message, headers = _error_response(error)
            response = JSONResponse({"errors": [{"message": message}]}, status, headers)
        response.headers.update({**PRIVATE_HEADERS, "access-control-allow-origin": "*"})
        return response

    return answered


async def read_body(request: Request, settings: Settings) -> bytes:
    """Return the body. Raise TooLarge above HUB_REQUEST_MAX_BYTES."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > settings.request_max_bytes:
            raise TooLarge(f"The body is larger than {settings.request_max_bytes} bytes (HUB_REQUEST_MAX_BYTES).")
    return bytes(body)


def _error_response(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Return status, message and headers."""
    told = to_graphql_error(error, new_id())
    code, message = told["extensions"]["code"], told["message"]
    if isinstance(error, RateLimited):
        return error.status, message, {"retry-after": str(round(error.extensions["retryAfter"]) + 1)}
    if code == Unavailable.code:
        return Unavailable.status, message, {}
    return (error.status if isinstance(error, HubError) else HubError.status), message, {}
