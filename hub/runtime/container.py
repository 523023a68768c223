"""The composition root. Every component of a process is built here once and passed to the components that use it."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from hub.api.auth import Authenticator
from hub.api.context import Lookups, Services
from hub.api.execution.persisted_queries import AutomaticPersistedQueries
from hub.api.rate_limits import RateLimits
from hub.audience.devices import Devices
from hub.audience.opt_outs import OptOuts
from hub.audience.search_fields import SearchFields
from hub.audience.service_keys import ServiceKeys
from hub.audience.templates import Templates
from hub.audience.tenants import Tenants
from hub.audience.topics import Topics
from hub.audience.users import Users
from hub.inbox.committer import Committer
from hub.inbox.inbox_reader import Inboxes
from hub.inbox.notification_lookup import Notifications
from hub.inbox.resolutions import Resolutions
from hub.inbox.retention_sweeps import RetentionSweeps
from hub.inbox.window_counts import WindowCounts
from hub.live.publisher import Publisher
from hub.model import Delivery, WebhookCall
from hub.outbox.claims import Claims, NoReceipts
from hub.outbox.enqueuer import Enqueuer
from hub.outbox.lanes import Lanes
from hub.platform import tracing
from hub.platform.audit import AuditLog
from hub.platform.cancel_safe_mongo import PoolWatchdog
from hub.platform.circuit_breaker import Breakers
from hub.platform.connections import Database
from hub.platform.hub_clock import HubClock
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.rate_limiter import RateLimiter
from hub.platform.server_clock import ServerClock
from hub.platform.signed_links import SignedLinks
from hub.runtime.due_sample import DueSampler
from hub.runtime.enrichment import EnrichmentComponents, build_enrichment_components, build_prepare_sends
from hub.runtime.events import EventComponents, build_event_components
from hub.runtime.expansions import ExpansionComponents, build_expansion_components
from hub.runtime.gauges import register_gauges
from hub.runtime.health_reader import health_reader
from hub.runtime.live import LiveComponents, build_live_components
from hub.runtime.periodic_tasks import periodic_tasks
from hub.runtime.publishing import build_publish
from hub.runtime.queue_metrics import QueueMetrics
from hub.runtime.rules import build_rules
from hub.runtime.status_streams import build_receipts, build_watched_sends
from hub.runtime.stores import Stores, connect
from hub.settings import Settings
from hub.status.activity import Activity, ActivityCounts
from hub.status.decided_deliveries import DecidedDeliveries
from hub.status.deliveries import COLLECTION as DELIVERIES
from hub.status.deliveries import Deliveries
from hub.status.delivery_batches import DeliveryBatches
from hub.status.delivery_ends import DeliveryEnds
from hub.status.digest_items import DigestItems
from hub.status.digests import Digests
from hub.status.failure_groups import FailureGroups
from hub.status.held_deliveries import HeldDeliveries
from hub.status.obsolete_deliveries import ObsoleteDeliveries
from hub.status.receipt_builder import ReceiptBuilder
from hub.status.scheduled_sends import ScheduledSends
from hub.status.send_changes import SendChanges
from hub.status.send_counts import SendCounts, SendReactions
from hub.status.sends import Sends
from hub.status.workers import CallTally, Heartbeat
from hub.webhooks.endpoints import Endpoints
from hub.webhooks.webhook_calls import COLLECTION as WEBHOOK_CALLS
from hub.webhooks.webhook_calls import WebhookCalls
from hub.workflows.after_commit import AfterCommit
from hub.workflows.cancel_or_recall import SendCancellation
from hub.workflows.changed_preferences import ChangedPreferences
from hub.workflows.count_check import CountCheck
from hub.workflows.credential_encryption import CredentialEncryption
from hub.workflows.find import RecordSearch
from hub.workflows.inbox_actions import InboxActions
from hub.workflows.pause_channels import ChannelPauses
from hub.workflows.pause_or_resume import SendPause
from hub.workflows.prepare_sends import PrepareSends
from hub.workflows.release import Releases
from hub.workflows.resolve import Resolve
from hub.workflows.retention import Retention
from hub.workflows.scheduler import Scheduler
from hub.workflows.send_change_rounds import SendChangeRounds
from hub.workflows.send_texts import SendTextRenderer
from hub.workflows.template_editing import TemplateEditing
from hub.workflows.user_data import UserData


@dataclass(frozen=True, slots=True)
class Components:
    """The components of one process."""

    database: Database
    services: Services
    auth: Authenticator
    scheduler: Scheduler
    late_sends: Scheduler
    count_check: CountCheck
    publisher: Publisher
    rate_limiter: RateLimiter
    enqueuer: Enqueuer
    obsolete_deliveries: ObsoleteDeliveries
    activity_counts: ActivityCounts
    server_clock: ServerClock
    hub_clock: HubClock
    watchdogs: list[PoolWatchdog]
    redis: Redis
    outbound_http: OutboundHTTP
    delivery_claims: Claims[Delivery]
    webhook_claims: Claims[WebhookCall]
    events: EventComponents
    enrichment: EnrichmentComponents
    prepare_sends: PrepareSends
    digest_items: DigestItems
    lanes: Lanes
    breakers: Breakers
    queue_metrics: QueueMetrics
    call_tally: CallTally
    heartbeat: Heartbeat

    def common_loops(self) -> list[Coroutine[Any, Any, None]]:
        """Return the background tasks of every process."""
        return [
            self.server_clock.run(),
            *([self.hub_clock.run()] if self.hub_clock.movable else []),
            *(watchdog.run() for watchdog in self.watchdogs),
            self.publisher.run(),
            self.rate_limiter.run(),
            self.enqueuer.run(),
            self.events.enqueuer.run(),
            self.enrichment.enqueuer.run(),
            self.obsolete_deliveries.run(),
            self.activity_counts.run(),
            self.late_sends.run(),
        ]


@asynccontextmanager
async def build_components(settings: Settings) -> AsyncIterator[Components]:
    """Connect to the stores, create missing indexes, and build the components of one process. Raise
    connections.StoreUnavailable."""
    async with AsyncExitStack() as stack:
        stack.enter_context(tracing.export_traces())
        stores = await connect(settings, stack)
        queue = _build_queue(settings, stores)
        inbox = _build_inbox(settings, stores, queue)
        rate_limiter = RateLimiter(stores.redis, settings.redis_prefix, lambda: stores.server_clock.now().timestamp())
        live = build_live_components(settings, stores, inbox.inboxes, rate_limiter)
        services = _build_services(settings, stores, queue, inbox, live, rate_limiter)
        stack.push_async_callback(services.receipts.close)
        stack.push_async_callback(_flush_writers, inbox, queue)
        register_gauges(inbox.committer, inbox.publisher, services.subscriptions)
        yield _assemble(settings, stores, queue, inbox, live, services, rate_limiter)


@dataclass(frozen=True, slots=True)
class Queue:
    """The deliveries, webhook calls, and events, and the lanes on which they wait."""

    tenants: Tenants
    templates: Templates
    opt_outs: OptOuts
    notifications: Notifications
    digests: Digests
    digest_items: DigestItems
    deliveries: Deliveries
    delivery_batches: DeliveryBatches
    delivery_claims: Claims[Delivery]
    webhook_claims: Claims[WebhookCall]
    events: EventComponents
    enrichment: EnrichmentComponents
    lanes: Lanes
    enqueuer: Enqueuer
    obsolete_deliveries: ObsoleteDeliveries
    activity_counts: ActivityCounts


def _build_queue(settings: Settings, stores: Stores) -> Queue:
    database, now, real_now = stores.database, stores.hub_clock.now, stores.server_clock.now
    requeue_after_s = settings.requeue_after_s
    tenants = Tenants(database, settings.tenant_max_categories, settings.commit_deadline_s)
    activity_counts = ActivityCounts(database, now)
    receipt_builder = ReceiptBuilder(tenants, activity_counts)
    notifications = Notifications(database)
    digests = Digests(database[DELIVERIES], now)
    ends = DeliveryEnds(database[DELIVERIES], now, receipt_builder, digests)
    deliveries = Deliveries(database, now, ends, digests)
    lanes = Lanes(stores.redis, settings.redis_prefix, settings.lane_max_ids)
    delivery_claims = Claims(database, DELIVERIES, Delivery, now, real_now, requeue_after_s, receipt_builder)
    return Queue(
        tenants=tenants,
        templates=Templates(database, now, settings.commit_deadline_s),
        opt_outs=OptOuts(database, now, settings.senders),
        notifications=notifications,
        digests=digests,
        digest_items=DigestItems(digests, ends, lanes),
        deliveries=deliveries,
        delivery_batches=DeliveryBatches(database, database[DELIVERIES], now, deliveries, notifications, digests),
        delivery_claims=delivery_claims,
        webhook_claims=Claims(database, WEBHOOK_CALLS, WebhookCall, now, real_now, requeue_after_s, NoReceipts()),
        events=build_event_components(database, settings, lanes, now, real_now),
        enrichment=build_enrichment_components(settings, stores, lanes),
        lanes=lanes,
        enqueuer=Enqueuer(lanes, delivery_claims),
        obsolete_deliveries=ObsoleteDeliveries(deliveries),
        activity_counts=activity_counts,
    )


@dataclass(frozen=True, slots=True)
class Inbox:
    """The components that change inboxes and publish the changes."""

    users: Users
    inboxes: Inboxes
    sends: Sends
    send_counts: SendCounts
    publisher: Publisher
    committer: Committer
    actions: InboxActions
    cancellation: SendCancellation
    pause: SendPause
    channel_pauses: ChannelPauses
    resolve: Resolve
    retention: Retention
    releases: Releases
    changed_preferences: ChangedPreferences
    expansion: ExpansionComponents


def _build_inbox(settings: Settings, stores: Stores, queue: Queue) -> Inbox:
    database, now, real_now = stores.database, stores.hub_clock.now, stores.server_clock.now
    users = Users(database, now, settings.commit_deadline_s, SearchFields(settings.indexed_attributes))
    inboxes = Inboxes(database, settings, now)
    sends = Sends(database, queue.notifications)
    publisher = Publisher(stores.redis, settings.redis_prefix)
    held = HeldDeliveries(database)
    read, background = (users, queue.tenants, queue.opt_outs), (publisher, queue.enqueuer, queue.obsolete_deliveries)
    hooks = AfterCommit(*read, *background, held, sends, queue.digests, queue.activity_counts)
    committer = Committer(database, settings, now, hooks)
    actions = InboxActions(committer, inboxes, queue.deliveries, publisher, settings.commit_max_documents)
    topics = Topics(database, users, now, settings)
    expansion = build_expansion_components(stores, settings, queue.tenants, topics, sends)
    rounds, stop = SendChangeRounds(SendChanges(database, queue.tenants, now), real_now), expansion.stop
    cancellation = SendCancellation(sends, rounds, queue.deliveries, queue.notifications, actions, stop, real_now)
    jobs = queue.enrichment.jobs
    pause = SendPause(sends, rounds, held, expansion.parts, jobs, now, real_now, settings.commit_deadline_s)
    channel_pauses = ChannelPauses(queue.tenants, held, queue.lanes, now, real_now, settings.commit_deadline_s)
    resolve = Resolve(committer, Resolutions(database), ScheduledSends(database), stop, now)
    retention = Retention(RetentionSweeps(database), sends, now, settings.commit_deadline_s)
    releases = Releases(held, queue.templates, committer, queue.lanes, settings, now)
    changed = ChangedPreferences(users, queue.tenants, held, queue.digests, now, settings.commit_deadline_s)
    actors = actions, cancellation, pause, channel_pauses, resolve, retention, releases, changed, expansion
    send_counts = SendCounts(sends, queue.deliveries, now, settings.commit_deadline_s)
    return Inbox(users, inboxes, sends, send_counts, publisher, committer, *actors)


def _build_user_data(settings: Settings, stores: Stores, queue: Queue, inbox: Inbox, keys: ServiceKeys) -> UserData:
    stored = queue.templates, keys, inbox.expansion.topics, queue.opt_outs, inbox.committer, inbox.publisher
    sends, changes, log = inbox.sends, inbox.pause.rounds.changes, AuditLog(stores.database)
    return UserData(stores.database, *stored, sends, changes, inbox.expansion.parts, log, settings, stores.encryption)


def _build_lookups(settings: Settings, database: Database, queue: Queue, inbox: Inbox) -> Lookups:
    return Lookups(
        records=RecordSearch(database, inbox.inboxes, inbox.sends, queue.deliveries),
        decided_deliveries=DecidedDeliveries(queue.deliveries, queue.notifications),
        failure_groups=FailureGroups(database),
        send_reactions=SendReactions(inbox.sends, settings.commit_deadline_s),
        activity=Activity(database),
    )


def _build_services(
    settings: Settings, stores: Stores, queue: Queue, inbox: Inbox, live: LiveComponents, rate_limiter: RateLimiter
) -> Services:
    database, now, expansion = stores.database, stores.hub_clock.now, inbox.expansion
    texts = SendTextRenderer(queue.templates, queue.tenants, inbox.users, settings)
    rules, rule_requests = build_rules(settings, stores, queue.tenants)
    return Services(
        settings=settings,
        clock=now,
        real_clock=stores.server_clock.now,
        hub_clock=stores.hub_clock,
        publish=build_publish(settings, stores, queue, inbox, texts),
        send_texts=texts,
        inbox_actions=inbox.actions,
        inboxes=inbox.inboxes,
        subscriptions=live.subscriptions,
        service_keys=live.service_keys,
        key_revocations=live.key_revocations,
        sends=inbox.sends,
        send_counts=inbox.send_counts,
        expansion_parts=expansion.parts,
        recipients=expansion.recipients,
        users=inbox.users,
        opt_outs=queue.opt_outs,
        devices=Devices(database, inbox.users, now, settings.user_max_devices, stores.encryption),
        credential_encryption=CredentialEncryption(database, stores.encryption),
        tenants=queue.tenants,
        templates=queue.templates,
        topics=expansion.topics,
        audience_counts=expansion.counts,
        template_editing=TemplateEditing(queue.templates, queue.tenants, inbox.users, settings, now),
        user_data=_build_user_data(settings, stores, queue, inbox, live.service_keys),
        enrichment_secrets=queue.enrichment.secrets,
        enrichment_cache=queue.enrichment.cache,
        enrichment_calls=queue.enrichment.calls,
        rules=rules,
        rule_requests=rule_requests,
        deliveries=queue.deliveries,
        delivery_batches=queue.delivery_batches,
        digests=queue.digests,
        lookups=_build_lookups(settings, database, queue, inbox),
        send_cancellation=inbox.cancellation,
        send_pause=inbox.pause,
        channel_pauses=inbox.channel_pauses,
        resolve=inbox.resolve,
        retention=inbox.retention,
        window_counts=WindowCounts(database),
        webhook_endpoints=Endpoints(database, settings, now, stores.encryption),
        webhook_calls=WebhookCalls(database, now),
        events=queue.events.store,
        receive_events=queue.events.receive,
        receipts=build_receipts(settings, stores),
        watched_sends=build_watched_sends(settings, inbox.sends, queue.deliveries, inbox.send_counts, expansion.parts),
        outbound_http=stores.outbound_http,
        signed_links=SignedLinks(stores.signing_key, settings.public_url),
        rate_limits=RateLimits(rate_limiter, settings),
        persisted_queries=AutomaticPersistedQueries(stores.redis, settings),
        health=health_reader(database, stores.redis, settings, now, stores.server_clock.now, settings.configured),
        audit_log=AuditLog(database),
    )


def _assemble(
    settings: Settings,
    stores: Stores,
    queue: Queue,
    inbox: Inbox,
    live: LiveComponents,
    services: Services,
    rate_limiter: RateLimiter,
) -> Components:
    real_now, scheduled, start = stores.server_clock.now, ScheduledSends(stores.database), inbox.expansion.start
    prepare_sends = build_prepare_sends(settings, services, queue.enrichment, scheduled, start, queue.lanes)
    breakers = Breakers(stores.redis, settings.redis_prefix, settings.circuit_breaker_open_s)
    due, call_tally = DueSampler(stores.database, stores.redis, settings, queue.lanes), CallTally(real_now)
    return Components(
        database=stores.database,
        services=services,
        auth=Authenticator(settings, stores.outbound_http, live.key_authenticator),
        scheduler=Scheduler(periodic_tasks(settings, stores, queue, inbox, services), settings.scheduler_interval_s),
        late_sends=Scheduler(prepare_sends.tasks(), settings.scheduler_interval_s),
        count_check=CountCheck(inbox.inboxes),
        publisher=inbox.publisher,
        rate_limiter=rate_limiter,
        enqueuer=queue.enqueuer,
        obsolete_deliveries=queue.obsolete_deliveries,
        activity_counts=queue.activity_counts,
        server_clock=stores.server_clock,
        hub_clock=stores.hub_clock,
        watchdogs=[PoolWatchdog(one.client, settings.mongo_url) for one in (stores.database, stores.streams)],
        redis=stores.redis,
        outbound_http=stores.outbound_http,
        delivery_claims=queue.delivery_claims,
        webhook_claims=queue.webhook_claims,
        events=queue.events,
        enrichment=queue.enrichment,
        prepare_sends=prepare_sends,
        digest_items=queue.digest_items,
        lanes=queue.lanes,
        breakers=breakers,
        queue_metrics=QueueMetrics(queue.lanes, breakers, due, stores.hub_clock.now),
        call_tally=call_tally,
        heartbeat=Heartbeat(stores.database, real_now, call_tally),
    )


async def _flush_writers(inbox: Inbox, queue: Queue) -> None:
    """Commit the submitted changes, then write the queued results of the commits."""
    await inbox.committer.close()
    await inbox.publisher.flush()
    await queue.enqueuer.flush()
    await queue.events.enqueuer.flush()
    await queue.enrichment.enqueuer.flush()
    await queue.obsolete_deliveries.flush()
    await queue.activity_counts.flush()
