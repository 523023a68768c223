"""Read the marks that the hub stores, and open a panel with items."""

from tests.browser.conftest import BrowserUser, Tab
from tests.client import Json, Tenant, eventually


async def stored_notification(tenant: Tenant, title: str) -> Json:
    nodes: list[Json] = (await tenant.inbox("alice", view="ALL"))["nodes"]
    return next(node for node in nodes if node["title"] == title)


async def wait_for_marks(tenant: Tenant, title: str, **marks: bool) -> None:
    """Wait until exactly these marks are set or not set in the hub."""

    async def check() -> bool:
        state = await stored_notification(tenant, title)
        return all(bool(state[mark]) is expected for mark, expected in marks.items())

    await eventually(check)


async def open_panel(alice: BrowserUser, *titles: str) -> Tab:
    tab = await (await alice.tab()).open()
    await tab.wait_for_items(*titles)
    await tab.wait_until_live()
    return tab


async def send_numbered(tenant: Tenant, count: int, first: int = 0) -> list[str]:
    """Send that many notifications one after another. Return their titles, newest first."""
    titles = [f"Number {n:03}" for n in range(first, first + count)]
    for title in titles:
        await tenant.send("alice", title=title)
    return titles[::-1]
