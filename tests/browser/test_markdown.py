"""Markdown in `<hub-inbox>`: the same elements as on the server, links that behave like the item's link, and roles."""

import json
from random import Random
from typing import Any

from tests.browser.conftest import BrowserUser, Tab
from tests.browser.inbox_marks import open_panel, wait_for_marks
from tests.browser.test_keyboard import wait_for_focus
from tests.client import Tenant
from tests.test_markdown import CASES, PIECES, html_of

RENDER = """async (item, bodies) => {
  const canonical = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return [node.data.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;").replaceAll('"', "&#34;").replaceAll("'", "&#39;")];
    if (node.nodeType !== Node.ELEMENT_NODE) return [];
    const name = node.localName;
    const attributes = ["href", "start"].filter((key) => node.hasAttribute(key)).map((key) =>
      ` ${key}="${node.getAttribute(key).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
        .replaceAll('"', "&#34;").replaceAll("'", "&#39;")}"`);
    if (name === "br") return ["<br>"];
    return [`<${name}${attributes.join("")}>`, ...[...node.childNodes].flatMap(canonical), `</${name}>`];
  };
  const rendered = [];
  for (const body of bodies) {
    item.item = { ...item.item, body, markdown: true };
    await item.updateComplete;
    const element = item.renderRoot.querySelector(".body");
    rendered.push(element ? [...element.childNodes].flatMap(canonical).join("") : "");
  }
  return rendered;
}"""
BODY = "Deployed **api** to [production](/builds/1):\n\n- [`web`](https://ci.example/web)\n- docs\n  1. one"


LETTERS = [
    "a",
    "b c",
    "é",
    "日",
    "😀",
    "€",
    '"',
    "!",
    "https://a.example/",
    "   ",
    "3) ",
    "+ ",
    "<",
    ">",
    "\t",
    "\u00a0",
]
SAMPLES = 3000


async def render(tab: Tab, bodies: list[str]) -> list[str]:
    """Return the elements that the first item of the panel displays for each body, as HTML."""
    rendered: list[str] = await tab.items.first.evaluate(RENDER, bodies)
    return rendered


async def open_markdown(tenant: Tenant, alice: BrowserUser, body: str) -> Tab:
    await tenant.send("alice", title="Deployed", body=body, content={"markdown": True})
    return await open_panel(alice, "Deployed")


async def test_component_renders_each_case_like_the_server(tenant: Tenant, alice: BrowserUser) -> None:
    tab = await open_markdown(tenant, alice, BODY)
    rendered = await render(tab, [case["markdown"] for case in CASES])
    assert dict(zip([case["name"] for case in CASES], rendered, strict=True)) == {
        case["name"]: case["html"] for case in CASES
    }
    assert not tab.errors


async def test_component_renders_random_texts_like_the_server(tenant: Tenant, alice: BrowserUser) -> None:
    random = Random(12)
    samples = ["".join(random.choices([*PIECES, *LETTERS], k=random.randrange(1, 40))) for _ in range(SAMPLES)]
    tab = await open_markdown(tenant, alice, BODY)
    rendered = await render(tab, samples)
    different = [
        (text, html_of(text), html) for text, html in zip(samples, rendered, strict=True) if html_of(text) != html
    ]
    assert not different, json.dumps(different[:5], ensure_ascii=False, indent=1)


async def test_links_of_a_body_open_like_the_link_of_the_item(tenant: Tenant, alice: BrowserUser) -> None:
    tab = await open_markdown(tenant, alice, BODY)
    await tab.page.evaluate("window.stay = true")
    await tab.items.get_by_role("link", name="production").click()
    await wait_for_marks(tenant, "Deployed", readAt=True)
    opened: list[Any] = await tab.page.evaluate("told.filter(([name]) => name === 'hub-open')")
    assert opened == [["hub-open", "/builds/1"]]
    await tab.open()
    await tab.items.get_by_role("link", name="web").click()
    opened = await tab.page.evaluate("told.filter(([name]) => name === 'hub-open')")
    assert opened[1:] == [["hub-open", "https://ci.example/web"]]
    assert await tab.page.evaluate("location.pathname") == "/page"


async def test_lists_and_links_have_roles_and_are_reached_by_keyboard(tenant: Tenant, alice: BrowserUser) -> None:
    tab = await open_markdown(tenant, alice, BODY)
    body = tab.items.locator(".body")
    assert await body.get_by_role("list").count() == 2
    assert await body.get_by_role("listitem").count() == 3
    assert await body.get_by_role("link").all_inner_texts() == ["production", "web"]
    assert await tab.axe_violations() == []
    await tab.items.locator(".open").focus()
    for name in ("production", "web", "markRead"):
        await tab.page.keyboard.press("Tab")
        await wait_for_focus(tab, name)
    assert not tab.errors
