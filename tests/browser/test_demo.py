"""The demo page of a development hub: sends from the form arrive, and reads are reported."""

import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Browser, ConsoleMessage, FrameLocator, Locator, Page, expect

from hub.api.public.static_files import FOLDER
from tests.browser.conftest import AXE, AXE_TAGS
from tests.cli_commands import Command
from tests.client import eventually

SERVES = r"(?s)Open the demo[^\n]*\n(http://[0-9.:]+)/\n.*/graphiql#token=\S+\n"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
AXE_RUN = "(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}})"
WITHIN_MS = 30_000

expect.set_options(timeout=WITHIN_MS)


@pytest.fixture(scope="module")
async def demo(built_front_end: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of the demo page, as `hub dev` prints it. The hub is a copy with its own front end, so the built files of
    the checkout do not change."""
    path = tmp_path_factory.mktemp("hub")
    shutil.copytree(FOLDER.parent, path / "hub", ignore=shutil.ignore_patterns(FOLDER.name, "__pycache__"))
    shutil.copytree(built_front_end, path / "hub" / FOLDER.name)
    with tempfile.TemporaryDirectory(prefix="hub-", ignore_cleanup_errors=True) as data:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(path))
            command = Command("dev", "--port", "0", "--data", data)
        async with command as hub:
            yield (await hub.wait_for_output(SERVES))[1] + "/"


def is_error(output: ConsoleMessage) -> bool:
    return output.type == "error" or "Content Security Policy" in output.text


class DemoPage:
    """The demo page, and its errors: script errors, policy violations, and requests to other origins."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda output: self.errors.append(output.text) if is_error(output) else None)
        page.on("request", lambda request: self._check_origin(request.url))
        page.on("websocket", lambda socket: self._check_origin(socket.url.replace("ws", "http", 1)))

    def _check_origin(self, url: str) -> None:
        if not url.startswith((self.address, "data:")):
            self.errors.append(f"requested {url}")

    @property
    def title(self) -> Locator:
        return self.page.get_by_label("Title")

    def device(self, index: int) -> FrameLocator:
        return self.page.frame_locator("iframe").nth(index)

    def bell(self, index: int) -> Locator:
        return self.device(index).locator("hub-inbox button.bell")

    def entry(self, user: str, text: str) -> Locator:
        """An entry of the timeline of a user, which `simulate` returns."""
        timeline = self.page.locator("demo-simulation").get_by_role("region", name=user)
        return timeline.get_by_role("listitem").filter(has_text=re.compile(text))

    def row(self, user: str, channel: str) -> Locator:
        return self.page.locator(f"tr[data-user={user}][data-channel={channel}]")

    async def press(self, button: str) -> None:
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def send(self, title: str, *, category: str = "reviews") -> None:
        """Send from the form to the selected users."""
        await self.title.fill(title)
        await self.page.get_by_label("Category").select_option(category)
        await self.press("Send")
        await expect(self.page.get_by_text(re.compile("^Sent to "))).to_be_visible()

    async def axe_violations(self) -> list[str]:
        """Return the axe violations of the page and its frames."""
        found: list[str] = []
        for frame in self.page.frames:
            await frame.evaluate(AXE.read_text())
        result: dict[str, Any] = await self.page.evaluate(AXE_RUN, AXE_TAGS)
        for fault in result["violations"]:
            found += [f"{fault['id']}: {node['target']} {node['failureSummary']}" for node in fault["nodes"]]
        return found


def read_at(row: Locator) -> Locator:
    return row.locator("td").nth(3).locator("time")


@pytest.fixture
async def open_demo(browser: Browser, demo: str) -> AsyncIterator[Any]:
    """Open the page. At the end, no page may have errors."""
    pages: list[DemoPage] = []

    async def open_page(**options: Any) -> DemoPage:
        context = await browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
        context.set_default_timeout(WITHIN_MS)
        demo_page = DemoPage(await context.new_page(), demo)
        pages.append(demo_page)
        await demo_page.page.goto(demo)
        for index in range(2):
            await expect(demo_page.bell(index).locator(".badge")).to_be_visible()
        await expect(demo_page.page.locator("tbody tr").first).to_be_visible()
        return demo_page

    yield open_page
    for demo_page in pages:
        await demo_page.page.context.close()
        assert demo_page.errors == []


async def test_send_arrives_and_read_shows_on_the_other_device_and_in_the_receipts(
    open_demo: Any,
) -> None:
    demo_page = await open_demo()
    await demo_page.page.get_by_text("alice on two devices").click()
    title = f"News {uuid4().hex[:8]}"
    for index in range(2):
        await demo_page.bell(index).click()
    await demo_page.send(title)
    arrived = [demo_page.device(index).locator("hub-inbox-item").filter(has_text=title) for index in range(2)]
    for item in arrived:
        await expect(item.locator("article.unread")).to_be_visible()
    row = demo_page.row("alice", "IN_APP")
    await expect(row.locator(".badge")).to_have_text("Delivered")
    await expect(read_at(row)).to_have_count(0)
    await expect(row.locator("td").nth(3)).to_have_text("\u2013")
    await expect(demo_page.row("bob", "IN_APP").locator(".badge")).to_have_text("Delivered")

    await arrived[0].get_by_role("link", name=title).click()
    await expect(demo_page.device(0).get_by_role("heading", name="Change 412")).to_be_visible()
    await expect(arrived[1].locator("article:not(.unread)")).to_be_visible()
    await expect(read_at(row)).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    await expect(read_at(demo_page.row("bob", "IN_APP"))).to_have_count(0)
    for channel in ("WEB_PUSH", "WEBHOOK"):  # which cannot report it
        for cell in (2, 3):
            await expect(demo_page.row("alice", channel).locator("td").nth(cell)).to_have_text("")

    await demo_page.press("Recall")
    await expect(arrived[1]).to_have_count(0)
    await expect(row.locator(".badge")).to_have_text("Cancelled")


async def test_react_and_vue_pages_show_and_mark_the_same_notifications(open_demo: Any) -> None:
    demo_page = await open_demo()
    await demo_page.page.get_by_text("alice in React and Vue").click()
    title = f"News {uuid4().hex[:8]}"
    await demo_page.send(title)
    in_react, in_vue = (demo_page.device(index).get_by_role("listitem").filter(has_text=title) for index in range(2))
    await expect(in_vue.get_by_role("button", name="Mark as read")).to_be_visible()
    await in_react.get_by_role("button", name="Mark as read").click()
    await expect(in_vue.get_by_role("button", name="Mark as unread")).to_be_visible()
    await in_react.get_by_role("button", name="Pin", exact=True).click()
    await demo_page.device(1).get_by_label("View").select_option("PINNED")
    await in_vue.get_by_role("button", name="Unpin").click()
    await expect(in_vue).to_have_count(0)
    await expect(in_react.get_by_role("button", name="Pin", exact=True)).to_be_visible()
    await demo_page.device(1).get_by_label("View").select_option("ACTIVE")
    for index in range(2):  # rows of the page's own
        await demo_page.bell(index).click()
        await expect(demo_page.device(index).locator(".own").filter(has_text=title)).to_be_visible()
        await demo_page.device(index).locator("hub-inbox [data-tool=close]").click()
    await demo_page.device(1).get_by_label("Email").uncheck()
    await expect(demo_page.device(0).get_by_label("Email")).not_to_be_checked()
    await demo_page.device(0).get_by_label("Email").check()
    for frame in demo_page.page.frames[1:3]:
        await frame.evaluate(AXE.read_text())
        assert (await frame.evaluate(AXE_RUN, AXE_TAGS))["violations"] == []


async def test_users_see_only_their_own_notifications(open_demo: Any) -> None:
    demo_page = await open_demo()
    title = f"For bob {uuid4().hex[:8]}"
    await demo_page.page.get_by_role("checkbox", name="alice").uncheck()
    await demo_page.send(title)
    for index in range(2):
        await demo_page.bell(index).click()
    await expect(demo_page.device(1).locator("hub-inbox-item").filter(has_text=title)).to_be_visible()
    await expect(demo_page.device(0).locator("hub-inbox-item").first).to_be_visible()
    await expect(demo_page.device(0).locator("hub-inbox-item").filter(has_text=title)).to_have_count(0)
    await expect(demo_page.row("bob", "IN_APP")).to_be_visible()
    await expect(demo_page.row("alice", "IN_APP")).to_have_count(0)


async def test_simulate_shows_decisions_with_reasons_and_sends_nothing(open_demo: Any) -> None:
    demo_page = await open_demo()
    before = await demo_page.bell(0).locator(".badge").inner_text()
    await demo_page.press("Simulate")
    await expect(demo_page.entry("bob", r"Now\s+Inbox")).to_be_visible()
    await expect(demo_page.entry("bob", r"Not\s+Web push.*\s+The user has no address or device for it")).to_be_visible()
    await expect(demo_page.page.get_by_text("The other channels were not requested.")).to_have_count(2)
    await expect(demo_page.bell(0).locator(".badge")).to_have_text(before)
    await demo_page.title.fill("Something else")
    await expect(demo_page.page.locator("demo-simulation")).to_have_count(0)  # the result no longer matches the form

    for user in ("alice", "bob"):
        await demo_page.page.get_by_role("checkbox", name=user).uncheck()
    await demo_page.press("Simulate")
    await expect(demo_page.page.get_by_role("alert")).to_have_text("Choose at least one recipient.")


async def test_send_form_offers_every_channel_and_shows_why_one_is_skipped(open_demo: Any) -> None:
    demo_page = await open_demo()
    channels = demo_page.page.get_by_role("group", name="Channels").get_by_role("checkbox")
    offered = ["IN_APP", "EMAIL", "WEB_PUSH", "MOBILE_PUSH", "SMS", "WHATSAPP", "WEBHOOK", "SLACK", "DISCORD", "TEAMS"]
    values = "(boxes) => boxes.map((box) => box.value)"
    assert await channels.evaluate_all(values) == offered

    await demo_page.page.get_by_role("checkbox", name="Slack").check()
    await demo_page.press("Simulate")
    skipped = r"Not\s+Web push, Webhook, Slack\s+The user has no address or device for it"
    await expect(demo_page.entry("bob", skipped)).to_be_visible()


async def test_preference_of_the_user_is_the_reason_in_the_send_form(open_demo: Any) -> None:
    demo_page = await open_demo()
    await demo_page.device(0).get_by_role("link", name="Notifications").click()
    switch = demo_page.device(0).get_by_role("switch", name="Browser for Reviews")
    timeline = demo_page.page.locator("demo-simulation")
    for on, output in ((False, r"Not\s+Web push\s+The user turned it off"), (True, r"Now\s+Inbox, Web push")):
        await switch.click()
        await expect(switch).to_have_attribute("aria-checked", str(on).lower())

        async def received(output: str = output) -> bool:
            """The switch shows the new state before the hub has stored it."""
            await demo_page.press("Simulate")
            await expect(timeline).to_be_visible()
            return bool(await demo_page.entry("alice", output).count())

        await eventually(received)
    assert "\n".join(await demo_page.axe_violations()) == ""


async def test_item_shows_why_it_was_sent(open_demo: Any) -> None:
    demo_page = await open_demo()
    await demo_page.bell(0).click()
    item = demo_page.device(0).locator("hub-inbox-item").first
    await item.hover()
    panel, width = demo_page.device(0).locator("hub-inbox #panel"), await item.evaluate("innerWidth")
    assert (await panel.evaluate("element => element.offsetWidth")) < width, "the laptop shows the layout of a phone"
    await item.locator("[data-tool=why]").click()
    reason = demo_page.device(0).get_by_role("dialog", name="Why did I get this?")
    await expect(reason.get_by_role("definition").first).to_be_visible()
    await reason.get_by_role("button", name="Close").click()
    await expect(item.locator("[data-tool=why]")).to_be_focused()
    await demo_page.page.keyboard.press("Escape")
    await demo_page.device(0).get_by_role("link", name="Notifications").click()
    await expect(demo_page.device(0).get_by_role("heading", name="Devices")).to_be_visible()
    await expect(demo_page.device(0).locator("hub-push")).to_have_count(1)


async def test_outbox_marks_previews_and_captured_messages(open_demo: Any) -> None:
    demo_page = await open_demo()
    message = {"at": "2026-11-29T08:00:00Z", "tenant": "default", "user": "alice", "to": "", "text": "", "html": ""}
    preview = {"id": "2", "channel": "EMAIL", "subject": "A", "delivery": "preview", "provider": "preview"}
    captured = {"id": "1", "channel": "SMS", "subject": "B", "delivery": "d1", "provider": None, "outcome": "Delivered"}
    body = {"messages": [message | preview | {"outcome": "Not sent"}, message | captured]}
    await demo_page.page.route("**/dev/outbox.json?after=", lambda route: route.fulfill(json=body))
    await demo_page.page.route("**/dev/outbox.json?after=2", lambda route: route.fulfill(json={"messages": []}))
    await demo_page.page.goto(demo_page.address + "dev/outbox")
    first, second = (demo_page.page.get_by_role("listitem").nth(index) for index in range(2))
    await expect(first.locator(".who")).to_have_text("Preview")
    await expect(first).to_contain_text("Preview, not sent")
    await second.locator("summary").click()
    await expect(second.locator(".who")).to_have_text("alice")
    await expect(second).to_contain_text("Captured, not sent (counts as delivered in development)")


async def test_audit_log_shows_who_changed_what(open_demo: Any) -> None:
    demo_page = await open_demo()
    await demo_page.page.get_by_text("Audit log: who changed what").click()
    rows = demo_page.page.locator("demo-audit-log tbody tr")
    users = rows.filter(has_text="upsertUsers").filter(has_text="alice")
    await expect(users.last).to_contain_text("email")
    await expect(rows.filter(has_text="upsertCategory").first).to_contain_text("defaultChannels")
    assert "\n".join(await demo_page.axe_violations()) == ""


async def test_service_keys_are_listed(open_demo: Any) -> None:
    demo_page = await open_demo()
    await demo_page.page.get_by_text("Service keys of back ends").click()
    await expect(demo_page.page.locator("demo-service-keys")).to_contain_text("hub keys create")
    await expect(demo_page.page.locator("demo-service-keys .error")).to_have_count(0)
    assert "\n".join(await demo_page.axe_violations()) == ""


async def test_external_links_open_the_route_in_the_app(open_demo: Any) -> None:
    demo_page = await open_demo()
    for path, heading in (
        ("app/deploys/web-9", "Deploy web-9"),
        ("app/deploys/%zz?locale=!", "Deploy %zz"),
        ("app/", "Issues"),
    ):
        await demo_page.page.goto(demo_page.address + path)
        await expect(demo_page.page.get_by_role("heading", name=heading)).to_be_visible()
    await demo_page.page.get_by_role("link", name="Notifications").click()
    await expect(demo_page.page.get_by_role("heading", name="Devices")).to_be_visible()


async def test_rejected_send_shows_the_error_at_its_field(open_demo: Any) -> None:
    demo_page = await open_demo()
    link = demo_page.page.get_by_label("Link")
    await link.fill("javascript:alert(1)")
    await demo_page.press("Send")
    await expect(demo_page.page.get_by_role("alert")).to_be_visible()
    await expect(link).to_be_focused()
    await expect(link).to_have_accessible_description(re.compile("http"))
    await link.fill("/app")
    await expect(demo_page.page.get_by_role("alert")).to_have_count(0)
    await demo_page.title.fill("")
    await demo_page.press("Send")
    assert await demo_page.title.evaluate("(input) => input === input.getRootNode().activeElement")


async def test_send_form_is_usable_with_the_keyboard_alone(open_demo: Any) -> None:
    demo_page = await open_demo()
    title = f"Typed {uuid4().hex[:8]}"
    await demo_page.title.focus()
    await demo_page.page.keyboard.press("ControlOrMeta+A")
    await demo_page.page.keyboard.type(title)
    await demo_page.page.get_by_role("checkbox", name="bob").focus()
    await demo_page.page.keyboard.press("Space")
    await demo_page.title.focus()
    await demo_page.page.keyboard.press("Enter")
    await expect(demo_page.page.get_by_text("Sent to alice.")).to_be_visible()
    await expect(demo_page.row("alice", "IN_APP")).to_be_visible()
    await expect(demo_page.row("bob", "IN_APP")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_demo_page_has_no_axe_violations(open_demo: Any, viewport: Any, scheme: str) -> None:
    demo_page = await open_demo(viewport=viewport, color_scheme=scheme, has_touch=viewport is PHONE)
    await demo_page.press("Simulate")
    await expect(demo_page.page.locator("demo-simulation")).to_be_visible()
    assert "\n".join(await demo_page.axe_violations()) == ""
    wide = await demo_page.page.evaluate("document.documentElement.scrollWidth")
    assert wide == viewport["width"]  # nothing overflows


async def test_device_uses_the_selected_language(open_demo: Any) -> None:
    demo_page = await open_demo()
    await demo_page.page.get_by_label("Language of bob's phone").select_option("ar")
    await expect(demo_page.device(1).locator("html[dir=rtl][lang=ar]")).to_have_count(1)
    assert "\n".join(await demo_page.axe_violations()) == ""
    await demo_page.bell(1).click()
    await expect(demo_page.device(1).locator("hub-inbox #panel[lang=ar]")).to_be_visible()
    assert "\n".join(await demo_page.axe_violations()) == ""
    await expect(demo_page.device(0).locator("html[dir=ltr]")).to_have_count(1)


async def test_page_explains_why_it_has_no_tokens(browser: Browser, demo: str) -> None:
    page = await browser.new_page()
    reason = {"error": "Tokens are for the demo page on the hub's own machine."}
    await page.route("**/dev/tokens", lambda route: route.fulfill(status=403, json=reason))
    await page.goto(demo)
    await expect(page.get_by_role("alert")).to_have_text(reason["error"])
    await expect(page.locator("iframe")).to_have_count(0)
    await page.close()


async def test_clock_controls_move_the_time_of_the_page_and_of_open_inboxes(open_demo: Any) -> None:
    """The last test of the module, because the hub's clock does not go back."""
    demo_page = await open_demo()
    await demo_page.bell(0).click()
    inbox = demo_page.device(0).locator("hub-inbox")
    times = inbox.locator("time")
    await expect(times.first).to_be_visible()
    await demo_page.press("+1 hour")
    await expect(times.last).to_have_text("1 hr. ago")
    await demo_page.press("Tomorrow 08:00")
    await expect(times.last).to_have_text(re.compile(r"^(yesterday|[89] hr\. ago|[12]\d hr\. ago)$"))
    await expect(demo_page.page.get_by_role("group", name="The hub's clock")).to_contain_text("08:00")
