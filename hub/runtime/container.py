"""The composition root: every component of a process is built here once and passed down."""

import asyncio
import functools
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from hub import clock, status
from hub.api.auth import Authenticator
from hub.api.context import Services
from hub.api.execution.persisted_queries import AutomaticPersistedQueries
from hub.api.rate_limits import RateLimits
from hub.audience import tenants, users
from hub.audience.devices import Devices
from hub.inbox import store
from hub.inbox.committer import Committer
from hub.live.feed import QUEUE_MAX_EVENTS
from hub.live.publisher import Publisher
from hub.live.pubsub import PubSubConnection
from hub.live.subscriptions import SubscriptionHub
from hub.model import (
    Channel,
    Delivery,
    WebhookCall,
)
from hub.outbox.claims import Claims
from hub.outbox.enqueuer import Enqueuer
from hub.outbox.lanes import Lanes
from hub.platform import connections, metrics, schema_version, signed_links, tracing
from hub.platform.circuit_breaker import Breakers
from hub.platform.connections import Database, Indexes
from hub.platform.mongo_client import PoolWatchdog
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.rate_limiter import RateLimiter
from hub.platform.server_clock import ServerClock
from hub.runtime.queue_metrics import QueueMetrics
from hub.settings import Settings
from hub.status import receipt_writer, receipts, sends, workers
from hub.status.backlog import Backlog
from hub.status.deliveries import Deliveries
from hub.status.read_propagation import ReadPropagation
from hub.status.receipt_writer import ReceiptWriter
from hub.status.workers import CallTally, Heartbeat, Workers
from hub.webhooks import endpoints, webhook_calls
from hub.workflows.after_commit import CommitHooks
from hub.workflows.cancel_send import SendCancellation
from hub.workflows.health import HealthReader
from hub.workflows.inbox_actions import InboxActions
from hub.workflows.publish import Publish
from hub.workflows.scheduler import DueJobs, Scheduler
from hub.workflows.user_data import UserData


@dataclass(frozen=True, slots=True)
class Components:
    """The components of one process."""

    database: Database
    services: Services
    auth: Authenticator
    scheduler: Scheduler
    publisher: Publisher
    limiter: RateLimiter
    enqueuer: Enqueuer
    quiet: ReadPropagation
    time: ServerClock
    watchdogs: list[PoolWatchdog]
    redis: Redis
    outbound_http: OutboundHTTP
    jobs: Claims[Delivery]
    calls: Claims[WebhookCall]
    lanes: Lanes
    breakers: Breakers
    queue_metrics: QueueMetrics
    tally: CallTally
    heartbeat: Heartbeat

    def common_loops(self) -> list[Coroutine[Any, Any, None]]:
        """Return the background tasks of every process."""
        return [
            self.time.run(),
            *(watchdog.run() for watchdog in self.watchdogs),
            self.publisher.run(),
            self.limiter.run(),
            self.enqueuer.run(),
            self.quiet.run(),
        ]

    def worker_loops(self) -> list[Coroutine[Any, Any, None]]:
        """Return the background tasks of a worker."""
        return [self.scheduler.run(), self.queue_metrics.run(), self.heartbeat.run()]


def indexes(settings: Settings) -> list[Indexes]:
    """Return the indexes of every collection."""
    stages = store.indexes(settings), sends.indexes(), receipts.indexes(settings), users.indexes()
    outgoing = status.deliveries.indexes(), webhook_calls.indexes(settings), workers.indexes()
    return [*stages, tenants.indexes(), *outgoing, signed_links.indexes()]


@asynccontextmanager
async def build_components(settings: Settings) -> AsyncIterator[Components]:
    """Connect to the stores, create missing indexes and build the components of one process. Raise
    connections.StoreUnavailable."""
    async with AsyncExitStack() as stack:
        stack.enter_context(tracing.export_traces())
        stores = await _connect(settings, stack)
        queue = _build_queue(settings, stores)
        inbox = _build_inbox(settings, stores, queue)
        limiter = RateLimiter(stores.redis, settings.redis_prefix, lambda: stores.time.now().timestamp())
        services = _build_services(settings, stores, queue, inbox, limiter)
        stack.push_async_callback(flush_writers, inbox.committer, inbox.publisher, queue.enqueuer, queue.quiet)
        register_gauges(inbox.committer, inbox.publisher, services.subscriptions)
        yield _assemble(settings, stores, queue, inbox, services, limiter)


