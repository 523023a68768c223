"""At most five SMS an hour reach a user."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.channel_setup import list_deliveries, wait_until_settled
from tests.client import Tenant, eventually
from tests.fake_twilio import FakeTwilio
from tests.processes import Deployment
from tests.text_messages.recipients import SMS, add, texts


async def test_user_gets_five_sms_an_hour_and_the_others_later(
    tenant: Tenant, twilio: FakeTwilio, number: str, deployment: Deployment
) -> None:
    await add(tenant, number, "alice", "bob")
    await asyncio.gather(*(tenant.send("alice", **SMS, title=f"{n}") for n in range(8)))
    await tenant.send("alice", **SMS, priority="CRITICAL")
    await tenant.send("alice", **SMS, priority="CRITICAL")
    await tenant.send("bob", **SMS)

    async def all_decided() -> bool:
        found = await list_deliveries(tenant)
        return len(found) == 11 and {(one["status"], one["reason"]) for one in found} == {
            ("SENT", None),
            ("HELD", "RATE_LIMITED"),
        }

    await eventually(all_decided)
    held = await list_deliveries(tenant, statuses=["HELD"])
    assert [one["userId"] for one in held] == ["alice"] * 3
    assert texts(twilio, number) == 8
    for one in held:
        left = datetime.fromisoformat(one["dueAt"]) - datetime.now(UTC)
        assert timedelta(minutes=58) < left <= timedelta(hours=1)
    headers = {"authorization": f"Bearer {tenant.token()}"}
    address = deployment.urls[0].removesuffix("/graphql") + "/dev/clock"
    async with tenant.http.post(address, headers=headers, json={"advance": "PT1H"}) as response:
        assert response.status == 200
    found = await wait_until_settled(tenant, 11, 30)
    assert {one["status"] for one in found} == {"SENT"}
    assert texts(twilio, number) == 11
