"""The reader of the hub's health, for the API and for `hub doctor`."""

from redis.asyncio import Redis

from hub import utc_time
from hub.audience.tenants import Tenants
from hub.events.event_store import EventStore
from hub.model import Channel
from hub.outbox.lanes import Lanes
from hub.platform.circuit_breaker import Breakers
from hub.platform.connections import Database
from hub.settings import Settings
from hub.status.held_deliveries import HeldDeliveries
from hub.status.undelivered_counts import UndeliveredCounts
from hub.status.workers import Workers
from hub.workflows.health import HealthReader


def health_reader(
    database: Database,
    redis: Redis,
    settings: Settings,
    now: utc_time.Clock,
    real_now: utc_time.RealClock,
    configured: frozenset[Channel] | None,
) -> HealthReader:
    """Return a reader of the hub's health. `configured` are the channels that the API can use, or None if unknown."""
    prefix = settings.redis_prefix
    return HealthReader(
        Workers(database, real_now),
        UndeliveredCounts(database, now, settings.requeue_after_s),
        Tenants(database, settings.tenant_max_categories, settings.commit_deadline_s),
        HeldDeliveries(database),
        EventStore(database, now, settings.requeue_after_s),
        Lanes(redis, prefix, settings.lane_max_ids),
        Breakers(redis, prefix, settings.circuit_breaker_open_s),
        real_now,
        now,
        configured,
    )
