"""The query `audience`: how many users a send would reach."""

from typing import Any

import pytest

from tests.client import GraphQLErrors, Json, Tenant
from tests.test_filter_inputs import AUDIENCE

UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
SUBSCRIBE = "mutation ($topic: String!, $users: [ID!]!) { subscribeToTopic(topic: $topic, users: $users) }"
PEOPLE: list[Json] = [
    {"id": "ann", "email": "Ann@example.org", "locale": "en", "attributes": {"plan": "pro", "age": 30, "score": 1}},
    {
        "id": "bob",
        "name": "Bob",
        "timezone": "UTC",
        "attributes": {"plan": "free", "tags": ["beta", "vip"], "score": 1.0},
    },
    {"id": "eve", "attributes": {"plan": "pro", "age": 17, "address": {"city": "Berlin"}, "score": 2.0**63}},
]
FILTERS: list[tuple[Json, list[str]]] = [
    ({"attributes.plan": "pro"}, ["ann", "eve"]),
    ({"attributes": {"plan": "pro", "age": {"gte": 18}}}, ["ann"]),
    ({"attributes.tags": "beta"}, ["bob"]),
    ({"attributes.address.city": {"startsWith": "Ber"}}, ["eve"]),
    ({"attributes.age": None}, ["bob"]),
    ({"attributes.age": {"not": 30}}, ["bob", "eve"]),
    ({"attributes.score": 1}, ["ann", "bob"]),
    ({"attributes.score": 1.0}, ["ann", "bob"]),
    ({"attributes.score": {"in": [1.0, "1"]}}, ["ann", "bob"]),
    ({"attributes.score": 2.0**63}, ["eve"]),
    ({"attributes.score": {"gt": 2**63 - 1}}, ["eve"]),
    ({"attributes.score": {"lte": 2**63 - 1}}, ["ann", "bob"]),
    ({"email": "ann@EXAMPLE.org"}, ["ann"]),
    ({"email": {"startsWith": "ANN@"}}, ["ann"]),
    ({"locale": "de"}, ["bob", "eve"]),
    ({"timezone": {"in": ["Europe/Berlin"]}}, ["ann", "eve"]),
    ({"topics": "releases"}, ["ann", "bob"]),
    ({"topics": {"not": "releases"}}, ["eve"]),
    ({"createdAt": {"lt": "2026-01-01T00:00:00Z"}}, []),
    ({"or": [{"id": "ann"}, {"name": "Bob"}], "not": {"attributes.plan": "free"}}, ["ann"]),
]


@pytest.fixture
async def people(tenant: Tenant) -> Tenant:
    await tenant.execute_as_admin(
        'mutation { updateTenant(input: {locale: "de", timezone: "Europe/Berlin"}) { locale } }'
    )
    await tenant.execute(UPSERT, users=PEOPLE)
    await tenant.execute(SUBSCRIBE, topic="releases", users=["ann", "bob"])
    return tenant


async def count(tenant: Tenant, **to: Any) -> Json:
    found: Json = (await tenant.execute(AUDIENCE, to=to))["audience"]
    assert found["exact"]
    return found


async def refusal(tenant: Tenant, **to: Any) -> Json:
    with pytest.raises(GraphQLErrors) as caught:
        await tenant.execute(AUDIENCE, to=to)
    extensions: Json = caught.value.errors[0]["extensions"]
    return extensions


async def test_filter_selects_users(people: Tenant) -> None:
    for where, expected in FILTERS:
        found = await count(people, where=where)
        assert (found["sample"], found["recipients"]) == (expected, len(expected)), where
    assert (await count(people, where={"name": "Bob"}))["scans"]
    assert not (await count(people, where={"email": "x@example.org"}))["scans"]
    literal = '{ audience(to: {where: {attributes: {plan: "pro", age: {lt: 18}}}}) { sample } }'
    assert (await people.execute(literal))["audience"]["sample"] == ["eve"]


async def test_topic_everyone_and_named_users_are_counted(people: Tenant) -> None:
    assert (await count(people, topic="releases"))["sample"] == ["ann", "bob"]
    everyone = await count(people, everyone=True)
    assert everyone == {"recipients": 3, "exact": True, "scans": False, "sample": ["ann", "bob", "eve"]}
    named = [f"u{number:02}" for number in range(20)]
    assert await count(people, users=[*named, "u00"]) == everyone | {"recipients": 20, "sample": named[:10]}
    assert (await count(people, everyone=True))["recipients"] == 3


async def test_invalid_recipients_are_refused(people: Tenant) -> None:
    assert (await refusal(people, everyone=False))["field"] == "to.everyone"
    assert (await refusal(people, topic=""))["field"] == "to.topic"
    assert (await refusal(people, topic="unknown"))["code"] == "NOT_FOUND"
    assert (await refusal(people, users=[]))["field"] == "to.users"
    assert (await refusal(people, topic="releases", everyone=True))["code"] == "BAD_USER_INPUT"
    assert (await refusal(people))["code"] == "BAD_USER_INPUT"


async def test_users_cannot_count_and_counting_is_expensive(people: Tenant) -> None:
    one = "audience(to: {everyone: true}) { recipients }"
    with pytest.raises(GraphQLErrors) as caught:
        await people.execute(f"{{ {one} }}", user="ann")
    assert caught.value.code == "FORBIDDEN"
    aliases = " ".join(f"a{number}: {one}" for number in range(10))
    with pytest.raises(GraphQLErrors, match="costs"):
        await people.execute(f"{{ {aliases} }}")
