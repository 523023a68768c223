"""Codes and fields of GraphQL errors."""

from typing import Any

import pytest

from tests.client import Refused, Tenant

BAD, LARGE = "BAD_USER_INPUT", "TOO_LARGE"


async def refusals(tenant: Tenant, query: str, user: str | None = "alice", **variables: Any) -> list[tuple[str, Any]]:
    answer = await tenant.answer(query, user=user, **variables)
    return [(error["extensions"]["code"], error["extensions"].get("field")) for error in answer["errors"]]


async def refusal(answer: Any) -> tuple[str, str | None]:
    with pytest.raises(Refused) as refused:
        await answer
    return refused.value.code, refused.value.errors[0]["extensions"].get("field")
