"""Serves the front end that `make front` builds in `hub/front/`: the components for all pages and, in development, the
demo page.

Files are read at startup (in development, also when the demo page is loaded) and are served from memory. A URL path is
looked up as a whole and is never used as a file path. File names are the same in every version, except in `demo/`,
where file names contain a hash of the content.
"""

import gzip
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from hub.api.public_responses import PAGE_CSP, TEMPLATES

FOLDER = Path(__file__).parents[2] / "front"
ROOT = "/"
APP = "/app"
APP_PREFIX = f"{APP}/"  # the demo app has client-side routes, which notifications link to
DEMO_PREFIX = "demo/"  # files that the demo page loads
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
DEMO_PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "worker-src 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types lit-html hub-push"
)
"""The policy of the demo page. `'self'` in `connect-src` includes WebSockets. Lit's style sheets need no permission."""
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

    def __init__(self, development: bool, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._development = development
        self.files = self._load()

    @property
    def built(self) -> bool:
        """True if the front end contains a demo page."""
        return ROOT in self.files

    def __contains__(self, path: str) -> bool:
        return path in self.files or (self._development and (path == ROOT or path.startswith(APP_PREFIX)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._respond(scope)(scope, receive, send)

    def _respond(self, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            return Response(status_code=405, headers={"allow": "GET, HEAD"})
        if self._development and scope["path"] == ROOT:
            self.files = self._load()
        file = self.files.get(APP if scope["path"].startswith(APP_PREFIX) else scope["path"])
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
                    files[_url_path(name)] = _load_file(file_path, name)
        return files


def _is_demo(name: str) -> bool:
    return name.endswith(".html") or name.startswith(DEMO_PREFIX)


def _url_path(name: str) -> str:
    """Return the URL path of a file: `/` for `index.html`, `/app` for `app.html`."""
    return ROOT if name == "index.html" else f"/{name.removesuffix('.html')}"


def _load_file(path: Path, name: str) -> File:
    body = path.read_bytes()
    is_page = path.suffix == ".html"
    headers = {
        "content-type": MEDIA_TYPES[path.suffix],
        "cache-control": "public, max-age=31536000, immutable" if name.startswith(DEMO_PREFIX) else "no-cache",
        "etag": f'W/"{b64encode(sha256(body).digest()[:15]).decode()}"',
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "content-security-policy": DEMO_PAGE_CSP if is_page else ASSET_CSP,
    }
    if is_page:
        headers |= {"permissions-policy": PERMISSIONS_POLICY, "cross-origin-opener-policy": "same-origin"}
    if is_page or name.startswith(DEMO_PREFIX):
        headers["cross-origin-resource-policy"] = "same-origin"
    else:
        headers |= {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
    if name == "sw.js":
        headers |= {"service-worker-allowed": "/", "content-security-policy": WORKER_CSP}
    return File(body, gzip.compress(body, mtime=0), headers)
