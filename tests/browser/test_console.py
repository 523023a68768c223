"""The operator console of a development hub: people, deliveries, and their reasons."""

import csv
import io
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import Struct
from playwright.async_api import Browser, Dialog, Page, Route, expect

from hub.api.public.static_files import FOLDER
from hub.cli.api_client import execute
from tests.browser.conftest import AXE, AXE_TAGS
from tests.browser.test_demo import AXE_RUN, DESKTOP, PHONE, SERVES, WITHIN_MS, is_error
from tests.cli_commands import Command, run_command
from tests.client import SEND, Json, eventually
from tests.webhook_receiver import WebhookReceiver

expect.set_options(timeout=WITHIN_MS)

HOSTILE = "<img src=x onerror=alert(1)> says hello"
UPSERT_USERS = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
CONNECT = "mutation ($to: String!) { connectWebhook(url: $to) { secret } }"
CREATE_KEY = "mutation ($input: ServiceKeyInput!) { createServiceKey(input: $input) { secret } }"
DELIVERIES = "query ($f: DeliveryFilter) { deliveries(filter: $f) { nodes { id status reason } } }"


class ConsoleHub(Struct):
    """A development hub that serves the console. `address` ends in `/console/`."""

    url: str
    data: str

    @property
    def address(self) -> str:
        return f"{self.url}/console/"

    async def execute(self, query: str, *, user: str | None = None, **variables: Any) -> Json:
        """Call the API as an administrator, or as a user."""
        arguments = ["--user", user] if user else ["--role", "admin"]
        token = run_command("token", "--data", self.data, *arguments).stdout.strip()
        return await execute(self.url, token, query, **variables)

    async def send(self, *users: str, title: str, **fields: Any) -> str:
        """Send in the category `reviews`. Return the id of the send."""
        content = {"title": title, "body": "<b>Plain</b> text"}
        given = {"to": {"users": list(users)}, "category": "reviews", "content": content, **fields}
        sent: str = (await self.execute(SEND, input=given))["send"]["send"]["id"]
        return sent

    async def fail(self, receiver: WebhookReceiver, user: str, title: str, status: int = 413) -> str:
        """Send to a webhook that responds with `status`. Return the id of the delivery when it has FAILED."""
        receiver.responses[f"/{user}"] = lambda *_: web.Response(status=status)
        connected = await self.execute(CONNECT, user=user, to=f"{receiver.url}/{user}")
        receiver.secrets[f"/{user}"] = connected["connectWebhook"]["secret"]
        send = await self.send(user, title=title, channels=["WEBHOOK"])

        async def failed() -> list[Json]:
            found = await self.execute(DELIVERIES, f={"sendId": send, "statuses": ["FAILED"]})
            nodes: list[Json] = found["deliveries"]["nodes"]
            return nodes

        delivery: str = (await eventually(failed, 60))[0]["id"]
        return delivery


@pytest.fixture(scope="module")
async def hub(built_front_end: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConsoleHub]:
    """A copy of the hub with its own front end, so the built files of the checkout do not change."""
    path = tmp_path_factory.mktemp("hub")
    shutil.copytree(FOLDER.parent, path / "hub", ignore=shutil.ignore_patterns(FOLDER.name, "__pycache__"))
    shutil.copytree(built_front_end, path / "hub" / FOLDER.name)
    with tempfile.TemporaryDirectory(prefix="hub-", ignore_cleanup_errors=True) as data:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(path))
            command = Command("dev", "--port", "0", "--data", data, egress_allow="127.0.0.0/8", retry_schedule="0s")
        async with command as running:
            console_hub = ConsoleHub((await running.wait_for_output(SERVES))[1], data)
            users: list[Json] = [
                {"id": "zoe", "name": "Zoe Zimmer", "email": "zoe@example.org"},
                {"id": "nora", "name": "Nora Nowhere"},
            ]
            await console_hub.execute(UPSERT_USERS, users=users)
            yield console_hub


class ConsolePage:
    """The console in a browser, and its errors: script errors, policy violations, dialogs, other origins."""

    def __init__(self, page: Page, hub: ConsoleHub) -> None:
        self.page = page
        self.hub = hub
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda output: self.errors.append(output.text) if is_error(output) else None)
        page.on("dialog", self._on_dialog)
        page.on("request", lambda request: self._check_origin(request.url))

    async def _on_dialog(self, dialog: Dialog) -> None:
        self.errors.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _check_origin(self, url: str) -> None:
        if not url.startswith((self.hub.url, "data:", "blob:")):
            self.errors.append(f"requested {url}")

    async def open(self, path: str = "") -> Page:
        await self.page.goto(self.hub.address + path)
        return self.page

    async def axe_violations(self) -> list[str]:
        await self.page.evaluate(AXE.read_text())
        result: Json = await self.page.evaluate(AXE_RUN, AXE_TAGS)
        return [
            f"{fault['id']}: {node['target']} {node['failureSummary']}"
            for fault in result["violations"]
            for node in fault["nodes"]
        ]


