"""Lanes: Redis lists of job ids, with one list per channel, priority, and tenant.

Properties
- Lanes are not durable: MongoDB is the source of truth. An id that Redis loses is pushed again when its job is due. The
  job of a duplicate id is claimed only once.
- Order: CRITICAL before HIGH before MEDIUM before LOW. To prevent starvation, a lower priority is sometimes taken first
  for a part of the batch. Within a priority, the tenants' lanes take turns.
- LOW is gathered: from the first id on the empty LOW lanes of a channel, no id of them is taken for `LOW_GATHER_MS`, so
  the ids of that time are claimed together. Then these lanes have the same share of the rotation as others, until all
  of them are empty. A backlog is therefore not delayed, and other work does not starve it.
- A lane contains at most `lane_max` ids. Further jobs wait in MongoDB until the lane has capacity.
- Each lane with ids is in the sorted set of waiting lanes. If Redis evicts this set but not the lane, the next `put` or
  `free_capacity` adds the lane again.

`put` pushes one wake-up token per channel, which one idle worker pops. If the worker does not take all ids, a new token
is pushed. LOW has no tokens: idle workers poll once per second.

The lanes are lists, not streams: `take` is one atomic pop over all lanes, and MongoDB tracks the jobs of dead workers.
Consumer groups and pending entries are not needed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from msgspec import Struct
from redis.asyncio import Redis

from hub.model import Priority
from hub.platform.redis_errors import REDIS_ERRORS
from hub.platform.redis_key_repair import INTEGER, with_key_repair

PRIORITY_ORDERS: tuple[tuple[Priority, ...], ...] = (
    (Priority.CRITICAL, Priority.HIGH, Priority.MEDIUM, Priority.LOW),
    (Priority.HIGH, Priority.CRITICAL, Priority.MEDIUM, Priority.LOW),
    (Priority.MEDIUM, Priority.CRITICAL, Priority.HIGH, Priority.LOW),
    (Priority.LOW, Priority.CRITICAL, Priority.HIGH, Priority.MEDIUM),
)
ROTATION = "1112111311141113"  # number of the priority order for each of 16 calls to `take`
T = TypeVar("T")
LOW_GATHER_MS = 1000
ANTI_STARVATION_SHARE = 4  # a lower priority that is taken first gets a quarter of the batch

WAIT_SCRIPT = """
local function wait(prefix, lane)
    local channel, priority = string.match(lane, '^([^/]+)/([^/]+)/')
    if not channel then return nil end -- not a lane of the hub
    local waiting = prefix .. 'waiting:' .. channel .. '/' .. priority
    local last = redis.call('ZREVRANGE', waiting, 0, 0, 'WITHSCORES')[2]
    redis.call('ZADD', waiting, 'NX', tonumber(last or 0) + 1, lane)
    return channel
end
"""
"""Adds a lane after all waiting lanes, unless it is already waiting."""
PUT_SCRIPT = (
    WAIT_SCRIPT
    + """
