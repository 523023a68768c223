"""The page renders rows itself, gives icons to categories, and styles all parts."""

import json
import re
from pathlib import Path

from playwright.async_api import expect

from tests.browser.conftest import Browsers, BrowserUser, Tab
from tests.browser.inbox_marks import send_numbered, wait_for_marks
from tests.browser.test_appearance import send_samples
from tests.browser.test_inbox_list import REPLACE_BELL
from tests.browser.test_swipe import press_row
from tests.client import Tenant

THEMING = Path(__file__).parents[2] / "docs" / "frontend" / "theming.md"
RENDER = """(inbox) => {
  inbox.renderItem = (item) => {
    if (item.title === "Number 001") return "Only text";
    const box = document.createElement("p");
    box.className = "own";
    box.append(item.title + (item.readAt ? " (read)" : "") + " ");
    const button = box.appendChild(document.createElement("button"));
    button.append("More about " + item.title);
    button.addEventListener("click", () => (window.pressed = item.title));
    return box;
  };
}"""
RENDER_REPLIES = """(list) => {
  list.renderItem = (item) => {
    if (item.title === "Number 002") throw new Error("This row fails.");
    const box = document.createElement("p");
    box.className = "own";
    box.append(item.title, document.createElement("textarea"));
    box.lastChild.ariaLabel = "Reply to " + item.title;
    return box;
  };
}"""
ADD_STYLES = """((styles) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(styles);
  document.adoptedStyleSheets.push(sheet);
})"""
STYLES = ".own { margin: 0; color: rgb(1, 2, 3) } .own button { position: relative; z-index: 1 }"
READ_PARTS = """() => {
  const found = {};
  const visit = (root) => {
    for (const element of root.querySelectorAll("*")) {
      const isStyled = (name) => getComputedStyle(element).getPropertyValue(`--of-${name}`) === "1";
      for (const name of element.part ?? []) found[name] = (found[name] ?? true) && isStyled(name);
      if (element.shadowRoot) visit(element.shadowRoot);
    }
  };
  visit(document);
  return found;
}"""


async def test_page_renders_rows_and_marks_and_keys_still_work(tenant: Tenant, alice: BrowserUser) -> None:
    titles = await send_numbered(tenant, 90)
    tab = await alice.tab()
    await tab.page.evaluate(ADD_STYLES, STYLES)
    inbox = tab.page.locator("hub-inbox")
    await inbox.evaluate(RENDER)
    await tab.open()
    own = inbox.locator(".own")
    await expect(own.first).to_have_css("color", "rgb(1, 2, 3)")
    assert not await tab.axe_violations()
    await own.first.get_by_role("button").click()
    assert await tab.page.evaluate("window.pressed") == titles[0]
    await tab.leave_the_list()
    await tab.page.keyboard.press("Tab")
    await tab.page.keyboard.press("r")
    await wait_for_marks(tenant, titles[0], readAt=True)
    await expect(own.first).to_contain_text(f"{titles[0]} (read)")
    await tab.page.keyboard.press("j")
    await tab.page.keyboard.press("e")
    await wait_for_marks(tenant, titles[1], archivedAt=True)
    await expect(inbox.get_by_text(titles[1])).to_have_count(0)
    await tab.item(titles[2]).locator(".open").click(position={"x": 5, "y": 5}, force=True)
    assert await tab.page.evaluate("told.some(([name]) => name === 'hub-open')")
    assert await tab.read_list() == [titles[0], *titles[2:]]
    await expect(inbox.get_by_text("Only text")).to_be_visible()
    assert await inbox.locator("> [slot^=item-]").count() < 60, "rows outside the visible part were kept"
    await inbox.evaluate("(inbox) => { inbox.renderItem = null }")
    await expect(inbox.locator("> [slot^=item-]")).to_have_count(0)
    await tab.items.locator(".title").first.wait_for()


