"""The preferences for quiet hours, do-not-disturb, and the daily limit."""

from typing import Any

import pytest

from tests.client import GraphQLErrors, Json, Tenant
from tests.preference_calls import update_preferences
from tests.quiet_hours.times import UPDATE, UPDATE_DEFAULTS, later, set_default_times, set_times

UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
EVERY_DAY = [1, 2, 3, 4, 5, 6, 7]
NIGHT = {"start": "22:00", "end": "07:00", "timezone": "UTC", "days": EVERY_DAY, "allow": "CRITICAL"}
UNSET: Json = {"quietHours": None, "quietSchedule": [], "doNotDisturbUntil": None, "dailyLimit": None}


async def test_absent_time_is_unchanged_and_null_clears(tenant: Tenant) -> None:
    assert await set_times(tenant, "alice") == UNSET
    one = await set_times(tenant, "alice", quietHours={"start": "22:00", "end": "07:00"})
    assert one == UNSET | {"quietHours": NIGHT, "quietSchedule": [NIGHT]}
    until = later(days=2)
    complete = await set_times(tenant, "alice", doNotDisturbUntil=until, dailyLimit=5)
    assert complete == one | {"doNotDisturbUntil": until, "dailyLimit": 5}
    await tenant.define_category("news")
    await update_preferences(tenant, "alice", categories=[{"category": "news", "enabled": False}])
    assert await set_times(tenant, "alice") == complete, "another preference changed"
    weekend = {"start": "00:00", "end": "00:00", "days": [7, 6, 6], "allow": "HIGH", "timezone": "Asia/Tokyo"}
    both = await set_times(tenant, "alice", quietSchedule=[{"start": "22:00", "end": "07:00"}, weekend])
    assert both == complete | {"quietSchedule": [NIGHT, weekend | {"days": [6, 7]}]}
    assert await set_times(tenant, "alice", doNotDisturbUntil=None, dailyLimit=0) == both | {
        "doNotDisturbUntil": None,
        "dailyLimit": 0,
    }
    assert await set_times(tenant, "alice", quietHours=None, dailyLimit=None) == UNSET


async def test_window_is_in_the_zone_of_the_user_or_of_the_tenant(tenant: Tenant) -> None:
    times = await set_times(tenant, "alice", quietHours={"start": "22:00", "end": "07:00"})
    assert times["quietHours"]["timezone"] == "UTC"
    await tenant.execute_as_admin(UPDATE_DEFAULTS, input={"timezone": "America/New_York"})
    assert (await set_times(tenant, "alice"))["quietHours"]["timezone"] == "America/New_York"
    await tenant.execute(UPSERT, users=[{"id": "alice", "timezone": "Europe/Berlin"}])
    assert (await set_times(tenant, "alice"))["quietHours"]["timezone"] == "Europe/Berlin"


async def test_users_inherit_the_times_of_the_tenant(tenant: Tenant) -> None:
    default = await set_default_times(tenant, quietHours={"start": "22:00", "end": "07:00"}, dailyLimit=3)
    assert default == UNSET | {"quietHours": NIGHT, "quietSchedule": [NIGHT], "dailyLimit": 3}
    assert await set_times(tenant, "alice") == default
    assert await set_times(tenant, "alice", quietSchedule=[]) == UNSET | {"dailyLimit": 3}, "none of their own"
    own = await set_times(tenant, "alice", quietHours={"start": "01:00", "end": "02:00"}, dailyLimit=7)
    assert (own["quietHours"]["start"], own["dailyLimit"]) == ("01:00", 7)
    assert await set_times(tenant, "alice", quietHours=None, dailyLimit=None) == default
    assert await set_default_times(tenant, quietSchedule=None, dailyLimit=None) == UNSET


async def test_do_not_disturb_that_has_ended_is_not_shown(tenant: Tenant) -> None:
    assert (await set_times(tenant, "alice", doNotDisturbUntil=later(hours=-1)))["doNotDisturbUntil"] is None


def night(**more: Any) -> Json:
    return {"start": "22:00", "end": "07:00", **more}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"quietHours": night(), "quietSchedule": [night()]}, "quietHours"),
        ({"quietHours": None, "quietSchedule": None}, "quietHours"),
        ({"quietHours": night(start="24:00")}, "quietHours.start"),
        ({"quietHours": night(end="7:00")}, "quietHours.end"),
        ({"quietSchedule": [night(), night(days=[])]}, "quietSchedule.1.days"),
        ({"quietSchedule": [night(days=[0])]}, "quietSchedule.0.days"),
        ({"quietHours": night(days=[8])}, "quietHours.days"),
        ({"quietHours": night(timezone="Europe/Berlinn")}, "quietHours.timezone"),
        ({"quietSchedule": [night()] * 8}, "quietSchedule"),
        ({"quietHours": night(end="22:00")}, "quietHours"),
        ({"quietSchedule": [night(), night(start="07:00", end="22:00")]}, "quietSchedule"),
        ({"quietSchedule": [night(start="12:00", end="12:00", days=[day]) for day in EVERY_DAY]}, "quietSchedule"),
        ({"doNotDisturbUntil": later(days=32)}, "doNotDisturbUntil"),
        ({"dailyLimit": -1}, "dailyLimit"),
        ({"dailyLimit": 10_001}, "dailyLimit"),
    ],
)
async def test_invalid_time_is_rejected(tenant: Tenant, fields: Json, field: str) -> None:
    for admin in (False, True):
        with pytest.raises(GraphQLErrors) as refused:
            if admin:
                await tenant.execute_as_admin(UPDATE_DEFAULTS, input={"preferences": fields})
            else:
                await tenant.execute(UPDATE, user="alice", input=fields)
        path = f"input.preferences.{field}" if admin else f"input.{field}"
        assert refused.value.errors[0]["extensions"] == {"code": "BAD_USER_INPUT", "field": path}
    assert await set_times(tenant, "alice") == UNSET


async def test_seven_windows_that_leave_one_minute_of_the_week_free_are_accepted(tenant: Tenant) -> None:
    windows = [night(start="12:00", end="12:00", days=[day]) for day in EVERY_DAY[:6]]
    times = await set_times(tenant, "alice", quietSchedule=[*windows, night(start="12:00", end="11:59", days=[7])])
    assert len(times["quietSchedule"]) == 7


async def test_export_contains_the_times(tenant: Tenant) -> None:
    await set_times(tenant, "alice", quietHours=night(days=[5]), dailyLimit=2)
    exported = (await tenant.execute_as_admin('mutation { exportUser(id: "alice") }'))["exportUser"]
    assert exported["preferences"] == {
        "quietSchedule": [{"start": "22:00", "end": "07:00", "days": [5]}],
        "dailyLimit": 2,
    }
    assert not {"revision", "revisedAt", "redecideAt"} & exported["profile"].keys()
