"""The panel follows the colors, font size, screen, and motion that the reader has set."""

from typing import Any

import pytest

from tests.browser.conftest import Browsers
from tests.browser.inbox_marks import send_numbered
from tests.browser.test_appearance import PHONE
from tests.client import Tenant

STYLES = """() => {
  const panel = document.querySelector("hub-inbox").shadowRoot.querySelector("#panel");
  const content = panel.querySelector("hub-inbox-panel").shadowRoot;
  const item = content.querySelector("hub-inbox-item").shadowRoot;
  const [title, dot] = [item.querySelector(".title"), item.querySelector(".dot")];
  const style = (element, pseudo) => getComputedStyle(element, pseudo);
  return {
    padding: style(panel).padding,
    background: style(panel).backgroundColor,
    dot: style(dot).backgroundColor,
    tab: style(content.querySelector("[aria-selected=true]"), "::after").backgroundColor,
    font: style(item.querySelector("article")).fontSize,
    heading: style(content.querySelector("h3")).fontSize,
    lines: title.clientHeight / parseFloat(style(title).lineHeight),
  };
}"""
MOVING = """() => {
  const found = new Set();
  const visit = (root) => {
    for (const element of root.querySelectorAll("*")) {
      const { animationName, transitionDuration } = getComputedStyle(element);
      const isMoving = animationName !== "none" || parseFloat(transitionDuration);
      if (isMoving && element.getClientRects().length) found.add(element.part.value || element.localName);
      if (element.shadowRoot) visit(element.shadowRoot);
    }
  };
  visit(document);
  return [...found].sort();
}"""
SEPARATORS = """(item) => {
  const root = item.shadowRoot;
  const sheet = new CSSStyleSheet();
  root.adoptedStyleSheets.push(sheet);
  window.hideSeparators = () => sheet.replaceSync(".facts > *::before { visibility: hidden }");
}"""


async def test_panel_follows_forced_colors_font_size_and_safe_areas(tenant: Tenant, browsers: Browsers) -> None:
    await tenant.send("alice", title="A title of many words. " * 10)
    phone: dict[str, Any] = {**PHONE, "forced_colors": "active"}
    alice = await browsers.person("alice", **phone)
    tab = await alice.tab()
    session = await alice.context.new_cdp_session(tab.page)
    await session.send("Page.setFontSizes", {"fontSizes": {"standard": 32}})
    insets = {"top": 30, "right": 5, "bottom": 20, "left": 10}
    await session.send("Emulation.setSafeAreaInsetsOverride", {"insets": insets})
    await tab.open()
    await tab.items.first.wait_for()
    found = await tab.page.evaluate(STYLES)
    assert found["font"] == "28px"
    assert found["heading"] == "25.2px"
    assert found["padding"] == "30px 5px 20px 10px"
    assert found["background"] not in {found["dot"], found["tab"]}
    assert found["lines"] < 3.5


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
async def test_nothing_moves_for_readers_who_prefer_less_motion(
    motion: str, tenant: Tenant, browsers: Browsers
) -> None:
    alice = await browsers.person("alice", page={"attributes": "toasts"}, reduced_motion=motion)
    waiting = await alice.tab()
    await waiting.hold("query Inbox")
    await waiting.open()
    await waiting.page.locator("hub-inbox-panel .skeleton").first.wait_for()
    moving = {*await waiting.page.evaluate(MOVING)}
    tab = await alice.tab()
    await tab.wait_until_live()
    await send_numbered(tenant, 1)
    await tab.page.locator("hub-inbox-toasts .toast").wait_for()
    moving |= {*await tab.page.evaluate(MOVING)}
    await tab.open()
    await tab.press("Number 000", "archive")
    await tab.toast.wait_for()
    moving |= {*await tab.page.evaluate(MOVING)}
    assert moving == (set() if motion == "reduce" else {"badge", "item", "message", "panel", "skeleton", "toast"})


@pytest.mark.parametrize("language", ["en", "ar"])
async def test_separators_are_between_the_facts(language: str, tenant: Tenant, browsers: Browsers) -> None:
    page = {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}
    alice = await browsers.person("alice", page=page, reduced_motion="reduce")
    await tenant.send("alice", title="One", category="reviews", priority="HIGH")
    tab = await (await alice.tab()).open()
    await tab.item("One").locator("time").wait_for()
    await tab.leave_the_list()
    facts = tab.item("One").locator(".facts")
    await tab.item("One").evaluate(SEPARATORS)
    before = await facts.screenshot()
    await tab.page.evaluate("hideSeparators()")
    assert await facts.screenshot() != before
