"""Deleting a category that is in use."""

from tests.client import Tenant
from tests.graphql_errors import expect_error
from tests.preference_calls import read_preferences, update_preferences

DELETE = "mutation ($key: String!) { deleteCategory(key: $key) }"
CATEGORIES = (
    "{ categories { key name defaultChannels } tenant { preferences { categories { channels { enabled } } } } }"
)
SET_DEFAULTS = "mutation ($i: TenantInput!) { updateTenant(input: $i) { id } }"


async def test_deleted_category_is_created_again_with_defaults_and_the_choices_of_users(tenant: Tenant) -> None:
    await tenant.define_category("news", "IN_APP", "EMAIL", name="Old news", retention="P1D")
    inbox_off = {"categories": [{"category": "news", "channel": "IN_APP", "enabled": False}]}
    await tenant.execute_as_admin(SET_DEFAULTS, i={"preferences": inbox_off})
    await update_preferences(tenant, "ann", categories=[{"category": "news", "channel": "IN_APP", "enabled": True}])
    await update_preferences(tenant, "ben", categories=[{"category": "news", "channel": "IN_APP", "enabled": False}])
    await tenant.send("ann", "cay", title="Before")

    assert await tenant.execute_as_admin(DELETE, key="news") == {"deleteCategory": True}
    assert await tenant.execute_as_admin(DELETE, key="news") == {"deleteCategory": False}
    assert (await tenant.execute_as_admin(CATEGORIES))["categories"] == []
    assert (await read_preferences(tenant, "ann"))["columns"] == []
    assert [n["title"] for n in (await tenant.inbox("ann"))["nodes"]] == ["Before"]

    await tenant.send("ann", "ben", "cay", title="After")
    found = await tenant.execute_as_admin(CATEGORIES)
    assert found["categories"] == [{"key": "news", "name": "news", "defaultChannels": ["IN_APP"]}]
    titles = {user: [n["title"] for n in (await tenant.inbox(user))["nodes"]] for user in ("ann", "ben", "cay")}
    assert titles == {"ann": ["After", "Before"], "ben": [], "cay": ["After"]}


async def test_category_is_deleted_by_an_administrator_of_its_tenant_only(tenant: Tenant) -> None:
    await tenant.define_category("news")
    assert await expect_error(tenant.execute(DELETE, key="news")) == ("FORBIDDEN", None)
    assert [one["key"] for one in (await tenant.execute_as_admin(CATEGORIES))["categories"]] == ["news"]
