"""Delivery rate limits: per user and channel, per channel, per tenant, and overall.

Deliveries above a limit are delayed, not discarded.
"""

from time import monotonic

from cachetools import LRUCache

from hub.platform.rate_limiter import Limit, RateLimiter
from hub.settings import Settings

TRACKED_KEYS_MAX = 50_000
SPREAD_WINDOWS = 4


class DeliveryThrottle:
    def __init__(self, limiter: RateLimiter, settings: Settings) -> None:
        window_s = settings.delivery_limit_window_s
        self._limiter = limiter
        self._user = Limit("delivery_user", settings.delivery_limit_per_user, window_s)
        self._channel = Limit("delivery_channel", settings.delivery_limit_per_channel, window_s)
        self._tenant = Limit("delivery_tenant", settings.delivery_limit_per_tenant, window_s)
        self._overall = Limit("delivery_overall", settings.delivery_limit_overall, window_s)
        self._free_at: LRUCache[tuple[Limit, str, str, str], float] = LRUCache(TRACKED_KEYS_MAX)

    def wait_s(self, channel: str, tenant: str, user: str, priority: str) -> float:
        """Return the seconds until this delivery may be sent, or 0 if it may be sent now. `user` is empty for a job
        without a user. The times of deliveries with the same tenant, priority, and limit are spread, so they do not all
        become due at once."""
        keys = [(self._channel, channel), (self._tenant, tenant), (self._overall, "")]
        result = self._limiter.check(*([(self._user, f"{channel}:{user}"), *keys] if user else keys))
        if result is None or result.retry_after_s is None:
            return 0.0
        limit, now = result.limit, monotonic()
        key = limit, result.key, tenant, priority
        latest = now + result.retry_after_s + SPREAD_WINDOWS * limit.window_s
        free_at = min(latest, max(now + result.retry_after_s, self._free_at.get(key, 0.0)))
        self._free_at[key] = free_at + limit.window_s / limit.max_requests
        return free_at - now
