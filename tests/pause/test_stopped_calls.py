"""A send that is stopped during a call, or right before the first one: no provider is called after the answer."""

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime.background import run_dispatchers
from hub.runtime.container import build_components
from hub.runtime.dispatchers import build_dispatchers
from hub.send.admission import Admission
from hub.send.channels import email
from hub.settings import Settings
from tests.channel_setup import FakeChannels, deployment_with_channels, list_all_deliveries
from tests.client import Tenant, eventually
from tests.fake_providers import HANG
from tests.pause.sends import PAUSE_CHANNEL, RESUME_CHANNEL, change, wait_for_states
from tests.processes import Process
from tests.provider_setup import SENDER

TIMEOUT_S = "20"  # the test ends the call before
ENDS = [
    ("pauseSend", ("HELD", "PAUSED")),
    ("cancelSend", ("CANCELLED", "CANCELLED")),
    ("recallSend", ("CANCELLED", "RECALLED")),
    ("pauseChannel", ("HELD", "PAUSED")),
]
RESUMED_BY = {"pauseSend": "resumeSend", "pauseChannel": "resumeChannel"}


class Chain(NamedTuple):
    tenant: Tenant
    fakes: FakeChannels
    worker: Process


@pytest.fixture(scope="module")
async def chain(servers: tuple[Mongod, Redis]) -> AsyncIterator[Chain]:
    """A deployment that sends emails by SMTP, and by Amazon SES if that fails."""
    mongod, redis = servers
    async with deployment_with_channels(
        mongod.url, redis.url, workers=1, ses_from=SENDER, provider_timeout_s=TIMEOUT_S
    ) as (deployment, tenant, fakes):
        yield Chain(tenant, fakes, deployment.workers[0])


async def stop(tenant: Tenant, mutation: str, id: str) -> None:
    """Change the send, or the channel EMAIL."""
    if query := {"pauseChannel": PAUSE_CHANNEL, "resumeChannel": RESUME_CHANNEL}.get(mutation):
        await tenant.execute_as_admin(query, channel="EMAIL")
    else:
        await change(tenant, mutation, id)


@pytest.mark.parametrize(("mutation", "end"), ENDS)
async def test_second_provider_is_not_called_after_the_answer(
    chain: Chain, mutation: str, end: tuple[str, str]
) -> None:
    tenant, fakes, _ = chain
    user = mutation.lower()
    await fakes.add_addresses(tenant, user, channels=["EMAIL"])
    fakes.mail.replies["RCPT"] = HANG
    id = (await tenant.send(user, channels=["EMAIL"]))["send"]["id"]

    async def called() -> bool:
        [one] = await list_all_deliveries(tenant, sendId=id)
        return one["status"] == "PROCESSING" and len(one["attempts"]) == 1

    await eventually(called)
    await stop(tenant, mutation, id)
    fakes.mail.replies["RCPT"] = "450 4.2.1 try later"
    fakes.mail.cut()
    await wait_for_states(tenant, id, {end: 1})
    [ended] = await list_all_deliveries(tenant, sendId=id)
    assert [(attempt["provider"], attempt["ok"]) for attempt in ended["attempts"]] == [("smtp", False)]
    assert ended["id"] not in fakes.arrivals()
    fakes.mail.clear_fault()
    if resumed_by := RESUMED_BY.get(mutation):
        await stop(tenant, resumed_by, id)
        await wait_for_states(tenant, id, {("SENT", None): 1})


@pytest.mark.parametrize(("mutation", "end"), ENDS)
async def test_first_provider_is_not_called_after_the_answer(
    chain: Chain, mutation: str, end: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker runs in the process of the test, which changes the send when the delivery is ready to be sent."""
    tenant, fakes, worker = chain
    user, admit = f"first-{mutation.lower()}", Admission.admit
    await fakes.add_addresses(tenant, user, channels=["EMAIL"])
    changed: list[str] = []

    async def admit_and_change(self: Admission, jobs: Sequence[Any]) -> list[Any]:
        admitted = await admit(self, jobs)
        for job, _ in jobs:
            await stop(tenant, mutation, job.send)
            changed.append(job.id)
        return admitted

    for name, value in worker.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Admission, "admit", admit_and_change)
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        async with AsyncExitStack() as stack:
            settings = Settings()
            hub = await stack.enter_async_context(build_components(settings))
            dispatchers = await build_dispatchers(hub, settings, [email], stack)
            await stack.enter_async_context(run_dispatchers(dispatchers, settings.shutdown_timeout_s))
            id = (await tenant.send(user, channels=["EMAIL"]))["send"]["id"]
            await wait_for_states(tenant, id, {end: 1})
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    [ended] = await list_all_deliveries(tenant, sendId=id)
    assert changed == [ended["id"]]
    assert ended["id"] not in fakes.arrivals()
    if resumed_by := RESUMED_BY.get(mutation):
        await stop(tenant, resumed_by, id)
        await wait_for_states(tenant, id, {("SENT", None): 1})
