"""The periodic tasks of a worker."""

import functools
from typing import TYPE_CHECKING

from hub.api.context import Services
from hub.audience import user_conversion
from hub.audience.search_fields import SearchFields
from hub.audience.user_conversion import UserConversion
from hub.outbox.lanes import WORKER_LANES
from hub.runtime.expansions import build_failure_guard, expansion_tasks
from hub.runtime.stores import Stores
from hub.settings import Settings
from hub.status.held_deliveries import DUE_AT_ONCE
from hub.status.scheduled_sends import ScheduledSends
from hub.workflows import changed_preferences, snooze_and_expiry
from hub.workflows.due_jobs import DueJobs
from hub.workflows.old_notifications import BATCH_SIZE as OLD_NOTIFICATIONS_BATCH_SIZE
from hub.workflows.old_notifications import OldNotifications
from hub.workflows.old_records import BATCH_SIZE as OLD_RECORDS_BATCH_SIZE
from hub.workflows.old_records import OldRecords
from hub.workflows.scheduler import NOT_URGENT, PeriodicTask
from hub.workflows.schedules import BATCH_SIZE as DUE_SENDS_BATCH_SIZE
from hub.workflows.schedules import DueSends
from hub.workflows.snooze_and_expiry import DueNotifications

if TYPE_CHECKING:
    from hub.runtime.container import Inbox, Queue


def periodic_tasks(
    settings: Settings,
    stores: Stores,
    queue: "Queue",
    inbox: "Inbox",
    services: Services,
) -> list[PeriodicTask]:
    """Return the periodic tasks of a worker."""
    now = stores.hub_clock.now
    notifications = DueNotifications(inbox.inboxes, inbox.actions, now)
    deliveries = DueJobs("deliveries", queue.delivery_claims, queue.lanes, now, settings, WORKER_LANES)
    webhook_calls = DueJobs("webhook_calls", queue.webhook_claims, queue.lanes, now, settings)
    due_sends = DueSends(ScheduledSends(stores.database), services.publish.send_due, queue.lanes, now)
    conversion = UserConversion(stores.database, SearchFields(settings.indexed_attributes))
    old_notifications = OldNotifications(stores.database, inbox.sends, inbox.actions, queue.lanes, settings, now)
    old_records = OldRecords(stores.database, queue.notifications, queue.lanes, settings, stores.server_clock.now)
    guard = build_failure_guard(inbox.expansion, inbox.pause, queue.deliveries, services.health, now)
    return [
        PeriodicTask("due_notifications", notifications.tick, snooze_and_expiry.BATCH_SIZE),
        PeriodicTask("due_deliveries", deliveries.tick),
        PeriodicTask("due_webhook_calls", webhook_calls.tick),
        queue.events.due,
        queue.enrichment.due,
        PeriodicTask("digest_items", queue.digest_items.tick),
        PeriodicTask("lost_digests", queue.digest_items.release_lost, idle_intervals=NOT_URGENT),
        PeriodicTask("releases", inbox.releases.tick, DUE_AT_ONCE),
        PeriodicTask("due_sends", due_sends.tick, DUE_SENDS_BATCH_SIZE),
        *expansion_tasks(inbox.expansion, inbox.users, inbox.committer, services.send_texts, now),
        PeriodicTask("failure_guard", guard.tick),
        PeriodicTask("send_changes", functools.partial(inbox.pause.rounds.tick, inbox.cancellation, inbox.pause)),
        PeriodicTask("resumed_channels", inbox.channel_pauses.tick),
        PeriodicTask("resolutions", inbox.resolve.continue_resolutions, idle_intervals=NOT_URGENT),
        PeriodicTask("retention_sweeps", inbox.retention.continue_sweeps, idle_intervals=NOT_URGENT),
        PeriodicTask("changed_preferences", inbox.changed_preferences.tick, changed_preferences.USERS_MAX),
        PeriodicTask("user_conversion", conversion.tick, user_conversion.SLICE, NOT_URGENT),
        PeriodicTask("credential_encryption", services.credential_encryption.tick, idle_intervals=NOT_URGENT),
        PeriodicTask("delivery_batches", queue.delivery_batches.tick),
        PeriodicTask("old_notifications", old_notifications.tick, OLD_NOTIFICATIONS_BATCH_SIZE, NOT_URGENT),
        PeriodicTask("old_records", old_records.tick, OLD_RECORDS_BATCH_SIZE, NOT_URGENT),
    ]
