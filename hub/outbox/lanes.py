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
from hub.outbox import lane_scripts
from hub.platform.redis_errors import REDIS_ERRORS
from hub.platform.redis_key_repair import INTEGER, with_key_repair

PRIORITY_ORDERS = "[[1,2,3,4],[2,1,3,4],[3,1,2,4],[4,1,2,3]]"
"""The orders of the priorities, by their numbers in `Priority` from 1, as JSON."""
ROTATION = "1112111311141113"  # number of the priority order for each of 16 calls to `take`
T = TypeVar("T")
LOW_GATHER_MS = 1000
ANTI_STARVATION_SHARE = 4  # a lower priority that is taken first gets a quarter of the batch

SCHEDULER_LANES = ("SCHEDULER/", "SCHEDULER0")
"""The bounds of the lanes of the scheduler, because `0` follows the slash. They exist only in the due index."""
SCHEDULER_LANE_OF_JOB = {"$concat": [SCHEDULER_LANES[0], "$priority", "/", "$tenant"]}
"""An aggregation expression: the lane of the scheduler on which a stored job is released (`scheduler_lane`)."""
ALL_LANES = (("", "\U0010ffff"),)
WORKER_LANES = ((ALL_LANES[0][0], SCHEDULER_LANES[0]), (SCHEDULER_LANES[1], ALL_LANES[0][1]))
"""The bounds of all lanes, and of all but those of the scheduler."""
PAUSED_LANES = "PAUSED/"
"""The prefix of the lanes of deliveries whose channel is paused. They exist only in MongoDB, and none of these
deliveries is due."""
KEY_TYPES = {
    "lane": "list",
    "waiting": "zset",
    "wakeup": "list",
    "rotation": INTEGER,
    "gathering": "string",
}
"""The types of the keys that can be repaired, by the first word of the key."""
HEADS_MAX = 100  # lanes of one channel and priority whose first id `depths` returns


class LaneDepth(Struct, frozen=True):
    """The number of ids and lanes of one channel and priority, and the first ids of up to HEADS_MAX lanes. These are
    the lanes whose turn is next."""

    channel: str
    priority: str
    waiting: int
    lanes: int
    heads: tuple[str, ...]


def lane_of(channel: str, priority: str, tenant: str) -> str:
    """Return the name of a lane: `EMAIL/HIGH/acme`."""
    return f"{channel}/{priority}/{tenant}"


def scheduler_lane(priority: str, tenant: str) -> str:
    """Return the name of the lane of deliveries that the scheduler releases: `SCHEDULER/HIGH/acme`."""
    return f"{SCHEDULER_LANES[0]}{priority}/{tenant}"


def paused_lane(channel: str, priority: str, tenant: str) -> str:
    """Return the name of the lane of deliveries that wait until their channel is resumed: `PAUSED/EMAIL/HIGH/acme`."""
    return f"{PAUSED_LANES}{channel}/{priority}/{tenant}"


