"""Clients that watch their inboxes during failures, and callers that retry."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import aiohttp

from hub.inbox.cursors import decode_position
from tests.client import FEED, GraphQLErrors, Json, Replica, Tenant, eventually
from tests.processes import CANCELLATION_WARNINGS, Process

T = TypeVar("T")

RETRY_PAUSE_S = 0.05  # between two tries of a caller


class Watcher:
    """One open client: an inbox that was loaded once and then applies the events of one socket, which is never
    reopened."""

    def __init__(self, tenant: Tenant, user: str, url: str) -> None:
        self.tenant = tenant
        self.user = user
        self.url = url
        self.replica = Replica()
        self.modseqs: list[int] = []
        self.added: Counter[str] = Counter()
        self.received_at: dict[str, float] = {}

    @asynccontextmanager
    async def open(self, replica: Replica | None = None) -> AsyncIterator["Watcher"]:
        """Continue from `replica`, or load the inbox. Errors while it was open are raised at the end."""
        if replica:
            self.replica = replica
        else:
            await self.replica.load(self.tenant, self.user, self.url)
        async with self.tenant.socket(self.user, url=self.url) as socket:
            socket.read_timeout_s = None
            self._events = await socket.subscribe(FEED, after=self.replica.cursor)
            self._reading = asyncio.create_task(self._read())
            try:
                yield self
                self.check_open()
            finally:
                self._reading.cancel()
                await asyncio.wait({self._reading})

    @property
    def position(self) -> int:
        return modseq(self.replica.cursor)

    def check_open(self) -> None:
        """Raise the error that ended the subscription, if it has ended."""
        if self._reading.done():
            self._reading.result()
            raise AssertionError(f"{self.user}'s subscription was completed")

    async def _read(self) -> None:
        async for event in self._events:
            number = modseq(event["cursor"])
            last = self.modseqs[-1] if self.modseqs else self.position
            assert number > last, f"{self.user} got {number} after {last}: {event}"
            self.modseqs.append(number)
            if event["kind"] == "ADDED":
                self.added[event["notification"]["title"]] += 1
                self.received_at[event["notification"]["title"]] = time.monotonic()
            self.replica.apply(event)


def modseq(cursor: str) -> int:
    return decode_position(cursor, "cursor").modseq


@asynccontextmanager
async def open_watchers(tenant: Tenant, users: Iterable[str], urls: Sequence[str]) -> AsyncIterator[list[Watcher]]:
    """Open a watcher of every user on every API process."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Watcher(tenant, user, url).open()) for user in users for url in urls]


async def wait_until_caught_up(watchers: Sequence[Watcher], within_s: float) -> None:
    """Wait until every watcher has every stored change, in order and once, over the socket that it had."""
    heads = {}
    for watcher in watchers:
        if watcher.user not in heads:
            page = await retry_until_answered(partial(watcher.tenant.inbox, watcher.user, first=1))
            heads[watcher.user] = modseq(page["position"])

    async def all_there() -> bool:
        for watcher in watchers:
            watcher.check_open()
        return all(watcher.position >= heads[watcher.user] for watcher in watchers)

    await eventually(all_there, within_s)


async def check_against_store(watchers: Sequence[Watcher]) -> None:
    """Check that each watcher holds and counts what a new client would load. The order is not compared: items that were
    added and changed while nothing was published arrive in the order of the changes."""
    for watcher in watchers:
        fresh = Replica()
        await fresh.load(watcher.tenant, watcher.user)
        assert sorted(watcher.replica.state) == sorted(fresh.state)
        assert watcher.replica.recounted == fresh.recounted == (fresh.unread, fresh.unseen)
        assert (watcher.replica.unread, watcher.replica.unseen) == (fresh.unread, fresh.unseen)
        assert not [title for title, times in watcher.added.items() if times > 1]


async def retry_until_answered(call: Callable[[], Awaitable[T]], within_s: float = 60) -> T:
    """Retry the call until it succeeds. Errors other than UNAVAILABLE and lost connections are raised."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            async with asyncio.timeout(within_s):
                return await call()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            last: Exception = error
        except GraphQLErrors as refused:
            if refused.code != "UNAVAILABLE":
                raise
            last = refused
        assert time.monotonic() < deadline, f"not answered within {within_s} s: {last!r}"
        await asyncio.sleep(RETRY_PAUSE_S)


async def count_titles(tenant: Tenant, user: str) -> Counter[str]:
    """Return the titles in an inbox with their numbers, after comparing its counts with a recount."""
    replica = Replica()
    await replica.load(tenant, user)
    assert replica.recounted == (replica.unread, replica.unseen)
    return Counter(item["title"] for item in replica.items.values())


def find_log_faults(processes: Iterable[Process]) -> list[str]:
    """Return log lines that must not occur: lines that are not JSON objects, tracebacks, and errors."""
    found = []
    for process in processes:
        for line in CANCELLATION_WARNINGS.sub("", process.log).splitlines():
            try:
                event: Any = json.loads(line)
            except ValueError:
                event = None
            if not isinstance(event, dict) or "exception" in event or event.get("level") in {"error", "critical"}:
                found.append(line)
    return found


def error_codes(response: Json) -> set[str]:
    """Return the codes of the errors in a response."""
    return {error["extensions"]["code"] for error in response.get("errors", ())}
