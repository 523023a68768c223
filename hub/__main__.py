"""The composition root: builds everything once and passes it down. `python -m hub` is the command line.

A process stops in this order: the server takes no more requests and closes its sockets with 1012; changes under way
are committed; what was committed is told; then the connections are closed.
"""

import asyncio
import functools
import gc
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
import uvicorn
from pymongo import UpdateOne
from redis.asyncio import Redis
from starlette.applications import Starlette

from hub import clock, connections, links, metrics, ports, status, traces
from hub.api.addresses import Addresses, behind_proxies
from hub.api.app import make_app
from hub.api.auth import Authenticator
from hub.api.context import Services
from hub.api.idempotency import Answers
from hub.api.persisted import Taught
from hub.api.probes import probes
from hub.api.rates import Rates
from hub.api.transport import HTTP, Protocol
from hub.audience import endpoints, tenants, users
from hub.audience.devices import Devices
from hub.breaker import Breakers
from hub.call_off import CallOff
from hub.change import Change
from hub.connections import Database, Indexes
from hub.decide.plan import objection
from hub.dossier import Dossiers
from hub.egress import Egress
from hub.inbox import store
from hub.inbox.committer import Committer
from hub.inbox.draft import Draft
from hub.limits import Limiter
from hub.links import Kind
from hub.live.link import Link
from hub.live.publisher import Publisher
from hub.live.rooms import Rooms
from hub.model import (
    Changed,
    Channel,
    Delivery,
    Notification,
    Reason,
    Tenant,
    User,
    WebhookCall,
    tenant_of,
)
from hub.outbox.feeder import Feeder
from hub.outbox.lanes import Lanes
from hub.publish import Known, Publish
from hub.send import catcher, deliver
from hub.send.deliver import Deliver
from hub.send.dispatcher import GRACE_S, Desk, Dispatcher
from hub.send.endpoint import Calls, EndpointCaller
from hub.send.pace import Pace
from hub.settings import Settings, Unusable
from hub.status import receipts, sends, webhook_calls
from hub.status.caught import Catch
from hub.status.claims import Claims
from hub.status.deliveries import Deliveries
from hub.status.quiet import Quiet
from hub.status.telling import Teller, calls_of
from hub.ticker import Queue, Ticker
from hub.watch import Watch

GC_THRESHOLD = 20_000  # objects more than before, Python's own is 700
KEEP_ALIVE_S = 75  # longer than the proxies in front, so that they never send into a connection we close
SETTLING_S = 2.0  # of the time to stop, for what calls brought
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
    feeder: Feeder
    quiet: Quiet
    time: connections.ServerClock
    redis: Redis
    egress: Egress
    jobs: Claims[Delivery]
    calls: Claims[WebhookCall]
    lanes: Lanes
    breakers: Breakers
    watch: Watch


def indexes(settings: Settings) -> list[Indexes]:
    """What every stage wants to be there."""
    stages = store.indexes(settings), sends.indexes(), receipts.indexes(settings), users.indexes()
    outside = status.deliveries.indexes(), webhook_calls.indexes(settings)
    return [*stages, tenants.indexes(), *outside, links.indexes()]


