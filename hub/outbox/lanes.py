"""Lanes: what waits to be sent, as ids in Redis lists, one list per channel, priority and tenant.

What it guarantees
- Nothing. MongoDB is the truth: an id that is lost here is put on its lane again when its time is over, one that is
  here twice is claimed once.
- Order of taking: CRITICAL before HIGH before MEDIUM before LOW, but now and then a lower one goes first, for a part of
  what is taken, so that none is starved. Within a priority the tenants' lanes take turns.
- A lane holds at most `lane_max`. The rest waits in MongoDB and is let in as room comes.
- A lane on which something lies has a place among those that wait for their turn. Should Redis evict that key and not
  the lane, whoever next puts something on the lane, or asks for its room, gives it a place again.

Putting something rings the channel's bell: a list of one element that one idle worker pops. Who leaves something
behind rings again, for the next worker.

Lists and not streams: taking is one atomic pop over all lanes in turn, and who died with an id in its hands is
MongoDB's business, so that neither groups nor pending entries have a use.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from redis.asyncio import Redis

from hub.model import Priority
from hub.platform.redis_keys import INTEGER, with_key_repair

PRIORITY_ORDERS: tuple[tuple[Priority, ...], ...] = (
    (Priority.CRITICAL, Priority.HIGH, Priority.MEDIUM, Priority.LOW),
    (Priority.HIGH, Priority.CRITICAL, Priority.MEDIUM, Priority.LOW),
    (Priority.MEDIUM, Priority.CRITICAL, Priority.HIGH, Priority.LOW),
    (Priority.LOW, Priority.CRITICAL, Priority.HIGH, Priority.MEDIUM),
)
ROTATION = "1112111311141113"  # of every 16 takings, which order: LOW is first in one, MEDIUM in two, HIGH in one
T = TypeVar("T")
ANTI_STARVATION_SHARE = 4  # who goes first out of turn gets a quarter of what is taken

WAIT_SCRIPT = """
local function wait(prefix, lane)
    local channel, priority = string.match(lane, '^([^/]+)/([^/]+)/')
    if not channel then return nil end -- no lane of ours
    local waiting = prefix .. 'waiting:' .. channel .. '/' .. priority
    local last = redis.call('ZREVRANGE', waiting, 0, 0, 'WITHSCORES')[2]
    redis.call('ZADD', waiting, 'NX', tonumber(last or 0) + 1, lane)
    return channel
end
"""
"""A lane stands behind all others that wait, unless it has its place among them already."""
PUT_SCRIPT = (
    WAIT_SCRIPT
    + """
