"""The shared components and the limits of a dispatcher."""

from collections.abc import Sequence

from msgspec import Struct

from hub.outbox.lanes import Lanes
from hub.platform.circuit_breaker import Breakers
from hub.send.delivery_rate_limits import DeliveryThrottle
from hub.send.poison_isolation import IsolationLock
from hub.send.sms_limit import SmsLimit
from hub.status.workers import CallTally
from hub.utc_time import Clock


class WorkerResources(Struct, frozen=True):
    """The components that all dispatchers of a process share."""

    lanes: Lanes
    breakers: Breakers
    sms_limit: SmsLimit
    throttle: DeliveryThrottle
    isolation: IsolationLock
    tally: CallTally
    clock: Clock


class DispatchPolicy(Struct, frozen=True, kw_only=True):
    """The limits of one dispatcher. `concurrency` is the maximum number of concurrent calls. `lease_s` is the duration
    of a claim. `schedule` contains the delays between attempts, in seconds. `retry_after_max_s` is the longest delay
    that a provider can request. `lease_max_expirations` is the number of expired leases after which a job is FAILED."""

    concurrency: int
    lease_s: float
    schedule: Sequence[float]
    retry_after_max_s: float
    lease_max_expirations: int
