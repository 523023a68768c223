"""Read and update preferences as sets of channels by category."""

from typing import Any

from tests.client import Json, Tenant

CELLS = "channels { channel enabled locked }"
ROWS = f"categories {{ category {{ key name required }} mutedUntil {CELLS} }}"
MATRIX = f"channels {{ channel enabled }} {ROWS}"
PREFERENCES = f"{{ preferences {{ {MATRIX} }} }}"
UPDATE_PREFERENCES = f"mutation ($input: PreferencesInput!) {{ updatePreferences(input: $input) {{ {MATRIX} }} }}"


async def update_preferences(tenant: Tenant, user: str, **fields: Any) -> Json:
    return summarize((await tenant.execute(UPDATE_PREFERENCES, user=user, input=fields))["updatePreferences"])


async def read_preferences(tenant: Tenant, user: str) -> Json:
    return summarize((await tenant.execute(PREFERENCES, user=user))["preferences"])


def summarize(matrix: Json) -> Json:
    """Return the matrix as sets. `on`: enabled channels by category; the key None stands for the channel switches."""
    on = {None: {switch["channel"] for switch in matrix["channels"] if switch["enabled"]}}
    for row in matrix["categories"]:
        on[row["category"]["key"]] = {cell["channel"] for cell in row["channels"] if cell["enabled"]}
    return {
        "on": on,
        "muted": {row["category"]["key"]: row["mutedUntil"] for row in matrix["categories"] if row["mutedUntil"]},
        "locked": {row["category"]["key"] for row in matrix["categories"] if any(c["locked"] for c in row["channels"])},
        "columns": [[cell["channel"] for cell in row["channels"]] for row in matrix["categories"]],
    }
