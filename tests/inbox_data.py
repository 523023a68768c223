"""Notifications to read, mark and page through."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from hub.utc_time import rfc3339
from tests.client import Json, Subscription, Tenant

FAR_FUTURE = "2090-01-01T00:00:00.000Z"


def seconds_from_now(seconds: float) -> str:
    return rfc3339(datetime.now(UTC) + timedelta(seconds=seconds))


async def send_numbered(tenant: Tenant, user: str, count: int, **more: Any) -> list[str]:
    """Send `count` notifications one after another. Return their ids, newest first."""
    for number in range(count):
        await tenant.send(user, title=f"Number {number}", **more)
    return [n["id"] for n in (await tenant.inbox(user, first=count))["nodes"]]


def notification_ids(page: Json) -> list[str]:
    return [n["id"] for n in page["nodes"]]


async def read_until_resync(feed: Subscription) -> Json:
    """Return the RESYNC event that ends a feed after a change of many notifications.

    A regular check of the mailbox may find the first of them before all are changed. Their events come first."""
    async with asyncio.timeout(60):
        *first, last = [event async for event in feed]
    assert {event["kind"] for event in first} <= {"UPDATED"}
    assert last["kind"] == "RESYNC"
    return last
