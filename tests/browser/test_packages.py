"""The npm packages, packed, and installed in an app with Vite and Next.js. The app consists of the documented examples."""

import asyncio
import json
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, WebSocket, expect

from tests.browser.conftest import FRONT, Browsers, BrowserUser
from tests.client import Tenant, eventually

ROOT = FRONT.parent
SOURCE = Path(__file__).parent / "npm_app"
APP = ROOT / ".cache" / "npm_app"
"""The installed app, which is kept between runs."""
NAMES = ("client", "inbox", "react", "vue")
EXAMPLES = ("react", "vue", "token.js", "headless.ts", "package-bell.ts")
IMPORT_ALL = """for (const name of ["client", "client/preferences", "inbox", "inbox/preferences", "react", "vue"])
  console.log(Object.keys(await import(`@notification-hub/${name}`)).length > 0);"""
TYPES = {".css": "text/css", ".js": "text/javascript", ".html": "text/html", ".txt": "text/plain"}


async def run(*command: str, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, f"{' '.join(command)}\n{output}"
    return output


@pytest.fixture(scope="session")
async def packed(built_front_end: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:  # noqa: ARG001
    """Build and pack the packages. Return the archives."""
    folder = tmp_path_factory.mktemp("packed")
    await run("npm", "run", "--silent", "packages", cwd=FRONT)
    packages = [f"./packages/{name}" for name in NAMES]
    await run("npm", "pack", "--silent", "--pack-destination", str(folder), *packages, cwd=FRONT)
    return sorted(folder.glob("*.tgz"))


@pytest.fixture(scope="session")
async def installed_app(packed: list[Path]) -> Path:
    """Install the packages into the app. Return its folder."""
    installed = APP / "node_modules" / ".installed"
    if not installed.exists() or installed.stat().st_mtime < (SOURCE / "package-lock.json").stat().st_mtime:
        shutil.rmtree(APP, ignore_errors=True)
        shutil.copytree(SOURCE, APP)
        await run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=APP)
        installed.touch()
    shutil.copytree(SOURCE, APP, dirs_exist_ok=True)
    await run("npm", "install", "--silent", "--no-save", "--prefer-offline", *map(str, packed), cwd=APP)
    for name in EXAMPLES:
        source, to = ROOT / "docs" / "examples" / name, APP / "examples" / name
        to.parent.mkdir(exist_ok=True)
        shutil.copytree(source, to, dirs_exist_ok=True) if source.is_dir() else shutil.copy(source, to)
    for path in (APP / "examples").rglob("*.*"):
        path.write_text(path.read_text().replace("https://hub.example.org/graphql", "/graphql"))
    return APP


@pytest.fixture(scope="session")
async def built_app(installed_app: Path) -> Path:
    """Check the types of the app and build it with Vite and Next.js. Return its folder."""
    for folder in ("dist", "out"):
        shutil.rmtree(installed_app / folder, ignore_errors=True)
    steps = (run("npm", "run", "--silent", step, cwd=installed_app) for step in ("types", "vite", "next"))
    await asyncio.gather(*steps)
    return installed_app


class AppPage:
    """A page of the app, on the origin of the hub. `errors` contains errors and warnings of frameworks."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.bell = page.locator("hub-inbox")
        self.badge = page.locator("hub-inbox .badge")
        self.items = page.locator("ul[aria-busy] li")
        self.errors: list[str] = []
        self.sockets: list[WebSocket] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda output: self.errors.append(output.text) if output.type == "error" else None)
        page.on("websocket", self._add_socket)

    def _add_socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket)


@pytest.fixture
async def app(browsers: Browsers, built_app: Path) -> AsyncIterator[tuple[BrowserUser, AppPage]]:
    """The browser of alice, and a page of it."""
    alice = await browsers.person("alice")

    async def serve(route: Route) -> None:
        folder, _, path = route.request.url.removeprefix(f"{alice.origin}/").partition("?")[0].partition("/")
        file = built_app / {"next": "out", "vite": "dist"}[folder] / (path or "index.html")
        found = file if file.is_file() else file.with_suffix(".html")
        await route.fulfill(path=found, content_type=TYPES.get(found.suffix, "application/octet-stream"))

    async def give_token(route: Route) -> None:
        await route.fulfill(body=alice.sign(), content_type="text/plain")

    for folder in ("next", "vite"):
        await alice.context.route(f"{alice.origin}/{folder}/**", serve)
    await alice.context.route(f"{alice.origin}/my/hub-token", give_token)
    page = AppPage(await alice.context.new_page())
    yield alice, page
    assert page.errors == []


def test_packages_contain_their_modules_and_types_only(packed: list[Path]) -> None:
    version = json.loads((FRONT / "packages/client/package.json").read_text())["version"]
    assert [path.name for path in packed] == [f"notification-hub-{name}-{version}.tgz" for name in NAMES]
    for path in packed:
        with tarfile.open(path) as archive:
            files = {name.removeprefix("package/") for name in archive.getnames()}
        assert {"LICENSE", "README.md", "package.json", "dist/index.js", "dist/index.d.ts"} <= files
        rest = files - {"LICENSE", "README.md", "package.json"}
        assert all(name.startswith("dist/") and name.endswith((".js", ".d.ts", ".css", ".md")) for name in rest), rest


async def test_packages_can_be_imported_on_a_server(installed_app: Path) -> None:
    output = await run("node", "--input-type=module", "--eval", IMPORT_ALL, cwd=installed_app)
    assert output.split() == ["true"] * 6


async def test_next_app_is_rendered_statically_and_connects_in_the_browser(
    tenant: Tenant, app: tuple[BrowserUser, AppPage], built_app: Path
) -> None:
    alice, shown = app
    rendered = (built_app / "out" / "index.html").read_text()
    assert "<hub-inbox" in rendered
    assert "unread</output>" in rendered
    await tenant.define_category("news", "IN_APP", "EMAIL")
    await tenant.send("alice", title="One", content={"actionUrl": "/next/builds"})
    await alice.context.route("**/*.js", lambda route: route.abort())
    await shown.page.goto(f"{alice.origin}/next/")
    before = [await box.bounding_box() for box in (shown.bell, shown.page.locator("header"))]
    await alice.context.unroute("**/*.js")
    shown.errors.clear()  # of the scripts that were not loaded
    await shown.page.reload()
    await expect(shown.badge).to_have_text("1")
    assert [await box.bounding_box() for box in (shown.bell, shown.page.locator("header"))] == before
    await expect(shown.page.locator("output")).to_have_text("1 unread")
    await expect(shown.page.get_by_label("Email")).to_be_checked()
    await shown.page.get_by_label("Email").click()
    await expect(shown.page.get_by_label("Email")).not_to_be_checked()
    await shown.page.get_by_role("button", name="Mark as read").click()
    await expect(shown.page.locator("output")).to_have_text("0 unread")
    await expect(shown.badge).to_have_count(0)

    async def read() -> bool:
        return bool((await tenant.inbox("alice"))["unread"] == 0)

    await eventually(read)
    assert len(shown.sockets) == 1


async def test_react_app_in_strict_mode_follows_unmounts_and_token_changes(
    tenant: Tenant, app: tuple[BrowserUser, AppPage]
) -> None:
    alice, shown = app
    page = shown.page
    tokens = {name: tenant.token(name) for name in ("alice", "bob")}
    await alice.context.add_init_script(f"window.tokens = {json.dumps(tokens)}")
    await tenant.send("alice", title="For Alice")
    await tenant.send("bob", title="For Bob")
    await page.goto(f"{alice.origin}/vite/react.html")
    await expect(shown.items).to_contain_text(["For Alice"])
    await expect(shown.badge).to_have_text("1")
    assert len(shown.sockets) == 1
    async with shown.sockets[0].expect_event("close"):
        await page.get_by_role("button", name="Toggle").click()
    await page.get_by_role("button", name="Toggle").click()
    await expect(shown.items).to_contain_text(["For Alice"])
    await tenant.send("alice", title="Again")
    await expect(shown.items).to_contain_text(["Again", "For Alice"])
    rows = page.locator("hub-inbox-list em")  # which React renders, each into an element of its own
    await expect(rows).to_have_text(["For Alice", "Again"])
    await page.get_by_role("button", name="Archive everything").click()
    await expect(shown.items).to_have_count(0)
    await expect(page.get_by_text("Nothing new")).to_be_visible()
    await page.get_by_role("button", name="Move back").click()
    await expect(shown.items).to_contain_text(["Again", "For Alice"])
    await expect(rows).to_have_count(2)
    assert len(shown.sockets) == 2
    await page.get_by_role("button", name="Sign in as Bob").click()
    await expect(shown.items).to_contain_text(["For Bob"])
    await expect(page.locator("output")).to_have_text("1 unread")
    assert "For Alice" not in await page.evaluate("JSON.stringify(localStorage)")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("You are signed out.", exact=True)).to_be_visible()
    await expect(page.locator("output")).to_have_text("0 unread")
    assert "For Bob" not in await page.evaluate("JSON.stringify(localStorage)")


async def test_vue_app_is_rendered_on_a_server_and_connects_in_the_browser(
    tenant: Tenant, app: tuple[BrowserUser, AppPage], built_app: Path
) -> None:
    alice, shown = app
    assert "<header><hub-inbox></hub-inbox></header>" in (built_app / "dist" / "vue.html").read_text()
    await tenant.send("alice", title="One", content={"actionUrl": "/vite/opened"})
    await shown.page.goto(f"{alice.origin}/vite/vue.html")
    await expect(shown.badge).to_have_text("1")
    await expect(shown.items).to_contain_text(["One"])
    await expect(shown.page.locator("hub-inbox-list .row.unread em")).to_have_text(["One"])  # which Vue renders
    await expect(shown.page).to_have_title("(1) Vue")
    await shown.page.locator("hub-inbox button.bell").click()
    await shown.page.locator("hub-inbox hub-inbox-item .open").click()
    await shown.page.wait_for_url(f"{alice.origin}/vite/opened")
    await expect(shown.page.locator("output")).to_have_text("0 unread")
    assert len(shown.sockets) == 1