local prefix, lane_max = ARGV[1], tonumber(ARGV[2])
local refused, listed, wakeups = {}, {}, {}
local gather_ms = tonumber(ARGV[3])
for i = 4, #ARGV, 2 do
    local lane, id = ARGV[i], ARGV[i + 1]
    local key = prefix .. 'lane:' .. lane
    if redis.call('LLEN', key) >= lane_max then
        refused[#refused + 1] = id
    else
        redis.call('RPUSH', key, id)
        if not listed[lane] then
            listed[lane] = true
            local low = string.match(lane, '^([^/]+)/LOW/')
            if low and gather_ms > 0 and redis.call('EXISTS', prefix .. 'waiting:' .. low .. '/LOW') == 0 then
                redis.call('SET', prefix .. 'gathering:' .. low, 1, 'PX', gather_ms)
            end
            local channel = wait(prefix, lane)
            if channel and not low then wakeups[channel] = true end
        end
    end
end
for channel in pairs(wakeups) do
    local wakeup = prefix .. 'wakeup:' .. channel
    if redis.call('LLEN', wakeup) == 0 then
        redis.call('RPUSH', wakeup, 1)
    end
end
return refused
"""
)
FREE_CAPACITY_SCRIPT = (
    WAIT_SCRIPT
    + """
local prefix, lane_max = ARGV[1], tonumber(ARGV[2])
local capacities = {}
for i = 3, #ARGV do
    local length = redis.call('LLEN', prefix .. 'lane:' .. ARGV[i])
    if length > 0 then wait(prefix, ARGV[i]) end
    capacities[#capacities + 1] = math.max(0, lane_max - length)
end
return capacities
"""
)
TAKE_SCRIPT = (
    WAIT_SCRIPT
    + """
local prefix, channel, limit, share = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local orders = cjson.decode(ARGV[5])
local per_tenant_max, held = tonumber(ARGV[7]), {}
local gather_left, gather_ms = redis.call('PTTL', prefix .. 'gathering:' .. channel), tonumber(ARGV[8])
local gathered = gather_left > 0 and gather_left <= gather_ms and 'LOW'
for i = 9, #ARGV, 2 do held[ARGV[i]] = tonumber(ARGV[i + 1]) end
local turn = (tonumber(redis.call('GET', prefix .. 'rotation:' .. channel) or 0) + 1) % #ARGV[6] + 1
local order = orders[tonumber(string.sub(ARGV[6], turn, turn))]
local taken, from, left = {}, {}, false

local function drain(priority, share_max)
    if priority == gathered then return end
    local waiting = prefix .. 'waiting:' .. channel .. '/' .. priority
    local passed = {}
    local taken_before = #taken
    while #taken - taken_before < share_max do
        local lanes, before = redis.call('ZCARD', waiting), #taken
        for n = lanes, 1, -1 do
            local remaining = share_max - (#taken - taken_before)
            if remaining <= 0 then break end
            local lane = redis.call('ZPOPMIN', waiting)[1]
            local tenant = string.match(lane, '^[^/]+/[^/]+/(.*)$') or ''
            local allowed = math.min(math.ceil(remaining / n), per_tenant_max - (held[tenant] or 0))
            if allowed <= 0 then
                passed[#passed + 1] = lane
            else
                local key = prefix .. 'lane:' .. lane
                local ids = redis.call('LPOP', key, allowed) or {}
                for _, id in ipairs(ids) do
                    taken[#taken + 1] = id
                    from[#from + 1] = lane
                end
                held[tenant] = (held[tenant] or 0) + #ids
                if redis.call('LLEN', key) > 0 then wait(prefix, lane) end
            end
        end
        if #taken == before then break end
    end
    if redis.call('ZCARD', waiting) > 0 then left = true end
    for _, lane in ipairs(passed) do wait(prefix, lane) end
end

if order ~= orders[1] then drain(order[1], math.ceil(limit / share)) end
for _, priority in ipairs(orders[1]) do
    if #taken >= limit then
        local waiting = prefix .. 'waiting:' .. channel .. '/' .. priority
        if priority ~= gathered and redis.call('EXISTS', waiting) > 0 then left = true end
    else
        drain(priority, limit - #taken)
    end
end
if #taken > 0 then redis.call('INCR', prefix .. 'rotation:' .. channel) end
if left and #taken > 0 then
    local wakeup = prefix .. 'wakeup:' .. channel
    if redis.call('LLEN', wakeup) == 0 then redis.call('RPUSH', wakeup, 1) end
end
return {from, taken}
"""
)


TICK_SCRIPT = """
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
return 1
"""
"""The lock expires automatically. A key with a longer or no expiry was not written by the hub and is replaced."""
SCHEDULER_LANES = ("SCHEDULER/", "SCHEDULER0")
"""The bounds of the lanes of the scheduler, because `0` follows the slash. They exist only in the due index."""
WORKER_LANES = (("", SCHEDULER_LANES[0]), (SCHEDULER_LANES[1], "\U0010ffff"))
"""The bounds of all other lanes."""
KEY_TYPES = {
    "lane": "list",
    "waiting": "zset",
    "wakeup": "list",
    "rotation": INTEGER,
    "gathering": "string",
    "flush_marker": "string",
    "tick_lock": "string",
}
"""The types of the keys, by the first word of the key."""
SCAN_BATCH_SIZE = 1000  # keys per round trip


class LaneDepth(Struct, frozen=True):
    """The number of ids and lanes of one channel and priority, and the smallest id at the heads of the lanes."""

    channel: str
    priority: str
    waiting: int
    lanes: int
    oldest: str


def lane_of(channel: str, priority: str, tenant: str) -> str:
    """Return the name of a lane: `EMAIL/HIGH/acme`."""
    return f"{channel}/{priority}/{tenant}"


def scheduler_lane(priority: str, tenant: str) -> str:
    """Return the name of the lane of deliveries that the scheduler releases: `SCHEDULER/HIGH/acme`."""
    return f"{SCHEDULER_LANES[0]}{priority}/{tenant}"


class Lanes:
    """The lanes of all channels. If Redis is unavailable, every method raises one of REDIS_ERRORS."""

    def __init__(self, redis: Redis, prefix: str, lane_max: int, gather_ms: int = LOW_GATHER_MS) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lane_max = lane_max
        self._gather_ms = gather_ms
        self._put_script = redis.register_script(PUT_SCRIPT)
        self._free_capacity_script = redis.register_script(FREE_CAPACITY_SCRIPT)
        self._take_script = redis.register_script(TAKE_SCRIPT)
        self._tick_script = redis.register_script(TICK_SCRIPT)
        self._orders = "[" + ",".join('["' + '","'.join(order) + '"]' for order in PRIORITY_ORDERS) + "]"

    async def put(self, entries: Sequence[tuple[str, str]]) -> list[str]:
        """Push ids to lanes, as `(lane, id)`. Return the ids that did not fit."""
        args = [value for entry in entries for value in entry]
        limits = [self._lane_max, self._gather_ms]
        refused: Any = await self._with_repair(lambda: self._put_script(args=[self._prefix, *limits, *args]))
        return [id.decode() for id in refused]

    async def take(
        self, channel: str, limit: int, per_tenant_max: int, held: Mapping[str, int]
    ) -> list[tuple[str, str]]:
        """Pop up to `limit` ids of one channel, as `(lane, id)`. Including the jobs that the caller already has
        (`held`, by tenant), no tenant gets more than `per_tenant_max`."""
        held_args = [value for pair in held.items() for value in pair]
        args: list[str | int] = [self._prefix, channel, limit, ANTI_STARVATION_SHARE, self._orders, ROTATION]
        args += [per_tenant_max, self._gather_ms, *held_args]
        lanes, ids = await self._with_repair(lambda: self._take_script(args=args))
        return [(_text(lane), id.decode()) for lane, id in zip(lanes, ids, strict=True)]

    async def free_capacity(self, lanes: Sequence[str]) -> list[int]:
        """Return the number of ids that can be added to each lane."""
        capacities: list[int] = await self._with_repair(
            lambda: self._free_capacity_script(args=[self._prefix, self._lane_max, *lanes])
        )
        return capacities

    async def detect_flush(self, queue: str, for_s: float) -> bool:
        """Return True to one caller if Redis lost its data since `mark_restored`. This caller then holds the recovery
        lock for `for_s` seconds."""
        return bool(await self._redis.set(f"{self._prefix}flush_marker:{queue}", 1, nx=True, px=int(for_s * 1000)))

    async def mark_restored(self, queue: str) -> None:
        """Record that all lost jobs are due again, unless Redis lost its data once more in the meantime."""
        await self._redis.set(f"{self._prefix}flush_marker:{queue}", 1, xx=True)

    async def acquire_tick_lock(self, queue: str, for_ms: int) -> bool:
        """Return True if the caller may run this round for `for_ms`. Concurrent rounds are wasteful but harmless."""
        return bool(await self._tick_script(keys=[f"{self._prefix}tick_lock:{queue}"], args=[for_ms]))

    async def release_tick_lock(self, queue: str) -> None:
        """Release the lock of `acquire_tick_lock`."""
        await self._redis.delete(f"{self._prefix}tick_lock:{queue}")

    @asynccontextmanager
    async def tick_lock(self, queue: str, for_ms: int) -> AsyncIterator[bool]:
        """Hold the lock of a task that does not need Redis. The value is True if the caller may run this round. While
        Redis is unavailable, every caller may."""
        try:
            may_run = await self.acquire_tick_lock(queue, for_ms)
        except REDIS_ERRORS:
            may_run = True
        try:
            yield may_run
        finally:
            if may_run:
                with suppress(*REDIS_ERRORS):
                    await self.release_tick_lock(queue)

    async def wait_for_wakeup(self, channels: Collection[str], timeout_s: float) -> str | None:
        """Return the channel whose wake-up token was popped, or None after `timeout_s`. Blocks its connection."""
        wakeup_keys = [f"{self._prefix}wakeup:{channel}" for channel in channels]
        popped: list[bytes] | None = await self._with_repair(
            lambda: self._redis.execute_command("BLPOP", *wakeup_keys, timeout_s)  # type: ignore[no-untyped-call]
        )
        return popped[0].decode().rpartition(":")[2] if popped else None

    async def heads(self, lanes: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return the number of ids on each lane and the first id. Empty lanes are omitted."""

        async def read_heads() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            for lane in lanes:
                pipeline.llen(f"{self._prefix}lane:{lane}")
                pipeline.lindex(f"{self._prefix}lane:{lane}", 0)
            replies: list[Any] = await pipeline.execute()
            return replies

        replies = await self._with_repair(read_heads)
        rows = zip(lanes, replies[::2], replies[1::2], strict=True)
        return {lane: (count, _text(head)) for lane, count, head in rows if head}

    async def depths(self, channels: Collection[str]) -> list[LaneDepth]:
        """Return the depths of the lanes that are not empty."""
        return await self._with_repair(lambda: self._depths(channels))

    async def _depths(self, channels: Collection[str]) -> list[LaneDepth]:
        groups = [(channel, priority) for channel in channels for priority in Priority]
        pipeline = self._redis.pipeline(transaction=False)
        for channel, priority in groups:
            pipeline.zrange(f"{self._prefix}waiting:{channel}/{priority}", 0, -1)
        depths = []
        for (channel, priority), lanes in zip(groups, await pipeline.execute(), strict=True):
            pipeline = self._redis.pipeline(transaction=False)
            for lane in lanes:
                key = f"{self._prefix}lane:{_text(lane)}"
                pipeline.llen(key)
                pipeline.lindex(key, 0)
            replies = await pipeline.execute() if lanes else []
            heads = [_text(head) for head in replies[1::2] if head]  # a lane may have become empty in the meantime
            if heads:
                depths.append(LaneDepth(channel, priority, sum(replies[::2]), len(heads), min(heads)))
        return depths

    async def _with_repair(self, call: Callable[[], Awaitable[T]]) -> T:
        """Run `call`. If a key has a wrong type, delete it and run `call` again. Lost jobs become due in MongoDB."""
        return await with_key_repair(self._redis, call, self._key_types)

    async def _key_types(self) -> dict[str, str]:
        types: dict[str, str] = {}
        async for key in self._redis.scan_iter(match=f"{self._prefix}*", count=SCAN_BATCH_SIZE):
            name = _text(key)
            if type_ := KEY_TYPES.get(name.removeprefix(self._prefix).partition(":")[0]):
                types[name] = type_
        return types


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