class Lanes:
    """The lanes of all channels. If Redis is unavailable, every method raises one of REDIS_ERRORS."""

    def __init__(self, redis: Redis, prefix: str, lane_max: int, gather_ms: int = LOW_GATHER_MS) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lane_max = lane_max
        self._gather_ms = gather_ms
        self._put_script = redis.register_script(lane_scripts.PUT)
        self._free_capacity_script = redis.register_script(lane_scripts.FREE_CAPACITY)
        self._next_lanes_script = redis.register_script(lane_scripts.NEXT_LANES)
        self._take_script = redis.register_script(lane_scripts.TAKE)
        self._tick_script = redis.register_script(lane_scripts.TICK)

    async def put(self, entries: Sequence[tuple[str, str]]) -> list[str]:
        """Push ids to lanes, as `(lane, id)`. Return the ids that did not fit."""
        numbers = {lane: number for number, lane in enumerate(dict.fromkeys(lane for lane, _ in entries), 1)}
        groups = {group: number for number, group in enumerate(dict.fromkeys(group_of(lane) for lane in numbers))}
        keys = [self._lane_key(lane) for lane in numbers]
        for channel, priority in groups:
            keys += [
                self._waiting_key(channel, priority),
                self._key("gathering", channel),
                self._key("wakeup", channel),
            ]
        args: list[str | int] = [self._lane_max, self._gather_ms, len(numbers)]
        for lane in numbers:
            group = group_of(lane)
            args += [lane, groups[group], int(group[1] == Priority.LOW)]
        args += [value for lane, id in entries for value in (numbers[lane], id)]
        refused: Any = await self._with_repair(keys, lambda: self._put_script(keys=keys, args=args))
        return [id.decode() for id in refused]

    async def take(
        self, channel: str, limit: int, per_tenant_max: int, held: Mapping[str, int]
    ) -> list[tuple[str, str]]:
        """Pop up to `limit` ids of one channel, as `(lane, id)`. Including the jobs that the caller already has
        (`held`, by tenant), no tenant gets more than `per_tenant_max`."""
        waiting_keys = [self._waiting_key(channel, priority) for priority in Priority]
        keys = [*(self._key(word, channel) for word in ("gathering", "rotation", "wakeup")), *waiting_keys]
        args: list[str | int] = [limit, ANTI_STARVATION_SHARE, PRIORITY_ORDERS, ROTATION, per_tenant_max]
        args.append(self._gather_ms)
        held_args = [value for pair in held.items() for value in pair]

        async def take() -> Any:
            """Read the lanes whose turn is next, then take from them. Each lane yields an id, unless the caller holds
            too many jobs of its tenant."""
            waiting = await self._next_lanes_script(keys=waiting_keys, args=[limit + len(held) - 1])
            found = [(_text(lane), number) for number, lanes in enumerate(waiting, 1) for lane in lanes]
            if not found:
                return [], []
            keys[lane_scripts.TAKE_FIXED_KEYS :] = [self._lane_key(lane) for lane, _ in found]
            lane_args = [value for lane, number in found for value in (lane, lane.split("/", 2)[-1], number)]
            return await self._take_script(keys=keys, args=[*args, len(found), *lane_args, *held_args])

        lanes, ids = await self._with_repair(keys, take)
        return [(_text(lane), id.decode()) for lane, id in zip(lanes, ids, strict=True)]

    async def free_capacity(self, lanes: Sequence[str]) -> list[int]:
        """Return the number of ids that can be added to each lane."""
        keys = [key for lane in lanes for key in (self._lane_key(lane), self._waiting_key(*group_of(lane)))]
        capacities: list[int] = await self._with_repair(
            keys, lambda: self._free_capacity_script(keys=keys, args=[self._lane_max, *lanes])
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
        wakeup_keys = [self._key("wakeup", channel) for channel in channels]
        popped: list[bytes] | None = await self._with_repair(
            wakeup_keys,
            lambda: self._redis.execute_command("BLPOP", *wakeup_keys, timeout_s),  # type: ignore[no-untyped-call]
        )
        return popped[0].decode().rpartition(":")[2] if popped else None

    async def heads(self, lanes: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return the number of ids on each lane and the first id. Empty lanes are omitted."""
        keys = [self._lane_key(lane) for lane in lanes]

        async def read_heads() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.llen(key)
                pipeline.lindex(key, 0)
            replies: list[Any] = await pipeline.execute()
            return replies

        replies = await self._with_repair(keys, read_heads)
        rows = zip(lanes, replies[::2], replies[1::2], strict=True)
        return {lane: (count, _text(head)) for lane, count, head in rows if head}

    async def depths(self, channels: Collection[str]) -> list[LaneDepth]:
        """Return the depths of the lanes that are not empty."""
        groups = [(channel, priority) for channel in channels for priority in Priority]
        keys = [self._waiting_key(*group) for group in groups]

        async def read_waiting() -> list[list[bytes]]:
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.zrange(key, 0, -1)
            return await pipeline.execute()

        depths = []
        for (channel, priority), lanes in zip(groups, await self._with_repair(keys, read_waiting), strict=True):
            found = await self.heads([_text(lane) for lane in lanes]) if lanes else {}
            if found:  # a lane may have become empty in the meantime
                waiting, heads = sum(count for count, _ in found.values()), [head for _, head in found.values()]
                depths.append(LaneDepth(channel, priority, waiting, len(found), tuple(heads[:HEADS_MAX])))
        return depths

    async def _with_repair(self, keys: Collection[str], call: Callable[[], Awaitable[T]]) -> T:
        """Run `call`, which uses `keys`. If a key has a wrong type, delete it and run `call` again. Lost jobs become
        due in MongoDB."""

        async def types() -> dict[str, str]:
            return {key: KEY_TYPES[key.removeprefix(self._prefix).partition(":")[0]] for key in keys}

        return await with_key_repair(self._redis, call, types)

    def _key(self, word: str, name: str) -> str:
        return f"{self._prefix}{word}:{name}"

    def _lane_key(self, lane: str) -> str:
        return self._key("lane", lane)

    def _waiting_key(self, channel: str, priority: str) -> str:
        return self._key("waiting", f"{channel}/{priority}")


def group_of(lane: str) -> tuple[str, str]:
    """Return the channel and priority of a lane."""
    channel, _, rest = lane.partition("/")
    return channel, rest.partition("/")[0]


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
