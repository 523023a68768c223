"""The limit of SMS to one user in an hour, shared by all workers through Redis.

A sorted set per user has the ids of the deliveries that were admitted in the last hour. It is checked and changed in
one script, because limits that each process counts by itself would be exceeded by the number of processes. An id counts
once, however often its delivery is tried. Without Redis, no delivery is held.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import structlog
from redis.asyncio import Redis

from hub.platform import metrics
from hub.platform.redis_errors import REDIS_ERRORS
from hub.platform.redis_key_repair import with_key_repair
from hub.utc_time import Clock

WINDOW_MS = 3_600_000
ADMIT_SCRIPT = """
local now, window_ms, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local waits_ms = {}
for i, key in ipairs(KEYS) do
    local id = ARGV[i + 3]
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window_ms)
    local count = redis.call('ZCARD', key)
    if count < most or redis.call('ZSCORE', key, id) then
        redis.call('ZADD', key, now, id)
        redis.call('PEXPIRE', key, window_ms)
        waits_ms[i] = 0
    else
        local frees = redis.call('ZRANGE', key, count - most, count - most, 'WITHSCORES')[2]
        waits_ms[i] = math.min(window_ms, tonumber(frees) + window_ms - now)
    end
end
return waits_ms
"""

log = structlog.get_logger(__name__)


class SmsLimit:
    """`per_user`: HUB_SMS_LIMIT_PER_USER. 0 is unlimited."""

    def __init__(self, redis: Redis, prefix: str, per_user: int, clock: Clock) -> None:
        self._redis = redis
        self._prefix = prefix
        self._per_user = per_user
        self._clock = clock
        self._script = redis.register_script(ADMIT_SCRIPT)

    async def waits_s(self, deliveries: Sequence[tuple[str, str]]) -> dict[str, float]:
        """Count deliveries, given as `(id, user)`. Return the seconds until those over the limit may be sent, by id."""
        if not self._per_user or not deliveries:
            return {}
        keys = [self._key(user) for _, user in deliveries]
        now_ms = int(self._clock().timestamp() * 1000)
        args: list[str | int] = [now_ms, WINDOW_MS, self._per_user, *(id for id, _ in deliveries)]

        async def types() -> dict[str, str]:
            return dict.fromkeys(keys, "zset")

        try:
            waits_ms: Any = await with_key_repair(self._redis, lambda: self._script(keys=keys, args=args), types)
        except REDIS_ERRORS as error:
            metrics.limiter_redis_errors.inc()
            log.warning("sms_limit_unavailable", error=error)
            return {}
        return {id: wait_ms / 1000 for (id, _), wait_ms in zip(deliveries, waits_ms, strict=True) if wait_ms > 0}

    def _key(self, user: str) -> str:
        hashed = blake2b(user.encode(), digest_size=16).hexdigest()  # no user id in Redis
        return f"{self._prefix}sms_limit:{hashed}"
