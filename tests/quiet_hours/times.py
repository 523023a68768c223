"""Quiet hours, do-not-disturb, and the daily limit: their mutations, and windows around the current time."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.client import Json, Tenant

WINDOW = "start end timezone days allow"
TIMES = f"quietHours {{ {WINDOW} }} quietSchedule {{ {WINDOW} }} doNotDisturbUntil dailyLimit"
UPDATE = f"mutation ($input: PreferencesInput!) {{ updatePreferences(input: $input) {{ {TIMES} }} }}"
UPDATE_DEFAULTS = (
    f"mutation ($input: TenantInput!) {{ updateTenant(input: $input) {{ timezone preferences {{ {TIMES} }} }} }}"
)
SIMULATE = "query ($input: SendInput!) { simulate(input: $input) { decisions { channel outcome reason dueAt title } } }"


async def set_times(tenant: Tenant, user: str, **fields: Any) -> Json:
    """Change the preferences of a user. Return the times."""
    times: Json = (await tenant.execute(UPDATE, user=user, input=fields))["updatePreferences"]
    return times


async def set_default_times(tenant: Tenant, **fields: Any) -> Json:
    """Change the defaults of the tenant. Return the times."""
    query = {"input": {"preferences": fields}}
    times: Json = (await tenant.execute_as_admin(UPDATE_DEFAULTS, **query))["updateTenant"]["preferences"]
    return times


async def simulate(tenant: Tenant, user: str, channel: str, **more: Any) -> tuple[str, str | None, str | None]:
    """Return the outcome, the reason, and `dueAt` of a send in the category `news`."""
    fields = {"to": {"users": [user]}, "category": "news", "content": {"title": "T", "body": "B"}, **more}
    [simulation] = (await tenant.execute(SIMULATE, input=fields))["simulate"]
    [found] = [decision for decision in simulation["decisions"] if decision["channel"] == channel]
    assert (found["title"] is None) == (found["outcome"] == "SKIPPED")
    return found["outcome"], found["reason"], found["dueAt"]


def window(begins: timedelta, ends: timedelta, **more: Any) -> Json:
    """Return a window of every day in UTC that begins and ends at times from now."""
    now = datetime.now(UTC)
    start, end = (f"{now + delta:%H:%M}" for delta in (begins, ends))
    return {"start": start, "end": end, "timezone": "UTC", **more}


def quiet_now(**more: Any) -> Json:
    """Return a window that began an hour ago and ends in three hours."""
    return window(timedelta(hours=-1), timedelta(hours=3), **more)


def later(**delta: float) -> str:
    """Return a time from now."""
    return (datetime.now(UTC) + timedelta(**delta)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