@dataclass(frozen=True, slots=True)
class _Stores:
    """Connections. `streams` is a second MongoDB client: a receipt reader holds its connection nearly all the time, so
    commits have a pool of their own."""

    database: Database
    streams: Database
    redis: Redis
    time: ServerClock
    outbound_http: OutboundHTTP
    signing_key: bytes


async def _connect(settings: Settings, stack: AsyncExitStack) -> _Stores:
    database = await stack.enter_async_context(connections.mongo(settings))
    await connections.connect_and_migrate(database, settings)
    await schema_version.check_version(database)
    await connections.connect_and_migrate(database, settings, *indexes(settings))
    time = ServerClock(database, clock.now)
    await time.sync()
    return _Stores(
        database=database,
        signing_key=await signed_links.load_signing_key(database),
        redis=await stack.enter_async_context(connections.redis(settings)),
        outbound_http=await stack.enter_async_context(OutboundHTTP(settings.egress_allow)),
        streams=await stack.enter_async_context(connections.mongo(settings, settings.receipt_max_streams + 1)),
        time=time,
    )


@dataclass(frozen=True, slots=True)
class _Queue:
    """Deliveries and webhook calls, and the lanes they wait on."""

    tenants: tenants.Tenants
    deliveries: Deliveries
    jobs: Claims[Delivery]
    calls: Claims[WebhookCall]
    lanes: Lanes
    enqueuer: Enqueuer
    quiet: ReadPropagation


def _build_queue(settings: Settings, stores: _Stores) -> _Queue:
    database, now, requeue_after_s = stores.database, stores.time.now, settings.requeue_after_s
    setups = tenants.Tenants(database, settings.tenant_max_categories, settings.commit_deadline_s)
    receipt_rows = ReceiptWriter(setups.get_many)
    deliveries = Deliveries(database, now, receipt_rows)
    jobs = Claims(
        database, status.deliveries.COLLECTION, Delivery, now, requeue_after_s, receipt_rows, receipt_writer.receipt_for
    )
    calls = Claims(database, webhook_calls.COLLECTION, WebhookCall, now, requeue_after_s, receipt_rows, lambda *_: None)
    lanes = Lanes(stores.redis, settings.redis_prefix, settings.lane_max_ids)
    return _Queue(
        setups, deliveries, jobs, calls, lanes, Enqueuer(lanes, jobs.unmark_queued), ReadPropagation(deliveries)
    )


@dataclass(frozen=True, slots=True)
class _Inbox:
    """What changes inboxes and publishes the changes."""

    users: users.Users
    inboxes: store.Inboxes
    sends: sends.Sends
    publisher: Publisher
    committer: Committer
    actions: InboxActions
    cancellation: SendCancellation


def _build_inbox(settings: Settings, stores: _Stores, queue: _Queue) -> _Inbox:
    database, now = stores.database, stores.time.now
    people = users.Users(database, now, settings.commit_deadline_s)
    inboxes = store.Inboxes(database, settings, now)
    records = sends.Sends(database)
    publisher = Publisher(stores.redis, settings.redis_prefix)
    hooks = CommitHooks(people, queue.tenants, publisher, queue.enqueuer, queue.quiet)
    committer = Committer(
        database,
        settings,
        now,
        new_mailbox_updates=hooks.create_missing_users,
        on_commit=hooks.after_commit,
        load_decision_data=hooks.load_decision_data,
        add_follow_ups=hooks.add_webhook_deliveries,
        outcome_unknown=publisher.request_reconcile,
    )
    actions = InboxActions(committer, inboxes, publisher.enqueue, settings.commit_max_documents)
    cancellation = SendCancellation(records, queue.deliveries, actions, now)
    return _Inbox(people, inboxes, records, publisher, committer, actions, cancellation)


def _build_subscriptions(settings: Settings, stores: _Stores, inboxes: store.Inboxes) -> SubscriptionHub:
    prefix = settings.redis_prefix

    def link(rooms: SubscriptionHub) -> PubSubConnection:
        connect = functools.partial(connections.pubsub_client, settings)
        return PubSubConnection(connect, stores.redis, prefix, rooms.on_message, rooms.reconcile)

    return SubscriptionHub(inboxes, link, prefix)


