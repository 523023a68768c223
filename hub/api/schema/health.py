"""The state of the running hub, for operators, `hub doctor` and monitoring."""

from datetime import datetime

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Info
from hub.status.backlog import COUNTED_MAX
from hub.workflows import health


@strawberry.type(description="A provider that is configured for the running workers.")
class ProviderState:
    provider: str = strawberry.field(description="The name of the provider, such as smtp.")
    channel: model.Channel
    open: bool = strawberry.field(
        description="True if its circuit breaker is open: no calls are made. Circuit breakers of single users' "
        "addresses are not included."
    )
    failure_rate: float = strawberry.field(
        description="The failed share of its calls in the last 15 minutes, from 0 to 1."
    )
    since: datetime | None = strawberry.field(
        description="The time at which the circuit breaker opened. Null if it is closed."
    )

    @classmethod
    def of(cls, state: health.ProviderState) -> "ProviderState":
        return cls(
            provider=state.provider,
            channel=state.channel,
            open=state.open,
            failure_rate=state.failure_rate,
            since=state.since,
        )


@strawberry.type(description="The deliveries of the tenant that are due on one channel, with one priority.")
class QueueState:
    channel: model.Channel
    priority: model.Priority
    waiting: int = strawberry.field(
        description=f"The number of deliveries. Those that are not in the queue yet are counted up to {COUNTED_MAX:,}."
    )
    oldest_seconds: float = strawberry.field(description="How long the oldest one has been due.")

    @classmethod
    def of(cls, state: health.QueueState) -> "QueueState":
        return cls(
            channel=state.channel,
            priority=state.priority,
            waiting=state.waiting,
            oldest_seconds=state.oldest_seconds,
        )


@strawberry.type(description="A worker process. A worker that died is removed after 30 seconds without a heartbeat.")
class WorkerState:
    id: str = strawberry.field(description="A random id, new at each start.")
    host: str = strawberry.field(description="The name of its machine.")
    version: str = strawberry.field(description="The version of the hub.")
    started_at: datetime
    heartbeat_at: datetime = strawberry.field(description="The time of its last heartbeat.")
    calls: int = strawberry.field(description="The number of provider calls since it started.")


@strawberry.type(
    description="The state of the running hub. Queues, dead letters and the oldest due delivery are those of the "
    "caller's tenant. Workers, providers and the failure rate are those of the whole hub."
)
class Health:
    ok: bool = strawberry.field(description="True if there are no problems.")
    problems: list[str] = strawberry.field(description="One sentence for each problem, the worst first.")
    providers: list[ProviderState] = strawberry.field(description="The configured providers.")
    queues: list[QueueState] = strawberry.field(description="The queues that are not empty.")
    workers: list[WorkerState] = strawberry.field(description="The running workers.")
    dead_letters: int = strawberry.field(description=f"FAILED deliveries, counted up to {COUNTED_MAX:,}.")
    failure_rate: float = strawberry.field(
        description="The failed share of all provider calls in the last 15 minutes, from 0 to 1. 0 if there were "
        "none. Calls of webhook endpoints do not count."
    )
    oldest_due_seconds: float = strawberry.field(
        description="How long the oldest waiting delivery has been due. 0 if none is waiting."
    )

    @classmethod
    def of(cls, state: health.Health) -> "Health":
        problems = state.problems
        return cls(
            ok=not problems,
            problems=problems,
            providers=[ProviderState.of(provider) for provider in state.providers],
            queues=[QueueState.of(queue) for queue in state.queues],
            workers=[
                WorkerState(
                    id=ID(worker.id),
                    host=worker.host,
                    version=worker.version,
                    started_at=worker.started_at,
                    heartbeat_at=worker.heartbeat_at,
                    calls=worker.total,
                )
                for worker in state.workers
            ],
            dead_letters=state.dead_letters.total,
            failure_rate=state.failure_rate,
            oldest_due_seconds=state.oldest_due_seconds,
        )


@strawberry.type
class HealthQuery:
    @strawberry.field(
        description="Return the state of the running hub, which `hub doctor` also prints. Requires role `admin`."
    )
    async def health(self, info: Info) -> Health:
        tenant = info.context.require_admin()
        return Health.of(await info.context.services.health.read(tenant))

    @strawberry.field(
        description="Return the due deliveries of the caller's tenant, by channel and priority. Requires role "
        "`service` or `admin`."
    )
    async def queues(self, info: Info) -> list[QueueState]:
        tenant = info.context.require_service()
        return [QueueState.of(queue) for queue in await info.context.services.health.queues(tenant)]

    @strawberry.field(
        description="Return the providers that are configured. Hosts of users' and tenants' own URLs are not included. "
        "Requires role `service` or `admin`."
    )
    async def providers(self, info: Info) -> list[ProviderState]:
        info.context.require_service()
        return [ProviderState.of(provider) for provider in await info.context.services.health.providers()]
