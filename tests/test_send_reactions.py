"""What the recipients of a send did: `Send.reactions`, and the filter of `Send.notifications`."""

from hub.ids import new_id
from hub.inbox.notification_lookup import EXAMINED_MAX
from hub.platform.connections import Database
from hub.utc_time import now
from tests.client import Json, Tenant

REACTIONS = "query ($id: ID!) { send(id: $id) { reactions { seen read acknowledged acted } } }"
RECIPIENTS = """query ($id: ID!, $filter: SendNotificationFilter, $first: Int, $after: String) { send(id: $id) {
  notifications(hidden: true, filter: $filter, first: $first, after: $after) {
    nodes { userId } pageInfo { hasNextPage endCursor } } } }"""
ACT = 'mutation ($id: ID!) { act(id: $id, key: "yes") { changed } }'


async def recipients(tenant: Tenant, send: str, **filter: bool) -> list[str]:
    found = await tenant.execute(RECIPIENTS, id=send, filter=filter)
    return sorted(node["userId"] for node in found["send"]["notifications"]["nodes"])


async def react(tenant: Tenant, user: str, mutation: str) -> None:
    [n] = (await tenant.inbox(user))["nodes"]
    await tenant.mark(user, mutation, n["id"])


async def send_to_five(tenant: Tenant) -> str:
    """Send to five users. Ann only sees it, Ben reads, Cay acknowledges, Dan acts, and Eve does nothing."""
    content = {"title": "Will you come?", "body": "", "actions": [{"key": "yes", "label": "Yes"}]}
    sent = await tenant.send("ann", "ben", "cay", "dan", "eve", content=content, requireAck=True)
    await react(tenant, "ann", "markSeen")
    await react(tenant, "ben", "markRead")
    await react(tenant, "cay", "acknowledge")
    [n] = (await tenant.inbox("dan"))["nodes"]
    await tenant.execute(ACT, user="dan", id=n["id"])
    id: str = sent["send"]["id"]
    return id


async def test_reactions_count_the_recipients(tenant: Tenant) -> None:
    send = await send_to_five(tenant)
    other = (await tenant.send("eve"))["send"]["id"]
    counted = (await tenant.execute(REACTIONS, id=send))["send"]["reactions"]
    assert list(counted.items()) == [("seen", 4), ("read", 3), ("acknowledged", 1), ("acted", 1)]
    nodes: list[Json] = (await tenant.execute("{ sends { nodes { id reactions { seen } } } }"))["sends"]["nodes"]
    assert {node["id"]: node["reactions"]["seen"] for node in nodes} == {send: 4, other: 0}


async def test_recipients_are_filtered_by_what_they_did(tenant: Tenant) -> None:
    send = await send_to_five(tenant)
    assert await recipients(tenant, send, read=False) == ["ann", "eve"]
    assert await recipients(tenant, send, seen=False) == ["eve"]
    assert await recipients(tenant, send, acknowledged=False) == ["ann", "ben", "dan", "eve"]
    assert await recipients(tenant, send, acted=True) == ["dan"]
    assert await recipients(tenant, send, read=True, acknowledged=False) == ["ben", "dan"]
    assert await recipients(tenant, send) == ["ann", "ben", "cay", "dan", "eve"]


async def test_a_filtered_page_examines_a_limited_number(tenant: Tenant, database: Database) -> None:
    send = (await tenant.send("ann"))["send"]["id"]
    doc = await database.notifications.find_one({"send": send})
    assert doc
    read = doc | {"read_at": now()}
    others = [*(read | {"_id": new_id()} for _ in range(EXAMINED_MAX)), doc | {"_id": new_id()}]
    await database.notifications.insert_many(others)
    pages: list[tuple[int, bool]] = []
    after: str | None = None
    while not pages or after:
        found = await tenant.execute(RECIPIENTS, id=send, filter={"read": False}, first=10, after=after)
        page = found["send"]["notifications"]
        more = page["pageInfo"]["hasNextPage"]
        pages.append((len(page["nodes"]), more))
        after = page["pageInfo"]["endCursor"] if more else None
    assert pages == [(1, True), (1, False)]
