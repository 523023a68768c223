"""Builds the workflow that publishes sends."""

from typing import TYPE_CHECKING

from hub.runtime.stores import Stores
from hub.settings import Settings
from hub.status.scheduled_sends import ScheduledSends
from hub.workflows.channel_use_recorder import ChannelUseRecorder
from hub.workflows.publish import Publish
from hub.workflows.send_texts import SendTextRenderer

if TYPE_CHECKING:
    from hub.runtime.container import Inbox, Queue


def build_publish(
    settings: Settings, stores: Stores, queue: "Queue", inbox: "Inbox", texts: SendTextRenderer
) -> Publish:
    scheduled, expansion = ScheduledSends(stores.database), inbox.expansion
    recorder = ChannelUseRecorder(stores.database, queue.tenants)
    starting = expansion.start, expansion.urgent, queue.enrichment.jobs, recorder
    written = inbox.committer, inbox.sends, scheduled, queue.tenants, texts
    return Publish(*written, *starting, settings, stores.hub_clock.now)
