"""The health of the running hub: workers, providers, queues, dead letters, and problems.

Workers and providers are reported for the whole hub, without hosts and tenants. Queues, dead letters, and the oldest
due delivery are reported for one tenant. If Redis is unavailable, the values from Redis are omitted, and a problem is
reported.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from hub.audience.tenants import Tenants
from hub.enrichment import jobs
from hub.events import event_store
from hub.events.event_store import FAILED_COUNTED_MAX, EventStore
from hub.model import Channel, PausedChannel, Priority
from hub.outbox.lanes import Lanes, lane_of
from hub.platform.circuit_breaker import Breakers
from hub.platform.redis_errors import REDIS_ERRORS
from hub.status.held_deliveries import HeldDeliveries
from hub.status.undelivered_counts import COUNTED_MAX, DeadLetters, UndeliveredCounts
from hub.status.workers import WINDOW_MINUTES, ProviderName, Worker, Workers, alive, recent_calls
from hub.utc_time import Clock, RealClock, RealTime, elapsed
from hub.webhooks import webhook_calls

DELIVERY_CHANNELS = tuple(channel for channel in Channel if channel is not Channel.IN_APP)
BREAKERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    (Channel.MOBILE_PUSH, "sns"): ("sns-fcm", "sns-apns"),
    (Channel.SMS, "sns"): ("sns-sms",),
    (Channel.SMS, "twilio"): ("twilio-sms",),
    (Channel.WHATSAPP, "twilio"): ("twilio-whatsapp",),
    (Channel.WEB_PUSH, "web_push"): (),
    (Channel.WEBHOOK, "webhook"): (),
    (Channel.SLACK, "slack"): (),
    (Channel.DISCORD, "discord"): (),
    (Channel.TEAMS, "teams"): (),
}
"""The circuit breakers of providers whose breakers have other names, by channel and provider. Breakers of hosts are not
reported."""
PERSONAL_CHANNEL = Channel.WEBHOOK
"""The provider that calls the endpoints of users. Its failure rate is not a problem of the hub."""
OTHER_LANES = (webhook_calls.LANE, event_store.LANE, jobs.LANE, jobs.CRITICAL_LANE)
"""Lanes whose calls are not those of the hub's providers."""
LATE_S = 60.0  # if a delivery is due for longer, there are too few workers
CALLS_MIN = 5  # with fewer calls, the failure rate is not significant
FAILURE_RATE_MAX = 0.25
HELD_COUNTED_MAX = COUNTED_MAX  # deliveries of one paused channel and priority


class ProviderState(Struct, frozen=True):
    """A provider. `open` is True if its circuit breaker is open, since the time `since`. `calls` and `failed` count the
    last 15 minutes."""

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
    """The deliveries of one tenant, channel and priority that are due, and that are `held` because the channel is
    paused."""

    channel: Channel
    priority: Priority
    waiting: int
    oldest_seconds: float
    held: int = 0


class Health(Struct, frozen=True, kw_only=True):
    """The values from which problems are derived. `configured` are the channels that are configured in the API, or None
    if unknown. `paused` are the paused channels of the tenant."""

    providers: list[ProviderState]
    queues: list[QueueState]
    workers: list[Worker]
    dead_letters: DeadLetters
    calls: int
    failed: int
    failed_events: int
    redis_unavailable: bool
    configured: frozenset[Channel] | None
    paused: tuple[PausedChannel, ...] = ()

    @property
    def failure_rate(self) -> float:
        return self.failed / self.calls if self.calls else 0.0

    @property
    def oldest_due_seconds(self) -> float:
        return max((queue.oldest_seconds for queue in self.queues), default=0.0)

    @property
    def problems(self) -> list[str]:
        """The problems, worst first, in one or two sentences each."""
        return [*_outages(self), *_failures(self)]


