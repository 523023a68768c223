"""Rate limits: per caller, per tenant and overall."""

import math

from hub.errors import RateLimited
from hub.model import Principal, Role
from hub.platform.rate_limiter import Limit, RateLimiter, RateLimitResult
from hub.settings import Settings

CHARGED_COST_MIN = 100.0  # an operation that costs less is limited by number only


class RateLimits:
    def __init__(self, limiter: RateLimiter, settings: Settings) -> None:
        window_s = settings.rate_limit_window_s
        self._limiter = limiter
        self._user = Limit("user", settings.rate_limit_per_user, window_s)
        self._service = Limit("service", settings.rate_limit_per_service, window_s)
        self._tenant = Limit("tenant", settings.rate_limit_per_tenant, window_s)
        self._overall = Limit("overall", settings.rate_limit_overall, window_s)
        self._cost_user = Limit("cost_per_user", settings.rate_limit_cost_per_user, window_s)
        self._cost_service = Limit("cost_per_service", settings.rate_limit_cost_per_service, window_s)
        self._link = Limit("link", settings.rate_limit_per_link, window_s)

    def check(self, caller: Principal) -> RateLimitResult | None:
        """Count one operation. Return None if nothing is limited. See `to_error` for a rejection."""
        mine = self._user if caller.role is Role.USER else self._service
        return self._limiter.check((mine, caller.mailbox), (self._tenant, caller.tenant), (self._overall, ""))

    def charge(self, caller: Principal, cost: float) -> RateLimited | None:
        """Charge the cost of an operation to its caller. Return an error if the budget is exceeded.

        Cheap operations are limited only by number."""
        if cost < CHARGED_COST_MIN:
            return None
        limit = self._cost_user if caller.role is Role.USER else self._cost_service
        verdict = self._limiter.check((limit, caller.mailbox), amount=math.ceil(cost))
        if verdict is None or verdict.retry_after_s is None:
            return None
        return RateLimited(
            f"Operations that cost more than {limit.max_requests:,} in all within {limit.window_s} s "
            f"(HUB_RATE_LIMIT_{limit.name.upper()}); this one costs {cost:,.0f}.",
            round(verdict.retry_after_s, 1),
        )

    def check_link(self, delivery: str) -> RateLimitResult | None:
        """Count one use of the links of a delivery, which need no access token."""
        return self._limiter.check((self._link, delivery))


def to_error(verdict: RateLimitResult | None) -> RateLimited | None:
    """Return the error of a rejection, or None."""
    if verdict is None or verdict.retry_after_s is None:
        return None
    limit = verdict.limit
    name = limit.name if limit.name == "overall" else f"per_{limit.name}"
    setting = f"HUB_RATE_LIMIT_{name.upper()}"
    return RateLimited(
        f"More than {limit.max_requests} operations in {limit.window_s} s ({setting}).", round(verdict.retry_after_s, 1)
    )


def rate_limit_headers(verdict: RateLimitResult | None) -> dict[str, str]:
    """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers), and Retry-After where it refuses."""
    if verdict is None:
        return {}
    limit = verdict.limit
    told = {
        "ratelimit-policy": f'"{limit.name}";q={limit.max_requests};w={limit.window_s}',
        "ratelimit": f'"{limit.name}";r={verdict.remaining};t={math.ceil(verdict.reset_s)}',
    }
    if verdict.retry_after_s is not None:
        told["retry-after"] = str(math.ceil(verdict.retry_after_s))
    return told
