"""Rate limits for operations: per caller, per tenant, and overall."""

import math

from hub.errors import RateLimited
from hub.model import Principal, Role
from hub.platform.rate_limiter import Limit, RateLimiter, RateLimitResult
from hub.settings import Settings

CHARGED_COST_MIN = 100.0  # operations that cost less are limited only by number


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
        """Count one operation. Return None if no limit is configured. `to_error` converts a rejection to an error."""
        per_caller = self._user if caller.role is Role.USER else self._service
        return self._limiter.check((per_caller, caller.mailbox), (self._tenant, caller.tenant), (self._overall, ""))

    def charge(self, caller: Principal, cost: float) -> RateLimited | None:
        """Charge the cost of an operation to its caller. Return an error if the budget is exceeded.

        Operations that cost less than `CHARGED_COST_MIN` are limited only by number.
        """
        if cost < CHARGED_COST_MIN:
            return None
        limit = self._cost_user if caller.role is Role.USER else self._cost_service
        result = self._limiter.check((limit, caller.mailbox), amount=math.ceil(cost))
        if result is None or result.retry_after_s is None:
            return None
        return RateLimited(
            f"Your operations cost more than {limit.max_requests:,} in total within {limit.window_s} s "
            f"(HUB_RATE_LIMIT_{limit.name.upper()}). This one costs {cost:,.0f}. Try again later, or request less.",
            round(result.retry_after_s, 1),
        )

    def check_link(self, link: str) -> RateLimitResult | None:
        """Count one request to a link, which needs no access token."""
        return self._limiter.check((self._link, link))


def to_error(result: RateLimitResult | None) -> RateLimited | None:
    """Return the error for a rejection, or None if the operation is allowed."""
    if result is None or result.retry_after_s is None:
        return None
    limit = result.limit
    name = limit.name if limit.name == "overall" else f"per_{limit.name}"
    setting = f"HUB_RATE_LIMIT_{name.upper()}"
    return RateLimited(
        f"There were more than {limit.max_requests} operations in {limit.window_s} s ({setting}). Try again later.",
        round(result.retry_after_s, 1),
    )


def rate_limit_headers(result: RateLimitResult | None) -> dict[str, str]:
    """Return RateLimit-Policy, RateLimit (draft-ietf-httpapi-ratelimit-headers), and, if rejected, Retry-After."""
    if result is None:
        return {}
    limit = result.limit
    headers = {
        "ratelimit-policy": f'"{limit.name}";q={limit.max_requests};w={limit.window_s}',
        "ratelimit": f'"{limit.name}";r={result.remaining};t={math.ceil(result.reset_s)}',
    }
    if result.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(result.retry_after_s))
    return headers
