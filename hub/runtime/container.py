"""The parts of one process, built once and passed down."""

import asyncio
import functools
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pymongo import UpdateOne
from redis.asyncio import Redis

from hub import clock, status
from hub.api.auth import Authenticator
from hub.api.context import Services
from hub.api.execution.persisted_queries import Taught
from hub.api.rate_limits import Rates
from hub.audience import tenants, users
from hub.audience.devices import Devices
from hub.inbox import store
from hub.inbox.committer import Committer
from hub.inbox.unit_of_work import UnitOfWork
from hub.live.publisher import Publisher
from hub.live.pubsub import PubSubConnection
from hub.live.subscriptions import SubscriptionHub
from hub.model import (
    Channel,
    Delivery,
    MailboxChange,
    WebhookCall,
    tenant_of,
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
from hub.status.receipt_writer import ReceiptWriter, webhook_calls_for
from hub.status.workers import CallTally, Heartbeat, Workers
from hub.webhooks import endpoints, webhook_calls
from hub.workflows.cancel_send import SendCancellation
from hub.workflows.health import HealthReader
from hub.workflows.inbox_actions import InboxActions
from hub.workflows.publish import DecisionData, Publish
from hub.workflows.scheduler import DueJobs, Scheduler
from hub.workflows.user_data import UserData


@dataclass(frozen=True, slots=True)
class Components:
    """The parts of one process."""

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


def indexes(settings: Settings) -> list[Indexes]:
    """What every stage wants to be there."""
    stages = store.indexes(settings), sends.indexes(), receipts.indexes(settings), users.indexes()
    outside = status.deliveries.indexes(), webhook_calls.indexes(settings), workers.indexes()
    return [*stages, tenants.indexes(), *outside, signed_links.indexes()]


@asynccontextmanager
async def build_components(settings: Settings) -> AsyncIterator[Components]:
    """Connected and indexed, and telling what it commits. Raises connections.StoreUnavailable."""
    async with AsyncExitStack() as stack:
        stack.enter_context(tracing.export_traces())
        database = await stack.enter_async_context(connections.mongo(settings))
        await connections.connect_and_migrate(database, settings)
        await schema_version.check_version(database)
        await connections.connect_and_migrate(database, settings, *indexes(settings))
        time = ServerClock(database, clock.now)
        await time.sync()
        key = await signed_links.load_signing_key(database)
        redis = await stack.enter_async_context(connections.redis(settings))
        egress = await stack.enter_async_context(OutboundHTTP(settings.egress_allow))
        prefix = settings.redis_prefix
        publisher = Publisher(redis, prefix, settings.publish_queue)
        inboxes = store.Inboxes(database, settings, time.now)
        records = sends.Sends(database)
        setups = tenants.Tenants(database, settings.categories_per_tenant, settings.commit_deadline_s)
        teller = ReceiptWriter(setups.get_many)
        deliveries = Deliveries(database, time.now, teller)
        jobs = Claims(
            database,
            status.deliveries.COLLECTION,
            Delivery,
            time.now,
            settings.queued_s,
            teller,
            receipt_writer.receipt_for,
        )
        calls = Claims(
            database, webhook_calls.COLLECTION, WebhookCall, time.now, settings.queued_s, teller, lambda *_: None
        )
        lanes = Lanes(redis, prefix, settings.lane_max)
        breakers = Breakers(redis, prefix, settings.breaker_open_s)
        feeder = Enqueuer(lanes, jobs.unmark_queued)
        quiet = ReadPropagation(deliveries)
        people = users.Users(database, time.now, settings.commit_deadline_s)

        def told(unit: UnitOfWork, changed: list[MailboxChange]) -> None:
            if changed:
                publisher.enqueue(changed)
            if queued := unit.inserts.get(status.deliveries.COLLECTION):
                feeder.put([(doc["lane"], doc["_id"]) for doc in queued])
            if unit.read_with_deliveries:
                quiet.put(unit.read_with_deliveries)

        async def look_up(mailboxes: Collection[str], deciding: Collection[str]) -> DecisionData:
            known = setups.get_many({tenant_of(mailbox) for mailbox in mailboxes})
            if not deciding:
                return DecisionData({}, await known)
            return DecisionData(*await asyncio.gather(people.get_many(deciding), known))

        def complete(unit: UnitOfWork) -> None:
            written = unit.inserts.get(receipts.COLLECTION, [])
            about = [(receipt, unit.notifications[receipt["notification_id"]]) for receipt in written]
            if calls := webhook_calls_for(about, unit.decision_data.tenants, unit.now):
                unit.inserts[webhook_calls.COLLECTION] = calls

        committer = Committer(
            database,
            settings,
            time.now,
            new_mailbox_updates=create_missing_users,
            on_commit=told,
            load_decision_data=look_up,
            add_follow_ups=complete,
            outcome_unknown=publisher.request_reconcile,
        )
        change = InboxActions(committer, inboxes, publisher.enqueue, settings.commit_max_documents)

        def link(rooms: SubscriptionHub) -> PubSubConnection:
            connect = functools.partial(connections.pubsub_client, settings)
            return PubSubConnection(connect, redis, prefix, rooms.on_message, rooms.reconcile)

        call_off = SendCancellation(records, deliveries, change, time.now)
        limiter = RateLimiter(redis, prefix, lambda: time.now().timestamp())
        # A reader holds its connection nearly all the time: commits have a pool of their own.
        streams = await stack.enter_async_context(connections.mongo(settings, settings.receipt_readers + 1))
        readers = receipts.ReceiptStreams(streams, settings.receipt_readers_per_tenant, settings.receipt_readers)
        services = Services(
            settings=settings,
            clock=time.now,
            publish=Publish(committer, records, setups.create_category_update, setups.cached, settings, time.now),
            change=change,
            inboxes=inboxes,
            subscriptions=SubscriptionHub(
                inboxes, link, prefix, queue_max=settings.feed_queue, bytes_max=settings.feed_queue_bytes
            ),
            sends=records,
            users=people,
            devices=Devices(database, people, time.now, settings.devices_per_user),
            tenants=setups,
            dossiers=UserData(
                database, committer, publisher.enqueue, chunk=settings.commit_max_documents, most=settings.export_max
            ),
            deliveries=deliveries,
            call_off=call_off,
            endpoints=endpoints.Endpoints(database, settings, time.now),
            webhook_calls=webhook_calls.WebhookCalls(database, time.now),
            receipts=readers,
            egress=egress,
            links=signed_links.SignedLinks(key, settings.public_url),
            rates=Rates(limiter, settings),
            taught=Taught(redis, settings),
            health=health_reader(database, redis, settings, time.now, settings.configured),
            closing=asyncio.Event(),
        )
        stack.push_async_callback(flush_writers, committer, publisher, feeder, quiet)
        register_gauges(committer, publisher, services.subscriptions, settings)
        tally = CallTally(time.now)
        queues = [
            DueJobs("deliveries", jobs, lanes, time.now, settings),
            DueJobs("webhook_calls", calls, lanes, time.now, settings),
        ]
        yield Components(
            database=database,
            services=services,
            auth=Authenticator(settings, egress),
            scheduler=Scheduler(inboxes, change, call_off, deliveries, queues, time.now, settings.tick_s),
            publisher=publisher,
            limiter=limiter,
            enqueuer=feeder,
            quiet=quiet,
            time=time,
            watchdogs=[PoolWatchdog(one.client, settings.mongo_url) for one in (database, streams)],
            redis=redis,
            outbound_http=egress,
            jobs=jobs,
            calls=calls,
            lanes=lanes,
            breakers=breakers,
            queue_metrics=QueueMetrics(lanes, breakers, time.now),
            tally=tally,
            heartbeat=Heartbeat(database, time.now, tally),
        )


def health_reader(
    database: Database, redis: Redis, settings: Settings, now: clock.Clock, configured: frozenset[Channel] | None
) -> HealthReader:
    """What reads the state of the hub off its stores. `configured`: the channels of the API, where that is known."""
    prefix = settings.redis_prefix
    return HealthReader(
        Workers(database, now),
        Backlog(database, now, settings.queued_s),
        Lanes(redis, prefix, settings.lane_max),
        Breakers(redis, prefix, settings.breaker_open_s),
        now,
        configured,
    )


async def flush_writers(committer: Committer, publisher: Publisher, feeder: Enqueuer, quiet: ReadPropagation) -> None:
    await committer.close()
    await publisher.flush()
    await feeder.flush()
    await quiet.flush()


def register_gauges(committer: Committer, publisher: Publisher, rooms: SubscriptionHub, settings: Settings) -> None:
    """What is looked up when somebody asks, rather than counted at each event."""
    half = settings.feed_queue // 2
    metrics.commits_waiting.set_function(lambda: committer.waiting)
    metrics.publish_waiting.set_function(lambda: publisher.waiting)
    metrics.mailboxes_open.set_function(lambda: rooms.mailbox_count)
    metrics.feed_events.set_function(lambda: sum(rooms.queue_lengths()))
    metrics.feed_events_most.set_function(lambda: max(rooms.queue_lengths(), default=0))
    metrics.feeds_over_half_full.set_function(lambda: sum(waiting > half for waiting in rooms.queue_lengths()))


def create_missing_users(mailboxes: Collection[str], unit: UnitOfWork) -> dict[str, list[UpdateOne]]:
    return {users.COLLECTION: users.create_missing(mailboxes, unit.now)}
