"""The time zone and the language of a tenant, which apply to users who have none of their own."""

import pytest

from tests.client import GraphQLErrors, Json, Tenant
from tests.graphql_errors import expect_error
from tests.test_translations import REASON_AR, REASON_DE

UPDATE = "mutation ($input: TenantInput!) { updateTenant(input: $input) { timezone locale } }"
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { timezone locale } }"
ME = "{ me { timezone locale } }"
BECAUSE = "{ inbox { nodes { because } } }"


async def test_tenant_defaults_apply_to_users_without_their_own(tenant: Tenant) -> None:
    assert (await tenant.execute_as_admin("{ tenant { timezone locale } }"))["tenant"] == {
        "timezone": "UTC",
        "locale": "en",
    }
    own = {"timezone": "Asia/Tokyo", "locale": "ar"}
    await tenant.execute(UPSERT, users=[{"id": "own", **own}, {"id": "none"}])
    default = {"timezone": "America/New_York", "locale": "de"}
    assert (await tenant.execute_as_admin(UPDATE, input=default))["updateTenant"] == default
    for _ in tenant.urls:  # each process
        assert (await tenant.execute(ME, user="own"))["me"] == own
        assert (await tenant.execute(ME, user="none"))["me"] == default
    cleared = [{"id": "own", "timezone": None, "locale": None}]
    assert (await tenant.execute(UPSERT, users=cleared))["upsertUsers"] == [default]
    restored = {"timezone": "UTC", "locale": "en"}
    assert (await tenant.execute_as_admin(UPDATE, input=dict.fromkeys(restored)))["updateTenant"] == restored
    assert (await tenant.execute(ME, user="own"))["me"] == restored


async def test_reason_is_in_the_language_of_the_tenant_unless_the_reader_has_one(tenant: Tenant) -> None:
    await tenant.execute_as_admin(UPDATE, input={"locale": "de-CH"})
    await tenant.execute(UPSERT, users=[{"id": "own", "locale": "ar"}])
    await tenant.send("own", "none")
    for user, expected in (("own", REASON_AR), ("none", REASON_DE)):
        [found] = (await tenant.execute(BECAUSE, user=user))["inbox"]["nodes"]
        assert found["because"] == expected
        query = "query ($id: ID!) { user(id: $id) { inbox { nodes { because } } } }"
        [found] = (await tenant.execute(query, id=user))["user"]["inbox"]["nodes"]
        assert found["because"] == expected


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"timezone": "Europe/Berlinn"}, "input.timezone", "Did you mean Europe/Berlin?"),
        ({"timezone": "europe/berlin"}, "input.timezone", "Did you mean Europe/Berlin?"),
        ({"timezone": "New York"}, "input.timezone", "Did you mean America/New_York?"),
        ({"timezone": "CEST+2 or so" * 20}, "input.timezone", "Pass a name such as Europe/Berlin."),
        ({"locale": "english please"}, "input.locale", "BCP 47"),
    ],
)
async def test_invalid_default_is_rejected_with_a_close_match(
    tenant: Tenant, fields: Json, field: str, message: str
) -> None:
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.execute_as_admin(UPDATE, input=fields)
    assert refused.value.errors[0]["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert message in refused.value.errors[0]["message"]


async def test_only_an_admin_changes_the_defaults(tenant: Tenant) -> None:
    assert (await expect_error(tenant.execute(UPDATE, input={"timezone": "Asia/Tokyo"})))[0] == "FORBIDDEN"
