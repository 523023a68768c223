"""The search of the panel. The hub searches, so it finds what is not loaded."""

from playwright.async_api import expect

from tests.browser.conftest import Browsers
from tests.browser.inbox_marks import open_panel
from tests.browser.test_appearance import LOOKS, check_state
from tests.browser.test_keyboard import wait_for_focus
from tests.client import Tenant


async def test_search_lists_what_matches_in_the_tab(tenant: Tenant, browsers: Browsers) -> None:
    await tenant.send("alice", title="Die Straße ist frei", category="traffic")
    await tenant.send("alice", title="The road is closed", category="traffic")
    await tenant.fill_inbox("alice", 25)
    alice = await browsers.person("alice")
    tab = await (await alice.tab()).open()
    await tab.items.first.wait_for()
    await tab.wait_until_live()
    await tab.page.keyboard.press("/")
    box = tab.page.get_by_role("searchbox", name="Search titles and texts")
    await expect(box).to_be_focused()
    await tab.page.keyboard.type("strasse")
    await tab.wait_for_items("Die Straße ist frei")
    await expect(tab.page.locator("hub-inbox-panel > .hidden[role=status]")).to_have_text("1 notification found")
    await check_state(tab, "desktop-light", "search")
    await tenant.send("alice", title="Another", body="STRASSE")
    await tenant.send("alice", title="No match")
    await tab.wait_for_unread(29)
    await tab.wait_for_items("Another", "Die Straße ist frei")
    await tab.tab("ARCHIVED").click()  # searches there
    await expect(tab.page.locator("hub-inbox-panel .state")).to_contain_text("No matching notifications")
    await tab.tab("ACTIVE").click()
    await tab.wait_for_items("Another", "Die Straße ist frei")
    category = tab.page.get_by_role("combobox", name="Category")
    await category.select_option("traffic")
    await tab.wait_for_items("Die Straße ist frei")
    await box.fill("")
    await tab.wait_for_items("The road is closed", "Die Straße ist frei")
    await box.press("Escape")
    await wait_for_focus(tab, "search")
    await expect(box).to_have_count(0)
    assert len(await tab.titles()) > 2
    await expect(tab.panel).to_be_visible()


async def test_search_fits_on_a_phone(tenant: Tenant, browsers: Browsers) -> None:
    await tenant.send("alice", title="One", category="a-category-with-a-long-name")
    await tenant.send("alice", title="Two")
    alice = await browsers.person(
        "alice", page={"lang": "ar", "dir": "rtl"}, color_scheme="dark", **LOOKS["phone-light"][0]
    )
    tab = await open_panel(alice, "Two", "One")
    await tab.page.locator("[data-tool=search]").tap()
    await tab.page.get_by_role("combobox").wait_for()
    await check_state(tab, "phone-arabic-dark", "search")
