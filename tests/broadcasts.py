"""Sends to everyone, and what they reached."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.channel_setup import UPSERT_USERS
from tests.client import Json, Tenant, eventually

SEND = (
    "id status recipients total reason to { users everyone except } counts { channel status count reasons { reason } }"
)
BROADCAST = f"mutation ($input: SendInput!) {{ send(input: $input) {{ duplicate send {{ {SEND} }} }} }}"
GET = f"query ($id: ID!) {{ send(id: $id) {{ {SEND} }} }}"
RECIPIENTS = """query ($id: ID!, $after: String) { send(id: $id) {
  notifications(first: 100, after: $after, hidden: true) { nodes { userId } pageInfo { hasNextPage endCursor } }
} }"""
UPSERTED_AT_ONCE = 1000


async def create_users(tenant: Tenant, users: Sequence[str], **profile: Any) -> None:
    for start in range(0, len(users), UPSERTED_AT_ONCE):
        fields = [{"id": user, **profile} for user in users[start : start + UPSERTED_AT_ONCE]]
        await tenant.execute(UPSERT_USERS, users=fields)


async def broadcast(tenant: Tenant, title: str = "Hello", *, without: Sequence[str] = (), **more: Any) -> Json:
    """Send to everyone in the category `news`, except `without`. Return the send."""
    content = {"title": title, "body": "there"}
    to = {"everyone": True}
    fields = {"to": to, "except": list(without), "category": "news", "content": content, **more}
    send: Json = (await tenant.execute(BROADCAST, input=fields))["send"]["send"]
    return send


async def get_send(tenant: Tenant, id: str) -> Json:
    send: Json = (await tenant.execute(GET, id=id))["send"]
    return send


async def expanded(tenant: Tenant, id: str, within_s: float = 90) -> Json:
    """Wait until a send is no longer EXPANDING or SCHEDULED."""

    async def found() -> Json | None:
        send = await get_send(tenant, id)
        return send if send["status"] not in ("EXPANDING", "SCHEDULED") else None

    send: Json = await eventually(found, within_s)
    return send


async def count_recipients(tenant: Tenant, id: str) -> Counter[str]:
    """Return how often each user got a send."""
    users: Counter[str] = Counter()
    after = None
    while True:
        page = (await tenant.execute(RECIPIENTS, id=id, after=after))["send"]["notifications"]
        users.update(node["userId"] for node in page["nodes"])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return users
