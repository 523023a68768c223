"""Service keys in tests."""

from typing import Any

from msgspec import Struct

from hub.model import Role
from tests.client import Json, Tenant

CREATE = "mutation ($input: ServiceKeyInput!) { createServiceKey(input: $input) { secret key { id } } }"
REVOKE = "mutation ($id: ID!) { revokeServiceKey(id: $id) { id revokedAt } }"
LIST = "{ serviceKeys { id name role scopes preview createdAt createdBy lastUsedAt expiresAt revokedAt } }"


class Key(Struct, frozen=True):
    id: str
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.secret}"}


async def create_key(tenant: Tenant, **fields: Any) -> Key:
    """Create a key that is named `test` as an administrator."""
    created = (await tenant.execute_as_admin(CREATE, input={"name": "test", **fields}))["createServiceKey"]
    return Key(created["key"]["id"], created["secret"])


async def revoke(tenant: Tenant, key: Key, url: str | None = None) -> Json:
    headers = {"authorization": f"Bearer {tenant.token(role=Role.ADMIN)}"}
    revoked: Json = (await tenant.execute_raw(REVOKE, url=url, headers=headers, id=key.id))["data"]["revokeServiceKey"]
    return revoked


async def list_keys(tenant: Tenant) -> list[Json]:
    keys: list[Json] = (await tenant.execute_as_admin(LIST))["serviceKeys"]
    return keys


async def code_of(tenant: Tenant, key: Key, query: str, url: str | None = None, **variables: Any) -> str:
    """Return the code of the first error, or an empty string."""
    response = await tenant.execute_raw(query, url=url, headers=key.headers, **variables)
    return response["errors"][0]["extensions"]["code"] if "errors" in response else ""
