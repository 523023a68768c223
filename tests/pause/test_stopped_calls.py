"""A send that is stopped during a call: no further provider is called."""

from collections.abc import AsyncIterator

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import FakeChannels, deployment_with_channels, list_all_deliveries
from tests.client import Tenant, eventually
from tests.fake_providers import HANG
from tests.pause.sends import change, wait_for_states
from tests.provider_setup import SENDER

TIMEOUT_S = "20"  # the test ends the call before
Chain = tuple[Tenant, FakeChannels]


@pytest.fixture(scope="module")
async def chain(servers: tuple[Mongod, Redis]) -> AsyncIterator[Chain]:
    """A deployment that sends emails by SMTP, and by Amazon SES if that fails."""
    mongod, redis = servers
    async with deployment_with_channels(
        mongod.url, redis.url, workers=1, ses_from=SENDER, provider_timeout_s=TIMEOUT_S
    ) as (_, tenant, fakes):
        yield tenant, fakes


@pytest.mark.parametrize(
    ("mutation", "end"),
    [
        ("pauseSend", ("HELD", "PAUSED")),
        ("cancelSend", ("CANCELLED", "CANCELLED")),
        ("recallSend", ("CANCELLED", "RECALLED")),
    ],
)
async def test_second_provider_is_not_called_after_the_answer(
    chain: Chain, mutation: str, end: tuple[str, str]
) -> None:
    tenant, fakes = chain
    user = mutation.lower()
    await fakes.add_addresses(tenant, user, channels=["EMAIL"])
    fakes.mail.replies["RCPT"] = HANG
    id = (await tenant.send(user, channels=["EMAIL"]))["send"]["id"]

    async def called() -> bool:
        [one] = await list_all_deliveries(tenant, sendId=id)
        return one["status"] == "PROCESSING" and len(one["attempts"]) == 1

    await eventually(called, 20)
    await change(tenant, mutation, id)
    fakes.mail.replies["RCPT"] = "450 4.2.1 try later"
    fakes.mail.cut()
    await wait_for_states(tenant, id, {end: 1})
    [ended] = await list_all_deliveries(tenant, sendId=id)
    assert [(attempt["provider"], attempt["ok"]) for attempt in ended["attempts"]] == [("smtp", False)]
    assert ended["id"] not in fakes.arrivals()
    fakes.mail.clear_fault()
    if mutation == "pauseSend":
        await change(tenant, "resumeSend", id)
        await wait_for_states(tenant, id, {("SENT", None): 1})
