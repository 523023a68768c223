"""The composition root: builds everything once and passes it down. `python -m hub` is the command line.

A process stops in this order: the server takes no more requests and closes its sockets with 1012; changes under way
are committed; what was committed is told; then the connections are closed.
"""

import asyncio
import functools
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from pymongo import UpdateOne

from hub import clock, connections, ports
from hub.api.app import make_app
from hub.api.auth import Authenticator
from hub.api.context import Services
from hub.api.idempotency import Answers
from hub.api.rates import Rates
from hub.api.transport import Protocol
from hub.audience import users
from hub.change import Change
from hub.connections import Database, Indexes
from hub.egress import Egress
from hub.inbox import store
from hub.inbox.committer import Committer
from hub.inbox.draft import Draft
from hub.limits import Limiter
from hub.live.link import Link
from hub.live.publisher import Publisher
from hub.live.rooms import Rooms
from hub.publish import Publish
from hub.settings import Settings
from hub.status import receipts, sends
from hub.ticker import Ticker

GC_THRESHOLD = 20_000  # objects more than before, Python's own is 700
KEEP_ALIVE_S = 75  # longer than the proxies in front, so that they never send into a connection we close
BACKLOG = 4096  # connections the kernel may hold for us: everybody comes back at once after a restart

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hub:
    """The parts of one process."""

    database: Database
    services: Services
    auth: Authenticator
    ticker: Ticker
    publisher: Publisher
    limiter: Limiter


def indexes(settings: Settings) -> list[Indexes]:
    """What every stage wants to be there."""
    return [store.indexes(settings), sends.indexes(), receipts.indexes(settings), users.indexes()]


@asynccontextmanager
async def open_hub(settings: Settings) -> AsyncIterator[Hub]:
    """Connected and indexed, and telling what it commits. Raises connections.Unreachable."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(connections.mongo(settings))
        await connections.reach(database, settings, *indexes(settings))
        redis = await stack.enter_async_context(connections.redis(settings))
        egress = await stack.enter_async_context(Egress())
        prefix = settings.redis_prefix
        publisher = Publisher(redis, prefix, settings.publish_queue)
        inboxes = store.Inboxes(database, settings, clock.now)
        records = sends.Sends(database)
        committer = Committer(
            database, settings, clock.now, welcome=_welcome, tell=publisher.tell, unsure=publisher.unsure
        )
        change = Change(committer, inboxes, publisher.tell, settings.commit_max_documents)

        def link(rooms: Rooms) -> Link:
            connect = functools.partial(connections.pubsub_client, settings)
            return Link(connect, redis, prefix, rooms.receive, rooms.look)

        limiter = Limiter(redis, prefix)
        # A reader holds its connection nearly all the time: commits have a pool of their own.
        streams = await stack.enter_async_context(connections.mongo(settings, settings.receipt_readers + 1))
        readers = receipts.Readers(streams, settings.receipt_readers_per_tenant, settings.receipt_readers)
        services = Services(
            settings=settings,
            clock=clock.now,
            publish=Publish(committer, records, settings.commit_max_bytes),
            change=change,
            inboxes=inboxes,
            rooms=Rooms(inboxes, link, prefix, settings.feed_queue),
            sends=records,
            users=users.Users(database, clock.now),
            receipts=readers,
            rates=Rates(limiter, settings),
            closing=asyncio.Event(),
        )
        stack.push_async_callback(_finish, committer, publisher)
        yield Hub(
            database=database,
            services=services,
            auth=Authenticator(settings, egress),
            ticker=Ticker(inboxes, change, clock.now, settings.tick_s),
            publisher=publisher,
            limiter=limiter,
        )


async def serve(
    settings: Settings,
    *,
    tick: bool = False,
    ready: Callable[[int], None] = lambda _: None,
    bound: list[socket.socket] | None = None,
) -> None:
    """The API, until SIGTERM or SIGINT. `ready` is called with the port once connections are accepted; `bound` are
    sockets that the caller has bound. Raises ports.NoPort and connections.Unreachable."""
    async with AsyncExitStack() as stack:
        listeners = bound or ports.bind(settings.host, settings.port)
        for listener in listeners:
            stack.enter_context(listener)
        hub = await stack.enter_async_context(open_hub(settings))
        app = make_app(hub.services, hub.auth, Answers(hub.database, clock.now), hub.database)
        server = _Server(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                lifespan="off",
                loop="uvloop",
                http="httptools",
                ws=Protocol,
                ws_max_size=settings.socket_message_max_bytes,
                ws_per_message_deflate=False,  # 29 kB a connection instead of 70
                ws_ping_interval=settings.ping_interval_s,
                ws_ping_timeout=settings.ping_timeout_s,
                timeout_graceful_shutdown=max(1, int(settings.shutdown_seconds) - 2),
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                access_log=False,
                log_config=None,
                server_header=False,
            ),
            ready,
            hub.services.closing,
        )
        _calm_collector()
        works = [hub.publisher.run(), hub.limiter.run(), hub.services.rooms.run()]
        if tick:
            works.append(hub.ticker.run())
        async with _background(works):
            with _signals(server):
                await server.serve(listeners)
        if server.refused:
            raise server.refused


async def work(settings: Settings) -> None:
    """The ticker, until SIGTERM or SIGINT."""
    async with open_hub(settings) as hub, _background([hub.publisher.run(), hub.ticker.run()]):
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        log.info("working")
        await stop.wait()


def _calm_collector() -> None:
    """Python's cyclic collector looks through everything alive again and again. What is there after the start stays,
    and requests leave few cycles behind: it runs rarely, over what is new."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[int], None], closing: asyncio.Event) -> None:
        super().__init__(config)
        self._ready = ready
        self._closing = closing
        self.refused: ports.NoPort | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:  # another process bound the port when we did, and was the first to listen
            self.refused = ports.refusal(self.config.host, self.config.port, error)
            self.should_exit = True
            return
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            log.info("serving", host=self.config.host, port=port)
            self._ready(port)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        self._closing.set()
        await super().shutdown(sockets)


@asynccontextmanager
async def _background(works: Collection[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs them beside the body. One that breaks ends the process: half a hub helps nobody."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()


class _signals:  # noqa: N801 - used like a function
    """uvicorn raises the signal again when it is done, which would end the process before it has cleaned up; and one
    that comes before uvicorn listens for it must not be lost."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}

    def _stop(self, *_: object) -> None:
        self._server.should_exit = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


async def _finish(committer: Committer, publisher: Publisher) -> None:
    await committer.close()
    await publisher.flush()


def _welcome(mailboxes: Collection[str], draft: Draft) -> dict[str, list[UpdateOne]]:
    return {users.COLLECTION: users.welcome(mailboxes, draft.now)}


def main() -> None:
    from hub.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
