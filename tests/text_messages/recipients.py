"""Users with phone numbers, and the messages to them."""

from typing import Any

from tests.channel_setup import UPSERT_USERS, list_deliveries
from tests.client import Json, Tenant, eventually
from tests.fake_twilio import FakeTwilio

SMS: dict[str, Any] = {"channels": ["IN_APP", "SMS"]}
WHATSAPP: dict[str, Any] = {"channels": ["IN_APP", "WHATSAPP"]}
NEWEST = "{ inbox(first: 1) { nodes { deliveries { channel status reason } } } }"


async def add(tenant: Tenant, number: str, *users: str) -> None:
    await tenant.execute(UPSERT_USERS, users=[{"id": user, "phone": number} for user in users])


async def newest(tenant: Tenant, user: str, channel: str) -> tuple[str, str | None]:
    """Return the status and the reason on a channel of the newest notification."""
    [n] = (await tenant.execute(NEWEST, user=user))["inbox"]["nodes"]
    [found] = [one for one in n["deliveries"] if one["channel"] == channel]
    return found["status"], found["reason"]


async def sent(tenant: Tenant, user: str, **more: Any) -> Json:
    """Send a message. Return its delivery once it is SENT."""
    id = (await tenant.send(user, **(SMS | more)))["send"]["id"]

    async def found() -> Json | None:
        deliveries = await list_deliveries(tenant, sendId=id, statuses=["SENT"])
        return deliveries[0] if deliveries else None

    delivery: Json = await eventually(found)
    return delivery


async def has_status(tenant: Tenant, delivery: Json, expected: str) -> Json:
    async def found() -> Json | None:
        [now] = [one for one in await list_deliveries(tenant, userId=delivery["userId"]) if one["id"] == delivery["id"]]
        return now if now["status"] == expected else None

    reached: Json = await eventually(found)
    return reached


def texts(twilio: FakeTwilio, number: str, prefix: str = "") -> int:
    """Return the number of messages to a number."""
    return sum(message["To"] == prefix + number for message in twilio.messages)
