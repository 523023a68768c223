"""A deployment for the tests of collapse keys, and the inboxes that they check."""

from tests.channel_setup import SHORT_TIMES
from tests.client import Json, Tenant

DATABASE = "collapse"
SETTINGS = {**SHORT_TIMES, "mongo_database": DATABASE, "redis_prefix": f"{DATABASE}:"}
NODE = "id title collapseKey collapsedCount readAt acknowledgedAt deliveries { channel status reason }"
INBOX = f"{{ inbox(filter: {{view: ALL}}, first: 50) {{ unread unseen position nodes {{ {NODE} }} }} }}"


async def whole_inbox(tenant: Tenant, user: str = "alice") -> Json:
    page: Json = (await tenant.execute(INBOX, user=user))["inbox"]
    return page


async def collapsed(tenant: Tenant, user: str = "alice") -> list[tuple[str, int]]:
    """Return title and count of each notification, newest first."""
    return [(n["title"], n["collapsedCount"]) for n in (await whole_inbox(tenant, user))["nodes"]]
