"""The one pub/sub connection of a process.

It never trusts a silent connection: each process publishes a heartbeat to itself, and when its own heartbeat stays
away, or the connection breaks, the link is `away` until it has subscribed anew and heard itself again. What was
published meanwhile is lost, and whoever uses the link is told (`on_change`) and has to look.
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
from hub.platform.redis_keys import REDIS_ERRORS

BEAT_S = 1.0
LOST_AFTER_S = 2.2  # two heartbeats missed
CHECK_S = 0.2
RECONNECT_S = 0.3
ACK_S = 2.0  # how long a subscription may take before it counts as away
AT_ONCE = 1000  # channels a command

log = structlog.get_logger(__name__)


class Link:
    """`connect` makes a client for pub/sub, `redis` is the client for commands."""

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
        self._beat_channel = f"{prefix}beat:{new_id()}"
        self._on_message = on_message
        self._on_change = on_change
        self._wanted: set[str] = {self._beat_channel}
        self._sent: set[str] = set()
        self._heard: set[str] = set()
        self._unanswered: Counter[str] = Counter()
        self._awaited: set[str] = set()
        self._todo: dict[str, None] = {}
        self._acks: dict[str, asyncio.Event] = {}
        self._dirty = asyncio.Event()
        self._last_beat = 0.0
        self._told = False
        self.away = True
        self.turns = 0
        """How often it went away or came back."""

    def want(self, channel: str) -> None:
        """Listen to it from now on, here and after every reconnection."""
        self._wanted.add(channel)
        self._todo[channel] = None
        self._dirty.set()

    def forget(self, channel: str) -> None:
        self._wanted.discard(channel)
        self._todo[channel] = None
        self._dirty.set()

    async def listening(self, channel: str) -> None:
        """Returns once `channel` is heard, or at once while away: what is missed then is looked for."""
        if self.away or channel in self._heard:
            return
        event = self._acks.setdefault(channel, asyncio.Event())
        with suppress(TimeoutError):
            async with asyncio.timeout(ACK_S):
                await event.wait()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            group.create_task(self._stay_connected())

    async def _stay_connected(self) -> None:
        while not is_cancelling():
            client = self._connect()
            pubsub = client.pubsub()
            try:
                await self._listen(pubsub)
            except REDIS_ERRORS as error:
                self._tell_once("live_link_lost", error=error)
            finally:
                self._gone()
                with suppress(*REDIS_ERRORS):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]
                with suppress(*REDIS_ERRORS):
                    await client.aclose()
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self, pubsub: PubSub) -> None:
        """Until the connection breaks or its heartbeat stays away."""
        self._awaited = set(self._wanted)
        self._todo = dict.fromkeys(self._wanted)
        await self._subscribe(pubsub)
        loop = asyncio.get_running_loop()
        self._last_beat = loop.time()
        tasks = [asyncio.create_task(work) for work in (self._read(pubsub), self._follow(pubsub), self._watch())]
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
            channel = message["channel"].decode()
            if message["type"] == "message":
                if channel == self._beat_channel:
                    self._came()
                else:
                    self._on_message(channel, message["data"])
            else:
                self._answered(channel)

    def _answered(self, channel: str) -> None:
        """The server confirms every subscribe and unsubscribe: only after the last of them is it clear what holds."""
        self._unanswered[channel] -= 1
        if self._unanswered[channel] > 0:
            return
        del self._unanswered[channel]
        self._awaited.discard(channel)
        if channel in self._sent:
            self._heard.add(channel)
            if event := self._acks.pop(channel, None):
                event.set()

    async def _follow(self, pubsub: PubSub) -> None:
        """Subscribes to what is wanted anew, unsubscribes from what no longer is."""
        while not is_cancelling():
            await self._dirty.wait()
            await self._subscribe(pubsub)

    async def _subscribe(self, pubsub: PubSub) -> None:
        self._dirty.clear()
        todo, self._todo = self._todo, {}
        added = [channel for channel in todo if channel in self._wanted and channel not in self._sent]
        dropped = [channel for channel in todo if channel not in self._wanted and channel in self._sent]
        self._sent.update(added)
        self._sent.difference_update(dropped)
        self._heard.difference_update(dropped)
        self._unanswered.update(added)
        self._unanswered.update(dropped)
        for start in range(0, len(added), AT_ONCE):
            await pubsub.subscribe(*added[start : start + AT_ONCE])
        for start in range(0, len(dropped), AT_ONCE):
            await pubsub.unsubscribe(*dropped[start : start + AT_ONCE])

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() - self._last_beat < LOST_AFTER_S:
            await asyncio.sleep(CHECK_S)
        self._tell_once("live_heartbeat_missed", seconds=round(loop.time() - self._last_beat, 1))

    def _tell_once(self, event: str, **more: object) -> None:
        """The first failure until the link is up again: the attempts after it say nothing new."""
        if not self._told:
            self._told = True
            log.warning(event, **more)

    async def _beat(self) -> None:
        while not is_cancelling():
            with suppress(*REDIS_ERRORS):
                await self._redis.publish(self._beat_channel, b"")
            await asyncio.sleep(BEAT_S)

    def _came(self) -> None:
        self._last_beat = asyncio.get_running_loop().time()
        if self.away and not self._awaited:
            self.away = False
            self.turns += 1
            level = logging.WARNING if self._told else logging.INFO  # who was told of the loss hears of its end
            self._told = False
            log.log(level, "live_link_up", channels=len(self._heard))
            self._on_change()

    def _gone(self) -> None:
        self._heard.clear()
        self._unanswered.clear()
        self._sent.clear()
        for event in self._acks.values():
            event.set()
        self._acks.clear()
        if not self.away:
            self.away = True
            self.turns += 1
            self._on_change()
