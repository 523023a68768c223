"""Delivery rate limits: per user and channel, per channel, per tenant, overall, and per webhook of a chat.

Deliveries above a limit are delayed, not discarded.
"""

from time import monotonic
from typing import Any

from cachetools import LRUCache

from hub.model import Channel
from hub.platform.rate_limiter import Limit, RateLimiter
from hub.send.outcome import Outcome, Retry, Sent
from hub.settings import Settings

TRACKED_KEYS_MAX = 50_000
SPREAD_WINDOWS = 4
SPREAD_MIN_S = 60  # otherwise the waiting messages of a chat would be claimed every few seconds
CHAT_LIMITS = {
    Channel.SLACK: Limit("delivery_slack", 1, 1),  # https://docs.slack.dev/apis/web-api/rate-limits
    Channel.DISCORD: Limit("delivery_discord", 5, 2),  # what its headers say
    Channel.TEAMS: Limit(
        "delivery_teams", 4, 1
    ),  # https://learn.microsoft.com/microsoftteams/limits-specifications-teams
}
"""What each chat accepts for one webhook."""


class DeliveryThrottle:
    def __init__(self, limiter: RateLimiter, settings: Settings) -> None:
        window_s = settings.delivery_limit_window_s
        self._limiter = limiter
        self._pause_max_s = settings.retry_after_max_s
        self._user = Limit("delivery_user", settings.delivery_limit_per_user, window_s)
        self._channel = Limit("delivery_channel", settings.delivery_limit_per_channel, window_s)
        self._tenant = Limit("delivery_tenant", settings.delivery_limit_per_tenant, window_s)
        self._overall = Limit("delivery_overall", settings.delivery_limit_overall, window_s)
        self._free_at: LRUCache[tuple[Limit, str, str, str], float] = LRUCache(TRACKED_KEYS_MAX)
        self._paused_until: LRUCache[tuple[str, str], float] = LRUCache(TRACKED_KEYS_MAX)

    def wait_s(self, channel: str, tenant: str, user: str, priority: str, webhook: str = "") -> float:
        """Return the seconds until this delivery may be sent, or 0 if it may be sent now. `user` is empty for a job
        without a user. `webhook`: what `chat_webhook` returns. The times of deliveries with the same tenant, priority,
        and limit are spread, so they do not all become due at once."""
        keys = [(self._channel, channel), (self._tenant, tenant), (self._overall, "")]
        if user:
            keys.insert(0, (self._user, f"{channel}:{user}"))
        if webhook:
            keys.append((CHAT_LIMITS[Channel(channel)], webhook))
            if (paused_s := self._paused_s(channel, webhook)) > 0:
                return self._spread(CHAT_LIMITS[Channel(channel)], webhook, tenant, priority, paused_s)
        result = self._limiter.check(*keys)
        if result is None or result.retry_after_s is None:
            return 0.0
        return self._spread(result.limit, result.key, tenant, priority, result.retry_after_s)

    def pause(self, channel: str, webhook: str, outcome: Outcome) -> None:
        """Send nothing to a webhook for the time that the chat requested in a response. If the chat limits all its
        webhooks, send nothing to any of them."""
        if isinstance(outcome, Sent) and outcome.pause_s:
            self._pause(channel, webhook, outcome.pause_s)
        elif isinstance(outcome, Retry) and outcome.after_s:
            self._pause(channel, "" if outcome.shared else webhook, outcome.after_s)

    def _pause(self, channel: str, webhook: str, seconds: float) -> None:
        self._paused_until[channel, webhook] = monotonic() + min(seconds, self._pause_max_s)

    def _paused_s(self, channel: str, webhook: str) -> float:
        return max(self._paused_until.get((channel, key), 0.0) for key in ("", webhook)) - monotonic()

    def _spread(self, limit: Limit, limited: str, tenant: str, priority: str, wait_s: float) -> float:
        now, key = monotonic(), (limit, limited, tenant, priority)
        latest = now + wait_s + max(SPREAD_MIN_S, SPREAD_WINDOWS * limit.window_s)
        free_at = min(latest, max(now + wait_s, self._free_at.get(key, 0.0)))
        self._free_at[key] = free_at + limit.window_s / limit.max_requests
        return free_at - now


def chat_webhook(channel: str, message: Any) -> str:
    """Return the webhook to which a message of a chat goes, or an empty text for another channel."""
    return (message.device.token or "") if channel in CHAT_LIMITS and message.device else ""
