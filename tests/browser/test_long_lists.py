"""Long lists: the rows near the visible part are rendered, and the user can reach all of them."""

from typing import Any

from tests.browser.conftest import BrowserUser, Tab
from tests.browser.inbox_marks import open_panel, send_numbered, wait_for_marks
from tests.client import Json, Tenant, eventually
from tests.conftest import scaled

COUNT = scaled(120, 2_000)
ROWS_MAX = 60
LOAD_ALL = """async (bell) => {
  while (bell._inbox.list("ACTIVE").more) {
    await bell._inbox.more("ACTIVE");
    await new Promise(requestAnimationFrame);
  }
}"""
ROWS = """(bell) => {
  const root = bell.shadowRoot.querySelector("hub-inbox-panel").shadowRoot;
  const { top, bottom } = root.querySelector(".scroll").getBoundingClientRect();
  const items = bell._inbox.items("ACTIVE");
  const rows = [...root.querySelectorAll("li[data-id]")].map((row) => ({
    number: Number(row.ariaPosInSet), size: Number(row.ariaSetSize), box: row.getBoundingClientRect(),
    isItem: items[row.ariaPosInSet - 1]?.id === row.dataset.id
  }));
  const visible = rows.filter(({ box }) => box.bottom > top && box.top < bottom);
  return {
    count: rows.length,
    sizes: [...new Set(rows.map(({ size }) => size))],
    inOrder: rows.every(({ isItem }) => isItem),
    visible: visible.map(({ number }) => number),
    filled: visible.length > 0 && visible[0].box.top <= top + 1 && visible.at(-1).box.bottom >= bottom - 1
  };
}"""
SCROLL = """(bell, part) => {
  const scroller = bell.shadowRoot.querySelector("hub-inbox-panel").shadowRoot.querySelector(".scroll");
  scroller.scrollTop = part * scroller.scrollHeight;
}"""
COUNT_RENDERS = """async (bell) => {
  const panel = bell.shadowRoot.querySelector("hub-inbox-panel");
  const renders = { panel: [], bell: [] };
  let frame = 0;
  const count = () => (frame++, requestAnimationFrame(count));
  requestAnimationFrame(count);
  for (const [name, element] of Object.entries({ panel, bell })) {
    const { update } = element;
    element.update = function (...given) { renders[name].push(frame); return update.apply(this, given); };
  }
  while (frame < 5) {
    for (let change = 0; change < 20; change++) {
      bell._inbox.dispatchEvent(new Event("change"));
      await Promise.resolve().then(() => {});
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
  return renders;
}"""

COUNT_ROW_RENDERS = """(item) => {
  const type = Object.getPrototypeOf(item);
  const { update } = type;
  window.renderedRows = [];
  type.update = function (...given) { renderedRows.push(this.item.title); return update.apply(this, given); };
}"""


async def evaluate(tab: Tab, script: str, argument: Any = None) -> Any:
    return await tab.page.locator("hub-inbox").evaluate(script, argument)


async def wait_for_rows(tab: Tab) -> Json:
    """Wait until the rows in the visible part are rendered. Return them."""
    rows: Json = {}

    async def filled() -> bool:
        nonlocal rows
        rows = await evaluate(tab, ROWS)
        return bool(rows["filled"])

    await eventually(filled)
    assert rows["inOrder"]
    assert rows["count"] <= ROWS_MAX
    assert rows["visible"] == list(range(rows["visible"][0], rows["visible"][-1] + 1))
    return rows


async def test_long_list_renders_the_rows_near_the_visible_part(tenant: Tenant, alice: BrowserUser) -> None:
    for start in range(0, COUNT, 1_000):
        await tenant.fill_inbox("alice", min(1_000, COUNT - start))
    tab = await (await alice.tab()).open()
    await tab.items.first.wait_for()
    assert (await wait_for_rows(tab))["sizes"] == [-1]  # unknown, because not all pages are loaded
    await evaluate(tab, LOAD_ALL)
    for part in (0.5, 1, 0.2, 0):
        await evaluate(tab, SCROLL, part)
        rows = await wait_for_rows(tab)
        assert rows["sizes"] == [COUNT]
        if part in (0, 1):
            assert rows["visible"][-1 if part else 0] == (COUNT if part else 1)
    await tab.items.first.locator(".open").focus()
    await evaluate(tab, SCROLL, 1)
    await wait_for_rows(tab)
    assert not await tab.axe_violations()
    await tab.page.keyboard.press("ArrowDown")
    position = "(item) => item.matches(':focus-within') && Number(item.parentElement.ariaPosInSet)"

    async def focused() -> bool:
        return 2 in await tab.items.evaluate_all(f"(items) => items.map({position})")

    await eventually(focused)
    assert 2 in (await wait_for_rows(tab))["visible"]


async def test_closed_panel_renders_nothing(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    elements = "(bell) => bell.shadowRoot.querySelector('hub-inbox-panel').shadowRoot.childElementCount"
    tab = await alice.tab()
    await tab.wait_for_unread(1)
    assert await evaluate(tab, elements) == 0
    await tab.open()
    await tab.wait_for_items("One")
    await tab.page.keyboard.press("Escape")
    await tab.panel.wait_for(state="hidden")
    assert await evaluate(tab, elements) == 0


async def test_changes_are_rendered_once_per_frame(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    tab = await open_panel(alice, "One")
    for frames in (await evaluate(tab, COUNT_RENDERS)).values():
        assert frames
        assert len(frames) == len(set(frames))


async def test_arrival_renders_no_other_row(tenant: Tenant, alice: BrowserUser) -> None:
    titles = await send_numbered(tenant, 5)
    tab = await open_panel(alice, *titles)
    await wait_for_marks(tenant, titles[0], seenAt=True)
    await tab.items.first.evaluate(COUNT_ROW_RENDERS)
    await tenant.send("alice", title="New")
    await tab.wait_for_items("New", *titles)
    await wait_for_marks(tenant, "New", seenAt=True)
    await tab.bell.locator(".badge.seen").wait_for()
    # The Tab key no longer reaches the row that was the first one.
    assert set(await tab.page.evaluate("renderedRows")) <= {"New", titles[0]}
