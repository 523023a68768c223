"""What the running hub knows of itself: for operators, `hub doctor` and monitoring."""

from datetime import datetime

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Info
from hub.status.backlog import COUNTED_MAX
from hub.workflows import health


@strawberry.type(description="A provider of the hub's settings, as the workers that run now have it.")
class ProviderState:
    provider: str
    channel: model.Channel
    open: bool = strawberry.field(
        description="Its circuit breaker holds calls back. Breakers of people's own addresses are not shown."
    )
    failure_rate: float = strawberry.field(description="Of its calls in the last 15 minutes.")
    since: datetime | None = strawberry.field(description="When the circuit breaker opened.")

    @classmethod
    def of(cls, state: health.ProviderState) -> "ProviderState":
        return cls(
            provider=state.provider,
            channel=state.channel,
            open=state.open,
            failure_rate=state.failure_rate,
            since=state.since,
        )


@strawberry.type
class QueueState:
    channel: model.Channel
    priority: model.Priority
    waiting: int = strawberry.field(description=f"What is due but on no lane yet is counted up to {COUNTED_MAX:,}.")
    oldest_seconds: float = strawberry.field(description="How long the oldest of them has been due.")

    @classmethod
    def of(cls, state: health.QueueState) -> "QueueState":
        return cls(
            channel=state.channel,
            priority=state.priority,
            waiting=state.waiting,
            oldest_seconds=state.oldest_seconds,
        )


@strawberry.type(description="A process that sends. One that died is left out after 30 s without a heartbeat.")
class WorkerState:
    id: str
    host: str
    version: str
    started_at: datetime
    heartbeat_at: datetime
    calls: int = strawberry.field(description="Of providers, since it started.")


@strawberry.type(
    description="What the running hub knows of itself. Queues, dead letters and the oldest due delivery are those of "
    "the caller's tenant; workers, providers and the failure rate are those of the whole hub."
)
class Health:
    ok: bool = strawberry.field(description="Whether there is no problem.")
    problems: list[str] = strawberry.field(description="One sentence each, worst first.")
    providers: list[ProviderState]
    queues: list[QueueState]
    workers: list[WorkerState]
    dead_letters: int = strawberry.field(description=f"FAILED deliveries, counted up to {COUNTED_MAX:,}.")
    failure_rate: float = strawberry.field(
        description="Of all calls that deliver, in the last 15 minutes; 0 where there were none. Calls of tenants' "
        "webhook endpoints do not count."
    )
    oldest_due_seconds: float = strawberry.field(
        description="How long the delivery that waits longest has been due; 0 where none waits."
    )

    @classmethod
    def of(cls, found: health.Health) -> "Health":
        problems = found.problems
        return cls(
            ok=not problems,
            problems=problems,
            providers=[ProviderState.of(provider) for provider in found.providers],
            queues=[QueueState.of(queue) for queue in found.queues],
            workers=[
                WorkerState(
                    id=ID(worker.id),
                    host=worker.host,
                    version=worker.version,
                    started_at=worker.started_at,
                    heartbeat_at=worker.heartbeat_at,
                    calls=worker.total,
                )
                for worker in found.workers
            ],
            dead_letters=found.dead_letters.total,
            failure_rate=found.failure_rate,
            oldest_due_seconds=found.oldest_due_seconds,
        )


@strawberry.type
class HealthQuery:
    @strawberry.field(description="Role admin. What the running hub knows of itself; `hub doctor` prints it.")
    async def health(self, info: Info) -> Health:
        tenant = info.context.require_admin()
        return Health.of(await info.context.services.health.read(tenant))

    @strawberry.field(
        description="Role service and up. What waits to be sent for the caller's tenant, by channel and priority."
    )
    async def queues(self, info: Info) -> list[QueueState]:
        tenant = info.context.require_service()
        return [QueueState.of(queue) for queue in await info.context.services.health.queues(tenant)]

    @strawberry.field(
        description="Role service and up. The providers of the hub's settings. Never hosts of people's or tenants' own "
        "addresses."
    )
    async def providers(self, info: Info) -> list[ProviderState]:
        info.context.require_service()
        return [ProviderState.of(provider) for provider in await info.context.services.health.providers()]
