"""A real browser, and pages that embed the built front end."""

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, Route, WebSocketRoute, async_playwright

from hub.api.token_signing import sign_token
from hub.model import Role
from tests.client import Json, Tenant, eventually
from tests.processes import SECRET

ROOT = Path(__file__).parents[2]
FRONT = ROOT / "frontend-demo"
DIST = ROOT / "hub" / "front"
AXE = FRONT / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = os.environ.get("HUB_CHROMIUM", "/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A page that a test serves itself has no network address, and may then not call this machine.
    "--disable-features=LocalNetworkAccessChecks",
]
WITHIN_MS = 15_000
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src https:; trusted-types lit-html; require-trusted-types-for 'script'"
"""A strict policy: the components work on a page that allows almost nothing."""
HTML = """<!doctype html><html lang="{lang}" dir="{dir}"><meta charset="utf-8"><title>An app</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/page.css"><script type="module" src="/inbox.js"></script>
<script defer src="/page.js"></script><header><b>Acme</b><hub-inbox {attributes}></hub-inbox></header>
<main><h1>Your work</h1><p>Some text, and <a href="/elsewhere">a link</a>.</p></main></html>"""
CSS = """body { margin: 0; font: 16px system-ui; color-scheme: light dark; background: light-dark(#f4f5f7, #0f1115);
  color: light-dark(#16181d, #eceef2) } header { display: flex; justify-content: space-between; align-items: center;
  padding: 8px 16px; background: light-dark(#fff, #17191f); border-bottom: 1px solid light-dark(#e6e8ec, #2d313a) }
  main { padding: 24px 16px } a { color: light-dark(#0b57d0, #a8c7fa) }"""
SCRIPTS = ("inbox.js", "inbox-panel.js", "inbox-toasts.js", "inbox-tools.js")
READ_ROWS = """(items) => items.map(({ item, parentElement: row }) =>
  [Number(row.ariaPosInSet), Number(row.ariaSetSize), item.title])"""
SCRIPT = """window.told = [];
for (const name of ["hub-open", "hub-action", "hub-count"]) addEventListener(name, (event) => {
  told.push([name, event.detail.url ?? event.detail.action ?? event.detail.unread]);
  if (name === "hub-open" && window.stay) event.preventDefault();
});
document.querySelector("hub-inbox").getToken = (refused) => giveToken(refused ?? null);"""


