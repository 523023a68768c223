"""What `/metrics` tells (Prometheus). One process, one registry."""

from prometheus_client import Counter, Gauge, Histogram

batch_size = Histogram(
    "hub_commit_works",
    "Changes committed together in one transaction.",
    buckets=[2**n for n in range(11)],
)
conflicts = Counter("hub_commit_conflicts", "Transactions begun anew after another process changed the same mailbox.")
sockets = Gauge("hub_sockets", "Open WebSockets.")
feeds = Gauge("hub_feeds", "Open inbox subscriptions.")
resyncs = Counter("hub_resyncs", "Subscriptions told to load the inbox anew.")
gaps = Counter("hub_gaps_healed", "Live messages that were missed and read from the store.")
published = Counter("hub_live_published", "Live messages handed to Redis.")
publish_lost = Counter("hub_live_lost", "Live messages that Redis did not take; their readers were told to look.")
sockets_cut = Counter("hub_sockets_cut", "WebSockets cut off because their client did not read.", ["why"])
rate_limited = Counter("hub_rate_limited", "Requests refused by a rate limit.", ["limit"])
limiter_alone = Counter("hub_limiter_alone", "Rounds in which the rate limiter did not reach Redis and counted alone.")
recounted = Counter("hub_mailboxes_recounted", "Mailboxes whose counts were compared with their notifications.")
drifted = Counter("hub_mailboxes_drifted", "Mailboxes whose counts were wrong. Never, if the hub keeps its promise.")
