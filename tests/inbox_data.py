"""Notifications to read, mark and page through."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hub.utc_time import rfc3339
from tests.client import Json, Tenant

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
