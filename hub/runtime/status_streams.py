"""Builds the streams of receipts and of watched sends."""

from hub.runtime.stores import Stores
from hub.settings import Settings
from hub.status.deliveries import Deliveries
from hub.status.expansion_parts import ExpansionParts
from hub.status.receipt_change_stream import ReceiptStreams
from hub.status.send_counts import SendCounts
from hub.status.sends import Sends
from hub.status.watched_sends import WatchedSends


def build_receipts(settings: Settings, stores: Stores) -> ReceiptStreams:
    per_tenant_max, max_streams = settings.tenant_max_receipt_streams, settings.receipt_max_streams
    return ReceiptStreams(stores.streams, per_tenant_max, max_streams, stores.hub_clock.to_real_time)


def build_watched_sends(
    settings: Settings, sends: Sends, deliveries: Deliveries, send_counts: SendCounts, parts: ExpansionParts
) -> WatchedSends:
    per_tenant_max, deadline_s = settings.tenant_max_send_watchers, settings.commit_deadline_s
    return WatchedSends(sends, deliveries, send_counts, parts, per_tenant_max, deadline_s)
