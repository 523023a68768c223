"""What the running hub knows of itself: workers, providers, queues, dead letters, and what of it is a problem.

Workers and providers are those of the whole hub, without any host or tenant; queues, dead letters and the oldest due
delivery are those of one tenant. Without Redis its part is left out, and that is the first problem.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from hub.clock import Clock
from hub.model import Channel, Priority
from hub.outbox.lanes import Lanes, lane_of
from hub.platform.circuit_breaker import Breakers
from hub.platform.redis_keys import REDIS_ERRORS
from hub.status.backlog import COUNTED_MAX, Backlog, DeadLetters
from hub.status.workers import WINDOW_MINUTES, Worker, Workers, alive, recent_calls
from hub.webhooks.webhook_calls import LANE

DELIVERY_CHANNELS = tuple(channel for channel in Channel if channel is not Channel.IN_APP)
BREAKERS: Mapping[str, tuple[str, ...]] = {"smtp": ("smtp",), "ses": ("ses",), "sns": ("sns-fcm", "sns-apns")}
"""Circuit breakers of providers. Others have one for each host or address of people."""
PERSONAL_CHANNEL = Channel.WEBHOOK
"""Calls go to addresses of people: their failures are theirs."""
LATE_S = 60.0  # what is due for longer says that workers are missing, or too few
CALLS_MIN = 5  # a failure rate of fewer calls says nothing
FAILURE_RATE_MAX = 0.25


class ProviderState(Struct, frozen=True):
    """`open`: its circuit breaker holds calls back, `since` when. `calls` and `failed`: of the last 15 minutes."""

    provider: str
    channel: Channel
    open: bool = False
    since: datetime | None = None
    calls: int = 0
    failed: int = 0

    @property
    def failure_rate(self) -> float:
        return self.failed / self.calls if self.calls else 0.0


class QueueState(Struct, frozen=True):
    """What waits of one tenant on one channel."""

    channel: Channel
    priority: Priority
    waiting: int
    oldest_seconds: float


class Health(Struct, frozen=True, kw_only=True):
    """`configured`: the channels that sends can use, as the API has them; None where that is not known."""

    providers: list[ProviderState]
    queues: list[QueueState]
    workers: list[Worker]
    dead_letters: DeadLetters
    calls: int
    failed: int
    redis_away: bool
    configured: frozenset[Channel] | None

    @property
    def failure_rate(self) -> float:
        return self.failed / self.calls if self.calls else 0.0

    @property
    def oldest_due_seconds(self) -> float:
        return max((queue.oldest_seconds for queue in self.queues), default=0.0)

    @property
    def problems(self) -> list[str]:
        """One sentence each, worst first."""
        return [*_outages(self), *_failures(self)]


class HealthReader:
    """Every query is served by an index and bounded; one follows another, because nobody is in a hurry."""

    def __init__(
        self,
        workers: Workers,
        backlog: Backlog,
        lanes: Lanes,
        breakers: Breakers,
        clock: Clock,
        configured: frozenset[Channel] | None,
    ) -> None:
        self._workers = workers
        self._backlog = backlog
        self._lanes = lanes
        self._breakers = breakers
        self._clock = clock
        self._configured = configured

    async def read(self, tenant: str) -> Health:
        """Raises PyMongoError."""
        workers = await self._workers.recent()
        dead_letters = await self._backlog.dead_letters(tenant)
        queues, no_queues = await self._queues(tenant)
        providers, no_breakers = await self._providers(workers)
        now = self._clock()
        calls = [pair for name, pair in recent_calls(workers, now).items() if name.channel != LANE]
        return Health(
            providers=providers,
            queues=queues,
            workers=alive(workers, now),
            dead_letters=dead_letters,
            calls=sum(ok + failed for ok, failed in calls),
            failed=sum(failed for _, failed in calls),
            redis_away=no_queues or no_breakers,
            configured=self._configured,
        )

    async def providers(self) -> list[ProviderState]:
        """Return the providers that workers have, without Redis as if no circuit breaker were open."""
        return (await self._providers(await self._workers.recent()))[0]

    async def queues(self, tenant: str) -> list[QueueState]:
        """Return what waits of a tenant, without Redis only what is overdue."""
        return (await self._queues(tenant))[0]

    async def _providers(self, workers: Sequence[Worker]) -> tuple[list[ProviderState], bool]:
        now = self._clock()
        calls = recent_calls(workers, now)
        names = {
            name
            for worker in alive(workers, now)
            for name in worker.providers
            if name.channel in Channel.__members__  # not calls of tenants' endpoints, nor channels of another version
        }
        away = False
        try:
            opened = await self._breakers.open_since([key for keys in BREAKERS.values() for key in keys])
        except REDIS_ERRORS:
            opened, away = {}, True
        found = []
        for name in sorted(names, key=lambda name: (name.channel, name.provider)):
            since = [opened[key] for key in BREAKERS.get(name.provider, ()) if key in opened]
            ok, failed = calls.get(name, (0, 0))
            found.append(
                ProviderState(
                    provider=name.provider,
                    channel=Channel(name.channel),
                    open=bool(since),
                    since=min(filter(None, since), default=None),
                    calls=ok + failed,
                    failed=failed,
                )
            )
        return found, away

    async def _queues(self, tenant: str) -> tuple[list[QueueState], bool]:
        lanes = {
            lane_of(channel, priority, tenant): (channel, priority)
            for channel in DELIVERY_CHANNELS
            for priority in Priority
        }
        away = False
        try:
            queued = await self._lanes.heads(list(lanes))
        except REDIS_ERRORS:
            queued, away = {}, True
        overdue = await self._backlog.overdue(list(lanes))
        since = await self._backlog.queued_since([head for _, head in queued.values()])
        now, found = self._clock(), []
        for lane, (channel, priority) in lanes.items():
            on_lane, head = queued.get(lane, (0, ""))
            due = overdue.get(lane)
            waiting = on_lane + (due.count if due else 0)
            times = [at for at in (since.get(head), due and due.since) if at]
            if waiting:
                oldest_s = max([(now - at).total_seconds() for at in times], default=0.0)
                found.append(QueueState(channel, priority, waiting, max(0.0, oldest_s)))
        return found, away


def _outages(health: Health) -> list[str]:
    found = []
    if not health.workers:
        found.append("No worker runs: nothing is sent and no snooze ends. Start `hub work`.")
    if health.redis_away:
        found.append("Redis does not answer: deliveries leave late, and queues and circuit breakers are not known.")
    for provider in health.providers:
        if provider.open:
            since = f" since {provider.since:%H:%M:%S} UTC" if provider.since else ""
            found.append(
                f"{provider.channel} through {provider.provider} is held back{since}: calls failed, and its circuit "
                "breaker is open."
            )
    if health.oldest_due_seconds > LATE_S:
        waiting = sum(queue.waiting for queue in health.queues)
        found.append(
            f"{waiting} deliveries wait, and the oldest is due for {health.oldest_due_seconds:.0f} s: start more of "
            "`hub work`, or look at its log."
        )
    if health.workers and health.configured is not None:
        found += _setting_mismatches({Channel(provider.channel) for provider in health.providers}, health.configured)
    return found


def _setting_mismatches(workers: Collection[Channel], api: Collection[Channel]) -> list[str]:
    """Settings of workers and of the API that do not fit together."""
    fix = "give `hub serve` and `hub work` the same settings"
    return [
        f"{channel} is set up for the API, but no worker has a provider for it, so that it is never sent: {fix}."
        for channel in DELIVERY_CHANNELS
        if channel in api and channel not in workers
    ] + [
        f"{channel} has a provider in the workers, but the API skips it as NOT_CONFIGURED: {fix}."
        for channel in DELIVERY_CHANNELS
        if channel in workers and channel not in api
    ]


def _failures(health: Health) -> list[str]:
    found = [
        f"{provider.channel} through {provider.provider} fails: {provider.failed} of {provider.calls} calls in "
        f"the last {WINDOW_MINUTES} minutes."
        for provider in sorted(health.providers, key=lambda provider: -provider.failure_rate)
        if provider.channel is not PERSONAL_CHANNEL
        and provider.calls >= CALLS_MIN
        and provider.failure_rate >= FAILURE_RATE_MAX
    ]
    dead = health.dead_letters
    if dead.recent or dead.older_to_replay:
        some = f"{dead.total}{' or more' if dead.total == COUNTED_MAX else ''}"
        found.append(
            f"{some} {'delivery has' if dead.total == 1 else 'deliveries have'} FAILED for good, {dead.recent} of them "
            "within a day: see why with `hub replay --all --dry-run`, then replay what can be sent."
        )
    return found