local prefix, most = ARGV[1], tonumber(ARGV[2])
local refused, placed, rung = {}, {}, {}
for i = 3, #ARGV, 2 do
    local lane, id = ARGV[i], ARGV[i + 1]
    local key = prefix .. 'lane:' .. lane
    if redis.call('LLEN', key) >= most then
        refused[#refused + 1] = id
    else
        redis.call('RPUSH', key, id)
        if not placed[lane] then
            placed[lane] = true
            local channel = wait(prefix, lane)
            if channel then rung[channel] = true end
        end
    end
end
for channel in pairs(rung) do
    local bell = prefix .. 'bell:' .. channel
    if redis.call('LLEN', bell) == 0 then
        redis.call('RPUSH', bell, 1)
    end
end
return refused
"""
)
FREE_CAPACITY = (
    WAIT_SCRIPT
    + """
local prefix, most = ARGV[1], tonumber(ARGV[2])
local rooms = {}
for i = 3, #ARGV do
    local lying = redis.call('LLEN', prefix .. 'lane:' .. ARGV[i])
    if lying > 0 then wait(prefix, ARGV[i]) end
    rooms[#rooms + 1] = math.max(0, most - lying)
end
return rooms
"""
)
TAKE_SCRIPT = (
    WAIT_SCRIPT
    + """
local prefix, channel, wanted, share = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local orders = cjson.decode(ARGV[5])
local each, held = tonumber(ARGV[7]), {}
for i = 8, #ARGV, 2 do held[ARGV[i]] = tonumber(ARGV[i + 1]) end
local turn = (tonumber(redis.call('GET', prefix .. 'turn:' .. channel) or 0) + 1) % #ARGV[6] + 1
local order = orders[tonumber(string.sub(ARGV[6], turn, turn))]
local taken, from, left = {}, {}, false

local function drain(priority, most)
    local waiting = prefix .. 'waiting:' .. channel .. '/' .. priority
    local passed = {}
    local until_now = #taken
    while #taken - until_now < most do
        local lanes, before = redis.call('ZCARD', waiting), #taken
        for n = lanes, 1, -1 do
            local room = most - (#taken - until_now)
            if room <= 0 then break end
            local lane = redis.call('ZPOPMIN', waiting)[1]
            local tenant = string.match(lane, '^[^/]+/[^/]+/(.*)$') or ''
            local allowed = math.min(math.ceil(room / n), each - (held[tenant] or 0))
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

if order ~= orders[1] then drain(order[1], math.ceil(wanted / share)) end
for _, priority in ipairs(orders[1]) do
    if #taken >= wanted then
        if redis.call('EXISTS', prefix .. 'waiting:' .. channel .. '/' .. priority) > 0 then left = true end
    else
        drain(priority, wanted - #taken)
    end
end
if #taken > 0 then redis.call('INCR', prefix .. 'turn:' .. channel) end
if left and #taken > 0 then
    local bell = prefix .. 'bell:' .. channel
    if redis.call('LLEN', bell) == 0 then redis.call('RPUSH', bell, 1) end
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
"""A turn that nobody ends lasts for its time. A key that lasts longer, or for ever, is not ours."""
KEY_TYPES = {"lane": "list", "waiting": "zset", "bell": "list", "turn": INTEGER, "filled": "string", "tick": "string"}
"""What the keys hold, by the first word of their names."""
SCAN_BATCH_SIZE = 1000  # keys a round trip


class LaneDepth(Struct, frozen=True):
    """How many ids lie on the lanes of one channel and priority, on how many lanes, and the oldest at their heads."""

    channel: str
    priority: str
    waiting: int
    lanes: int
    oldest: str


def lane_of(channel: str, priority: str, tenant: str) -> str:
    """`EMAIL/HIGH/acme`."""
    return f"{channel}/{priority}/{tenant}"


class Lanes:
    """Every method raises one of REDIS_ERRORS when Redis is away."""

    def __init__(self, redis: Redis, prefix: str, lane_max: int) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lane_max = lane_max
        self._put_script = redis.register_script(PUT_SCRIPT)
        self._free_capacity_script = redis.register_script(FREE_CAPACITY)
        self._take_script = redis.register_script(TAKE_SCRIPT)
        self._tick_script = redis.register_script(TICK_SCRIPT)
        self._orders = "[" + ",".join('["' + '","'.join(order) + '"]' for order in PRIORITY_ORDERS) + "]"

    async def put(self, entries: Sequence[tuple[str, str]]) -> list[str]:
        """Puts ids on lanes, `(lane, id)`. Answers the ids for which there was no room."""
        args = [word for entry in entries for word in entry]
        refused: Any = await self._with_repair(lambda: self._put_script(args=[self._prefix, self._lane_max, *args]))
        return [id.decode() for id in refused]

    async def take(
        self, channel: str, limit: int, per_tenant_max: int, held: Mapping[str, int]
    ) -> list[tuple[str, str]]:
        """Up to `most` of one channel, `(lane, id)`, so that with what the caller has `held` of a tenant it has no more
        than `each` of any."""
        held_args = [word for pair in held.items() for word in pair]
        args = [self._prefix, channel, limit, ANTI_STARVATION_SHARE, self._orders, ROTATION, per_tenant_max, *held_args]
        lanes, ids = await self._with_repair(lambda: self._take_script(args=args))
        return [(_text(lane), id.decode()) for lane, id in zip(lanes, ids, strict=True)]

    async def free_capacity(self, lanes: Sequence[str]) -> list[int]:
        """How many more each lane takes."""
        rooms: list[int] = await self._with_repair(
            lambda: self._free_capacity_script(args=[self._prefix, self._lane_max, *lanes])
        )
        return rooms

    async def detect_flush(self, queue: str, for_s: float) -> bool:
        """Whether Redis has lost everything since `filled` was said last, by anyone. Who is told so has `for_s` to make
        it due again: nobody else is told meanwhile."""
        return bool(await self._redis.set(f"{self._prefix}filled:{queue}", 1, nx=True, px=int(for_s * 1000)))

    async def mark_restored(self, queue: str) -> None:
        """What was lost is due again."""
        await self._redis.set(f"{self._prefix}filled:{queue}", 1)

    async def acquire_tick_lock(self, queue: str, for_ms: int) -> bool:
        """Whether it is the caller's turn to tick: one a round is enough, though two would do no harm."""
        return bool(await self._tick_script(keys=[f"{self._prefix}tick:{queue}"], args=[for_ms]))

    async def release_tick_lock(self, queue: str) -> None:
        """Ends the turn to tick."""
        await self._redis.delete(f"{self._prefix}tick:{queue}")

    async def wait_for_wakeup(self, channels: Collection[str], timeout_s: float) -> str | None:
        """The channel whose bell rang, None after `timeout_s`. Blocks its connection."""
        wakeup_keys = [f"{self._prefix}bell:{channel}" for channel in channels]
        popped: list[bytes] | None = await self._with_repair(
            lambda: self._redis.execute_command("BLPOP", *wakeup_keys, timeout_s)  # type: ignore[no-untyped-call]
        )
        return popped[0].decode().rpartition(":")[2] if popped else None

    async def heads(self, lanes: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return how many ids lie on each of these lanes, and the first of them. Empty lanes are left out."""

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
        """Of those lanes that hold anything."""
        return await self._with_repair(lambda: self._depths(channels))

    async def _depths(self, channels: Collection[str]) -> list[LaneDepth]:
        groups = [(channel, priority) for channel in channels for priority in Priority]
        pipeline = self._redis.pipeline(transaction=False)
        for channel, priority in groups:
            pipeline.zrange(f"{self._prefix}waiting:{channel}/{priority}", 0, -1)
        found = []
        for (channel, priority), lanes in zip(groups, await pipeline.execute(), strict=True):
            pipeline = self._redis.pipeline(transaction=False)
            for lane in lanes:
                key = f"{self._prefix}lane:{_text(lane)}"
                pipeline.llen(key)
                pipeline.lindex(key, 0)
            replies = await pipeline.execute() if lanes else []
            heads = [_text(head) for head in replies[1::2] if head]  # a lane may have been emptied in between
            if heads:
                found.append(LaneDepth(channel, priority, sum(replies[::2]), len(heads), min(heads)))
        return found

    async def _with_repair(self, call: Callable[[], Awaitable[T]]) -> T:
        """Calls again, without keys that hold what the hub did not write. What lay on them is due again in MongoDB."""
        return await with_key_repair(self._redis, call, self._key_types)

    async def _key_types(self) -> dict[str, str]:
        found: dict[str, str] = {}
        async for key in self._redis.scan_iter(match=f"{self._prefix}*", count=SCAN_BATCH_SIZE):
            name = _text(key)
            if type_ := KEY_TYPES.get(name.removeprefix(self._prefix).partition(":")[0]):
                found[name] = type_
        return found


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
