"""Reading the audit log."""

from typing import Any

from hub.model import Role
from tests.client import Json, Tenant

LOG = """query ($f: AuditFilter, $n: Int, $a: String) { auditLog(filter: $f, first: $n, after: $a) {
  nodes { id at actor action target requestId changes } edges { cursor } pageInfo { hasNextPage endCursor } } }"""


async def audit_log(tenant: Tenant, page_size: int = 100, **filter: Any) -> list[Json]:
    """Return all entries, oldest first."""
    entries: list[Json] = []
    after = None
    while True:
        page = (await tenant.execute_as_admin(LOG, f=filter or None, n=page_size, a=after))["auditLog"]
        entries += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return entries[::-1]
        after = page["pageInfo"]["endCursor"]


async def execute_as(tenant: Tenant, admin: str, query: str, request_id: str = "", **variables: Any) -> Json:
    """Execute an operation as an administrator with an id. Return the data."""
    headers = {"authorization": f"Bearer {tenant.token(admin, role=Role.ADMIN)}", "x-request-id": request_id or "r"}
    body = {"query": query, "variables": variables}
    async with tenant.http.post(tenant.next_url(), json=body, headers=headers) as answer:
        response = await answer.json()
    assert "errors" not in response, response
    data: Json = response["data"]
    return data