@pytest.fixture
async def open_console(browser: Browser, hub: ConsoleHub) -> AsyncIterator[Any]:
    """Open the console, which is signed in. At the end, no page may have errors."""
    pages: list[ConsolePage] = []

    async def open_page(path: str = "", **options: Any) -> ConsolePage:
        context = await browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
        context.set_default_timeout(WITHIN_MS)
        console = ConsolePage(await context.new_page(), hub)
        pages.append(console)
        await console.open(path)
        return console

    yield open_page
    for console in pages:
        await console.page.context.close()
        assert console.errors == []


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
async def test_pages_are_accessible_and_fit(open_console: Any, options: Json) -> None:
    console: ConsolePage = await open_console(**options)
    page = console.page
    await page.locator("#find").fill("alice")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="alice")).to_be_visible()
    await expect(page.locator(".timeline > li").first).to_be_visible()
    first = page.locator(".timeline .chips a").first
    shown = [
        ("", "tbody, .tiles"),
        ("deliveries", "tr[data-row]"),
        ("deliveries?status=EXPIRED", ".empty"),
        ("users/alice", ".outcomes summary"),
        ((await first.get_attribute("href") or "").removeprefix("/console/"), ".history"),
        ("find?q=b", ".results, .outcomes"),
        ("nothing/here", ".empty"),
    ]
    for path, present in shown:
        await console.open(path)
        await expect(page.locator(present).first).to_be_visible()
        assert await console.axe_violations() == [], path
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Service key or access token")).to_be_focused()
    assert await console.axe_violations() == []


async def test_texts_of_senders_are_shown_as_text(open_console: Any, hub: ConsoleHub) -> None:
    send = await hub.send("zoe", title=HOSTILE, channels=["IN_APP", "EMAIL"])
    console: ConsolePage = await open_console("users/zoe")
    page = console.page
    await expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    await console.open(f"deliveries?send={send}")
    await page.get_by_role("link", name=HOSTILE).click()
    await expect(page.locator(".content-title")).to_have_text(HOSTILE)
    await expect(page.locator(".content-body")).to_have_text("<b>Plain</b> text")
    assert await page.locator("main img").count() == 0


async def test_person_page_says_why_nothing_arrived(open_console: Any, hub: ConsoleHub) -> None:
    await hub.send("nora", title="Only by email", channels=["EMAIL"])
    console: ConsolePage = await open_console("users/nora")
    entry = console.page.locator(".timeline > li").filter(has_text="Only by email")
    await expect(entry).to_contain_text("Email: The user has no address or device for email.")
    outcome = console.page.locator(".outcomes > li").filter(has_text="Invoices")
    await expect(outcome.locator(".chip").filter(has_text="Email")).to_contain_text("no")
    await outcome.locator("summary").click()
    await expect(outcome).to_contain_text("Inbox: It would be in the inbox now.")


async def test_keyboard_finds_a_person_and_moves_through_rows(open_console: Any, hub: ConsoleHub) -> None:
    await hub.send("zoe", title="A row", channels=["EMAIL"])
    console: ConsolePage = await open_console()
    page = console.page
    await expect(page.locator(".tiles")).to_be_visible()
    await page.keyboard.press("/")
    await expect(page.locator("#find")).to_be_focused()
    await page.keyboard.type("zoe@exam")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"/console/users/zoe$"))  # the only result
    await expect(page.locator("main")).to_be_focused()
    await page.keyboard.type("ga")
    await expect(page).to_have_url(re.compile(r"/console/deliveries$"))
    await expect(page.locator("tr[data-row]").nth(1)).to_be_visible()
    await page.keyboard.type("jjk")
    await expect(page.locator("tr[data-row]").nth(0).locator("[data-main]")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="History")).to_be_visible()
    await page.keyboard.type("?")
    await expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.go_back()
    await expect(page).to_have_url(re.compile(r"/console/deliveries$"))


