"""SMS and WhatsApp messages from the send to the provider: failover, numbers that are gone, and steps."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from hub.platform.embedded_servers import Mongod, Redis
from hub.status.deliveries import SENT_TEXT_MESSAGE
from tests.channel_setup import UPSERT_USERS, list_deliveries, wait_for_deliveries, wait_until_settled
from tests.client import Json, Tenant, eventually
from tests.fake_providers import FakeAmazon, FastFakeAmazon
from tests.fake_twilio import FakeTwilio, error
from tests.processes import Deployment
from tests.sms_setup import sms_deployment

Running = tuple[Deployment, Tenant, FakeTwilio, FastFakeAmazon]


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    mongod, redis = servers
    async with sms_deployment(
        mongod.url, redis.url, retry_schedule="1s,1s,1s,1s,1s,1s,1s", circuit_breaker_open_s="1"
    ) as deployment:
        yield deployment


async def add_numbers(tenant: Tenant, **numbers: str) -> None:
    await tenant.execute(UPSERT_USERS, users=[{"id": user, "phone": phone} for user, phone in numbers.items()])


def calls_of(delivery: Json) -> list[tuple[str, bool]]:
    return [(attempt["provider"], attempt["ok"]) for attempt in delivery["attempts"]]


async def test_number_that_is_not_one_is_suppressed_and_one_that_opted_out_is_skipped(
    running: Running, servers: tuple[Mongod, Redis]
) -> None:
    deployment, shared, twilio, amazon = running
    dead, stopped, well = "+4915100000001", "+4915100000002", "+4915100000003"
    twilio.errors[dead] = 21614
    twilio.opted_out.add(stopped)
    calls_before = amazon.calls
    async with Tenant("gone", shared.urls) as tenant:
        await add_numbers(tenant, dead=dead, stopped=stopped, well=well)
        await tenant.send("dead", "stopped", "well", title="Hello", channels=["SMS"])
        found = {delivery["userId"]: delivery for delivery in await wait_until_settled(tenant, 3, 30)}
        ends = {user: (one["status"], one["reason"], calls_of(one)) for user, one in found.items()}
        assert ends == {
            "dead": ("FAILED", "ADDRESS_GONE", [("twilio", False)]),
            "stopped": ("SKIPPED", "OPTED_OUT", [("twilio", False)]),
            "well": ("SENT", None, [("twilio", True)]),
        }
        assert amazon.calls == calls_before
        rows = "{ suppressions { nodes { userId address reason } } }"
        suppressed = (await tenant.execute_as_admin(rows))["suppressions"]["nodes"]
        assert suppressed == [{"userId": "dead", "address": dead, "reason": "gone"}]
        skipped = (await tenant.send("dead", channels=["SMS"]))["send"]["id"]
        counts = "query ($id: ID!) { send(id: $id) { counts { channel status } } }"
        assert (await tenant.execute(counts, id=skipped))["send"]["counts"] == [{"channel": "SMS", "status": "SKIPPED"}]
        await tenant.send("dead", title="By WhatsApp", channels=["WHATSAPP"])
        await wait_for_deliveries(tenant, "SENT", 2)
    sid = found["well"]["providerId"]
    async with AsyncMongoClient[Any](servers[0].url) as client:
        deliveries = client[deployment.apis[0].environment["HUB_MONGO_DATABASE"]].deliveries
        match = {**SENT_TEXT_MESSAGE, "provider_id": sid}
        stored = await deliveries.find_one(match, hint="text_message")
        assert stored
        assert stored["_id"] == found["well"]["id"]


async def test_steps_use_sms_after_whatsapp_and_after_push(running: Running) -> None:
    _, shared, twilio, _ = running
    number = "+4915100000009"
    twilio.errors[f"whatsapp:{number}"] = 63024
    async with Tenant("steps", shared.urls) as tenant:
        await add_numbers(tenant, carol=number)
        steps: list[Json] = [
            {"channels": ["IN_APP", "WHATSAPP"], "after": "PT0S"},
            {"channels": ["SMS"], "after": "PT1S", "unless": "READ"},
        ]
        await tenant.send("carol", title="First WhatsApp", steps=steps)
        await wait_for_deliveries(tenant, "SENT")
        ends = {(one["channel"], one["status"], one["reason"]) for one in await list_deliveries(tenant)}
        assert ends == {("WHATSAPP", "FAILED", "ADDRESS_GONE"), ("SMS", "SENT", None)}
        assert twilio.messages[-1]["To"] == number
        steps = [
            {"channels": ["IN_APP", "MOBILE_PUSH"], "after": "PT0S"},
            {"channels": ["SMS"], "after": "PT1H", "unless": "READ"},
        ]
        await tenant.send("carol", title="Push first", steps=steps)
        await tenant.mark_all("carol", "markAllRead")

        async def sms_is_skipped() -> bool:
            found = await list_deliveries(tenant, channels=["SMS"], statuses=["SKIPPED"])
            return [one["reason"] for one in found] == ["ALREADY_READ"]

        await eventually(sms_is_skipped)
    assert "Push first" not in repr(twilio.messages)


async def test_sms_fails_over_to_sns_while_twilio_is_down_and_back_while_sns_is_down(running: Running) -> None:
    _, shared, twilio, amazon = running
    numbers = {f"user{n}": f"+4915112345{n:03}" for n in range(5)}
    async with Tenant("failover", shared.urls) as tenant:
        await add_numbers(tenant, **numbers)

        async def send(times: int, title: str) -> None:
            for number in range(times):
                await tenant.send(*numbers, title=f"{title} {number}", channels=["SMS"])

        twilio.messages.clear()
        twilio.received_at.clear()
        twilio.fault = error(503, 20503)
        await send(4, "Twilio is down")
        found = await wait_until_settled(tenant, 20, 30)
        assert {delivery["status"] for delivery in found} == {"SENT"}
        ways = [calls_of(delivery) for delivery in found]
        assert ways.count([("twilio", False), ("sns", True)]) + ways.count([("sns", True)]) == 20
        assert [("twilio", False), ("sns", True)] in ways
        assert twilio.messages == []
        assert len(amazon.received_at) == 20

        twilio.clear_fault()
        amazon.fault = FakeAmazon.xml_error(500, "InternalError")
        await send(4, "SNS is down")
        found = await wait_until_settled(tenant, 40, 60)
        assert {delivery["status"] for delivery in found} == {"SENT"}
        assert [calls_of(delivery)[-1] for delivery in found].count(("twilio", True)) == 20
        assert len(amazon.received_at) == len(twilio.received_at) == 20
        assert {len(times) for times in (*amazon.received_at.values(), *twilio.received_at.values())} == {1}