@asynccontextmanager
async def open_hub(settings: Settings) -> AsyncIterator[Hub]:
    """Connected and indexed, and telling what it commits. Raises connections.Unreachable."""
    async with AsyncExitStack() as stack:
        stack.enter_context(traces.exporting())
        database = await stack.enter_async_context(connections.mongo(settings))
        await connections.reach(database, settings, *indexes(settings))
        time = connections.ServerClock(database, clock.now)
        await time.sync()
        key = await links.key_of(database)
        redis = await stack.enter_async_context(connections.redis(settings))
        egress = await stack.enter_async_context(Egress(settings.egress_allow))
        prefix = settings.redis_prefix
        publisher = Publisher(redis, prefix, settings.publish_queue)
        inboxes = store.Inboxes(database, settings, time.now)
        records = sends.Sends(database)
        setups = tenants.Tenants(database, settings.categories_per_tenant, settings.commit_deadline_s)
        teller = Teller(setups.known)
        deliveries = Deliveries(database, time.now, teller)
        jobs = Claims(database, status.deliveries.COLLECTION, Delivery, time.now, settings.queued_s, teller)
        calls = Claims(database, webhook_calls.COLLECTION, WebhookCall, time.now, settings.queued_s, teller)
        lanes = Lanes(redis, prefix, settings.lane_max)
        breakers = Breakers(redis, prefix, settings.breaker_open_s)
        feeder = Feeder(lanes, jobs.unqueue)
        quiet = Quiet(deliveries)
        people = users.Users(database, time.now, settings.commit_deadline_s)

        def told(draft: Draft, changed: list[Changed]) -> None:
            if changed:
                publisher.tell(changed)
            if queued := draft.rows.get(status.deliveries.COLLECTION):
                feeder.put([(doc["lane"], doc["_id"]) for doc in queued])
            if draft.read_outside:
                quiet.put(draft.read_outside)

        async def look_up(mailboxes: Collection[str], deciding: Collection[str]) -> Known:
            known = setups.known({tenant_of(mailbox) for mailbox in mailboxes})
            if not deciding:
                return Known({}, await known)
            return Known(*await asyncio.gather(people.some(deciding), known))

        def complete(draft: Draft) -> None:
            written = draft.rows.get(receipts.COLLECTION, [])
            about = [(receipt, draft.notifications[receipt["notification_id"]]) for receipt in written]
            if calls := calls_of(about, draft.known.tenants, draft.now):
                draft.rows[webhook_calls.COLLECTION] = calls

        committer = Committer(
            database,
            settings,
            time.now,
            welcome=_welcome,
            tell=told,
            look_up=look_up,
            complete=complete,
            unsure=publisher.unsure,
        )
        change = Change(committer, inboxes, publisher.tell, settings.commit_max_documents)

        def link(rooms: Rooms) -> Link:
            connect = functools.partial(connections.pubsub_client, settings)
            return Link(connect, redis, prefix, rooms.receive, rooms.look)

        call_off = CallOff(records, deliveries, change, time.now)
        limiter = Limiter(redis, prefix)
        # A reader holds its connection nearly all the time: commits have a pool of their own.
        streams = await stack.enter_async_context(connections.mongo(settings, settings.receipt_readers + 1))
        readers = receipts.Readers(streams, settings.receipt_readers_per_tenant, settings.receipt_readers)
        services = Services(
            settings=settings,
            clock=time.now,
            publish=Publish(committer, records, setups.first_use, settings),
            change=change,
            inboxes=inboxes,
            rooms=Rooms(inboxes, link, prefix, queue_max=settings.feed_queue, bytes_max=settings.feed_queue_bytes),
            sends=records,
            users=people,
            devices=Devices(database, people, time.now, settings.devices_per_user),
            tenants=setups,
            dossiers=Dossiers(
                database, committer, publisher.tell, chunk=settings.commit_max_documents, most=settings.export_max
            ),
            deliveries=deliveries,
            call_off=call_off,
            endpoints=endpoints.Endpoints(database, settings, time.now),
            webhook_calls=webhook_calls.WebhookCalls(database, time.now),
            receipts=readers,
            egress=egress,
            links=links.Links(key, settings.public_url),
            rates=Rates(limiter, settings),
            taught=Taught(redis, settings),
            closing=asyncio.Event(),
        )
        stack.push_async_callback(_finish, committer, publisher, feeder, quiet)
        _gauge(committer, publisher, services.rooms, settings)
        queues = [
            Queue("deliveries", jobs, lanes, deliver.told, time.now, settings),
            Queue("webhook_calls", calls, lanes, lambda *_: None, time.now, settings),
        ]
        yield Hub(
            database=database,
            services=services,
            auth=Authenticator(settings, egress),
            ticker=Ticker(inboxes, change, call_off, deliveries, queues, time.now, settings.tick_s),
            publisher=publisher,
            limiter=limiter,
            feeder=feeder,
            quiet=quiet,
            time=time,
            redis=redis,
            egress=egress,
            jobs=jobs,
            calls=calls,
            lanes=lanes,
            breakers=breakers,
            watch=Watch(lanes, breakers, time.now),
        )