@pytest.fixture(scope="session")
def built_front_end() -> Path:
    """Build the front end if its sources have changed. Return its folder."""
    missing = [name for name in (CHROMIUM, "make", "npm") if not shutil.which(name)]
    if missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI has no {missing}")
        pytest.skip(f"not on this machine: {missing}")
    with (FRONT / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the parallel test processes builds
        target = str((DIST / "index.html").relative_to(ROOT))
        subprocess.run(["make", "--silent", target], cwd=ROOT, check=True, timeout=600, capture_output=True)
    return DIST


@pytest.fixture(scope="session")
async def browser(built_front_end: Path) -> AsyncIterator[Browser]:  # noqa: ARG001 - the browser shows it
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        await chromium.close()


@dataclass
class HeldOperation:
    """An operation that was held back before it reached the hub."""

    socket: WebSocketRoute
    id: str

    def refuse(self, message: str, code: str = "FORBIDDEN") -> None:
        error = {"message": message, "extensions": {"code": code}}
        self.socket.send(json.dumps({"id": self.id, "type": "error", "payload": [error]}))


class Tab:
    """One page with a bell. `expires_in_s` and `refuse` control the next token."""

    def __init__(self, page: Page, user: "BrowserUser") -> None:
        self.page = page
        self.person = user
        self.bell = page.locator("hub-inbox button.bell")
        self.panel = page.locator("hub-inbox #panel")
        self.items = page.locator("hub-inbox-item")
        self.connection_status = page.locator("hub-inbox-panel .status")
        self.toast = page.locator("hub-inbox-panel .toast")
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console", lambda output: self.errors.append(output.text) if "Content Security" in output.text else None
        )

    async def load(self) -> None:
        await self.page.goto(f"{self.person.origin}/page")

    async def open(self) -> "Tab":
        await self.bell.click()
        await self.panel.wait_for(state="visible")
        return self

    def tab(self, view: str) -> Locator:
        """Return the tab of a view: ACTIVE, UNREAD, ARCHIVED or SNOOZED."""
        return self.page.locator(f"hub-inbox-panel #{view}")

    def item(self, title: str) -> Locator:
        return self.items.filter(has_text=title)

    async def press(self, title: str, tool: str) -> None:
        """Click a tool of an item, for example markRead, archive or snooze."""
        item = self.item(title)
        await item.hover()
        await item.locator(f"[data-tool={tool}]").click()

    async def choose(self, entry: str) -> None:
        """Choose an entry of the panel's menu: markAllRead, archiveAll or shortcuts."""
        await self.page.locator("hub-inbox-menu [data-tool=menu]").click()
        await self.page.locator(f"hub-inbox-menu [data-tool={entry}]").click()

    async def titles(self) -> list[str]:
        return await self.items.locator(".open bdi").all_inner_texts()

    async def read_list(self) -> list[str]:
        """Scroll through the list from the top to its end. Return all titles."""
        titles: dict[int, str] = {}

        async def complete() -> bool:
            rows = await self.items.evaluate_all(READ_ROWS)
            titles.update({number: title for number, _, title in rows})
            await self.items.last.scroll_into_view_if_needed()
            number, size, _ = rows[-1]
            return bool(number == size)

        await self.page.locator("hub-inbox-panel .scroll").evaluate("(scroller) => (scroller.scrollTop = 0)")
        await eventually(complete)
        return [titles[number] for number in sorted(titles)]

    async def wait_for_items(self, *titles: str) -> None:
        """Wait until exactly these items are listed, in this order."""

        async def check() -> bool:
            return await self.titles() == list(titles)

        try:
            await eventually(check)
        except AssertionError:
            assert await self.titles() == list(titles)

    async def wait_for_unread(self, unread: int | str) -> None:
        """Wait until the bell shows this number. 0 means no badge."""

        async def check() -> bool:
            displayed = await self.bell.locator(".badge").all_inner_texts()
            return displayed == ([str(unread)] if unread else [])

        await eventually(check)

    async def wait_until_live(self, bell: str = "hub-inbox") -> None:
        """Wait until the bell is connected. Its panel may be closed."""

        async def live() -> bool:
            return bool(await self.page.locator(bell).evaluate("(bell) => bell.hub?.status === 'live'"))

        await eventually(live)

    async def leave_the_list(self) -> None:
        """Move the pointer and the focus out of the list, where new items would wait."""
        await self.page.mouse.move(1, 1)
        await self.page.locator("hub-inbox-panel [aria-selected=true]").focus()

    async def hold(self, operation: str) -> list[HeldOperation]:
        """Hold back this operation after a reload. Return the list to which held operations are added."""
        held: list[HeldOperation] = []

        def between(socket: WebSocketRoute) -> None:
            server = socket.connect_to_server()

            def pass_on(message: str | bytes) -> None:
                received = json.loads(message)
                if operation in received.get("payload", {}).get("query", ""):
                    held.append(HeldOperation(socket, received["id"]))
                else:
                    server.send(message)

            socket.on_message(pass_on)

        await self.page.route_web_socket("**/graphql", between)
        await self.page.reload()
        return held

    async def axe_violations(self) -> list[str]:
        """Return the axe violations of WCAG 2.2 AA on the whole page."""
        await self.page.evaluate(AXE.read_text())
        found: Json = await self.page.evaluate(
            "(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}})", AXE_TAGS
        )
        return [
            f"{fault['id']}: {node['target']} {node['failureSummary']}"
            for fault in found["violations"]
            for node in fault["nodes"]
        ]


