"""The Redis pub/sub connection of a process.

Each process publishes heartbeats to itself. If a heartbeat does not arrive, or the connection breaks, the state is
`disconnected` until all channels are subscribed again and a heartbeat has arrived. While other messages arrive, a
heartbeat may be up to LATE_HEARTBEAT_TIMEOUT_S late, because it waits behind them. Messages that are published while
disconnected are lost. `on_change` is called when the state changes. The owner then compares mailboxes with the store.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from hub.ids import new_id
from hub.platform.connections import is_cancelling
from hub.platform.redis_errors import REDIS_ERRORS

HEARTBEAT_S = 1.0
HEARTBEAT_TIMEOUT_S = 2.2  # without any message: two heartbeats were missed
LATE_HEARTBEAT_TIMEOUT_S = 15.0  # while other messages arrive
HEARTBEAT_CHECK_S = 0.2
RECONNECT_DELAY_S = 0.3
CONFIRMATION_TIMEOUT_S = 2.0  # of `wait_subscribed`
CHANNELS_PER_COMMAND = 1000

log = structlog.get_logger(__name__)


class PubSubConnection:
    """`connect` returns a client for pub/sub. `redis` is the client for commands."""

    def __init__(
        self,
        connect: Callable[[], Redis],
        redis: Redis,
        prefix: str,
        on_message: Callable[[str, bytes], None],
        on_change: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._redis = redis
        self._heartbeat_channel = f"{prefix}heartbeat:{new_id()}"
        self._on_message = on_message
        self._on_change = on_change
        self._wanted: set[str] = {self._heartbeat_channel}
        self._requested: set[str] = set()
        self._subscribed: set[str] = set()
        self._unconfirmed: Counter[str] = Counter()
        self._awaiting_first: set[str] = set()
        self._changed: dict[str, None] = {}
        self._waiters: dict[str, asyncio.Event] = {}
        self._has_changes = asyncio.Event()
        self._last_heartbeat = 0.0
        self._last_message = 0.0
        self._failure_logged = False
        self.disconnected = True
        self.generation = 0
        """The number of disconnections and reconnections."""

    def subscribe(self, channel: str) -> None:
        """Subscribe to `channel` now and after every reconnection."""
        self._wanted.add(channel)
        self._changed[channel] = None
        self._has_changes.set()

    def unsubscribe(self, channel: str) -> None:
        self._wanted.discard(channel)
        self._changed[channel] = None
        self._has_changes.set()

    async def wait_subscribed(self, channel: str) -> None:
        """Return after Redis has confirmed `channel`, or immediately while disconnected.

        After a reconnection, `on_change` is called, and the changes in missed messages are read from the store."""
        if self.disconnected or channel in self._subscribed:
            return
        event = self._waiters.setdefault(channel, asyncio.Event())
        with suppress(TimeoutError):
            async with asyncio.timeout(CONFIRMATION_TIMEOUT_S):
                await event.wait()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_heartbeats())
            group.create_task(self._stay_connected())

    async def _stay_connected(self) -> None:
        while not is_cancelling():
            client = self._connect()
            pubsub = client.pubsub()
            try:
                await self._listen(pubsub)
            except REDIS_ERRORS as error:
                self._log_first_failure("pubsub_connection_lost", error=error)
            finally:
                self._on_disconnect()
                with suppress(*REDIS_ERRORS):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]
                with suppress(*REDIS_ERRORS):
                    await client.aclose()
            await asyncio.sleep(RECONNECT_DELAY_S)

    async def _listen(self, pubsub: PubSub) -> None:
        """Read messages until the connection breaks or the heartbeat times out."""
        self._awaiting_first = set(self._wanted)
        self._changed = dict.fromkeys(self._wanted)
        await self._send_changes(pubsub)
        loop = asyncio.get_running_loop()
        self._last_heartbeat = self._last_message = loop.time()
        tasks = [
            asyncio.create_task(coroutine)
            for coroutine in (self._read(pubsub), self._apply_changes(pubsub), self._monitor_heartbeat())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, pubsub: PubSub) -> None:
        while True:
            message = await pubsub.get_message(timeout=None)
            if message is None:
                continue
            self._last_message = asyncio.get_running_loop().time()
            channel = message["channel"].decode()
            if message["type"] == "message":
                if channel == self._heartbeat_channel:
                    self._on_heartbeat()
                else:
                    self._on_message(channel, message["data"])
            else:
                self._on_confirmation(channel)

    def _on_confirmation(self, channel: str) -> None:
        """Count a confirmation. The state of a channel is known after its last outstanding confirmation."""
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] > 0:
            return
        del self._unconfirmed[channel]
        self._awaiting_first.discard(channel)
        if channel in self._requested:
            self._subscribed.add(channel)
            if event := self._waiters.pop(channel, None):
                event.set()

    async def _apply_changes(self, pubsub: PubSub) -> None:
        """Subscribe to channels in Redis and unsubscribe from them when the wanted channels change."""
        while not is_cancelling():
            await self._has_changes.wait()
            await self._send_changes(pubsub)

    async def _send_changes(self, pubsub: PubSub) -> None:
        self._has_changes.clear()
        changed, self._changed = self._changed, {}
        added = [channel for channel in changed if channel in self._wanted and channel not in self._requested]
        dropped = [channel for channel in changed if channel not in self._wanted and channel in self._requested]
        self._requested.update(added)
        self._requested.difference_update(dropped)
        self._subscribed.difference_update(dropped)
        self._unconfirmed.update(added)
        self._unconfirmed.update(dropped)
        for start in range(0, len(added), CHANNELS_PER_COMMAND):
            await pubsub.subscribe(*added[start : start + CHANNELS_PER_COMMAND])
        for start in range(0, len(dropped), CHANNELS_PER_COMMAND):
            await pubsub.unsubscribe(*dropped[start : start + CHANNELS_PER_COMMAND])

    async def _monitor_heartbeat(self) -> None:
        loop = asyncio.get_running_loop()
        while (
            loop.time() - self._last_message < HEARTBEAT_TIMEOUT_S
            and loop.time() - self._last_heartbeat < LATE_HEARTBEAT_TIMEOUT_S
        ):
            await asyncio.sleep(HEARTBEAT_CHECK_S)
        self._log_first_failure("pubsub_heartbeat_missed", seconds=round(loop.time() - self._last_heartbeat, 1))

    def _log_first_failure(self, event: str, **fields: object) -> None:
        """Log only the first failure until the connection is restored."""
        if not self._failure_logged:
            self._failure_logged = True
            log.warning(event, **fields)

    async def _send_heartbeats(self) -> None:
        while not is_cancelling():
            with suppress(*REDIS_ERRORS):
                await self._redis.publish(self._heartbeat_channel, b"")
            await asyncio.sleep(HEARTBEAT_S)

    def _on_heartbeat(self) -> None:
        self._last_heartbeat = asyncio.get_running_loop().time()
        if self.disconnected and not self._awaiting_first:
            self.disconnected = False
            self.generation += 1
            level = logging.WARNING if self._failure_logged else logging.INFO  # a warning follows a warning
            self._failure_logged = False
            log.log(level, "pubsub_connected", channels=len(self._subscribed))
            self._on_change()

    def _on_disconnect(self) -> None:
        self._subscribed.clear()
        self._unconfirmed.clear()
        self._requested.clear()
        for event in self._waiters.values():
            event.set()
        self._waiters.clear()
        if not self.disconnected:
            self.disconnected = True
            self.generation += 1
            self._on_change()
