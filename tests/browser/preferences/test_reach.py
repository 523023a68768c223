"""<hub-preferences>: cells that cannot arrive say why, addresses can be added, and a narrow page has one line per category."""

from playwright.async_api import Page, expect

from tests.browser.preferences.preferences_page import DESKTOP, PreferencesUser, switch
from tests.channel_setup import UPSERT_USERS

NARROW_PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
ADD_EMAIL = """(element) => {
  window.asked = [];
  element.addEventListener("hub-add-address", (event) => {
    event.preventDefault();
    asked.push(event.detail.channel);
    addEmail().then(() => element.reload());
  });
}"""
"""A host that adds an address and loads the preferences again."""


async def test_cells_say_why_a_category_cannot_arrive(alice: PreferencesUser) -> None:
    page = await alice.page()
    await expect(page.get_by_role("columnheader")).to_have_text(
        ["Category", "Inbox", "Email", "Browser", "Webhook", "Mute"]
    )
    news = page.get_by_role("row").filter(has_text="Product news")
    browser = news.get_by_role("cell").nth(2)
    await expect(browser).to_have_accessible_name("No messages of this category are sent there.")
    await expect(browser).to_contain_text("Not used")
    await expect(switch(page, "Browser for Product news")).to_have_count(0)
    builds = page.get_by_role("row").filter(has_text="Build results")
    await expect(builds.get_by_role("cell").nth(3)).to_have_accessible_name("You have no address or device for it.")
    await expect(switch(page, "Email for Build results")).to_be_checked()
    await expect(switch(page, "Browser for All notifications")).to_have_count(0)


async def test_address_is_set_up_by_the_component_or_by_the_host(alice: PreferencesUser) -> None:
    alice.user = "carol"
    page = await alice.page()
    await page.get_by_role("button", name="Set up Browser").press("Enter")
    await expect(page.get_by_role("button", name="Turn on: Push notifications in this browser")).to_be_focused()
    await page.get_by_role("button", name="Set up Webhook").click()
    await expect(page.locator(".toast")).to_have_text("Connect a webhook to your account first.")

    async def add_email() -> None:
        await alice.tenant.execute(UPSERT_USERS, users=[{"id": "carol", "email": "carol@acme.example"}])

    await page.expose_function("addEmail", add_email)
    await page.locator("hub-preferences").evaluate(ADD_EMAIL)
    await page.get_by_role("button", name="Set up Email").press("Enter")
    await expect(switch(page, "Email for Product news")).to_be_checked()
    await expect(switch(page, "Email for Security alerts")).to_have_attribute("aria-disabled", "true")
    await expect(page.get_by_role("button", name="Set up Email")).to_have_count(0)
    await expect(switch(page, "Email for All notifications")).to_be_focused()
    assert await page.evaluate("asked") == ["EMAIL"]
    await expect(page.get_by_text("Add an email address to your account first.")).to_have_count(0)


async def expect_one_line_per_category(page: Page) -> None:
    """Open the line of a category with the keyboard, change a switch, and close the line."""
    lines = page.get_by_role("table").get_by_role("button")
    await expect(lines).to_have_count(4)
    news = page.get_by_role("button", name="Product news Inbox, Email")
    await expect(news).to_have_attribute("aria-expanded", "false")
    await expect(page.get_by_role("switch")).to_have_count(0)
    heights = await lines.evaluate_all("(lines) => lines.map((line) => line.getBoundingClientRect().height)")
    assert max(heights) < 90
    await news.press("Enter")
    await expect(page.get_by_role("switch")).to_have_count(2)
    await expect(page.get_by_role("button", name="Mute Product news")).to_be_visible()
    await expect(page.get_by_text("Once a month at most.")).to_be_visible()
    await switch(page, "Email for Product news").press("Space")
    news = page.get_by_role("button", name="Product news Inbox", exact=True)
    await expect(news).to_have_attribute("aria-expanded", "true")
    await page.get_by_role("button", name="Build results Inbox, Email").press("Enter")
    await expect(page.get_by_role("button", name="Set up Browser")).to_be_visible()
    await news.press("Enter")
    await expect(switch(page, "Email for Product news")).to_have_count(0)
    await expect(switch(page, "Email for Build results")).to_be_checked()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_narrow_phone_has_one_line_per_category_that_opens(alice: PreferencesUser) -> None:
    await expect_one_line_per_category(await alice.page(NARROW_PHONE))


async def test_narrow_column_of_a_wide_page_has_one_line_per_category(alice: PreferencesUser) -> None:
    page = await alice.page(DESKTOP)
    await expect(page.get_by_role("switch").first).to_be_visible()
    await page.locator("main").evaluate("(main) => (main.style.width = '360px')")
    await expect_one_line_per_category(page)
    await page.locator("main").evaluate("(main) => (main.style.width = '')")
    await expect(page.get_by_role("columnheader", name="Email")).to_be_visible()
    await expect(switch(page, "Inbox for Product news")).to_be_visible()
