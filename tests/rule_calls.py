"""Calls of the mutations and queries of rules."""

from typing import Any
from uuid import uuid4

from tests.client import Json, Tenant, eventually

ACTIONS = "actions { key label url primary }"
RULE = f"""key name enabled type source condition to {{ users topic everyone where }} category template
  content {{ title body actionUrl imageUrl {ACTIONS} markdown }} data priority collapseKey channels
  steps {{ channels after unless }} digest {{ key window }} tags requireAck after expiresIn except"""
UPSERT_RULE = f"mutation ($input: RuleInput!) {{ upsertRule(input: $input) {{ {RULE} updatedAt }} }}"
GET_RULE = f"query ($key: String!) {{ rule(key: $key) {{ {RULE} updatedAt }} }}"
RULES = "query { rules { key } }"
DELETE_RULE = "mutation ($key: String!) { deleted: deleteRule(key: $key) }"
TEST_RULE = """query ($input: RuleInput!, $event: JSON!) { testRule(input: $input, event: $event) {
  matched reason data simulation { userId decisions { channel outcome reason title note } } } }"""
PUBLISH = "mutation ($input: EventInput!) { publishEvent(input: $input) { id } }"
EVENT = "query ($id: ID!) { event(id: $id) { status results { rule matched reason send { id } } } }"
REPLAY = "mutation ($ids: [ID!]!) { replayEvents(ids: $ids) }"
RUNNING = "RECEIVED"


def rule_input(key: str = "shipped", **changes: Any) -> Json:
    return {
        "key": key,
        "type": "shop.order.*",
        "to": {"users": "data.customer"},
        "category": "orders",
        "content": {"title": "Order {{ event.data.order }}", "body": "Shipped"},
        **changes,
    }


async def upsert_rule(tenant: Tenant, key: str = "shipped", **changes: Any) -> Json:
    stored: Json = (await tenant.execute_as_admin(UPSERT_RULE, input=rule_input(key, **changes)))["upsertRule"]
    return stored


async def publish(tenant: Tenant, data: Any, type: str = "shop.order.shipped", **more: Any) -> str:
    """Publish an event. Return its id."""
    event = {"id": uuid4().hex, "source": "/shop", "type": type, "data": data, **more}
    return str((await tenant.execute(PUBLISH, input=event))["publishEvent"]["id"])


async def results(tenant: Tenant, event: str) -> dict[str, Json]:
    """Return the results of an event by rule, after its rules ran."""

    async def ended() -> Any:
        found = (await tenant.execute(EVENT, id=event))["event"]
        return found["status"] != RUNNING and found

    found = await eventually(ended)
    return {result["rule"]: result for result in found["results"]}


async def run(tenant: Tenant, data: Any, type: str = "shop.order.shipped", **more: Any) -> dict[str, Json]:
    """Publish an event. Return its results by rule."""
    return await results(tenant, await publish(tenant, data, type, **more))


async def replay(tenant: Tenant, event: str) -> dict[str, Json]:
    """Run the rules of an event again. Return the results."""
    assert (await tenant.execute(REPLAY, ids=[event]))["replayEvents"] == 1
    return await results(tenant, event)
