"""The pub/sub connection is lost when nothing arrives, and not when heartbeats wait behind other messages."""

import asyncio
import time
from contextlib import suppress

import pytest
from redis.asyncio import Redis as RedisClient

from hub.live import pubsub
from hub.live.pubsub import PubSubConnection
from hub.platform.embedded_servers import Mongod, Redis

TIMEOUT_S = 60.0


async def test_heartbeats_may_be_late_while_other_messages_arrive(
    servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only messages arrive, and no heartbeat: the connection is kept up to a limit."""
    monkeypatch.setattr(pubsub, "HEARTBEAT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(pubsub, "LATE_HEARTBEAT_TIMEOUT_S", 3.0)
    monkeypatch.setattr(pubsub, "HEARTBEAT_S", 3600.0)  # one heartbeat, at the start
    received: list[bytes] = []
    async with RedisClient.from_url(servers[1].url) as redis:
        connection = PubSubConnection(
            lambda: RedisClient.from_url(servers[1].url),
            redis,
            "pubsub-test:",
            lambda _, data: received.append(data),
            lambda: None,
        )
        connection.subscribe("pubsub-test:messages")
        running = asyncio.create_task(connection.run())
        try:
            await _connect(connection, redis)
            connected_at, generation = time.monotonic(), connection.generation
            while time.monotonic() < connected_at + 1.5:
                await redis.publish("pubsub-test:messages", b"m")
                await asyncio.sleep(0.1)
            assert connection.generation == generation
            assert received
            while connection.generation == generation and time.monotonic() < connected_at + TIMEOUT_S:
                await redis.publish("pubsub-test:messages", b"m")
                await asyncio.sleep(0.1)
            assert connection.generation == generation + 1  # the limit

            await _connect(connection, redis)
            generation = connection.generation
            async with asyncio.timeout(TIMEOUT_S):
                while connection.generation == generation:  # nothing arrives
                    await asyncio.sleep(0.1)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def _connect(connection: PubSubConnection, redis: RedisClient) -> None:
    """Send heartbeats until the connection is up."""
    heartbeat = connection._heartbeat_channel
    while connection.disconnected:
        await redis.publish(heartbeat, b"")
        await asyncio.sleep(0.05)
