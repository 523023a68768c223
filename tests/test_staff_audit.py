"""What people in the roles `support` and `operator` do, and the content that they read, is in the audit log."""

from datetime import timedelta
from typing import Any

import pytest

from hub.model import STAFF, Role
from hub.platform.connections import Database
from hub.utc_time import now
from tests.audit_calls import audit_log
from tests.client import Json, Tenant
from tests.marked_data import USER, create_marked_data
from tests.service_keys import create_key

BODY = (
    "query ($id: ID!) { delivery(id: $id) { id notification { ...N } } } fragment N on Notification { title body data }"
)


async def execute_as(tenant: Tenant, role: Role, query: str, **variables: Any) -> Json:
    headers = {"authorization": f"Bearer {tenant.token('ann', role=role)}"}
    return await tenant.execute_raw(query, headers=headers, **variables)


async def entries(tenant: Tenant, actor: str = "ann") -> list[tuple[str, str | None, Json]]:
    return [(entry["action"], entry["target"], entry["changes"]) for entry in await audit_log(tenant, actor=actor)]


def code_of(response: Json) -> str:
    return str(response["errors"][0]["extensions"]["code"]) if "errors" in response else ""


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.OPERATOR])
async def test_reading_content_has_one_entry_per_field(tenant: Tenant, database: Database, role: Role) -> None:
    ids = await create_marked_data(tenant, database)
    response = await execute_as(tenant, role, BODY, id=ids.delivery)
    assert response["data"]["delivery"]["notification"]["body"]
    read = {"role": role, "field": "delivery", "selected": ["Notification.body", "Notification.data"]}
    assert await entries(tenant) == [("readContent", ids.delivery, read)]
    pages = f'{{ user(id: "{USER}") {{ inbox {{ nodes {{ title body }} }} }} sends {{ nodes {{ title }} }} }}'
    await execute_as(tenant, role, pages)
    added = {"role": role, "field": "user", "selected": ["Notification.body"]}
    assert (await entries(tenant))[1:] == [("readContent", USER, added)]


async def test_reading_without_content_has_no_entry(tenant: Tenant, database: Database) -> None:
    ids = await create_marked_data(tenant, database)
    await execute_as(
        tenant, Role.SUPPORT, "query ($id: ID!) { delivery(id: $id) { notification { title } } }", id=ids.delivery
    )
    await execute_as(tenant, Role.VIEWER, BODY, id=ids.delivery)
    assert await entries(tenant) == []
    await tenant.execute(BODY, id=ids.delivery)
    assert not [entry for entry in await audit_log(tenant) if entry["action"] == "readContent"]


async def test_content_is_not_read_if_the_entry_cannot_be_written(tenant: Tenant, database: Database) -> None:
    """A validator of MongoDB rejects the entries of this tenant."""
    ids = await create_marked_data(tenant, database)
    await database.command("collMod", "audit_log", validator={"tenant": {"$ne": tenant.name}})
    try:
        response = await execute_as(tenant, Role.SUPPORT, BODY, id=ids.delivery)
    finally:
        await database.command("collMod", "audit_log", validator={})
    assert response["data"]["delivery"] is None
    assert code_of(response) == "INTERNAL_SERVER_ERROR"


async def test_changes_of_staff_are_in_the_audit_log(tenant: Tenant, database: Database) -> None:
    ids = await create_marked_data(tenant, database)
    by_id = "mutation ($id: ID!) { replay(ids: [$id]) }"
    assert (await execute_as(tenant, Role.SUPPORT, by_id, id=ids.delivery))["data"] == {"replay": 1}
    all_failed = f'mutation {{ replay(filter: {{userId: "{USER}", channels: [WEBHOOK]}}) }}'
    assert code_of(await execute_as(tenant, Role.SUPPORT, all_failed)) == "FORBIDDEN"
    assert code_of(await execute_as(tenant, Role.OPERATOR, all_failed)) == ""
    for name in ("pauseSend", "resumeSend", "cancelSend", "recallSend"):
        change = f"mutation ($id: ID!) {{ {name}(id: $id) {{ id }} }}"
        assert code_of(await execute_as(tenant, Role.OPERATOR, change, id=ids.send)) == "", name
    lift = f'mutation {{ liftSuppression(userId: "{USER}", address: "nobody@example.org") }}'
    assert (await execute_as(tenant, Role.SUPPORT, lift))["data"] == {"liftSuppression": False}
    written = await entries(tenant)
    assert [action for action, _, _ in written] == [
        *("replay", "replay", "pauseSend", "resumeSend", "cancelSend", "recallSend"),
    ]
    assert {target for action, target, _ in written if action.endswith("Send")} == {ids.send}


async def test_support_cancels_only_a_send_to_one_user(tenant: Tenant) -> None:
    cancel = "mutation ($id: ID!) { cancelSend(id: $id) { status } }"
    later = (now() + timedelta(days=30)).isoformat()
    one = (await tenant.send("kim", sendAt=later))["send"]["id"]
    two = (await tenant.send("kim", "lee", sendAt=later))["send"]["id"]
    assert code_of(await execute_as(tenant, Role.SUPPORT, cancel, id=two)) == "FORBIDDEN"
    for role, id in ((Role.SUPPORT, one), (Role.OPERATOR, two)):
        assert (await execute_as(tenant, role, cancel, id=id))["data"]["cancelSend"]["status"] == "CANCELLED"


@pytest.mark.parametrize("role", STAFF)
async def test_token_of_staff_names_a_person(tenant: Tenant, role: Role) -> None:
    headers = {"authorization": f"Bearer {tenant.token(role=role)}"}
    response = await tenant.execute_raw("{ categories { key } }", headers=headers)
    assert code_of(response) == "UNAUTHENTICATED"
    assert response["errors"][0]["message"] == f"A token with role {role} requires `sub`."
    assert code_of(await execute_as(tenant, role, "{ categories { key } }")) == ""


@pytest.mark.parametrize("role", STAFF)
async def test_token_of_staff_has_no_inbox(tenant: Tenant, role: Role) -> None:
    for query in ("{ me { id } }", "{ inbox { unread } }", "mutation { markAllRead { changed } }"):
        assert code_of(await execute_as(tenant, role, query)) == "FORBIDDEN"


async def test_service_key_may_have_a_role_of_staff(tenant: Tenant, database: Database) -> None:
    await create_marked_data(tenant, database)
    key = await create_key(tenant, role="VIEWER")
    query = f'{{ user(id: "{USER}") {{ id name }} }}'
    assert await tenant.execute_raw(query, headers=key.headers) == {"data": {"user": {"id": USER, "name": "***"}}}
    operator = await create_key(tenant, role="OPERATOR")
    response = await tenant.execute_raw("mutation { pauseChannel(channel: SMS) }", headers=operator.headers)
    assert response == {"data": {"pauseChannel": True}}
    assert [entry[0] for entry in await entries(tenant, f"key:{operator.id}")] == ["pauseChannel"]