async def test_failed_deliveries_are_filtered_and_replayed(
    open_console: Any, hub: ConsoleHub, receiver: WebhookReceiver
) -> None:
    delivery = await hub.fail(receiver, "zoe", "Rejected")
    console: ConsolePage = await open_console("")
    page = console.page
    group = page.get_by_role("link", name="Webhook with webhook: The provider rejected the message permanently.")
    await group.first.click()
    await expect(page.locator("tr[data-row]").filter(has_text="Rejected")).to_have_count(1)
    await console.open("deliveries")
    await page.locator("summary").filter(has_text="Status").click()
    await page.get_by_role("checkbox", name="Failed").check()
    await page.get_by_placeholder("User id").fill("zoe")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"\?status=FAILED&user=zoe$"))
    row = page.locator("tr[data-row]").filter(has_text="Rejected")
    await expect(row).to_contain_text("The provider rejected the message permanently.")
    await page.reload()
    await expect(row).to_have_count(1)
    receiver.responses["/zoe"] = lambda *_: web.Response(status=204)
    await page.get_by_role("button", name="Replay all that match").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("1 delivery would be sent again.")
    await expect(dialog).to_contain_text("1 Webhook with webhook: The provider rejected the message permanently.")
    await dialog.get_by_role("button", name="Send 1 delivery again").click()
    await expect(page.get_by_text("1 delivery is being sent again.")).to_be_visible()
    await expect(row).to_have_count(0)  # the list is refreshed
    await console.open(f"deliveries/{delivery}")
    await expect(page.locator(".history li.good")).to_contain_text("Attempt 2 with webhook succeeded")


async def test_replay_of_many_deliveries_is_confirmed_by_typing_their_number(open_console: Any) -> None:
    console: ConsolePage = await open_console("deliveries?status=FAILED")
    page = console.page
    replayed: list[str] = []

    async def answer(route: Route) -> None:
        query = json.loads(route.request.post_data or "{}")["query"]
        if "mutation" in query:
            replayed.append(query)
            await route.fulfill(json={"data": {"replay": 1500}})
        elif "ReplayPreview" in query:
            counts = {"count": 1500, "addressGone": 2, "suppressed": 0, "alreadyRead": 0}
            await route.fulfill(json={"data": {"replayPreview": counts, "deliveryGroups": []}})
        else:
            await route.continue_()

    await page.route("**/graphql", answer)
    await page.get_by_role("button", name="Replay all that match").click()
    confirm = page.get_by_role("button", name="Send 1,500 deliveries again")
    await expect(confirm).to_be_disabled()
    await page.get_by_label("To confirm, type 1,500").fill("1499")
    await expect(confirm).to_be_disabled()
    await page.get_by_label("To confirm, type 1,500").fill("1,500")
    assert replayed == []
    await confirm.click()
    await expect(page.get_by_text("1,500 deliveries are being sent again.")).to_be_visible()
    assert len(replayed) == 1


async def test_csv_contains_what_is_filtered_and_no_formulas(open_console: Any, hub: ConsoleHub) -> None:
    sends = [await hub.send("zoe", title='=HYPERLINK("x"), or not', channels=["EMAIL"]) for _ in range(2)]
    console: ConsolePage = await open_console(f"deliveries?send={sends[0]}")
    async with console.page.expect_download() as download:
        await console.page.get_by_role("button", name="Export CSV").click()
    [row] = read_csv(await (await download.value).path())
    assert (row["send"], row["user"], row["channel"]) == (sends[0], "zoe", "EMAIL")
    assert row["title"] == '\'=HYPERLINK("x"), or not'
    await expect(console.page.get_by_text("Exported 1 row.")).to_be_visible()


async def test_sign_in_with_a_key_and_a_link(open_console: Any, hub: ConsoleHub) -> None:
    console: ConsolePage = await open_console("deliveries?status=FAILED")
    page = console.page
    await page.get_by_role("button", name="Sign out").click()
    field = page.get_by_label("Service key or access token")
    await page.reload()
    await field.fill("nonsense")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    key = await hub.execute(CREATE_KEY, input={"name": "sender", "scopes": ["SEND"]})
    await field.fill(key["createServiceKey"]["secret"])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("requires a service key with the scope READ")
    link = run_command("console", "--data", hub.data).stdout.strip()
    assert link.startswith(f"{hub.address}#token=")
    await page.goto(link)
    await expect(page.locator(".account")).to_contain_text("service")
    assert page.url == hub.address
    await console.open("users/alice")
    await expect(page.get_by_text("Your role does not see suppressed addresses.")).to_be_visible()
    # Chromium reports each response with an error status.
    console.errors[:] = [error for error in console.errors if "Failed to load resource" not in error]
