"""Events as jobs of a dispatcher. Its only provider runs the rules of an event."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog
from msgspec import Struct
from pymongo.errors import PyMongoError

from hub.errors import HubError, RateLimited
from hub.events.event_store import EventStore
from hub.model import DeliveryStatus, Event, RulesRun
from hub.send.job_kind import ReadyToSend
from hub.send.outcome import Delivered, Outcome, Postponed, Retry, Skipped
from hub.send.state_after_outcome import Transition

BREAKER = "rules"

log = structlog.get_logger(__name__)


class EventMessage(Struct, frozen=True):
    """An event whose rules run now."""

    id: str
    event: Event


class RuleProvider:
    """Runs the rules of an event with `run_rules`, which makes at most one send per event and rule however often it is
    called."""

    name = "rules"

    def __init__(self, store: EventStore, run_rules: Callable[[Event], Awaitable[RulesRun]], timeout_s: float) -> None:
        self._store = store
        self._run_rules = run_rules
        self.timeout_s = timeout_s

    def breakers(self, _: EventMessage) -> tuple[str, ...]:
        """Return a breaker that never opens, because no failure is shared."""
        return (BREAKER,)

    async def send(self, message: EventMessage) -> Outcome:
        """Run the rules and store their results. `Delivered`: a rule matched. `Postponed`: the tenant has reached a
        limit, such as that of sends that are being expanded."""
        event = message.event
        try:
            async with asyncio.timeout(self.timeout_s):  # before the dispatcher's, whose failure the breaker counts
                run = await self._run_rules(event)
            is_changed = bool(run.results or event.results)
            if is_changed and not await self._store.record_results(event, run.results):
                return Retry("the claim expired", shared=False)
            if run.left_out:
                return Retry(run.left_out, run.retry_after_s, shared=False)
        except TimeoutError:
            return Retry(f"the rules took longer than {self.timeout_s:g} s (HUB_PROVIDER_TIMEOUT_S)", shared=False)
        except RateLimited as error:
            return Postponed(error.message, error.retry_after_s)
        except (HubError, PyMongoError) as error:
            log.warning("rules_failed", event_id=event.id, error=error, throttled=True)
            return Retry(type(error).__name__, shared=False)
        return Delivered() if any(result.matched for result in run.results) else Skipped()


class EventHandler:
    """The job handler of events."""

    def __init__(self, provider: RuleProvider) -> None:
        self._provider = provider

    async def prepare(self, jobs: Sequence[Event], now: datetime) -> list[ReadyToSend | Transition]:  # noqa: ARG002 - part of JobHandler
        """Return the events. They do not count toward the delivery limits."""
        return [ReadyToSend(EventMessage(job.id, job), [self._provider], limited=False) for job in jobs]

    async def find_stopped(self, jobs: Sequence[tuple[Event, ReadyToSend]]) -> dict[str, Transition]:  # noqa: ARG002 - part of JobHandler
        """Return nothing: events are not stopped."""
        return {}

    async def on_settled(self, jobs: Sequence[tuple[Event, DeliveryStatus]]) -> None:
        """Do nothing."""

    async def on_address_gone(self, job: Event, message: EventMessage) -> None:
        """Do nothing: events have no address."""
