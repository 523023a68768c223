"""The preparation of sends as jobs of a dispatcher. Its only provider enriches a send and publishes it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog
from msgspec import Struct
from pymongo.errors import PyMongoError

from hub.errors import HubError, RateLimited
from hub.model import DeliveryStatus, EnrichmentJob, Preparation, Reason
from hub.platform.encryption import CredentialUnavailable
from hub.send.job_kind import ReadyToSend
from hub.send.outcome import Delivered, Outcome, Postponed, Retry, Skipped
from hub.send.retry_after import retry_after_s
from hub.send.state_after_outcome import Transition
from hub.status.sends import Sends
from hub.utc_time import RealClock

BREAKER = "preparation"
HUB_FAILURE_WAIT_S = 1.0  # before a preparation that the hub could not complete is repeated

log = structlog.get_logger(__name__)


class EnrichmentMessage(Struct, frozen=True):
    """A send that is prepared now."""

    id: str
    job: EnrichmentJob


class EnrichmentProvider:
    """Prepares a send with `prepare`, which publishes it once however often it is called."""

    name = "enrichment"

    def __init__(
        self, prepare: Callable[[EnrichmentJob], Awaitable[Preparation]], timeout_s: float, real_clock: RealClock
    ) -> None:
        self._prepare = prepare
        self._real_clock = real_clock
        self.timeout_s = timeout_s

    def breakers(self, _: EnrichmentMessage) -> tuple[str, ...]:
        """Return a breaker that never opens. The breakers of the URL belong to the call, which is not always made."""
        return (BREAKER,)

    async def send(self, message: EnrichmentMessage) -> Outcome:
        """Prepare the send. `Retry`: the call failed. `Postponed`, which does not count as a try: no call is allowed,
        the tenant has reached a limit, or the failure is the hub's."""
        try:
            async with asyncio.timeout(self.timeout_s):  # before the dispatcher's, whose failure the breaker counts
                done = await self._prepare(message.job)
        except TimeoutError:
            return Postponed(f"the preparation took longer than {self.timeout_s:g} s", HUB_FAILURE_WAIT_S)
        except RateLimited as error:
            log.warning("preparation_postponed", send=message.id, error=error.message, throttled=True)
            return Postponed(error.message, error.retry_after_s)
        except (HubError, PyMongoError, CredentialUnavailable) as error:
            log.warning("preparation_failed", send=message.id, error=error, throttled=True)
            return Postponed(type(error).__name__, HUB_FAILURE_WAIT_S)
        if done.error is None:
            return Skipped() if done.skipped else Delivered()
        if done.wait_s is not None:
            return Postponed(done.error, done.wait_s)
        return Retry(done.error, retry_after_s(done.retry_after, self._real_clock()), shared=False)


class EnrichmentHandler:
    """The job handler of preparations."""

    def __init__(self, provider: EnrichmentProvider, sends: Sends) -> None:
        self._provider = provider
        self._sends = sends

    async def prepare(self, jobs: Sequence[EnrichmentJob], now: datetime) -> list[ReadyToSend | Transition]:  # noqa: ARG002 - part of JobHandler
        """Return the jobs of sends that were not stopped. A job waits while its send is paused."""
        stopped = await self._sends.find_stopped([job.id for job in jobs])
        return [self._ready(job, stopped.get(job.id)) for job in jobs]

    def _ready(self, job: EnrichmentJob, stopped: Reason | None) -> ReadyToSend | Transition:
        if stopped is None:
            return ReadyToSend(EnrichmentMessage(job.id, job), [self._provider], limited=False)
        held = stopped is Reason.PAUSED
        return Transition(DeliveryStatus.HELD if held else DeliveryStatus.CANCELLED, stopped)

    async def find_stopped(self, jobs: Sequence[tuple[EnrichmentJob, ReadyToSend]]) -> dict[str, Transition]:  # noqa: ARG002 - part of JobHandler
        """Return nothing: the transaction that publishes a send reads its status."""
        return {}

    async def on_settled(self, jobs: Sequence[tuple[EnrichmentJob, DeliveryStatus]]) -> None:
        """Do nothing."""

    async def on_address_gone(self, job: EnrichmentJob, message: EnrichmentMessage) -> None:
        """Do nothing: a send stays with its category's URL."""