class HealthReader:
    """Reads the health. Every query is limited and served by an index. To limit the load, queries run one by one."""

    def __init__(
        self,
        workers: Workers,
        undelivered: UndeliveredCounts,
        tenants: Tenants,
        held: HeldDeliveries,
        events: EventStore,
        lanes: Lanes,
        breakers: Breakers,
        real_clock: RealClock,
        clock: Clock,
        configured: frozenset[Channel] | None,
    ) -> None:
        self._workers = workers
        self._undelivered = undelivered
        self._tenants = tenants
        self._held = held
        self._events = events
        self._lanes = lanes
        self._breakers = breakers
        self._real_clock = real_clock
        self._clock = clock
        self._configured = configured

    async def read(self, tenant: str) -> Health:
        """Return the health. Raise PyMongoError."""
        workers = await self._workers.recent()
        dead_letters = await self._undelivered.dead_letters(tenant)
        failed_events = await self._events.count_failed(tenant)
        paused = (await self._tenants.get(tenant)).paused_channels
        queues, lanes_unavailable = await self._queues(tenant, paused)
        providers, breakers_unavailable = await self._providers(workers)
        now = self._real_clock()
        calls = [pair for name, pair in recent_calls(workers, now).items() if name.channel not in OTHER_LANES]
        return Health(
            providers=providers,
            queues=queues,
            workers=alive(workers, now),
            dead_letters=dead_letters,
            failed_events=failed_events,
            calls=sum(ok + failed for ok, failed in calls),
            failed=sum(failed for _, failed in calls),
            redis_unavailable=lanes_unavailable or breakers_unavailable,
            configured=self._configured,
            paused=paused,
        )

    async def providers(self) -> list[ProviderState]:
        """Return the providers of the workers. Without Redis, every circuit breaker is reported as closed."""
        return (await self._providers(await self._workers.recent()))[0]

    async def list_down(self) -> set[Channel]:
        """Return the channels on which nothing can be sent now: all circuit breakers of all their providers are open,
        and none allows a probe. Without Redis, there are none."""
        names = _provider_names(await self._workers.recent(), self._real_clock())
        found = await self._breakers.find_open({key for name in names for key in _breakers(name)})
        up = {name.channel for name in names if not _breakers(name) or not found.issuperset(_breakers(name))}
        return {Channel(name.channel) for name in names if name.channel not in up}

    async def queues(self, tenant: str) -> list[QueueState]:
        """Return the queues of a tenant. Without Redis, only overdue deliveries are counted."""
        return (await self._queues(tenant, (await self._tenants.get(tenant)).paused_channels))[0]

    async def _providers(self, workers: Sequence[Worker]) -> tuple[list[ProviderState], bool]:
        now = self._real_clock()
        calls = recent_calls(workers, now)
        names = _provider_names(workers, now)
        unavailable = False
        try:
            opened = await self._breakers.open_since(sorted({key for name in names for key in _breakers(name)}))
        except REDIS_ERRORS:
            opened, unavailable = {}, True
        providers = []
        for name in sorted(names, key=lambda name: (name.channel, name.provider)):
            since = [opened[key] for key in _breakers(name) if key in opened]
            ok, failed = calls.get(name, (0, 0))
            providers.append(
                ProviderState(
                    provider=name.provider,
                    channel=Channel(name.channel),
                    open=bool(since),
                    since=min(filter(None, since), default=None),
                    calls=ok + failed,
                    failed=failed,
                )
            )
        return providers, unavailable

    async def _queues(self, tenant: str, paused: Sequence[PausedChannel]) -> tuple[list[QueueState], bool]:
        lanes = {
            lane_of(channel, priority, tenant): (channel, priority)
            for channel in DELIVERY_CHANNELS
            for priority in Priority
        }
        unavailable = False
        try:
            queued = await self._lanes.heads(list(lanes))
        except REDIS_ERRORS:
            queued, unavailable = {}, True
        overdue = await self._undelivered.overdue(list(lanes))
        since = await self._undelivered.queued_since([head for _, head in queued.values()])
        held = await self._count_held(tenant, [one.channel for one in paused])
        now, queues = self._clock(), []
        for lane, (channel, priority) in lanes.items():
            on_lane, head = queued.get(lane, (0, ""))
            overdue_here = overdue.get(lane)
            waiting = on_lane + (overdue_here.count if overdue_here else 0)
            times = [at for at in (since.get(head), overdue_here and overdue_here.since) if at]
            held_here = held.get((channel, priority), 0)
            if waiting or held_here:
                oldest_s = max([elapsed(at, now).total_seconds() for at in times], default=0.0)
                queues.append(QueueState(channel, priority, waiting, max(0.0, oldest_s), held_here))
        return queues, unavailable

    async def count_held(self, tenant: str, channel: Channel) -> int:
        """Return the number of deliveries that are held because a channel is paused, at most HELD_COUNTED_MAX per
        priority."""
        return sum((await self._count_held(tenant, [channel])).values())

    async def _count_held(self, tenant: str, channels: Sequence[Channel]) -> dict[tuple[Channel, Priority], int]:
        return {
            (channel, priority): await self._held.count_paused_on(tenant, channel, priority, HELD_COUNTED_MAX)
            for channel in channels
            for priority in Priority
        }


