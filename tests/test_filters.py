"""Filters over users: parsing, and evaluation compared with a second, slow evaluation."""

from datetime import datetime

import pytest
from hypothesis import given, settings

from hub.audience.filters import Subject, matches, parse
from tests.client import Json
from tests.conftest import scaled
from tests.user_filters import is_match, random_users, wheres


def subject(user: Json) -> Subject:
    return Subject(
        id=user["id"],
        name=user.get("name"),
        email=user["email"].lower() if "email" in user else None,
        phone=user.get("phone"),
        locale=user["locale"],
        timezone=user["timezone"],
        created_at=datetime.fromisoformat(user["createdAt"]),
        topics=user["topics"],
        attributes=user.get("attributes", {}),
    )


@pytest.fixture(scope="module")
def population() -> list[Json]:
    return random_users(100)


@settings(max_examples=scaled(500, 5000), deadline=None)
@given(where=wheres)
def test_evaluation_equals_the_slow_evaluation(population: list[Json], where: Json) -> None:
    node = parse(where, "where")
    for user in population:
        assert matches(node, subject(user)) == is_match(where, user), user
