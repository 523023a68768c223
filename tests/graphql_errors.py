"""Codes and fields of GraphQL errors."""

from typing import Any

import pytest

from tests.client import GraphQLErrors, Tenant

BAD_USER_INPUT, LARGE = "BAD_USER_INPUT", "TOO_LARGE"


async def error_codes_and_fields(
    tenant: Tenant, query: str, user: str | None = "alice", **variables: Any
) -> list[tuple[str, Any]]:
    response = await tenant.execute_raw(query, user=user, **variables)
    return [(error["extensions"]["code"], error["extensions"].get("field")) for error in response["errors"]]


async def expect_error(response: Any) -> tuple[str, str | None]:
    with pytest.raises(GraphQLErrors) as refused:
        await response
    return refused.value.code, refused.value.errors[0]["extensions"].get("field")
