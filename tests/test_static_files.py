"""The front end that the hub serves from a folder like that of `make front`."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from hub.api.dev.demo_tokens import PATH, dev_token_routes
from hub.api.public.console_sign_in import ConsoleSignIn
from hub.api.public.static_files import FrontendFiles
from hub.settings import Settings
from tests.client import Tenant
from tests.processes import SECRET

FILES = {
    "index.html": "<!doctype html><title>Demo</title>",
    "app.html": "<!doctype html><title>App</title>",
    "console.html": "<!doctype html><title>Console</title>",
    "console-preview.html": "<!doctype html><title>Preview</title>",
    "console/console-Ab1.js": "const console = 1;",
    "inbox.js": "export const inbox = 1;" * 100,
    "sw.js": "self.skipWaiting();",
    "demo/demo-Ab1.js": "import '/inbox.js';",
    "demo/demo-Ab1.css": ":root { color-scheme: light dark; }",
    "notes.txt": "not for anybody",
}
PAGES = {"/": "index.html", "/app": "app.html"}
DEMO = {"/demo/demo-Ab1.js", "/demo/demo-Ab1.css", *PAGES}
HOST = "127.0.0.1:8000"
OWN = {"host": HOST, "origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "front" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "secret.js").write_text("secret")
    return tmp_path / "front"


@contextmanager
def http_client(app: ASGIApp, client: str = "127.0.0.1") -> Iterator[TestClient]:
    """Call the app, which has no lifespan."""
    caller = TestClient(app, base_url=f"http://{HOST}", client=(client, 50_000))
    yield caller
    caller.close()


def policy(header: str) -> dict[str, set[str]]:
    """Return the directives of a Content-Security-Policy."""
    return {words[0]: set(words[1:]) for words in (directive.split() for directive in header.split(";"))}


def test_front_serves_its_files_with_their_types(folder: Path) -> None:
    front = FrontendFiles(True, folder)
    assert front.built
    with http_client(front) as client:
        for address, kind in (("/", "text/html"), ("/inbox.js", "text/javascript"), ("/demo/demo-Ab1.css", "text/css")):
            response = client.get(address)
            assert response.text == FILES[PAGES.get(address, address[1:])]
            assert response.headers["content-type"] == f"{kind}; charset=utf-8"
            assert response.headers["x-content-type-options"] == "nosniff"
            assert client.head(address).headers["etag"] == response.headers["etag"]
            refused = client.post(address)
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_front_allows_embedding_of_components_and_not_of_the_demo(folder: Path) -> None:
    with http_client(FrontendFiles(True, folder)) as client:
        for address in ("/inbox.js", "/sw.js"):
            headers = client.get(address, headers={"origin": "https://app.example.org"}).headers
            assert headers["access-control-allow-origin"] == "*"
            assert headers["cross-origin-resource-policy"] == "cross-origin"
        for address in DEMO:
            headers = client.get(address, headers={"origin": "https://app.example.org"}).headers
            assert "access-control-allow-origin" not in headers
            assert headers["cross-origin-resource-policy"] == "same-origin"
        worker = client.get("/sw.js").headers
        assert (worker["service-worker-allowed"], worker["cache-control"]) == ("/", "no-cache")


def test_front_pages_have_a_strict_content_security_policy(folder: Path) -> None:
    with http_client(FrontendFiles(True, folder)) as client:
        for address in PAGES:
            response = client.get(address)
            allowed = policy(response.headers["content-security-policy"])
            assert allowed["default-src"] == allowed["base-uri"] == allowed["form-action"] == {"'none'"}
            for directive in ("script-src", "style-src", "connect-src", "frame-src", "frame-ancestors"):
                assert allowed[directive] == {"'self'"}
            assert allowed.pop("require-trusted-types-for") == {"'script'"}
            assert allowed.pop("trusted-types") == {"lit-html", "hub-push", "vue"}
            assert set.union(*allowed.values()) == {"'none'", "'self'", "data:"}
            assert response.headers["referrer-policy"] == "no-referrer"
            assert "geolocation=()" in response.headers["permissions-policy"]


def test_front_responds_304_to_a_known_etag(folder: Path) -> None:
    with http_client(FrontendFiles(True, folder)) as client:
        first = client.get("/inbox.js")
        assert first.headers["cache-control"] == "no-cache"
        again = client.get("/inbox.js", headers={"if-none-match": f'"other", {first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert client.get("/inbox.js", headers={"if-none-match": '"other"'}).status_code == 200
        assert client.get("/sw.js").headers["etag"] != first.headers["etag"]
        assert "immutable" in client.get("/demo/demo-Ab1.js").headers["cache-control"]


def test_front_is_compressed_for_clients_that_accept_it(folder: Path) -> None:
    with http_client(FrontendFiles(True, folder)) as client:
        plain = client.get("/inbox.js", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        packed = client.get("/inbox.js", headers={"accept-encoding": "br, gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, mtime=0)) < len(plain.content)
        assert packed.content == plain.content
        assert packed.headers["vary"] == "accept-encoding"


def test_front_serves_no_other_paths(folder: Path) -> None:
    front = FrontendFiles(True, folder)
    (folder / "later.js").write_text("not read at the start")
    for address in (
        *("/../secret.js", "/demo/../inbox.js", "//inbox.js", "/demo/../../secret.js", "/inbox.js/", "/INBOX.js"),
        *("/notes.txt", "/later.js", "/index.html", "/demo", "/demo/", "", "/\0", str(folder / "inbox.js")),
    ):
        assert address not in front, address


def test_front_in_production_serves_only_the_components(folder: Path) -> None:
    front = FrontendFiles(False, folder)
    assert not front.built
    assert not [address for address in (*DEMO, "/app/deploys/web-9") if address in front]
    assert "/inbox.js" in front
    assert "/sw.js" in front


def test_console_is_served_at_its_routes_in_each_mode(folder: Path) -> None:
    for development in (True, False):
        front = FrontendFiles(development, folder)
        with http_client(front) as client:
            for address in ("/console", "/console/", "/console/users/a%2fb", "/console/deliveries?status=FAILED"):
                assert address.partition("?")[0] in front
                response = client.get(address)
                assert (response.status_code, response.text) == (200, FILES["console.html"])
                allowed = policy(response.headers["content-security-policy"])
                assert allowed["script-src"] == allowed["style-src"] == allowed["connect-src"] == {"'self'"}
                assert allowed["default-src"] == allowed["frame-ancestors"] == allowed["form-action"] == {"'none'"}
                assert allowed.pop("require-trusted-types-for") == {"'script'"}
                assert allowed.pop("trusted-types") == {"lit-html"}
                assert set.union(*allowed.values()) == {"'none'", "'self'", "data:"}
                assert response.headers["referrer-policy"] == "no-referrer"
            script = client.get("/console/console-Ab1.js")
            assert "immutable" in script.headers["cache-control"]
            assert "access-control-allow-origin" not in script.headers
        assert "/consoles" not in front


def test_console_with_an_issuer_may_call_its_origin_only(folder: Path) -> None:
    (folder / "console.html").write_text("<!doctype html><head><title>Console</title></head>")
    sign_in = ConsoleSignIn('https://login.example.org:8443/realms/"a"', "console", "openid")
    with http_client(FrontendFiles(False, folder, sign_in)) as client:
        response = client.get("/console/deliveries")
    allowed = policy(response.headers["content-security-policy"])
    assert allowed["connect-src"] == {"'self'", "https://login.example.org:8443"}
    assert allowed["script-src"] == allowed["style-src"] == {"'self'"}
    assert allowed["form-action"] == {"'none'"}
    assert '<meta name="hub-sign-in" content="{&quot;issuer&quot;:&quot;https://login' in response.text
    assert response.text.endswith('"></head>')


def test_page_for_emails_runs_no_scripts_and_loads_nothing(folder: Path) -> None:
    for development in (True, False):
        with http_client(FrontendFiles(development, folder)) as client:
            response = client.get("/console-preview")
        assert response.text == FILES["console-preview.html"]
        allowed = policy(response.headers["content-security-policy"])
        assert allowed.pop("sandbox") == {"allow-same-origin"}
        assert allowed.pop("style-src") == {"'unsafe-inline'"}
        assert allowed.pop("img-src") == {"data:"}
        assert allowed.pop("frame-ancestors") == {"'self'"}
        assert allowed == {name: {"'none'"} for name in ("default-src", "base-uri", "form-action")}


def test_front_that_is_not_built_explains_how_to_build_it(tmp_path: Path) -> None:
    front = FrontendFiles(True, tmp_path / "nowhere")
    assert not front.built
    with http_client(front) as client:
        response = client.get("/")
        assert response.status_code == 200
        assert "<code>make front</code>" in response.text
        assert 'href="/graphiql"' in response.text
        assert "unsafe" not in response.headers["content-security-policy"]
    assert "/inbox.js" not in front
    assert "/" not in FrontendFiles(False, tmp_path / "nowhere")
    assert "/console/" not in FrontendFiles(False, tmp_path / "nowhere")


def test_front_built_after_the_start_is_served(folder: Path) -> None:
    index = folder / "index.html"
    index.unlink()
    front = FrontendFiles(True, folder)
    with http_client(front) as client:
        assert "make front" in client.get("/").text
        index.write_text("<!doctype html><title>Built</title>")
        (folder / "inbox.js").unlink()
        assert "Built" in client.get("/").text
    assert "/inbox.js" not in front


def test_front_serves_the_app_at_each_of_its_routes(folder: Path) -> None:
    with http_client(FrontendFiles(True, folder)) as client:
        for address in ("/app/", "/app/deploys/web-9", "/app/a/b%2fc"):
            response = client.get(address)
            assert (response.status_code, response.text) == (200, FILES["app.html"])
            assert response.headers["content-security-policy"] == client.get("/app").headers["content-security-policy"]
    for address in ("/deploys/web-9", "/apps", "/graphql", "/dev/outbox"):
        assert address not in FrontendFiles(True, folder)


async def test_production_serves_no_tokens_and_no_demo_files(tenant: Tenant) -> None:
    root = tenant.next_url().removesuffix("/graphql")
    for method, path in (("POST", PATH), ("GET", "/inbox.js/..%2f..%2fmodel.py")):
        async with aiohttp.ClientSession() as session, session.request(method, root + path, headers=OWN) as response:
            assert response.status == 404, path


TOKENS = Starlette(routes=dev_token_routes(Settings(jwt_secret=(SECRET,))))


def test_demo_tokens_are_given_to_the_local_page_of_the_hub() -> None:
    for host in (HOST, "localhost:8000", "[::1]:8000"):
        with http_client(TOKENS) as client:
            response = client.post(PATH, headers={**OWN, "host": host, "origin": f"http://{host}"})
            assert response.status_code == 200
            assert response.json()["tokens"].keys() == {"alice", "bob", "service", "admin"}
            assert response.headers["cache-control"] == "no-store"
            assert client.get(PATH, headers=OWN).status_code == 405


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        pytest.param("192.168.1.7", OWN, id="another-machine"),
        pytest.param("a-name-and-no-address", OWN, id="name"),
        pytest.param("127.0.0.1", {"host": HOST}, id="no-browser"),
        pytest.param("127.0.0.1", {**OWN, "origin": "http://127.0.0.1:5173"}, id="another-port"),
        pytest.param("127.0.0.1", {**OWN, "origin": "https://evil.example"}, id="another-site"),
        pytest.param("127.0.0.1", {**OWN, "origin": "null"}, id="sandboxed"),
        pytest.param("127.0.0.1", {**OWN, "sec-fetch-site": "same-site"}, id="same-site"),
        pytest.param(
            "127.0.0.1", {**OWN, "host": "evil.example:8000", "origin": "http://evil.example:8000"}, id="rebound-name"
        ),
        pytest.param(
            "127.0.0.1",
            {**OWN, "host": "127.0.0.1.evil.example", "origin": "http://127.0.0.1.evil.example"},
            id="name-that-looks-like-here",
        ),
        pytest.param("127.0.0.1", {**OWN, "host": "[", "origin": "http://["}, id="no-host-at-all"),
        pytest.param("127.0.0.1", {**OWN, "x-forwarded-for": "203.0.113.9"}, id="through-a-tunnel"),
    ],
)
def test_demo_tokens_are_refused_to_other_callers(client: str, headers: dict[str, str]) -> None:
    with http_client(TOKENS, client) as requesting:
        response = requesting.post(PATH, headers=headers)
        assert response.status_code == 403
        assert "tokens" not in response.json()


def test_demo_tokens_are_unavailable_with_an_external_issuer() -> None:
    assert dev_token_routes(Settings(jwks_url="https://issuer.example.org/keys")) == []
