"""Calls of the mutations and queries of topics."""

from typing import Any

from tests.client import Json, Tenant

TOPIC = "key name description visible subscribers createdAt"
UPSERT = f"mutation ($input: TopicInput!) {{ upsertTopic(input: $input) {{ {TOPIC} }} }}"
SUBSCRIBE = (
    "mutation ($t: String!, $u: [ID!]!, $f: Boolean) { changed: subscribeToTopic(topic: $t, users: $u, force: $f) }"
)
UNSUBSCRIBE = "mutation ($t: String!, $u: [ID!]!) { changed: unsubscribeFromTopic(topic: $t, users: $u) }"
SUBSCRIPTION = "topic { key name visible subscribers } createdAt leftAt"
LEAVE = f"mutation ($t: String!) {{ own: leaveTopic(topic: $t) {{ {SUBSCRIPTION} }} }}"
REJOIN = f"mutation ($t: String!) {{ own: rejoinTopic(topic: $t) {{ {SUBSCRIPTION} }} }}"
PAGE = "pageInfo { hasNextPage hasPreviousPage endCursor }"
TOPICS = f"query ($s: String, $n: Int, $a: String) {{ topics(search: $s, first: $n, after: $a) {{ nodes {{ {TOPIC} }} {PAGE} }} }}"
OWN = f"topics subscriptions(first: $n, after: $a) {{ nodes {{ {SUBSCRIPTION} }} {PAGE} }}"
ME = f"query ($n: Int, $a: String) {{ user: me {{ {OWN} }} }}"
USER = f"query ($id: ID!, $n: Int, $a: String) {{ user(id: $id) {{ {OWN} }} }}"


async def upsert_topic(tenant: Tenant, key: str, **fields: Any) -> Json:
    topic: Json = (await tenant.execute(UPSERT, input={"key": key, **fields}))["upsertTopic"]
    return topic


async def subscribe(tenant: Tenant, topic: str, *users: str, force: bool = False) -> int:
    return int((await tenant.execute(SUBSCRIBE, t=topic, u=list(users), f=force))["changed"])


async def unsubscribe(tenant: Tenant, topic: str, *users: str) -> int:
    return int((await tenant.execute(UNSUBSCRIBE, t=topic, u=list(users)))["changed"])


async def leave(tenant: Tenant, topic: str, user: str) -> Json:
    own: Json = (await tenant.execute(LEAVE, user=user, t=topic))["own"]
    return own


async def rejoin(tenant: Tenant, topic: str, user: str) -> Json:
    own: Json = (await tenant.execute(REJOIN, user=user, t=topic))["own"]
    return own


async def list_topics(
    tenant: Tenant, search: str | None = None, first: int | None = None, after: str | None = None
) -> Json:
    page: Json = (await tenant.execute(TOPICS, s=search, n=first, a=after))["topics"]
    return page


async def own_topics(tenant: Tenant, user: str) -> tuple[list[str], dict[str, bool]]:
    """Return what a user sees: the subscribed topics, and for each subscription whether the user left."""
    seen = (await tenant.execute(ME, user=user))["user"]
    return seen["topics"], {one["topic"]["key"]: one["leftAt"] is not None for one in seen["subscriptions"]["nodes"]}


async def topics_of_user(tenant: Tenant, user: str) -> tuple[list[str], dict[str, bool]]:
    """Return what a service sees of a user."""
    seen = (await tenant.execute(USER, id=user))["user"]
    return seen["topics"], {one["topic"]["key"]: one["leftAt"] is not None for one in seen["subscriptions"]["nodes"]}