def _build_services(
    settings: Settings, stores: _Stores, queue: _Queue, inbox: _Inbox, limiter: RateLimiter
) -> Services:
    database, now = stores.database, stores.time.now
    return Services(
        settings=settings,
        clock=now,
        publish=Publish(
            inbox.committer, inbox.sends, queue.tenants.create_category_update, queue.tenants.cached, settings, now
        ),
        inbox_actions=inbox.actions,
        inboxes=inbox.inboxes,
        subscriptions=_build_subscriptions(settings, stores, inbox.inboxes),
        sends=inbox.sends,
        users=inbox.users,
        devices=Devices(database, inbox.users, now, settings.user_max_devices),
        tenants=queue.tenants,
        user_data=UserData(
            database,
            inbox.committer,
            inbox.publisher.enqueue,
            chunk=settings.commit_max_documents,
            most=settings.export_max_items,
        ),
        deliveries=queue.deliveries,
        send_cancellation=inbox.cancellation,
        webhook_endpoints=endpoints.Endpoints(database, settings, now),
        webhook_calls=webhook_calls.WebhookCalls(database, now),
        receipts=receipts.ReceiptStreams(
            stores.streams, settings.tenant_max_receipt_streams, settings.receipt_max_streams
        ),
        outbound_http=stores.outbound_http,
        signed_links=signed_links.SignedLinks(stores.signing_key, settings.public_url),
        rate_limits=RateLimits(limiter, settings),
        persisted_queries=AutomaticPersistedQueries(stores.redis, settings),
        health=health_reader(database, stores.redis, settings, now, settings.configured),
        shutting_down=asyncio.Event(),
    )


def _assemble(
    settings: Settings, stores: _Stores, queue: _Queue, inbox: _Inbox, services: Services, limiter: RateLimiter
) -> Components:
    now = stores.time.now
    breakers = Breakers(stores.redis, settings.redis_prefix, settings.circuit_breaker_open_s)
    tally = CallTally(now)
    due = [
        DueJobs("deliveries", queue.jobs, queue.lanes, now, settings),
        DueJobs("webhook_calls", queue.calls, queue.lanes, now, settings),
    ]
    return Components(
        database=stores.database,
        services=services,
        auth=Authenticator(settings, stores.outbound_http),
        scheduler=Scheduler(
            inbox.inboxes, inbox.actions, inbox.cancellation, queue.deliveries, due, now, settings.scheduler_interval_s
        ),
        publisher=inbox.publisher,
        limiter=limiter,
        enqueuer=queue.enqueuer,
        quiet=queue.quiet,
        time=stores.time,
        watchdogs=[PoolWatchdog(one.client, settings.mongo_url) for one in (stores.database, stores.streams)],
        redis=stores.redis,
        outbound_http=stores.outbound_http,
        jobs=queue.jobs,
        calls=queue.calls,
        lanes=queue.lanes,
        breakers=breakers,
        queue_metrics=QueueMetrics(queue.lanes, breakers, now),
        tally=tally,
        heartbeat=Heartbeat(stores.database, now, tally),
    )


def health_reader(
    database: Database, redis: Redis, settings: Settings, now: clock.Clock, configured: frozenset[Channel] | None
) -> HealthReader:
    """Return a reader of the health of the hub. `configured`: the channels that the API can use, if known."""
    prefix = settings.redis_prefix
    return HealthReader(
        Workers(database, now),
        Backlog(database, now, settings.requeue_after_s),
        Lanes(redis, prefix, settings.lane_max_ids),
        Breakers(redis, prefix, settings.circuit_breaker_open_s),
        now,
        configured,
    )


async def flush_writers(committer: Committer, publisher: Publisher, feeder: Enqueuer, quiet: ReadPropagation) -> None:
    """Commit what is under way, then write what the commits left in queues."""
    await committer.close()
    await publisher.flush()
    await feeder.flush()
    await quiet.flush()


def register_gauges(committer: Committer, publisher: Publisher, rooms: SubscriptionHub) -> None:
    """Register the gauges that are computed when `/metrics` is read."""
    half = QUEUE_MAX_EVENTS // 2
    metrics.commits_waiting.set_function(lambda: committer.waiting)
    metrics.publish_waiting.set_function(lambda: publisher.waiting)
    metrics.mailboxes_open.set_function(lambda: rooms.mailbox_count)
    metrics.feed_events.set_function(lambda: sum(rooms.queue_lengths()))
    metrics.feed_events_max.set_function(lambda: max(rooms.queue_lengths(), default=0))
    metrics.feeds_over_half_full.set_function(lambda: sum(waiting > half for waiting in rooms.queue_lengths()))
