"""The shared components and the limits that a dispatcher is built from."""

from collections.abc import Sequence

from msgspec import Struct

from hub.clock import Clock
from hub.outbox.lanes import Lanes
from hub.platform.circuit_breaker import Breakers
from hub.send.isolation import IsolationLock
from hub.send.throttle import DeliveryThrottle
from hub.status.workers import CallTally


class WorkerResources(Struct, frozen=True):
    """The components that all dispatchers of a process share."""

    lanes: Lanes
    breakers: Breakers
    throttle: DeliveryThrottle
    isolation: IsolationLock
    tally: CallTally
    clock: Clock


class DispatchPolicy(Struct, frozen=True, kw_only=True):
    """The limits of one dispatcher. `concurrency`: calls at once. `lease_s`: how long a claim lasts. `schedule`: the
    waits between attempts, in seconds. `retry_after_max_s`: the longest wait that a provider may ask for.
    `lease_max_expirations`: how often its lease may expire before a job becomes FAILED."""

    concurrency: int
    lease_s: float
    schedule: Sequence[float]
    retry_after_max_s: float
    lease_max_expirations: int
