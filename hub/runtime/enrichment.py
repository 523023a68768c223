"""Builds the components that enrich sends."""

from dataclasses import dataclass

from hub.api.context import Services
from hub.audience.enrichment_secrets import EnrichmentSecretStore
from hub.enrichment.cache import EnrichmentCache
from hub.enrichment.calls import EnrichmentCalls
from hub.enrichment.jobs import COLLECTION, LANE, EnrichmentJobs
from hub.model import EnrichmentJob
from hub.outbox.claims import Claims, NoReceipts
from hub.outbox.enqueuer import Enqueuer
from hub.outbox.lanes import Lanes
from hub.platform.circuit_breaker import Breakers
from hub.runtime.stores import Stores
from hub.settings import Settings
from hub.status.scheduled_sends import ScheduledSends
from hub.workflows.due_jobs import DueJobs
from hub.workflows.prepare_sends import PrepareSends
from hub.workflows.scheduler import PeriodicTask
from hub.workflows.start_expansion import StartExpansion


@dataclass(frozen=True, slots=True)
class EnrichmentComponents:
    secrets: EnrichmentSecretStore
    cache: EnrichmentCache
    calls: EnrichmentCalls
    jobs: EnrichmentJobs
    claims: Claims[EnrichmentJob]
    enqueuer: Enqueuer
    due: PeriodicTask


def build_enrichment_components(settings: Settings, stores: Stores, lanes: Lanes) -> EnrichmentComponents:
    database, now, real_now = stores.database, stores.hub_clock.now, stores.server_clock.now
    secrets = EnrichmentSecretStore(database, settings, now, stores.encryption)
    breakers = Breakers(stores.redis, settings.redis_prefix, settings.circuit_breaker_open_s)
    claims = Claims(database, COLLECTION, EnrichmentJob, now, real_now, settings.requeue_after_s, NoReceipts())
    enqueuer = Enqueuer(lanes, claims)
    return EnrichmentComponents(
        secrets=secrets,
        cache=EnrichmentCache(database, now),
        calls=EnrichmentCalls(stores.outbound_http, breakers, secrets, real_now),
        jobs=EnrichmentJobs(database, enqueuer, now),
        claims=claims,
        enqueuer=enqueuer,
        due=PeriodicTask("due_enrichments", DueJobs("enrichments", claims, lanes, now, settings).tick),
    )


def build_prepare_sends(
    settings: Settings,
    services: Services,
    components: EnrichmentComponents,
    scheduled: ScheduledSends,
    start_expansion: StartExpansion,
    lanes: Lanes,
) -> PrepareSends:
    """Return the component that prepares sends."""
    return PrepareSends(
        scheduled,
        services.publish.send_due,
        start_expansion,
        services.tenants,
        components.calls,
        components.cache,
        components.jobs,
        lanes,
        len(settings.schedule_of(LANE)) + 1,
        services.clock,
    )
