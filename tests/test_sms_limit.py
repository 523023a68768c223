"""The limit of SMS to one user in an hour."""

import random
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from redis.asyncio import Redis as RedisClient

from hub.platform.embedded_servers import Mongod, Redis
from hub.send.sms_limit import SmsLimit
from hub.utc_time import HubTime


async def test_no_window_of_an_hour_has_more_sms_than_the_limit(servers: tuple[Mongod, Redis]) -> None:
    """Two processes ask at random times, also again for deliveries that they asked for before."""
    now = datetime(2026, 11, 30, tzinfo=UTC)
    admitted: dict[str, datetime] = {}
    async with RedisClient.from_url(servers[1].url) as redis:
        prefix = f"sms{uuid4().hex}:"
        processes = [SmsLimit(redis, prefix, 5, lambda: HubTime(now)) for _ in range(2)]
        waiting: dict[str, datetime] = {}
        for number in range(300):
            now += timedelta(seconds=random.choice((0, 0, 1, 200, 900)))
            batch = [(f"d{number}", "acme/alice")]
            batch += [(id, "acme/alice") for id, due_at in waiting.items() if due_at <= now]
            counted = [id for id, at in admitted.items() if at > now - timedelta(hours=1)]
            batch += [(id, "acme/alice") for id in counted[:1]]  # it is tried again
            waits = await random.choice(processes).waits_s(batch)
            assert waits.keys().isdisjoint(counted)
            for id, _ in batch:
                if id in waits:
                    assert 0 < waits[id] <= 3600
                    waiting[id] = now + timedelta(seconds=waits[id])
                else:
                    waiting.pop(id, None)
                    admitted[id] = now  # a delivery that is tried again counts at the time of the last try
            assert sum(at > now - timedelta(hours=1) for at in admitted.values()) <= 5
        assert len(admitted) > 50
        for limit in (SmsLimit(redis, prefix, 0, lambda: HubTime(now)), processes[0]):
            await redis.set(next(iter([key async for key in redis.scan_iter(match=f"{prefix}*")])), "foreign")
            assert await limit.waits_s([("e", "acme/alice")]) == {}
