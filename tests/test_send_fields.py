"""The fields of a send are read as they were given: of a send, a scheduled send, and a broadcast."""

from typing import Any

import pytest

from hub.model import Role
from tests.client import Json, Tenant, eventually
from tests.random_clients import instant_ahead

SEND = "mutation ($i: SendInput!) { send(input: $i) { send { id } } }"
FIELDS = "createdBy tags priority channels expiresAt sendAt status"
READ = f"query ($id: ID!) {{ send(id: $id) {{ {FIELDS} }} }}"
UNTIL = "2090-01-01T00:00:00.000Z"
CONTENT = {"title": "Hello", "body": "there"}


async def send(tenant: Tenant, sender: str | None, **fields: Any) -> str:
    """Send, and return the id."""
    headers = {"authorization": f"Bearer {tenant.token(sender, role=Role.SERVICE)}"}
    given = {"category": "news", "content": CONTENT, **fields}
    response = await tenant.execute_raw(SEND, headers=headers, i=given)
    return str(response["data"]["send"]["send"]["id"])


async def read(tenant: Tenant, id: str) -> Json:
    found: Json = (await tenant.execute(READ, id=id))["send"]
    return found


@pytest.mark.parametrize("to", [{"users": ["ann"]}, {"everyone": True}])
@pytest.mark.parametrize("later", [False, True])
async def test_fields_of_a_send_are_those_of_the_input(tenant: Tenant, to: Json, later: bool) -> None:
    """Also after a scheduled send was published."""
    await tenant.define_category("news", "IN_APP", priority="HIGH")
    given = {"tags": ["red", "blue"], "priority": "LOW", "channels": ["IN_APP", "EMAIL"], "expiresAt": UNTIL}
    at = {"sendAt": instant_ahead(seconds=1)} if later else {}
    full = await send(tenant, "shop", to=to, **given, **at)
    plain = await send(tenant, None, to=to, **at)

    async def published() -> bool:
        return (await read(tenant, full))["status"] != "SCHEDULED" != (await read(tenant, plain))["status"]

    for _ in range(2):
        found = await read(tenant, full)
        assert {name: found[name] for name in given} == given
        assert found["createdBy"] == "shop"
        found = await read(tenant, plain)
        assert [found[name] for name in ("createdBy", "tags", "channels", "expiresAt")] == [None, [], None, None]
        assert found["priority"] == "HIGH"
        await eventually(published)
