"""The gauges of queues and open circuit breakers in `/metrics`. Both are shared, so every worker reports all of
them."""

import asyncio
from collections import Counter

import structlog

from hub.events import event_store
from hub.ids import id_time
from hub.model import Channel
from hub.outbox.lanes import Lanes
from hub.platform import metrics
from hub.platform.circuit_breaker import SEPARATOR, Breakers
from hub.platform.connections import is_cancelling
from hub.platform.redis_errors import REDIS_ERRORS
from hub.utc_time import Clock, elapsed
from hub.webhooks import webhook_calls

SAMPLE_EVERY_S = 2.0

log = structlog.get_logger(__name__)


class QueueMetrics:
    def __init__(self, lanes: Lanes, breakers: Breakers, clock: Clock) -> None:
        self._lanes = lanes
        self._breakers = breakers
        self._clock = clock

    async def run(self) -> None:
        """Sample every SAMPLE_EVERY_S until cancelled."""
        while not is_cancelling():
            try:
                await self.sample()
            except (*REDIS_ERRORS, ValueError) as error:
                log.warning("queue_sampling_failed", error=error)
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def sample(self) -> None:
        """Update the gauges. Raise one of REDIS_ERRORS, or ValueError if a lane contains an invalid id."""
        depths = await self._lanes.depths([*Channel, webhook_calls.LANE, event_store.LANE])
        opened = await self._breakers.list_open()
        metrics.lane_waiting.clear()
        metrics.lane_oldest.clear()
        now = self._clock()
        for depth in depths:
            metrics.lane_waiting.labels(depth.channel, depth.priority).set(depth.waiting)
            waited_s = elapsed(id_time(depth.oldest), now).total_seconds()
            metrics.lane_oldest.labels(depth.channel, depth.priority).set(max(0.0, waited_s))
        metrics.breakers_open.clear()
        for provider, count in Counter(map(provider_label, opened)).items():
            metrics.breakers_open.labels(provider).set(count)


def provider_label(breaker: str) -> str:
    """Return the metric label of a circuit breaker, which is its name without the host or address."""
    return breaker.partition(SEPARATOR)[0]
