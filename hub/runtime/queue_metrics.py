"""What waits to be sent and who is left alone, looked up now and then for `/metrics`. It is the same for all workers:
each tells all of it."""

import asyncio
from collections import Counter

import structlog

from hub.clock import Clock
from hub.ids import id_time
from hub.model import Channel
from hub.outbox.lanes import Lanes
from hub.platform import metrics
from hub.platform.circuit_breaker import Breakers
from hub.platform.connections import is_cancelling
from hub.platform.redis_keys import REDIS_ERRORS
from hub.webhooks.webhook_calls import LANE

SAMPLE_EVERY_S = 2.0
PROVIDERS = frozenset({"smtp", "ses", "sns-fcm", "sns-apns", "catcher"})
"""Names of circuit breakers that stand for themselves. Others hold addresses, which are no labels."""

log = structlog.get_logger(__name__)


class QueueMetrics:
    def __init__(self, lanes: Lanes, breakers: Breakers, clock: Clock) -> None:
        self._lanes = lanes
        self._breakers = breakers
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while not is_cancelling():
            try:
                await self.sample()
            except (*REDIS_ERRORS, ValueError) as error:
                log.warning("queue_sampling_failed", error=error)
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def sample(self) -> None:
        """Raises one of REDIS_ERRORS; ValueError for what is no id on a lane."""
        depths = await self._lanes.depths([*Channel, LANE])
        opened = await self._breakers.list_open()
        metrics.lane_waiting.clear()
        metrics.lane_oldest.clear()
        now = self._clock()
        for depth in depths:
            metrics.lane_waiting.labels(depth.channel, depth.priority).set(depth.waiting)
            waited_s = (now - id_time(depth.oldest)).total_seconds()
            metrics.lane_oldest.labels(depth.channel, depth.priority).set(max(0.0, waited_s))
        metrics.breakers_open.clear()
        for provider, count in Counter(map(provider_label, opened)).items():
            metrics.breakers_open.labels(provider).set(count)


def provider_label(breaker: str) -> str:
    """What the name of a circuit breaker is counted as."""
    if breaker in PROVIDERS:
        return breaker
    return "webhook" if breaker.startswith("webhook/") else "web_push"
