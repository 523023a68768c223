"""Helpers for endpoints that need no access token: pages, error responses, security headers, and the body limit."""

import math
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256

from jinja2 import Environment, PackageLoader, StrictUndefined
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
TEMPLATES = Environment(
    loader=PackageLoader("hub.api"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
STYLE = TEMPLATES.get_template("page.css").render()
PAGE_CSP = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

LINK_NOT_VALID = marked("This link is not valid")
REQUEST_FAILED = marked("Something went wrong")
TRY_LATER = marked("Please try again later.")

Handler = Callable[[Request], Awaitable[Response]]


class HtmlPage(Struct, frozen=True):
    """A page for users."""

    title: str
    text: str
    language: Language
    tenant: str = ""
    button: tuple[str, str] | None = None
    """The label of the button, and the query of the POST request to the same URL."""
    secondary: bool = False
    """The button has less emphasis."""
    link: tuple[str, str] | None = None
    """The label and the URL of a link."""
    comment: str = ""
    """An HTML comment with details for developers."""


def render_page(page: HtmlPage, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the page as a response. The page has no scripts and loads no other files."""
    html = TEMPLATES.get_template("page.html").render(page=page)
    return HTMLResponse(html, status, {**PRIVATE_HEADERS, "content-security-policy": PAGE_CSP, **(headers or {})})


def html_errors(handler: Handler) -> Handler:
    """Return errors as pages in the language of the `Accept-Language` header."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - returned to the client; internal errors are logged
            status, message, headers = _error_response(error)
            language = accepted_language(request.headers.get("accept-language", ""))
            title = LINK_NOT_VALID if status == 404 else REQUEST_FAILED
            page = HtmlPage(language.text(title), _advice(error, message, language), language, comment=message)
            return render_page(page, status, headers)

    return handle


def _advice(error: Exception, message: str, language: Language) -> str:
    """Return instructions for the user. Messages for developers appear only in an HTML comment."""
    if isinstance(error, RateLimited):
        one = "This link was opened too often. Try again in {number} second."
        many = "This link was opened too often. Try again in {number} seconds."
        return language.plural(one, many, math.ceil(error.extensions["retryAfter"]))
    return language.text(message if isinstance(error, NotFound) else TRY_LATER)


def json_errors(handler: Handler) -> Handler:
    """Return errors as JSON. All origins are allowed because the token in the URL is the only credential."""

    async def handle(request: Request) -> Response:
        try:
            response = await handler(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001 - returned to the client; internal errors are logged
            status, message, headers = _error_response(error)
            response = JSONResponse({"errors": [{"message": message}]}, status, headers)
        response.headers.update({**PRIVATE_HEADERS, "access-control-allow-origin": "*"})
        return response

    return handle


async def read_body(request: Request, settings: Settings) -> bytes:
    """Return the body of the request. Raise TooLarge if it exceeds HUB_REQUEST_MAX_BYTES."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > settings.request_max_bytes:
            raise TooLarge(f"The body is larger than {settings.request_max_bytes} bytes (HUB_REQUEST_MAX_BYTES).")
    return bytes(body)


def _error_response(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Return the HTTP status, message, and headers for an error. Log internal errors."""
    formatted = to_graphql_error(error, new_id())
    code, message = formatted["extensions"]["code"], formatted["message"]
    if isinstance(error, RateLimited):
        return error.status, message, {"retry-after": str(round(error.extensions["retryAfter"]) + 1)}
    if code == Unavailable.code:
        return Unavailable.status, message, {}
    return (error.status if isinstance(error, HubError) else HubError.status), message, {}
