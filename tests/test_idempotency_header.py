"""The `Idempotency-Key` header: its scope, what is stored for it, and what is never stored."""

from typing import Any
from uuid import uuid4

import pytest

from hub.api.token_signing import sign_token
from hub.model import Role, mailbox_of
from hub.platform.connections import Database
from tests.client import Json, Tenant
from tests.processes import SECRET

CREATE = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret endpoint { id } } }"
PARTS = """mutation ($one: WebhookInput!, $two: WebhookInput!) {
  one: createWebhook(input: $one) { endpoint { id } } two: createWebhook(input: $two) { endpoint { id } }
}"""
GOOD, BAD = {"url": "https://hooks.example/a"}, {"url": "ftp://hooks.example/a"}
EXPORTS = {
    "plain": 'mutation { exportUser(id: "alice") }',
    "alias": 'mutation { send: exportUser(id: "alice") }',
    "fragment": 'mutation { ...F } fragment F on Mutation { exportUser(id: "alice") }',
    "inline": 'mutation { ... { x: exportUser(id: "alice") } }',
    "beside": 'mutation { exportUser(id: "alice") ...F } fragment F on Mutation { deleteWebhook(id: "x") }',
    "nested": 'mutation { upsertUsers(users: [{id: "alice"}]) { inbox { nodes { title } } } }',
    "devices": 'mutation { upsertUsers(users: [{id: "alice"}]) { ...D } } fragment D on User { devices { label } }',
}


async def execute_with_key(tenant: Tenant, query: str, key: str, *, role: Role = Role.ADMIN, **variables: Any) -> Json:
    headers = {"authorization": f"Bearer {tenant.token(role=role)}", "Idempotency-Key": key}
    return await tenant.execute_raw(query, headers=headers, **variables)


def codes(response: Json) -> set[str]:
    return {error["extensions"]["code"] for error in response.get("errors", [])}


async def endpoints(tenant: Tenant) -> int:
    return len((await tenant.execute_as_admin("{ webhooks { id } }"))["webhooks"])


async def stored_responses(database: Database, tenant: Tenant) -> str:
    """Return everything that is stored for keys of a tenant, as text."""
    docs = await database.idempotency.find({"_id": {"$regex": f"^{tenant.name}/"}}).to_list()
    return str(docs)


async def test_idempotency_key_of_an_admin_returns_nothing_to_a_service(tenant: Tenant) -> None:
    """The same text and key with another role or subject is another request, whose own rights are checked."""
    first = await execute_with_key(tenant, CREATE, "k", input=GOOD)
    assert first["data"]["createWebhook"]["secret"]
    second = await execute_with_key(tenant, CREATE, "k", role=Role.SERVICE, input=GOOD)
    assert (second["data"], codes(second)) == (None, {"FORBIDDEN"})
    other = sign_token(SECRET, user="another-admin", tenant=tenant.name, role=Role.ADMIN, expires_in_s=60)
    third = await tenant.execute_raw(
        CREATE, headers={"authorization": f"Bearer {other}", "Idempotency-Key": "k"}, input=GOOD
    )
    assert third["data"]["createWebhook"]["endpoint"] != first["data"]["createWebhook"]["endpoint"]


async def test_secret_is_not_stored_and_its_mutation_runs_once(tenant: Tenant, database: Database) -> None:
    """A repeated key creates no second webhook, and its response contains no secret."""
    query = "mutation ($input: WebhookInput!) { ...F } fragment F on Mutation { category: createWebhook(input: $input) { ... { key: secret } } }"
    secret = (await execute_with_key(tenant, query, "k", input=GOOD))["data"]["category"]["key"]
    for _ in range(2):
        again = await execute_with_key(tenant, query, "k", input=GOOD)
        assert codes(again) == {"CONFLICT"}
        assert secret not in str(again)
    assert await endpoints(tenant) == 1
    assert secret not in await stored_responses(database, tenant)
    assert secret.removeprefix("whsec_") not in await stored_responses(database, tenant)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.SERVICE])
@pytest.mark.parametrize("how", EXPORTS)
async def test_user_export_is_not_stored(tenant: Tenant, database: Database, how: str, role: Role) -> None:
    """The fields of the schema decide, not the text of the query."""
    label, title = uuid4().hex, uuid4().hex
    await tenant.execute('mutation { upsertUsers(users: [{id: "alice", phone: "+4915112345678"}]) { id } }')
    query = 'mutation ($l: String!) { connectWebhook(url: "https://hooks.example/a", label: $l) { secret } }'
    await tenant.execute(query, user="alice", l=label)
    await tenant.send("alice", title=title)
    for _ in range(2):
        response = await execute_with_key(tenant, EXPORTS[how], "k", role=role)
        assert response
    found = await stored_responses(database, tenant)
    assert not [text for text in ("alice", "+4915112345678", label, title) if text in found]
    service = await execute_with_key(tenant, EXPORTS["fragment"], "k", role=Role.SERVICE)
    assert codes(service) == {"FORBIDDEN"}


async def test_partially_failed_mutation_runs_once(tenant: Tenant) -> None:
    """Finished work is not repeated, also if the error makes `data` null."""
    responses = [await execute_with_key(tenant, PARTS, "k", one=GOOD, two=BAD) for _ in range(3)]
    assert await endpoints(tenant) == 1
    assert codes(responses[0]) == {"BAD_USER_INPUT"}
    assert responses[1] == responses[2] == responses[0]


async def test_mutation_without_effect_may_run_again_under_its_key(tenant: Tenant) -> None:
    """An invalid field before a valid one ends the operation before anything is created."""
    assert codes(await execute_with_key(tenant, PARTS, "k", one=BAD, two=GOOD)) == {"BAD_USER_INPUT"}
    assert await endpoints(tenant) == 0
    assert codes(await execute_with_key(tenant, PARTS, "k", one=GOOD, two=GOOD)) == set()
    assert await endpoints(tenant) == 2


async def test_stored_response_about_a_user_is_erased_with_the_user(tenant: Tenant, database: Database) -> None:
    """The request is not executed again, because that would create the user again."""
    query = 'mutation { upsertUsers(users: [{id: "alice", email: "al@people.example"}]) { id email } }'
    first = await execute_with_key(tenant, query, "k")
    assert await execute_with_key(tenant, query, "k") == first
    assert await tenant.execute_as_admin('mutation { deleteUser(id: "alice") }') == {"deleteUser": True}
    found = await stored_responses(database, tenant)
    assert "alice" not in found
    assert "al@people.example" not in found
    assert codes(await execute_with_key(tenant, query, "k")) == {"CONFLICT"}
    assert await database.users.find_one({"_id": mailbox_of(tenant.name, "alice")}) is None