async def test_page_renders_rows_of_a_list_with_fields_in_which_keys_are_text(
    tenant: Tenant, alice: BrowserUser
) -> None:
    titles = await send_numbered(tenant, 4)
    tab = await alice.tab()
    await tab.page.evaluate(ADD_STYLES, ".own { color: rgb(1, 2, 3) } textarea { position: relative; z-index: 1 }")
    await tab.page.locator("hub-inbox").evaluate(REPLACE_BELL)
    inbox = tab.page.locator("hub-inbox-list")
    await inbox.evaluate(RENDER_REPLIES)
    await expect(inbox.locator(".own")).to_have_text([titles[0], *titles[2:]])  # in spite of the error of one row
    await expect(inbox.locator(".own").first).to_have_css("color", "rgb(1, 2, 3)")
    assert {*tab.errors} == {"This row fails."}
    assert not await tab.axe_violations()
    reply = inbox.get_by_role("textbox", name=f"Reply to {titles[2]}")
    await reply.press_sequentially("sure/x")
    await expect(reply).to_have_value("sure/x")
    assert await tab.titles() == titles
    await expect(tab.page.locator("hub-inbox-list").locator(".check, .choices, .search")).to_have_count(0)
    await tab.page.evaluate("window.stay = true")
    await tab.item(titles[3]).locator(".open").click(position={"x": 5, "y": 5}, force=True)
    await wait_for_marks(tenant, titles[3], readAt=True)
    await inbox.evaluate("(list) => list.remove()")
    await expect(tab.page.locator(".own")).to_have_count(0)


async def show_tools(tenant: Tenant, tab: Tab) -> None:
    """Show a thread, the search, and a selection."""
    await tab.page.locator("hub-inbox").evaluate("(bell) => { bell.groupThreads = true }")
    for title in ("First", "Second"):
        await tenant.send("alice", title=title, threadKey="thread")
    await tab.page.locator("hub-inbox-panel .thread").wait_for()
    await tab.page.locator("hub-inbox-panel [data-tool=search]").click()
    await tab.page.locator("hub-inbox-panel .search").wait_for()
    await tab.choose("select")
    await tab.page.locator("hub-inbox-panel .check").first.wait_for()


async def test_every_part_is_documented_and_can_be_styled(tenant: Tenant, browsers: Browsers) -> None:
    """Each part gets a custom property with its name, which the elements of the part must then have."""
    [table] = re.findall(r"^## Parts$(.*?)^## ", THEMING.read_text(), re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    rules = [f":is(hub-inbox, hub-inbox-list)::part({name}) {{ --of-{name}: 1 }}" for name in documented]
    parts: dict[str, bool] = {}

    async def collect() -> None:
        found: dict[str, bool] = await tab.page.evaluate(READ_PARTS)
        parts.update({name: parts.get(name, True) and is_styled for name, is_styled in found.items()})

    await tenant.fill_inbox("alice", 20)
    await send_samples(tenant)
    alice = await browsers.person("alice", page={"attributes": "toasts"}, has_touch=True)
    tab = await alice.blank()
    await tab.page.add_init_script(f"{ADD_STYLES}({json.dumps(' '.join(rules))})")
    await tab.load()
    await tab.wait_until_live()
    await tab.page.locator("hub-inbox").evaluate("(bell) => { bell.categoryIcons = { sharing: '/elsewhere' } }")
    content = {"actor": {"name": "Ada Lovelace"}, "imageUrl": "https://images.example.org/1.png"}
    await tenant.send("alice", title="By Ada", category="sharing", content=content, pinned=True)
    await tab.page.locator("hub-inbox-toasts .toast").wait_for()
    await collect()
    await tab.open()
    await tab.item("By Ada").hover()
    await tenant.send("alice", title="Newer")
    await tab.page.locator("hub-inbox-panel [data-tool=newer]").wait_for()
    await tab.press("By Ada", "snooze")
    await tab.item("By Ada").locator(".choices").wait_for()
    await collect()
    await tab.item("By Ada").locator(".choices button").nth(1).click()
    await tab.page.locator("hub-inbox-menu [data-tool=menu]").click()
    await collect()
    await tab.page.locator("hub-inbox-menu [data-tool=shortcuts]").click()
    await tab.page.locator("hub-inbox-panel dialog[open]").wait_for()
    await collect()
    await tab.page.keyboard.press("Escape")
    await tab.tab("ARCHIVED").click()
    await tab.page.locator("hub-inbox-panel .state").wait_for()
    await collect()
    await tab.tab("ACTIVE").click()
    await show_tools(tenant, tab)
    await collect()
    await tab.page.keyboard.press("Escape")
    await tab.page.locator("hub-inbox-panel [data-tool=search]").click()
    await (await press_row(tab, "Build failed")).move(150)
    await tab.item("Build failed").locator(".swipe").wait_for()
    await collect()
    await tab.hold("query Inbox")
    await tab.page.locator("hub-inbox").evaluate(REPLACE_BELL)
    await tab.page.locator("hub-inbox-list .skeleton").first.wait_for()
    await collect()
    assert sorted(parts) == sorted(documented)
    assert [name for name, is_styled in parts.items() if not is_styled] == []
