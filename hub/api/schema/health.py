"""The state of the running hub, for operators, `hub doctor`, and monitoring."""

from datetime import datetime

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.model import KeyRole, Scope
from hub.status.undelivered_counts import COUNTED_MAX
from hub.workflows import health
from hub.workflows.health import HELD_COUNTED_MAX


@strawberry.type(description="A provider that the running workers are configured to use.")
class ProviderState:
    provider: str = strawberry.field(description="The name of the provider, such as smtp.")
    channel: model.Channel
    open: bool = strawberry.field(
        description="True if the circuit breaker of the provider is open: the provider is not called. The circuit "
        "breakers of individual users' addresses are not included."
    )
    failure_rate: float = strawberry.field(
        description="The share of calls to the provider that failed in the last 15 minutes, from 0 to 1."
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


@strawberry.type(
    description="The deliveries of the tenant that are due, or that wait because the channel is paused, on one channel "
    "with one priority."
)
class QueueState:
    channel: model.Channel
    priority: model.Priority
    waiting: int = strawberry.field(
        description="The number of due deliveries. Deliveries that are not in the queue yet are counted up to "
        f"{COUNTED_MAX:,}."
    )
    oldest_seconds: float = strawberry.field(description="The time in seconds since the oldest delivery became due.")
    held: int = strawberry.field(
        description="The number of deliveries that wait because the channel is paused, counted up to "
        f"{HELD_COUNTED_MAX:,}."
    )

    @classmethod
    def of(cls, state: health.QueueState) -> "QueueState":
        return cls(
            channel=state.channel,
            priority=state.priority,
            waiting=state.waiting,
            oldest_seconds=state.oldest_seconds,
            held=state.held,
        )


@strawberry.type(description="A worker process. A worker is removed after 30 seconds without a heartbeat.")
class WorkerState:
    id: str = strawberry.field(description="A random id that changes at each start.")
    host: str = strawberry.field(description="The host name of the worker's machine.")
    version: str = strawberry.field(description="The version of the hub that the worker runs.")
    started_at: datetime
    heartbeat_at: datetime = strawberry.field(description="The time of the worker's last heartbeat.")
    calls: int = strawberry.field(description="The number of provider calls since the worker started.")


@strawberry.type(
    description="The state of the running hub. Queues, dead letters, and the oldest due delivery cover only the "
    "caller's tenant. Workers, providers, and the failure rate cover the whole hub."
)
class Health:
    ok: bool = strawberry.field(description="True if there are no problems.")
    problems: list[str] = strawberry.field(description="One sentence for each problem, most severe first.")
    providers: list[ProviderState] = strawberry.field(description="The configured providers.")
    queues: list[QueueState] = strawberry.field(description="The queues that are not empty.")
    workers: list[WorkerState] = strawberry.field(description="The running workers.")
    dead_letters: int = strawberry.field(description=f"The number of FAILED deliveries, counted up to {COUNTED_MAX:,}.")
    failure_rate: float = strawberry.field(
        description="The share of all provider calls that failed in the last 15 minutes, from 0 to 1. 0 if no calls "
        "were made. Calls to webhook endpoints are not included."
    )
    oldest_due_seconds: float = strawberry.field(
        description="The time in seconds since the oldest waiting delivery became due. 0 if no delivery is waiting."
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
        description="Return the state of the running hub. `hub doctor` prints the same state. Requires the `admin` "
        "role.",
        directives=access(Caller.ADMIN, Scope.READ, staff=KeyRole.OPERATOR),
    )
    async def health(self, info: Info) -> Health:
        tenant = info.context.caller.tenant
        return Health.of(await info.context.services.health.read(tenant))

    @strawberry.field(
        description="Return the number and age of the due deliveries of the caller's tenant, and of those that wait "
        "because their channel is paused, by channel and priority. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def queues(self, info: Info) -> list[QueueState]:
        tenant = info.context.caller.tenant
        return [QueueState.of(queue) for queue in await info.context.services.health.queues(tenant)]

    @strawberry.field(
        description="Return the configured providers. Hosts of webhook URLs that users and tenants registered are "
        "not included. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def providers(self, info: Info) -> list[ProviderState]:
        return [ProviderState.of(provider) for provider in await info.context.services.health.providers()]
