"""The preferences for quiet hours, do-not-disturb, the daily limit, and digests."""

from typing import Any

import pytest

from tests.client import GraphQLErrors, Json, Tenant
from tests.preference_calls import update_preferences
from tests.quiet_hours.times import UPDATE, UPDATE_DEFAULTS, later, set_default_times, set_times

DIGESTS = "categories { category { key } channels { channel digest digestAt digestDays } }"
UPDATE_DIGESTS = f"mutation ($input: PreferencesInput!) {{ updatePreferences(input: $input) {{ {DIGESTS} }} }}"
UPDATE_DEFAULT_DIGESTS = (
    f"mutation ($input: TenantInput!) {{ updateTenant(input: $input) {{ preferences {{ {DIGESTS} }} }} }}"
)
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


async def test_do_not_disturb_in_the_past_is_refused_with_the_time_of_the_hub(tenant: Tenant) -> None:
    with pytest.raises(GraphQLErrors, match="is in the past \\(the hub's time is 20"):
        await set_times(tenant, "alice", doNotDisturbUntil=later(hours=-1))


async def change_digest(tenant: Tenant, *cells: Json, defaults: bool = False) -> dict[str, Json]:
    """Change cells of the category `news`. Return the digests of its channels that have one."""
    fields = {"categories": [{"category": "news", **cell} for cell in cells]}
    if defaults:
        found = (await tenant.execute_as_admin(UPDATE_DEFAULT_DIGESTS, input={"preferences": fields}))["updateTenant"]
        found = found["preferences"]
    else:
        found = (await tenant.execute(UPDATE_DIGESTS, user="alice", input=fields))["updatePreferences"]
    [news] = [row for row in found["categories"] if row["category"]["key"] == "news"]
    digests = {cell.pop("channel"): cell for cell in news["channels"]}
    return {channel: cell for channel, cell in digests.items() if any(value is not None for value in cell.values())}


def cell(window: str | None = None, at: str | None = None, days: list[int] | None = None) -> Json:
    return {"digest": window, "digestAt": at, "digestDays": days}


async def test_digest_is_chosen_per_channel(tenant: Tenant) -> None:
    """A window replaces a local time, and the other way round. An absent field is unchanged, and null clears."""
    await tenant.define_category("news", "IN_APP", "EMAIL", "WEB_PUSH")
    await tenant.define_category("other", "EMAIL")
    assert await change_digest(tenant) == {}
    everything = await change_digest(tenant, {"digest": "PT1H"})
    assert everything == dict.fromkeys(everything, cell("PT1H"))
    assert everything.keys() >= {"EMAIL", "WEB_PUSH"}
    assert "IN_APP" not in everything
    await change_digest(tenant, {"digest": None})
    await change_digest(tenant, {"channel": "WEB_PUSH", "digest": "P31D"})
    daily = {"channel": "EMAIL", "digestAt": "08:00", "digestDays": [5, 1, 1]}
    both = {"WEB_PUSH": cell("P31D"), "EMAIL": cell(at="08:00", days=[1, 5])}
    assert await change_digest(tenant, daily) == both
    for kept in ({"enabled": True}, {"digest": None}, {"mutedUntil": None}, {"digestAt": "08:00"}):
        assert await change_digest(tenant, {"channel": "EMAIL", **kept}) == both
    assert (await change_digest(tenant, {"channel": "EMAIL", "digestDays": None}))["EMAIL"] == cell(at="08:00")
    assert (await change_digest(tenant, {"channel": "EMAIL", "digest": "PT10S"}))["EMAIL"] == cell("PT10S")
    assert (await change_digest(tenant, {"channel": "EMAIL", "digest": "PT0S"}))["EMAIL"] == cell("PT0S")
    assert (await change_digest(tenant, daily | {"digestDays": EVERY_DAY}))["EMAIL"] == cell(at="08:00")
    assert await change_digest(tenant, {"channel": "EMAIL", "digestAt": None}) == {"WEB_PUSH": cell("P31D")}
    assert await change_digest(tenant, {"digest": None, "digestAt": None, "digestDays": None}) == {}


async def test_users_inherit_the_digests_of_the_tenant(tenant: Tenant) -> None:
    await tenant.define_category("news", "IN_APP", "EMAIL", "WEB_PUSH")
    email, push = ({"channel": channel, "digestAt": "18:00"} for channel in ("EMAIL", "WEB_PUSH"))
    assert await change_digest(tenant, email, push, defaults=True) == dict.fromkeys(
        ("EMAIL", "WEB_PUSH"), cell(at="18:00")
    )
    own = await change_digest(tenant, {"channel": "EMAIL", "digest": "PT0S"})
    assert own == {"EMAIL": cell("PT0S"), "WEB_PUSH": cell(at="18:00")}
    assert (await change_digest(tenant, {"channel": "EMAIL", "digest": None}))["EMAIL"] == cell(at="18:00")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"digest": "PT1H", "digestAt": "08:00"}, "digest"),
        ({"digest": "PT0S", "digestAt": "08:00"}, "digest"),
        ({"digest": "PT9S"}, "digest"),
        ({"digest": "P31DT1S"}, "digest"),
        ({"digestAt": "24:00"}, "digestAt"),
        ({"digestAt": ""}, "digestAt"),
        ({"digestAt": "08:00", "digestDays": []}, "digestDays"),
        ({"digestAt": "08:00", "digestDays": [8]}, "digestDays"),
        ({"digest": "PT1H", "digestDays": [1]}, "digestDays"),
        ({"digestDays": [1]}, "digestDays"),
        ({"digest": "PT1H", "channel": "IN_APP"}, "channel"),
        ({"digestAt": "08:00", "channel": "IN_APP"}, "channel"),
    ],
)
async def test_invalid_digest_is_rejected(tenant: Tenant, fields: Json, field: str) -> None:
    await tenant.define_category("news", "EMAIL")
    for defaults in (False, True):
        with pytest.raises(GraphQLErrors) as refused:
            await change_digest(tenant, {"enabled": True}, fields, defaults=defaults)
        path = f"input{'.preferences' if defaults else ''}.categories.1.{field}"
        assert refused.value.errors[0]["extensions"] == {"code": "BAD_USER_INPUT", "field": path}
    assert await change_digest(tenant) == {}


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
        ({"doNotDisturbUntil": later(minutes=-1)}, "doNotDisturbUntil"),
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
    await tenant.define_category("news", "EMAIL")
    daily = {"channel": "EMAIL", "digestAt": "08:00", "digestDays": [1]}
    await change_digest(tenant, daily, {"channel": "WEB_PUSH", "digest": "PT90M"})
    exported = (await tenant.execute_as_admin('mutation { exportUser(id: "alice") }'))["exportUser"]
    assert exported["preferences"] == {
        "quietSchedule": [{"start": "22:00", "end": "07:00", "days": [5]}],
        "dailyLimit": 2,
        "categories": [
            {"category": "news", "digests": {"EMAIL": {"at": "08:00", "days": [1]}, "WEB_PUSH": {"window": "PT1H30M"}}}
        ],
    }
    assert not {"revision", "revisedAt", "redecideAt"} & exported["profile"].keys()