class BrowserUser:
    """The browser of one user. Its tabs share storage. It serves the page itself, on the origin of the hub."""

    def __init__(self, context: BrowserContext, tenant: Tenant, user: str, url: str, **page: str) -> None:
        self.context = context
        self.tenant = tenant
        self.user = user
        self.origin = url.removesuffix("/graphql")
        self.template_values = {"lang": "en", "dir": "ltr", "attributes": "", **page}
        self.expires_in_s = 3600.0
        self.token: str | None = None
        """If set, `getToken` returns it, whatever token was rejected."""
        self.token_requests: list[str | None] = []
        """The rejected token of each call of `getToken`."""

    async def __aenter__(self) -> "BrowserUser":
        await self.context.expose_function("giveToken", self._give_token)
        for path in ("page", "page.css", "page.js", *SCRIPTS, "locales/*", "elsewhere*"):
            await self.context.route(f"{self.origin}/{path}", self._serve)
        self.context.set_default_timeout(WITHIN_MS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.context.close()

    def _give_token(self, refused: str | None) -> str:
        self.token_requests.append(refused)
        if self.token:
            return self.token
        return self.sign()

    def sign(self) -> str:
        return sign_token(
            SECRET, user=self.user, tenant=self.tenant.name, role=Role.USER, expires_in_s=self.expires_in_s
        )

    async def _serve(self, route: Route) -> None:
        path = route.request.url.removeprefix(f"{self.origin}/")
        if path in SCRIPTS or path.startswith("locales/"):
            await route.fulfill(path=DIST / path, content_type="text/javascript")
        elif path == "page.js":
            await route.fulfill(body=SCRIPT, content_type="text/javascript")
        elif path == "page.css":
            await route.fulfill(body=CSS, content_type="text/css")
        elif path == "page":
            headers = {"content-security-policy": POLICY}
            await route.fulfill(body=HTML.format(**self.template_values), content_type="text/html", headers=headers)
        else:
            await route.fulfill(body="<title>Elsewhere</title>", content_type="text/html")

    async def blank(self) -> Tab:
        """Return a new, empty tab."""
        return Tab(await self.context.new_page(), self)

    async def tab(self) -> Tab:
        """Return a new tab with the page."""
        tab = await self.blank()
        await tab.load()
        return tab


class Browsers:
    """Creates browsers for users of a tenant."""

    def __init__(self, browser: Browser, tenant: Tenant, stack: AsyncExitStack) -> None:
        self._browser = browser
        self._tenant = tenant
        self._stack = stack

    async def person(
        self, user: str, *, url: str | None = None, page: dict[str, str] | None = None, **context: Any
    ) -> BrowserUser:
        """`page`: lang, dir and attributes of the page. `context`: options of Playwright's contexts."""
        fields = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", "locale": "en-GB", **context}
        opened = await self._browser.new_context(**fields)
        created = BrowserUser(opened, self._tenant, user, url or self._tenant.urls[0], **(page or {}))
        return await self._stack.enter_async_context(created)


class CuttableProxy:
    """A proxy between a browser and a hub. `cut` aborts all connections and refuses new ones until `accept_connections`."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/graphql"

    async def __aenter__(self) -> "CuttableProxy":
        await self.accept_connections()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def accept_connections(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        both = {writer, far_writer}
        self._open |= both
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self._open -= both

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(65_536):
                writer.write(part)
                await writer.drain()
        writer.transport.abort()


@pytest.fixture
async def proxy(tenant: Tenant) -> AsyncIterator[CuttableProxy]:
    """A proxy to the first API process."""
    async with CuttableProxy(tenant.urls[0]) as carrying:
        yield carrying


@pytest.fixture
async def browsers(browser: Browser, tenant: Tenant) -> AsyncIterator[Browsers]:
    async with AsyncExitStack() as stack:
        yield Browsers(browser, tenant, stack)


@pytest.fixture
async def alice(browsers: Browsers) -> BrowserUser:
    return await browsers.person("alice")
