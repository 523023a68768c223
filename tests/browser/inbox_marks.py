"""Read the marks that the hub stores, and open a panel with items."""

from tests.browser.conftest import Person, Tab
from tests.client import Json, Tenant, eventually


async def state_of(tenant: Tenant, title: str) -> Json:
    nodes: list[Json] = (await tenant.inbox("alice", view="ALL"))["nodes"]
    return next(node for node in nodes if node["title"] == title)


async def until(tenant: Tenant, title: str, **marks: bool) -> None:
    """Waits until the hub has exactly these marks set or not set."""

    async def check() -> bool:
        state = await state_of(tenant, title)
        return all(bool(state[mark]) is wanted for mark, wanted in marks.items())

    await eventually(check, 15)


async def opened(alice: Person, *titles: str) -> Tab:
    tab = await (await alice.tab()).open()
    await tab.lists(*titles)
    await tab.live()
    return tab


async def titles_of(tenant: Tenant, count: int, first: int = 0) -> list[str]:
    """Sends so many, one after the other; answers their titles, newest first."""
    titles = [f"Number {n:03}" for n in range(first, first + count)]
    for title in titles:
        await tenant.send("alice", title=title)
    return titles[::-1]
