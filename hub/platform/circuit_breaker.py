"""Circuit breakers, shared by all workers through Redis.

Each provider in the settings has one breaker. Each URL of a user or tenant has two breakers per tenant: one for the URL
and one for its host. The breaker of a host counts only failures that prove that the host is down (no connection, or a
TLS error), because unrelated users share a host. Other failures count only for the URL. Redis stores keys only for URLs
and hosts that failed within `KEY_TTL_S`.

| state | calls | change |
|---|---|---|
| closed | allowed; the last `WINDOW` results are stored | opens after `FAILURE_THRESHOLD` failures in a full window |
| open | none for `open_s`, which doubles each time up to `OPEN_MAX_S` | half open after that |
| half open | one call as a probe | success closes the breaker; failure opens it again |

Results of calls that started before the breaker opened are ignored. A sorted set has the names of the breakers that are
not closed, with the time at which each is forgotten. If Redis is unavailable, all calls are allowed, and
`hub_breaker_redis_errors` counts the failed calls to Redis.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from redis.asyncio import Redis
from yarl import URL

from hub.platform import metrics
from hub.platform.redis_errors import REDIS_ERRORS
from hub.platform.redis_key_repair import with_key_repair

WINDOW = 10
FAILURE_THRESHOLD = 7
OPEN_MAX_S = 600
PROBE_TIMEOUT_S = 60  # a probe without a result for this long is lost
PROBE_DUE_S = 0.1  # the wait of a caller that would otherwise get a probe, as in `CHECK_SCRIPT`
PROBE_RETRY_S = 2  # wait while another worker's probe is in progress
KEY_TTL_S = 3600
LISTED_MAX = 1000  # breakers that `list_open` returns
SEPARATOR = "/"  # in the names of URLs and hosts. Provider names do not contain it.

log = structlog.get_logger(__name__)

CHECK_SCRIPT = """
local now, waits = redis.call('TIME'), {}
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
for i = 1, #KEYS / 2 do
    local key, probe = KEYS[2 * i - 1], KEYS[2 * i]
    local opened = tonumber(redis.call('HGET', key, 'until') or 0) or 0
    if opened == 0 then
        waits[i] = -1
    elseif opened > ms then
        waits[i] = opened - ms
    elseif ARGV[2 + i] == '0' then
        waits[i] = 100
    else
        local left = redis.call('PTTL', probe)
        if left < 0 then -- no probe, or a foreign key
            redis.call('SET', probe, 1, 'PX', ARGV[1])
            waits[i] = 0
        else
            waits[i] = math.max(100, math.min(left, tonumber(ARGV[2])))
        end
    end
end
return waits
"""
RECORD_SCRIPT = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local window, opens_at, open_ms, open_max_ms, forgotten = unpack(ARGV, 1, 5)
local listed = KEYS[1]
for i = 1, (#KEYS - 1) / 3 do
    local key, stored, probe = unpack(KEYS, 3 * i - 1, 3 * i + 1)
    local name, results, sparse = ARGV[3 + 3 * i], ARGV[4 + 3 * i], ARGV[5 + 3 * i] == '1'
    local opened = tonumber(redis.call('HGET', key, 'until') or 0) or 0
    local function open(times)
        local wait = math.min(open_ms * 2 ^ (times - 1), open_max_ms)
        redis.call('HSET', key, 'until', ms + math.floor(wait), 'times', times)
        redis.call('HSETNX', key, 'since', ms)
        redis.call('DEL', stored, probe)
        redis.call('ZREMRANGEBYSCORE', listed, '-inf', ms)
        redis.call('ZADD', listed, ms + forgotten * 1000, name)
        redis.call('EXPIRE', listed, forgotten)
    end
    if opened > ms then
        -- results of calls that started before it opened
    elseif opened > 0 then
        if string.find(results, '1', 1, true) then
            redis.call('DEL', key, stored, probe)
            redis.call('ZREM', listed, name)
        else
            open((tonumber(redis.call('HGET', key, 'times') or 0) or 0) + 1)
        end
    elseif sparse and not string.find(results, '0', 1, true) and redis.call('EXISTS', stored) == 0 then
        -- successful, and no failure is stored
    else
        for n = 1, #results do redis.call('LPUSH', stored, string.sub(results, n, n)) end
        redis.call('LTRIM', stored, 0, window - 1)
        redis.call('EXPIRE', stored, forgotten)
        local kept, failed = redis.call('LRANGE', stored, 0, -1), 0
        for _, result in ipairs(kept) do if result == '0' then failed = failed + 1 end end
        if #kept >= tonumber(window) and failed >= tonumber(opens_at) then open(1) end
    end
    if opened <= ms then redis.call('EXPIRE', key, forgotten) end
end
"""


