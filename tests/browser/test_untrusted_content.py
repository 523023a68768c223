"""Senders can run no script and link to no unsafe address."""

import json
from typing import Any

from tests.browser.conftest import Browsers, BrowserUser
from tests.browser.inbox_marks import open_panel, wait_for_marks
from tests.client import Tenant

SCRIPT_TEXT = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>${window.pwned=1}'
DECOY_URL = "https://bait.invalid/"
UNSAFE_URLS = [
    "javascript:window.pwned=1",
    " java\nscript:window.pwned=1",
    "data:text/html,<script>window.opener.pwned=1</script>",
    "vbscript:x",
    "blob:http://127.0.0.1/x",
    "file:///etc/passwd",
]


async def test_scripts_in_texts_urls_and_data_do_not_run(tenant: Tenant, alice: BrowserUser) -> None:
    content: dict[str, Any] = {
        "imageUrl": 'https://images.invalid/x.png?" onerror="window.pwned=1',
        "actions": [{"key": SCRIPT_TEXT, "label": SCRIPT_TEXT, "primary": True}],
    }
    await tenant.send(
        "alice", title=SCRIPT_TEXT, body=SCRIPT_TEXT, content=content, data={SCRIPT_TEXT: SCRIPT_TEXT}, category="news"
    )
    tab = await open_panel(alice, SCRIPT_TEXT)
    assert await tab.items.locator(".body").inner_text() == SCRIPT_TEXT
    assert await tab.items.locator("img").count() == 1
    await tab.items.locator(".pill").click()
    await tab.items.locator(".open").click()
    await tab.press("window.pwned", "archive")
    await tab.toast.wait_for()
    assert not await tab.page.evaluate("window.pwned")
    assert not tab.errors


async def test_unsafe_urls_do_not_become_links(tenant: Tenant, browsers: Browsers) -> None:
    """The hub rejects most of these URLs. They must be harmless too if an older hub stored them."""
    action = {"key": "a", "label": "Press", "url": DECOY_URL}
    await tenant.send(
        "alice",
        title="Bait",
        content={
            "actionUrl": DECOY_URL,
            "imageUrl": DECOY_URL,
            "actions": [action],
            "actor": {"name": "Mallory", "avatarUrl": DECOY_URL},
        },
    )
    for unsafe in UNSAFE_URLS:
        alice = await browsers.person("alice")
        tab = await alice.blank()

        def poison(socket: Any, unsafe: str = unsafe) -> None:
            server = socket.connect_to_server()
            server.on_message(lambda message: socket.send(message.replace(json.dumps(DECOY_URL), json.dumps(unsafe))))

        await tab.page.route_web_socket("**/graphql", poison)
        await tab.load()
        await tab.open()
        await tab.wait_for_items("Bait")
        assert await tab.items.locator("a, img").count() == 0
        await tab.items.locator(".open").click()
        await tab.items.get_by_text("Press").click()
        await wait_for_marks(tenant, "Bait", readAt=True)
        assert await tab.page.evaluate("location.href") == f"{alice.origin}/page"
        assert not await tab.page.evaluate("window.pwned")
        await alice.context.close()
