"""The gauges of queues and open circuit breakers in `/metrics`. Both are shared, so every worker reports all of
them.

Each channel and priority has a value, which is 0 while the hub is idle: an autoscaler cannot use a series that is
missing.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog
from prometheus_client import Gauge
from pymongo.errors import PyMongoError

from hub.model import Priority
from hub.outbox.lanes import LaneDepth, Lanes
from hub.platform import metrics
from hub.platform.circuit_breaker import SEPARATOR, Breakers
from hub.platform.connections import is_cancelling
from hub.platform.redis_errors import REDIS_ERRORS
from hub.runtime.due_sample import CHANNELS, DueSampler
from hub.utc_time import Clock, elapsed

SAMPLE_EVERY_S = 2.0

log = structlog.get_logger(__name__)


class QueueMetrics:
    def __init__(self, lanes: Lanes, breakers: Breakers, due: DueSampler, clock: Clock) -> None:
        self._lanes = lanes
        self._breakers = breakers
        self._due = due
        self._clock = clock

    async def run(self) -> None:
        """Sample every SAMPLE_EVERY_S until cancelled."""
        while not is_cancelling():
            depths: Sequence[LaneDepth] = ()
            try:
                depths = await self._lanes.depths(CHANNELS)
                _set_all(metrics.lane_waiting, {(depth.channel, depth.priority): depth.waiting for depth in depths})
                await self._sample_breakers()
            except (*REDIS_ERRORS, ValueError) as error:
                log.warning("queue_sampling_failed", error=error)
            try:
                await self._sample_due(depths)
            except PyMongoError as error:
                log.warning("queue_sampling_failed", error=error)
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def _sample_due(self, depths: Sequence[LaneDepth]) -> None:
        due = await self._due.get(depths, self._clock)
        now = self._clock()
        _set_all(metrics.due_waiting, {(group.channel, group.priority): group.waiting for group in due})
        ages = {(group.channel, group.priority): max(0.0, elapsed(group.since, now).total_seconds()) for group in due}
        _set_all(metrics.due_oldest, ages)

    async def _sample_breakers(self) -> None:
        opened = await self._breakers.list_open()
        metrics.breakers_open.clear()
        for provider, count in Counter(map(provider_label, opened)).items():
            metrics.breakers_open.labels(provider).set(count)


def _set_all(gauge: Gauge, values: Mapping[tuple[str, str], float]) -> None:
    """Set the value of each channel and priority."""
    for channel in CHANNELS:
        for priority in Priority:
            gauge.labels(channel, priority).set(values.get((channel, priority), 0))


def provider_label(breaker: str) -> str:
    """Return the metric label of a circuit breaker, which is its name without the host or address."""
    return breaker.partition(SEPARATOR)[0]
