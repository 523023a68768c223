"""Publishes events that are not stored, to measure only their way from Redis to the sockets.

The load client sends a request, and the publisher then does what the publisher of another API process does after the
commits: it writes broadcasts with the next `modseq` of each mailbox to Redis. It responds after the last one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
from msgspec.structs import replace
from redis.asyncio import Redis

from hub.bench.benchmark_servers import BenchEnvironment, BenchError, MeasuredProcess
from hub.ids import new_id
from hub.live.message_codec import MAX_ROWS, Broadcast, BroadcastRow, encode
from hub.live.publisher import common_channel
from hub.model import Mailbox, Notification
from hub.platform.connections import Database
from hub.platform.tolerant_decoding import decode, decode_all

TIME_DIGITS = 19  # of a title, which contains the time of the event, as the load client reads it
RESPONSE = b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"data":{}}'


@dataclass(frozen=True)
class Schedule:
    """`events` are published for each request, one every `interval_s` and each to `recipients` mailboxes in turn."""

    events: int
    recipients: int
    interval_s: float = 0.0

    @property
    def messages(self) -> int:
        """The number of messages that the sockets receive, with one socket per mailbox."""
        return self.events * self.recipients


class EventPublisher:
    def __init__(self, redis: Redis, channel: str, schedule: Schedule) -> None:
        self._redis = redis
        self._channel = channel
        self._schedule = schedule
        self._rows: list[BroadcastRow] = []
        self._notification: Notification | None = None

    @property
    def loaded(self) -> bool:
        return self._notification is not None

    async def load(self, database: Database) -> None:
        """Read the mailboxes, and a notification as the template of all events."""
        heads = await decode_all(database.mailboxes.find().sort("_id"), Mailbox)
        self._rows = [
            BroadcastRow(head.id, head.epoch, new_id(), head.modseq, head.unread, head.unseen) for head in heads
        ]
        found = await database.notifications.find_one()
        self._notification = decode(found, Notification) if found else None

    async def publish(self) -> None:
        if self._notification is None or len(self._rows) < self._schedule.recipients:
            raise BenchError("The publisher has no notification, or fewer mailboxes than recipients.")
        began = time.monotonic()
        for number in range(self._schedule.events):
            await asyncio.sleep(began + number * self._schedule.interval_s - time.monotonic())
            title = f"{time.monotonic_ns():0{TIME_DIGITS}}"
            for rows in self._next_rows(number * self._schedule.recipients):
                event = Broadcast(replace(self._notification, title=title), rows)
                await self._redis.publish(self._channel, encode(event))

    def _next_rows(self, first: int) -> Iterator[list[BroadcastRow]]:
        """Yield the rows of one event, and advance the mailboxes."""
        numbers = [(first + offset) % len(self._rows) for offset in range(self._schedule.recipients)]
        for start in range(0, len(numbers), MAX_ROWS):
            chunk = numbers[start : start + MAX_ROWS]
            for number in chunk:
                row = self._rows[number]
                changed = {"modseq": row.modseq + 1, "unread": row.unread + 1, "unseen": row.unseen + 1}
                self._rows[number] = replace(row, **changed)
            yield [self._rows[number] for number in chunk]


@asynccontextmanager
async def event_publisher(env: BenchEnvironment, database: str, schedule: Schedule) -> AsyncIterator[int]:
    """Publish events to the mailboxes of a database at each HTTP request. Yield the port."""
    async with env.mongo_client() as client, Redis.from_url(env.redis.url) as redis:
        publisher = EventPublisher(redis, common_channel(f"{database}:"), schedule)

        async def publish() -> None:
            if not publisher.loaded:  # after the sends that show that all subscriptions are active
                await publisher.load(client[database])
            await publisher.publish()

        async with _on_request(publish) as port:
            yield port


@asynccontextmanager
async def request_repeater(target: MeasuredProcess, times: int) -> AsyncIterator[int]:
    """Send several requests to `target` at each HTTP request. Yield the port."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{target.port}") as http:

        async def repeat() -> None:
            for _ in range(times):
                async with http.post("/") as response:
                    await response.read()

        async with _on_request(repeat) as port:
            yield port


@asynccontextmanager
async def _on_request(handle: Callable[[], Awaitable[None]]) -> AsyncIterator[int]:
    """Call `handle` before each response to a request of the load client. Yield the port."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # the load client has ended
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(_content_length(head))
                await handle()
                writer.write(RESPONSE)

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def _content_length(head: bytes) -> int:
    _, _, value = head.lower().partition(b"content-length:")
    return int(value.split(b"\r\n")[0])
