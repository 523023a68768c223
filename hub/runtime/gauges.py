"""The gauges of a process that are computed when `/metrics` is read."""

from hub.inbox.committer import Committer
from hub.live.publisher import Publisher
from hub.live.subscription_feed import QUEUE_MAX_EVENTS
from hub.live.subscriptions import SubscriptionHub
from hub.platform import metrics


def register_gauges(committer: Committer, publisher: Publisher, subscriptions: SubscriptionHub) -> None:
    """Register the gauges whose values are computed when `/metrics` is read."""
    half = QUEUE_MAX_EVENTS // 2
    metrics.commits_waiting.set_function(lambda: committer.waiting)
    metrics.publish_waiting.set_function(lambda: publisher.waiting)
    metrics.mailboxes_open.set_function(lambda: subscriptions.mailbox_count)
    metrics.feed_events.set_function(lambda: sum(subscriptions.queue_lengths()))
    metrics.feed_events_max.set_function(lambda: max(subscriptions.queue_lengths(), default=0))
    metrics.feeds_over_half_full.set_function(lambda: sum(waiting > half for waiting in subscriptions.queue_lengths()))
