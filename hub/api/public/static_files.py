"""Serves the front end that `make front` builds in `hub/front/`: the components for all pages, the operator console,
and, in development, the demo page.

Files are read at startup (in development, also when one of these pages is loaded) and are served from memory. A URL
path is looked up as a whole and is never used as a file path. File names are the same in every version, except in
`demo/` and `console/`, where file names contain a hash of the content.
"""

import gzip
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from hub.api.public.console_sign_in import NO_SIGN_IN, ConsoleSignIn
from hub.api.public_responses import PAGE_CSP, TEMPLATES

FOLDER = Path(__file__).parents[2] / "front"
ROOT = "/"
APP = "/app"
APP_PREFIX = f"{APP}/"  # the demo app has client-side routes, which notifications link to
CONSOLE = "/console"
CONSOLE_PREFIX = f"{CONSOLE}/"  # the console has client-side routes
CONSOLE_PAGE = "console.html"
PREVIEW_PAGE = "console-preview.html"  # the empty page in which the console shows an email
DEMO_PREFIX = "demo/"  # files that the demo page loads
HASHED_PREFIXES = (DEMO_PREFIX, "console/")  # files whose names contain a hash of the content
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
DEMO_PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "worker-src 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types lit-html hub-push vue"
)
"""The policy of the demo page. `'self'` in `connect-src` includes WebSockets. Lit's style sheets need no permission."""
PREVIEW_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'; "
    "form-action 'none'; sandbox allow-same-origin"
)
"""The policy of the page in which the console shows an email: it runs no scripts, and loads nothing from the network.
The console has the same origin, so it can put the email into the page."""
PRODUCTION_PAGES = {CONSOLE_PAGE, PREVIEW_PAGE}
ASSET_CSP = "default-src 'none'; frame-ancestors 'none'"  # for scripts and images that are opened as pages
WORKER_CSP = "default-src 'none'; connect-src http: https:; img-src http: https: data:"
"""The policy of the service worker. The worker sends reports to HUB_PUBLIC_URL, which may have a different origin than
the script, and shows images at URLs that senders choose."""
PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class File(Struct, frozen=True):
    """The plain and compressed content for one URL path, and the headers."""

    body: bytes
    gzipped: bytes
    headers: dict[str, str]


class FrontendFiles:
    """An ASGI app that serves the URL paths that it contains (`path in files`)."""

    def __init__(self, development: bool, folder: Path = FOLDER, sign_in: ConsoleSignIn = NO_SIGN_IN) -> None:
        self._folder = folder
        self._sign_in = sign_in
        self._development = development
        self.files = self._load()

    @property
    def built(self) -> bool:
        """True if the front end contains a demo page."""
        return ROOT in self.files

    def __contains__(self, path: str) -> bool:
        if self._development and (path == ROOT or path.startswith((APP_PREFIX, CONSOLE_PREFIX))):
            return True
        return path in self.files or (path.startswith(CONSOLE_PREFIX) and CONSOLE in self.files)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._respond(scope)(scope, receive, send)

    def _respond(self, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            return Response(status_code=405, headers={"allow": "GET, HEAD"})
        path = scope["path"]
        if self._development and path in {ROOT, CONSOLE_PREFIX}:
            self.files = self._load()
        file = self.files.get(path)
        if file is None:
            file = self.files.get(next((page for page in (APP, CONSOLE) if path.startswith(f"{page}/")), ""))
        if file is None:
            html = TEMPLATES.get_template("not_built.html").render()
            return HTMLResponse(html, headers={"cache-control": "no-store", "content-security-policy": PAGE_CSP})
        headers = Headers(scope=scope)
        if file.headers["etag"] in headers.get("if-none-match", ""):
            return Response(status_code=304, headers=file.headers)
        if "gzip" in headers.get("accept-encoding", ""):
            return Response(file.gzipped, headers={**file.headers, "content-encoding": "gzip"})
        return Response(file.body, headers=file.headers)

    def _load(self) -> dict[str, File]:
        files = {}
        for file_path in self._folder.rglob("*"):
            if file_path.suffix in MEDIA_TYPES and file_path.is_file():
                name = file_path.relative_to(self._folder).as_posix()
                if self._development or not _is_demo(name):
                    files[_url_path(name)] = self._load_file(file_path, name)
        return files

    def _load_file(self, path: Path, name: str) -> File:
        body = path.read_bytes()
        if name == CONSOLE_PAGE:
            return _file_of(self._sign_in.add_to(body), path.suffix, name, self._sign_in.csp)
        return _file_of(body, path.suffix, name, PREVIEW_CSP if name == PREVIEW_PAGE else DEMO_PAGE_CSP)


def _is_demo(name: str) -> bool:
    return (name.endswith(".html") and name not in PRODUCTION_PAGES) or name.startswith(DEMO_PREFIX)


def _url_path(name: str) -> str:
    """Return the URL path of a file: `/` for `index.html`, `/app` for `app.html`."""
    return ROOT if name == "index.html" else f"/{name.removesuffix('.html')}"


def _file_of(body: bytes, suffix: str, name: str, page_csp: str) -> File:
    is_page = suffix == ".html"
    is_hashed = name.startswith(HASHED_PREFIXES)
    headers = {
        "content-type": MEDIA_TYPES[suffix],
        "cache-control": "public, max-age=31536000, immutable" if is_hashed else "no-cache",
        "etag": f'W/"{b64encode(sha256(body).digest()[:15]).decode()}"',
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "content-security-policy": page_csp if is_page else ASSET_CSP,
    }
    if is_page:
        headers |= {"permissions-policy": PERMISSIONS_POLICY, "cross-origin-opener-policy": "same-origin"}
    if is_page or is_hashed:
        headers["cross-origin-resource-policy"] = "same-origin"
    else:
        headers |= {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
    if name == "sw.js":
        headers |= {"service-worker-allowed": "/", "content-security-policy": WORKER_CSP}
    return File(body, gzip.compress(body, mtime=0), headers)
