"""Codes and fields of GraphQL errors."""

from typing import Any

from tests.client import Tenant

BAD, LARGE = "BAD_USER_INPUT", "TOO_LARGE"


async def refusals(tenant: Tenant, query: str, user: str | None = "alice", **variables: Any) -> list[tuple[str, Any]]:
    answer = await tenant.answer(query, user=user, **variables)
    return [(error["extensions"]["code"], error["extensions"].get("field")) for error in answer["errors"]]
