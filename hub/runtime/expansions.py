"""Builds the components that expand sends to audiences."""

from dataclasses import dataclass
from datetime import timedelta

from hub.audience.audience_count import AudienceCounts
from hub.audience.recipients import Recipients
from hub.audience.search_fields import SearchFields
from hub.audience.tenants import Tenants
from hub.audience.topics import Topics
from hub.audience.user_selection import UserSelection
from hub.audience.users import Users
from hub.inbox.committer import Committer
from hub.platform.oplog import Oplog
from hub.platform.urgent_sends import UrgentSends
from hub.runtime.stores import Stores
from hub.settings import Settings
from hub.status.deliveries import Deliveries
from hub.status.expanding_sends import ExpandingSends
from hub.status.expansion_parts import ExpansionParts
from hub.status.guarded_sends import GuardedSends
from hub.status.sends import Sends
from hub.utc_time import Clock
from hub.workflows.expansion_chunk import ChunkStores
from hub.workflows.expansions import LEASE_DEADLINES, PARTS_AT_ONCE, Expansions
from hub.workflows.failure_guard import FailureGuard
from hub.workflows.health import HealthReader
from hub.workflows.pause_or_resume import SendPause
from hub.workflows.scheduler import NOT_URGENT, PeriodicTask
from hub.workflows.send_texts import RENDER_MAX_S, SendTextRenderer
from hub.workflows.start_expansion import StartExpansion
from hub.workflows.stop_expansion import StopExpansion


@dataclass(frozen=True, slots=True)
class ExpansionComponents:
    topics: Topics
    counts: AudienceCounts
    recipients: Recipients
    parts: ExpansionParts
    chunk_stores: ChunkStores
    start: StartExpansion
    stop: StopExpansion
    oplog: Oplog
    guarded: GuardedSends
    urgent: UrgentSends


def build_expansion_components(
    stores: Stores, settings: Settings, tenants: Tenants, topics: Topics, sends: Sends
) -> ExpansionComponents:
    database, real_clock = stores.database, stores.server_clock.now
    fields = SearchFields(settings.indexed_attributes)
    counts = AudienceCounts(database, topics, fields)
    recipients = Recipients(database, tenants, UserSelection(database, topics, fields), counts)
    expanding = ExpandingSends(database)
    lease = timedelta(seconds=RENDER_MAX_S + LEASE_DEADLINES * settings.commit_deadline_s)
    parts = ExpansionParts(database, real_clock, lease)
    return ExpansionComponents(
        topics=topics,
        counts=counts,
        recipients=recipients,
        parts=parts,
        chunk_stores=ChunkStores(parts, expanding, sends, tenants, settings, real_clock),
        start=StartExpansion(database, recipients, expanding, tenants, settings, real_clock),
        stop=StopExpansion(parts, expanding, real_clock),
        oplog=Oplog(database, settings.oplog_hours),
        guarded=GuardedSends(database),
        urgent=UrgentSends(stores.redis, settings.redis_prefix),
    )


def expansion_tasks(
    components: ExpansionComponents, users: Users, committer: Committer, texts: SendTextRenderer, clock: Clock
) -> list[PeriodicTask]:
    """Return the tasks of a worker that expand sends. While no send is expanded, one of them looks for parts."""
    expansions = Expansions(
        components.recipients,
        users,
        committer,
        texts,
        components.chunk_stores,
        components.stop,
        components.oplog,
        components.urgent,
        clock,
    )
    others = PeriodicTask("expansions", expansions.turn, idle_intervals=NOT_URGENT)
    return [PeriodicTask("expansions", expansions.turn), *[others] * (PARTS_AT_ONCE - 1)]


def build_failure_guard(
    components: ExpansionComponents, pause: SendPause, deliveries: Deliveries, health: HealthReader, clock: Clock
) -> FailureGuard:
    return FailureGuard(components.guarded, pause, components.chunk_stores, deliveries, health, clock)
