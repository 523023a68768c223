"""The indexes of all collections."""

from hub.audience import opt_outs, rules, service_keys, templates, tenants, topics, users
from hub.enrichment import cache, jobs
from hub.events import event_store
from hub.inbox import inbox_reader, window_counts
from hub.intake import store_gate
from hub.platform import audit, signed_links
from hub.platform.connections import Indexes
from hub.settings import Settings
from hub.status import activity, deliveries, delivery_batches, expansion_parts, receipts, sends, workers
from hub.webhooks import webhook_calls

OBSOLETE = {"notifications": ("tombstones",)}
"""The indexes of earlier versions that no running version uses, by collection. `hub migrate` drops them. An index that
the previous release uses is added one release later."""


def indexes(settings: Settings) -> list[Indexes]:
    """Return the indexes of every collection."""
    return [
        inbox_reader.indexes(settings),
        window_counts.indexes(),
        sends.indexes(),
        expansion_parts.indexes(),
        receipts.indexes(settings),
        activity.indexes(),
        users.indexes(),
        opt_outs.indexes(),
        tenants.indexes(),
        templates.indexes(settings),
        service_keys.indexes(),
        rules.indexes(),
        topics.indexes(),
        deliveries.indexes(),
        delivery_batches.indexes(),
        webhook_calls.indexes(settings),
        event_store.indexes(settings),
        jobs.indexes(),
        cache.indexes(),
        {store_gate.COLLECTION: []},
        workers.indexes(),
        signed_links.indexes(),
        audit.indexes(settings),
    ]
