"""The front end that `make front` built into `hub/front/`: the components, for the pages of everybody, and the demo
page, in development only.

Its files are read when the process starts, in development anew with every load of the demo page, and are served from
memory: an address is looked up as it stands and never becomes a path. Names stay over versions, except under `demo/`,
where they have a hash of the content.
"""

import gzip
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from hub.api.responses import PAGE_CSP, STYLE

FOLDER = Path(__file__).parents[2] / "front"
ROOT = "/"
APP = "/app"
APP_PREFIX = f"{APP}/"  # the app of the demo has places: where notifications lead
DEMO_PREFIX = "demo/"  # what the demo page loads
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
"""Of the demo page. `'self'` of `connect-src` is for WebSockets too; what Lit styles with is under no policy."""
ASSET_CSP = "default-src 'none'; frame-ancestors 'none'"  # of what is no page, should somebody open it as one
WORKER_CSP = "default-src 'none'; connect-src http: https:; img-src http: https: data:"
"""Of the service worker. It reports to HUB_PUBLIC_URL, which need not be the origin that this was loaded from, and
shows pictures that senders name."""
PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
NOT_BUILT_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The demo page is not built · hub</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>The demo page is not built</h1>
<p>The hub itself runs. Build the page with <code>make front</code>, which needs Node 20 or later and npm, and load this
one again.</p>
<p>Without it there are <a href="/graphiql">GraphiQL</a>, to explore the API, and <a href="/dev/outbox">the outbox</a>,
which shows what leaves the hub.</p>
</main>
</body>
</html>
"""


class File(Struct, frozen=True):
    """One address's answer, as it is and compressed."""

    body: bytes
    gzipped: bytes
    headers: dict[str, str]


class FrontendFiles:
    """An ASGI app for the addresses that it contains."""

    def __init__(self, development: bool, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._development = development
        self.files = self._load()

    @property
    def built(self) -> bool:
        """Whether there is a demo page."""
        return ROOT in self.files

    def __contains__(self, address: str) -> bool:
        return address in self.files or (self._development and (address == ROOT or address.startswith(APP_PREFIX)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._respond(scope)(scope, receive, send)

    def _respond(self, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            return Response(status_code=405, headers={"allow": "GET, HEAD"})
        if self._development and scope["path"] == ROOT:
            self.files = self._load()
        file = self.files.get(APP if scope["path"].startswith(APP_PREFIX) else scope["path"])
        if file is None:
            return HTMLResponse(
                NOT_BUILT_PAGE, headers={"cache-control": "no-store", "content-security-policy": PAGE_CSP}
            )
        asked = Headers(scope=scope)
        if file.headers["etag"] in asked.get("if-none-match", ""):
            return Response(status_code=304, headers=file.headers)
        if "gzip" in asked.get("accept-encoding", ""):
            return Response(file.gzipped, headers={**file.headers, "content-encoding": "gzip"})
        return Response(file.body, headers=file.headers)

    def _load(self) -> dict[str, File]:
        return {
            address: file
            for path in self._folder.rglob("*")
            if path.suffix in MEDIA_TYPES and path.is_file()
            for address, file in [_load_file(path, path.relative_to(self._folder).as_posix())]
            if self._development or not _is_demo(address)
        }


def _is_demo(address: str) -> bool:
    return "." not in address or address.startswith(f"/{DEMO_PREFIX}")


def _load_file(path: Path, name: str) -> tuple[str, File]:
    """The address and what is there: of `index.html` it is `/`, of `app.html` `/app`."""
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
    address = ROOT if name == "index.html" else f"/{name.removesuffix('.html')}"
    return address, File(body, gzip.compress(body, mtime=0), headers)
