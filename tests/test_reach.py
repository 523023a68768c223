"""`reach`: whether a category can arrive on a channel, and how the hub knows which channels sends name."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hub.decide.reach import addressed_channels
from hub.model import Channel, Device, DeviceKind, User
from hub.platform.connections import Database
from tests.client import Tenant, eventually
from tests.quiet_hours.times import later
from tests.topics.calls import subscribe, upsert_topic

ROWS = "categories { category { key } channels { channel reach } }"
OF_CALLER = f"{{ preferences {{ {ROWS} }} }}"
OF_USER = f'{{ user(id: "alice") {{ preferences {{ {ROWS} }} }} }}'
OF_TENANT = f"{{ tenant {{ preferences {{ {ROWS} }} }} }}"
CONNECT = 'mutation { connectChat(kind: SLACK, url: "https://hooks.slack.com/services/T0/B0/x") { id } }'
DELETE = 'mutation { deleteCategory(key: "news") }'
SEND = "mutation ($input: SendInput!) { send(input: $input) { send { id } } }"
WITHIN_S = 15
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def by_category(found: Any) -> dict[str, dict[str, str]]:
    rows = found["preferences"]["categories"]
    return {row["category"]["key"]: {cell["channel"]: cell["reach"] for cell in row["channels"]} for row in rows}


async def reach(tenant: Tenant, user: str = "alice", url: str | None = None) -> dict[str, dict[str, str]]:
    return by_category(await tenant.execute(OF_CALLER, user=user, url=url))


async def wait_for_reach(tenant: Tenant, category: str, **expected: str) -> None:
    """Wait until each process returns these values."""

    async def returned() -> bool:
        found = [(await reach(tenant, url=url))[category] for url in tenant.urls]
        return all(cells | expected == cells for cells in found)

    await eventually(returned, WITHIN_S)


async def test_reach_says_why_a_category_cannot_arrive(tenant: Tenant, database: Database) -> None:
    await tenant.define_category("news", "IN_APP", "EMAIL", "WEBHOOK")
    await tenant.define_category("a.b/$c", steps=[{"channels": ["TEAMS"], "after": "PT1H"}])
    found = await reach(tenant)
    assert found["news"] == {
        "IN_APP": "OK",
        "EMAIL": "NOT_CONFIGURED",
        "WEBHOOK": "NO_ADDRESS",
        **dict.fromkeys(("SLACK", "DISCORD", "TEAMS"), "NOT_USED"),
    }
    assert found["a.b/$c"]["TEAMS"] == "NO_ADDRESS"
    assert found["a.b/$c"]["WEBHOOK"] == "NOT_USED"
    assert by_category((await tenant.execute_as_admin(OF_TENANT))["tenant"])["news"]["WEBHOOK"] == "OK"

    await tenant.send("bob", channels=["SLACK"])
    await tenant.send("bob", category="a.b/$c", channels=["WEBHOOK", "IN_APP"])
    await wait_for_reach(tenant, "news", SLACK="NO_ADDRESS", DISCORD="NOT_USED")
    await wait_for_reach(tenant, "a.b/$c", WEBHOOK="NO_ADDRESS", SLACK="NOT_USED")
    await tenant.execute(CONNECT, user="alice")
    await wait_for_reach(tenant, "news", SLACK="OK")
    assert by_category((await tenant.execute(OF_USER))["user"]) == await reach(tenant)
    assert (await reach(tenant, "bob"))["news"]["SLACK"] == "NO_ADDRESS"

    stored = await database.tenants.find_one({"_id": tenant.name})
    for _ in tenant.urls:
        await tenant.send("bob", channels=["SLACK"])
    assert await database.tenants.find_one({"_id": tenant.name}) == stored, "what is recorded is not written again"
    await tenant.execute_as_admin(DELETE)
    await tenant.send("bob")
    assert (await reach(tenant))["news"]["SLACK"] == "NOT_USED"


async def test_steps_scheduled_sends_and_broadcasts_name_channels(tenant: Tenant) -> None:
    await tenant.send("bob")  # creates the category
    assert (await reach(tenant))["news"]["SLACK"] == "NOT_USED"
    await upsert_topic(tenant, "releases")
    await subscribe(tenant, "releases", "bob")
    fields = {"category": "news", "content": {"title": "x", "body": ""}}
    to_bob = {"users": ["bob"]}
    for given in (
        {"to": to_bob, "steps": [{"channels": ["SLACK"], "after": "PT1H"}]},
        {"to": to_bob, "channels": ["DISCORD"], "sendAt": later(days=30)},
        {"to": {"topic": "releases"}, "channels": ["TEAMS"]},
    ):
        await tenant.execute(SEND, input=fields | given)
    await wait_for_reach(tenant, "news", **dict.fromkeys(("SLACK", "DISCORD", "TEAMS"), "NO_ADDRESS"))


async def test_channels_of_earlier_sends_are_read_once(tenant: Tenant, database: Database) -> None:
    await tenant.define_category("news")
    await tenant.send("bob", channels=["SLACK"])
    await wait_for_reach(tenant, "news", SLACK="NO_ADDRESS", DISCORD="NOT_USED")
    as_before = {"$unset": {"used_channels": ""}, "$inc": {"version": 1}}
    await database.tenants.update_one({"_id": tenant.name}, as_before)
    assert (await reach(tenant))["news"]["DISCORD"] == "NO_ADDRESS", "nothing is claimed that is not known"
    await tenant.send("bob")
    await wait_for_reach(tenant, "news", SLACK="NO_ADDRESS", DISCORD="NOT_USED")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, set()),
        ({"email": "a@example.org", "phone": "+491711234567"}, {"EMAIL", "SMS", "WHATSAPP"}),
        ({"email": "A@example.org", "suppressed": {"a@example.org": "bounced"}}, set()),
        ({"email": "Ann <a@example.org>", "phone": "call me"}, set()),
    ],
)
def test_addresses_that_can_be_used_count(fields: dict[str, Any], expected: set[str]) -> None:
    user = User(id="acme/ann", created_at=NOW, updated_at=NOW, **fields)
    assert addressed_channels(user) == {Channel.IN_APP, *expected}
    phone = Device(id="d", kind=DeviceKind.MOBILE_PUSH, key="k", created_at=NOW)
    with_phone = User(id="acme/ann", created_at=NOW, updated_at=NOW, devices=(phone,), **fields)
    assert addressed_channels(with_phone) == {Channel.IN_APP, Channel.MOBILE_PUSH, *expected}
