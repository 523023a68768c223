"""A walk through the inbox and the preferences of a page with nothing but a keyboard."""

from playwright.async_api import Page, expect

from tests.browser.preferences.preferences_page import PreferencesUser
from tests.client import Json, eventually
from tests.topics.calls import subscribe, upsert_topic

FOCUSED = """() => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  const labelledBy = at.getRootNode().getElementById(at.getAttribute("aria-labelledby"));
  const label = labelledBy?.innerText || at.getAttribute("aria-label") || at.labels?.[0]?.innerText || at.querySelector("bdi")?.innerText || at.innerText;
  return label?.trim().split("\\n")[0] ?? at.id;
}"""
PREFERENCES = """{ preferences { doNotDisturbUntil dailyLimit quietSchedule { start }
  categories { category { key } mutedUntil channels { channel enabled digest digestAt } } } }"""
STOPS_MAX = 60
"""Enough for a whole page."""


class Keyboard:
    """The keyboard of a page. `find` fails if an element is not in the tab order."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def at(self, name: str) -> None:
        """Wait for the focus."""

        async def is_focused() -> bool:
            return bool(await self.page.evaluate(FOCUSED) == name)

        try:
            await eventually(is_focused)
        except AssertionError:
            assert await self.page.evaluate(FOCUSED) == name

    async def find(self, name: str, key: str = "Tab") -> None:
        """Press Tab until the element has the focus."""
        passed = []
        for _ in range(STOPS_MAX):
            await self.press(key)
            passed.append(await self.page.evaluate(FOCUSED))
            if passed[-1] == name:
                return
        raise AssertionError(f"{name} is not one of the tab stops {passed}")

    async def use(self, name: str, key: str = "Tab") -> None:
        """Go to a button and press it."""
        await self.find(name, key)
        await self.press("Enter")


async def stored(alice: PreferencesUser, title: str) -> Json:
    nodes = (await alice.tenant.inbox("alice", view="ALL"))["nodes"]
    return next(node for node in nodes if node["title"] == title)


async def wait_for(alice: PreferencesUser, title: str, field: str, *, given: bool = True) -> None:
    async def is_stored() -> bool:
        return bool((await stored(alice, title))[field]) == given

    await eventually(is_stored)


async def test_every_feature_of_the_inbox_works_with_the_keyboard(alice: PreferencesUser) -> None:
    choice = {"actions": [{"key": "approve", "label": "Approve"}, {"key": "reject", "label": "Reject"}]}
    await alice.tenant.send("alice", title="Plain", category="news")
    await alice.tenant.send("alice", title="Choice", category="builds", content=choice)
    await alice.tenant.send("alice", title="Alarm", category="security", requireAck=True)
    page = await alice.page(inbox="1")
    await page.locator("hub-inbox .badge").wait_for()
    keys = Keyboard(page)
    await keys.press("Tab", "Enter")
    await keys.at("All")
    await keys.find("Alarm")
    await keys.use("Acknowledge")
    await wait_for(alice, "Alarm", "acknowledgedAt")
    await keys.at("Alarm")
    await keys.press("j")
    await keys.at("Choice")
    await keys.use("Approve")
    await wait_for(alice, "Choice", "actedKey")
    await keys.press("w")
    await page.get_by_role("dialog", name="Why did I get this?").wait_for()
    await keys.press("Escape")
    await keys.at("Why did I get this?: Choice")
    await keys.press("j")
    await keys.at("Plain")
    await keys.press("r")
    await wait_for(alice, "Plain", "readAt")
    await keys.press("s")
    await keys.find("Date and time")
    await keys.press(*"12122090", "Tab", *"0900a")
    await keys.use("Snooze")
    await wait_for(alice, "Plain", "snoozedUntil")
    assert (await stored(alice, "Plain"))["snoozedUntil"].startswith("2090-12-12")
    await keys.press("z")
    await wait_for(alice, "Plain", "snoozedUntil", given=False)
    await keys.press("e")
    await keys.use("More actions", "Shift+Tab")
    await keys.at("Archive all")  # all notifications are read
    await keys.press("Enter")
    await wait_for(alice, "Alarm", "archivedAt")
    await keys.press("z")
    await wait_for(alice, "Alarm", "archivedAt", given=False)
    await keys.press("Escape")
    await expect(page.locator("hub-inbox #panel")).to_be_hidden()


async def test_every_feature_of_the_preferences_works_with_the_keyboard(alice: PreferencesUser) -> None:
    await upsert_topic(alice.tenant, "releases", name="Releases", visible=True)
    await subscribe(alice.tenant, "releases", "alice")
    page = await alice.page()
    await page.locator("hub-preferences table").wait_for()
    keys = Keyboard(page)

    async def wait_until_stored(field: str, value: object) -> None:
        async def is_stored() -> bool:
            found = (await alice.tenant.execute(PREFERENCES, user="alice"))["preferences"]
            news = next(row for row in found["categories"] if row["category"]["key"] == "news")
            return {**found, **news, **{cell["channel"]: cell for cell in news["channels"]}}[field] == value

        await eventually(is_stored)

    await keys.find("Email for Product news")
    await keys.press("Space")
    await expect(page.get_by_role("switch", name="Email for Product news")).to_have_attribute("aria-checked", "false")
    await keys.use("Mute Product news")
    await keys.use("For 1 day")
    await keys.use("Unmute Product news")
    await keys.use("Leave Releases")
    await keys.at("Follow Releases again")
    await keys.press("Enter")
    await keys.use("Collect messages")
    await keys.use("Save")
    await keys.use("Start do not disturb")
    await keys.use("For 1 hour")
    await keys.use("End do not disturb")
    await keys.use("Add quiet hours")
    await keys.use("Save")
    await wait_until_stored("quietSchedule", [{"start": "22:00"}])
    await keys.find("Interruptions per day")
    await keys.press("ArrowDown", "ArrowDown")
    await wait_until_stored("dailyLimit", 1)