def _provider_names(workers: Sequence[Worker], now: RealTime) -> set[ProviderName]:
    return {
        name
        for worker in alive(workers, now)
        for name in worker.providers
        if name.channel in Channel.__members__  # neither webhook calls nor channels of another version
    }


def _breakers(name: ProviderName) -> tuple[str, ...]:
    return BREAKERS.get((name.channel, name.provider), (name.provider,))


def _outages(health: Health) -> list[str]:
    problems = []
    if not health.workers:
        problems.append("No worker runs: nothing is sent and no snooze ends. Start `hub work`.")
    if health.redis_unavailable:
        problems.append("Redis is unavailable: deliveries are late, and queues and circuit breakers cannot be read.")
    for provider in health.providers:
        if provider.open:
            since = f" since {provider.since:%H:%M:%S} UTC" if provider.since else ""
            problems.append(
                f"{provider.channel} through {provider.provider} is on hold{since}: calls failed, and its circuit "
                "breaker is open."
            )
    for paused in health.paused:
        reason = f" ({paused.reason})" if paused.reason else ""
        problems.append(
            f"{paused.channel} has been paused since {paused.since:%Y-%m-%d %H:%M} UTC{reason}: its deliveries wait. "
            f"Continue with `hub channels resume {paused.channel}`."
        )
    if health.oldest_due_seconds > LATE_S:
        waiting = sum(queue.waiting for queue in health.queues)
        problems.append(
            f"{waiting} deliveries wait, and the oldest has been due for {health.oldest_due_seconds:.0f} s. Start more "
            "workers (`hub work`), or read their logs."
        )
    if health.workers and health.configured is not None:
        problems += _setting_mismatches({Channel(provider.channel) for provider in health.providers}, health.configured)
    return problems


def _setting_mismatches(workers: Collection[Channel], api: Collection[Channel]) -> list[str]:
    """Return the channels that are configured only in the workers or only in the API."""
    fix = "Give `hub serve` and `hub work` the same settings."
    return [
        f"{channel} is configured in the API, but no worker has a provider for it, so it is never sent. {fix}"
        for channel in DELIVERY_CHANNELS
        if channel in api and channel not in workers
    ] + [
        f"The workers have a provider for {channel}, but the API skips it as NOT_CONFIGURED. {fix}"
        for channel in DELIVERY_CHANNELS
        if channel in workers and channel not in api
    ]


def _failures(health: Health) -> list[str]:
    problems = [
        f"{provider.channel} through {provider.provider} fails: {provider.failed} of {provider.calls} calls in "
        f"the last {WINDOW_MINUTES} minutes."
        for provider in sorted(health.providers, key=lambda provider: -provider.failure_rate)
        if provider.channel is not PERSONAL_CHANNEL
        and provider.calls >= CALLS_MIN
        and provider.failure_rate >= FAILURE_RATE_MAX
    ]
    dead = health.dead_letters
    if dead.replayable:
        count = f"{dead.replayable}{' or more' if dead.total == COUNTED_MAX else ''}"
        problems.append(
            f"{count} {'delivery is' if dead.replayable == 1 else 'deliveries are'} FAILED, {dead.recent} of them "
            "within a day. List the reasons with `hub replay --all --dry-run`, then replay those that can be sent."
        )
    if health.failed_events:
        count = f"{health.failed_events}{' or more' if health.failed_events == FAILED_COUNTED_MAX else ''}"
        problems.append(
            f"{count} {'event is' if health.failed_events == 1 else 'events are'} FAILED. List the reasons with "
            "`hub events list --status failed`, then run the rules again with `hub events replay`."
        )
    return problems