def breaker_names(kind: str, tenant: str, url: str, id: str) -> tuple[str, str]:
    """Return the breaker names for a call to a tenant's URL: one for the host, and one for the URL, identified by `id`.

    A host is identified by its origin, because another port or scheme may be another server."""
    try:
        parsed = URL(url, encoded=True)
        origin = f"{parsed.scheme}://{(parsed.raw_host or '').lower()}:{parsed.port}"
    except ValueError:
        origin = ""
    return SEPARATOR.join((kind, tenant, origin)), SEPARATOR.join((kind, tenant, id))


class Breakers:
    def __init__(self, redis: Redis, prefix: str, open_s: float) -> None:
        self._redis = redis
        self._prefix = prefix
        self._open_s = open_s
        self._open_key = f"{prefix}open_breakers"
        self._check_script = redis.register_script(CHECK_SCRIPT)
        self._record_script = redis.register_script(RECORD_SCRIPT)

    async def check(self, names: Collection[str], probing: Collection[str] | None = None) -> dict[str, float]:
        """Return the seconds to wait before a call, by name. A negative value means that the breaker is closed. 0 means
        that this caller must send one probe. Pass `probing` to limit the names for which a probe may be granted."""
        listed = list(names)
        flags = [int(probing is None or name in probing) for name in listed]
        try:
            waits_ms = await self._with_repair(
                listed,
                lambda: self._check_script(
                    keys=[key for name in listed for key in (self._key(name), f"{self._key(name)}:probe")],
                    args=[PROBE_TIMEOUT_S * 1000, PROBE_RETRY_S * 1000, *flags],
                ),
            )
        except REDIS_ERRORS as error:
            _report(error)
            return dict.fromkeys(listed, -1.0)
        return {name: wait / 1000 if wait > 0 else float(wait) for name, wait in zip(listed, waits_ms, strict=True)}

    async def find_open(self, names: Collection[str]) -> set[str]:
        """Return the names of breakers that allow neither calls nor a probe now."""
        waits = await self.check(names, probing=())
        return {name for name, wait_s in waits.items() if wait_s > PROBE_DUE_S}

    async def record(self, results: Mapping[str, Sequence[bool]]) -> None:
        """Record the results of calls by name. True means that the provider works."""
        recent = {name: "".join("01"[ok] for ok in oks[-WINDOW:]) for name, oks in results.items() if oks}
        if not recent:
            return
        args: list[Any] = [WINDOW, FAILURE_THRESHOLD, self._open_s * 1000, OPEN_MAX_S * 1000, KEY_TTL_S]
        keys = [self._open_key]
        for name, text in recent.items():
            args += [name, text, int(SEPARATOR in name)]
            keys += [self._key(name), f"{self._key(name)}:results", f"{self._key(name)}:probe"]
        try:
            await self._with_repair(recent, lambda: self._record_script(keys=keys, args=args))
        except REDIS_ERRORS as error:
            _report(error)

    async def open_since(self, names: Sequence[str]) -> dict[str, datetime | None]:
        """Return the names of breakers that are not closed, with the time when each opened, or None if unknown."""
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            pipeline.hmget(self._key(name), "until", "since")
        replies = zip(names, await pipeline.execute(raise_on_error=False), strict=True)
        rows = [(name, *row) for name, row in replies if isinstance(row, list) and _is_number(row[0])]
        return {
            name: datetime.fromtimestamp(int(since) / 1000, UTC) if _is_number(since) else None
            for name, _, since in rows
        }

    async def release_probes(self, names: Collection[str]) -> None:
        """Release probes that were granted but not sent, so other workers may send them."""
        if not names:
            return
        try:
            await self._redis.unlink(*(f"{self._key(name)}:probe" for name in names))
        except REDIS_ERRORS as error:
            _report(error)

    async def list_open(self) -> dict[str, float]:
        """Return the names of breakers that are not closed, with the seconds until each allows a probe. At most
        LISTED_MAX are returned."""
        found: list[bytes] = await self._with_repair(
            (), lambda: self._redis.zrevrange(self._open_key, 0, LISTED_MAX - 1)
        )
        names = [name.decode(errors="replace") for name in found]
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        for name in names:
            pipeline.hget(self._key(name), "until")
        (seconds, micros), *until = await pipeline.execute(raise_on_error=False)
        now = seconds + micros / 1_000_000
        return {name: max(0.0, int(at) / 1000 - now) for name, at in zip(names, until, strict=True) if _is_number(at)}

    async def _with_repair(self, names: Collection[str], call: Callable[[], Awaitable[Any]]) -> Any:
        async def types() -> dict[str, str]:
            keys = [self._key(name) for name in names]
            results = dict.fromkeys([f"{key}:results" for key in keys], "list")
            return {self._open_key: "zset", **dict.fromkeys(keys, "hash"), **results}

        return await with_key_repair(self._redis, call, types)

    def _key(self, name: str) -> str:
        return f"{self._prefix}breaker:{name}"


def _report(error: BaseException) -> None:
    metrics.breaker_redis_errors.inc()
    log.warning("breakers_unavailable", error=error, throttled=True)


def _is_number(value: object) -> bool:
    return isinstance(value, bytes) and value.isdigit()
