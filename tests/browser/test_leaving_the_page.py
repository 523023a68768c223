"""What the inbox leaves behind when the user goes to another page or signs out."""

import pytest

from tests.browser.conftest import BrowserUser
from tests.browser.inbox_marks import open_panel
from tests.client import Tenant, eventually

COUNT_OPEN = """window.opened = { channels: [], sockets: [] };
window.BroadcastChannel = class extends BroadcastChannel {
  constructor(name) { super(name); opened.channels.push(this); this.isOpen = true; }
  close() { super.close(); this.isOpen = false; }
};
window.WebSocket = class extends WebSocket {
  constructor(...given) { super(...given); opened.sockets.push(this); }
};
window.countOpen = () => [
  opened.channels.filter(({ isOpen }) => isOpen).length,
  opened.sockets.filter(({ readyState }) => readyState < WebSocket.CLOSING).length,
];"""
COUNT_LISTENERS = """window.listening = [];
for (const target of [window, document]) {
  const { addEventListener: add, removeEventListener: remove } = target;
  const indexOf = (type, listener) => listening.findIndex((one) => one.type === type && one.listener === listener);
  target.addEventListener = (type, listener, options) => {
    if (indexOf(type, listener) < 0) listening.push({ type, listener });
    add.call(target, type, listener, options);
  };
  target.removeEventListener = (type, listener, options) => {
    if (indexOf(type, listener) >= 0) listening.splice(indexOf(type, listener), 1);
    remove.call(target, type, listener, options);
  };
}"""
LISTENERS_LEFT = """listening.map(({ type }) => type).filter((type) => [
  ...["resize", "scroll", "hashchange", "visibilitychange", "hub-why-closed"],
  ...["online", "offline", "pageshow", "pagehide"],
].includes(type))"""
READ_TEXTS = """() => {
  const textOf = (root) => root.textContent + [...root.querySelectorAll("*")].map(({ shadowRoot }) => (shadowRoot ? textOf(shadowRoot) : "")).join("");
  return textOf(document);
}"""
LEAVE = "() => { dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })); return countOpen(); }"
RETURN = "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"


async def test_page_is_fit_for_the_back_forward_cache(tenant: Tenant, alice: BrowserUser) -> None:
    """Browsers do not keep a page with an open channel or socket."""
    await tenant.send("alice", title="One")
    tab = await alice.blank()
    await tab.page.add_init_script(COUNT_OPEN)
    await tab.load()
    await tab.open()
    await tab.wait_until_live()
    assert await tab.page.evaluate("countOpen()") == [1, 1]
    assert await tab.page.evaluate(LEAVE) == [0, 0]
    await tenant.send("alice", title="Two")
    await tab.page.evaluate(RETURN)
    await tab.wait_for_items("Two", "One")
    assert await tab.page.evaluate("countOpen()") == [1, 1]


async def test_removed_element_leaves_no_listener_and_nothing_in_storage(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="Secret")
    await alice.context.add_init_script(COUNT_LISTENERS)
    tab = await open_panel(alice, "Secret")

    async def is_stored() -> bool:
        return "Secret" in await tab.page.evaluate("JSON.stringify(localStorage)")

    async def is_empty() -> bool:
        return await tab.page.evaluate("JSON.stringify(localStorage)") == "{}"

    await eventually(is_stored)
    assert {"resize", "hub-why-closed", "pagehide"} <= {*await tab.page.evaluate(LISTENERS_LEFT)}
    await tab.page.evaluate("document.querySelector('hub-inbox').remove()")
    await eventually(is_empty)
    assert await tab.page.evaluate(LISTENERS_LEFT) == []


@pytest.mark.parametrize("token", [None, "refused"])
async def test_element_without_a_valid_token_contains_nothing_of_the_user(
    token: str | None, tenant: Tenant, alice: BrowserUser
) -> None:
    tab = await open_panel(alice)
    await tenant.send("alice", title="Secret")
    await tab.page.locator("hub-inbox > [role=status]").filter(has_text="Secret").wait_for(state="attached")
    await tab.wait_for_items("Secret")
    await tab.page.evaluate(
        "(token) => Object.assign(document.querySelector('hub-inbox'), { getToken: null, token })", token
    )
    await tab.page.get_by_text("You are signed out").wait_for()
    assert "Secret" not in await tab.page.evaluate(READ_TEXTS)