async def serve(
    settings: Settings,
    *,
    alone: bool = False,
    ready: Callable[[int], None] = lambda _: None,
    bound: list[socket.socket] | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """The API, until SIGTERM or SIGINT; `alone` with dispatchers and ticker, where there is no worker. `ready` is
    called with the port once connections are accepted; `bound` are sockets that the caller has bound; with `tls` it
    speaks HTTPS. Raises ports.NoPort, connections.Unreachable and settings.Unusable."""
    ports.allow_many_files()
    async with AsyncExitStack() as stack:
        listeners = bound or ports.bind(settings.host, settings.port)
        for listener in listeners:
            stack.enter_context(listener)
        hub = await stack.enter_async_context(open_hub(settings))
        metrics.link_away.set_function(lambda: hub.services.rooms.link.away)
        app = make_app(hub.services, hub.auth, Answers(hub.database, hub.time.now), hub.database)
        addresses = Addresses(settings)
        server = _Server(
            uvicorn.Config(
                behind_proxies(app, addresses),
                interface="asgi3",
                proxy_headers=False,
                host=settings.host,
                port=settings.port,
                lifespan="off",
                loop="uvloop",
                http=functools.partial(HTTP, settings, addresses),  # type: ignore[arg-type]
                ws=functools.partial(Protocol, settings, addresses),  # type: ignore[arg-type]
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
                ssl_context_factory=(lambda *_: tls) if tls else None,
            ),
            ready,
            hub.services.closing,
        )
        dispatchers = await dispatching(hub, settings, _channels(), stack) if alone else []
        _calm_collector()
        works = [
            hub.time.run(),
            hub.publisher.run(),
            hub.limiter.run(),
            hub.services.rooms.run(),
            hub.feeder.run(),
            hub.quiet.run(),
        ]
        if alone:
            works += [hub.ticker.run(), hub.watch.run()]
        async with _background(works), _running(dispatchers, settings.shutdown_seconds - SETTLING_S):
            with _signals(server):
                await server.serve(listeners)
        if server.refused:
            raise server.refused


async def work(settings: Settings, serving: Sequence[Any] | None = None) -> None:
    """Dispatchers and the ticker, until SIGTERM or SIGINT. Then, in this order: nothing more is taken; calls under way
    end, as far as there is time; what they brought is settled; what was claimed and not called is given back. Raises
    ports.NoPort and connections.Unreachable."""
    async with AsyncExitStack() as stack:
        listeners = [] if settings.work_port is None else ports.bind(settings.host, settings.work_port)
        for listener in listeners:
            stack.enter_context(listener).listen()  # who asks early waits
        hub = await stack.enter_async_context(open_hub(settings))
        dispatchers = await dispatching(hub, settings, _channels() if serving is None else serving, stack)
        works = [
            hub.time.run(),
            hub.publisher.run(),
            hub.limiter.run(),
            hub.feeder.run(),
            hub.quiet.run(),
            hub.ticker.run(),
            hub.watch.run(),
        ]
        if listeners:
            works.append(_probed(hub, settings, listeners))
        await stack.enter_async_context(_background(works))
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        where = {"port": listeners[0].getsockname()[1]} if listeners else {}
        async with _running(dispatchers, settings.shutdown_seconds - SETTLING_S):
            log.info("working", channels=[dispatcher.channel for dispatcher in dispatchers], **where)
            await stop.wait()


@asynccontextmanager
async def _running(dispatchers: Sequence[Dispatcher[Any]], ending_s: float) -> AsyncIterator[None]:
    """Dispatchers beside the body. Then they take no more, and what is under way has `ending_s` to end."""
    running = [asyncio.create_task(dispatcher.run()) for dispatcher in dispatchers]
    try:
        yield
    finally:
        for dispatcher in dispatchers:
            dispatcher.stop()
        if running:
            await asyncio.wait(running, timeout=ending_s)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _probed(hub: Hub, settings: Settings, listeners: list[socket.socket]) -> None:
    """`/metrics`, `/healthz` and `/readyz` of a process that serves nothing else, until cancelled."""
    config = uvicorn.Config(
        Starlette(routes=probes(settings, hub.database)),
        host=settings.host,
        lifespan="off",
        timeout_graceful_shutdown=1,
        access_log=False,
        log_config=None,
        server_header=False,
    )
    server = _Probes(config)
    serving = asyncio.create_task(server.serve(listeners))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving


async def dispatching(
    hub: Hub, settings: Settings, serving: Sequence[Any], stack: AsyncExitStack
) -> list[Dispatcher[Any]]:
    """A dispatcher for each channel that has a provider, and one for the calls of tenants' endpoints. In development
    what leaves is kept, and channels without a provider end there. Raises Unusable for a setting that can't be used."""
    services = hub.services
    made: list[Dispatcher[Any]] = []
    pace = Pace(hub.limiter, settings)

    def dispatcher(
        channel: Any, desk: Desk[Any], jobs: Claims[Any], providers: Sequence[Any], schedule: Sequence[float]
    ) -> Dispatcher[Any]:
        return Dispatcher(
            channel,
            desk,
            jobs,
            hub.lanes,
            hub.breakers,
            pace,
            hub.time.now,
            concurrency=settings.concurrency_of(channel),
            lease_s=sum(provider.timeout_s + GRACE_S for provider in providers) + settings.lease_margin_s,
            schedule=schedule,
            retry_after_max_s=settings.retry_after_max_s,
        )

    def refused(delivery: Delivery, n: Notification, user: User, tenant: Tenant, now: datetime) -> Reason | None:
        category = tenant.category(n.category) or tenants.undefined(n.category)
        return objection(delivery.channel, category, tenant.preferences, user, settings.configured, now)

    catch = Catch(hub.database) if settings.mode == "development" else None
    if catch:
        await catch.make()
    for channel in serving:
        more = {"remember": services.devices.remember} if channel.CHANNEL is Channel.MOBILE_PUSH else {}
        try:
            providers = await channel.opened(settings, hub.egress, stack, **more)
        except ValueError as error:
            raise Unusable(str(error)) from None
        if catch:
            timeout_s = settings.provider_timeout_s
            providers = catcher.caught(channel.CHANNEL, providers, channel.shown, catch.put, hub.time.now, timeout_s)
        if not providers:
            continue
        desk = Deliver(
            providers,
            notifications=services.inboxes.some,
            users=services.users.some,
            heads=services.inboxes.some_heads,
            tenants=services.tenants.known,
            called_off=services.sends.called_off,
            refused=refused,
            forget=services.users.forget,
            read=services.inboxes.read_among,
            was_read=services.deliveries.was_read,
            used=services.devices.used,
            unsubscribe_url=lambda delivery: services.links.url(Kind.UNSUBSCRIBE, delivery.id),
            receipt_url=lambda delivery: services.links.url(Kind.RECEIPT, delivery.id),
            app_url=settings.app_url,
        )
        made.append(dispatcher(channel.CHANNEL, desk, hub.jobs, providers, settings.schedule_of(channel.CHANNEL)))
    caller = EndpointCaller(hub.egress, settings.provider_timeout_s, hub.time.now)
    calls = Calls(caller, services.tenants.known, services.endpoints.settled)
    made.append(dispatcher(webhook_calls.LANE, calls, hub.calls, [caller], settings.retry_schedule))
    return made


def _channels() -> list[Any]:
    """Every channel there is. Their vendors' libraries are large: processes that send nothing go without."""
    from hub.send.channels import email, mobile_push, web_push, webhook

    return [email, mobile_push, web_push, webhook]


def _calm_collector() -> None:
    """Python's cyclic collector looks through everything alive again and again. What is there after the start stays,
    and requests leave few cycles behind: it runs rarely, over what is new."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


class _Probes(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are the dispatchers' to hear."""
        yield


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


async def _finish(committer: Committer, publisher: Publisher, feeder: Feeder, quiet: Quiet) -> None:
    await committer.close()
    await publisher.flush()
    await feeder.flush()
    await quiet.flush()


def _gauge(committer: Committer, publisher: Publisher, rooms: Rooms, settings: Settings) -> None:
    """What is looked up when somebody asks, rather than counted at each event."""
    half = settings.feed_queue // 2
    metrics.commits_waiting.set_function(lambda: committer.waiting)
    metrics.publish_waiting.set_function(lambda: publisher.waiting)
    metrics.mailboxes_open.set_function(lambda: rooms.mailboxes)
    metrics.feed_events.set_function(lambda: sum(rooms.waiting()))
    metrics.feed_events_most.set_function(lambda: max(rooms.waiting(), default=0))
    metrics.feeds_filling.set_function(lambda: sum(waiting > half for waiting in rooms.waiting()))


def _welcome(mailboxes: Collection[str], draft: Draft) -> dict[str, list[UpdateOne]]:
    return {users.COLLECTION: users.welcome(mailboxes, draft.now)}


def main() -> None:
    from hub.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
