"""What `/metrics` tells (Prometheus). One process, one registry. No label has more values than the schema, the error
table or the settings name: never a tenant, a user or what a client wrote."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

SECONDS = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

# The door
requests = Counter(
    "hub_requests",
    "Operations by what became of them; a subscription is counted when it has begun, or could not.",
    ["transport", "kind", "field", "code"],
)
request_seconds = Histogram(
    "hub_request_seconds",
    "From an operation's arrival to its answer; of a subscription to its beginning.",
    ["transport", "kind"],
    buckets=SECONDS,
)
resolver_seconds = Histogram(
    "hub_resolver_seconds", "How long root fields of queries and mutations take.", ["field"], buckets=SECONDS
)
queries_parsed = Counter("hub_queries_parsed", "Query texts parsed and validated; all others were known already.")
rate_limited = Counter("hub_rate_limited", "Requests refused by a rate limit.", ["limit"])
limiter_redis_errors = Counter(
    "hub_limiter_alone", "Rounds in which the rate limiter did not reach Redis and counted alone."
)

# Sockets and subscriptions
sockets = Gauge("hub_sockets", "Open WebSockets.")
sockets_closed = Counter("hub_sockets_closed", "WebSockets that the hub closed, by close code.", ["code"])
websockets_aborted = Counter("hub_sockets_cut", "WebSockets cut off because their client did not read.", ["why"])
connections_cut = Counter(
    "hub_connections_cut", "HTTP connections cut off because their client did not send or did not read.", ["why"]
)
connections_refused = Counter("hub_connections_refused", "Connections refused because their address had too many.")
feeds = Gauge("hub_feeds", "Open inbox subscriptions.")
feed_events = Gauge("hub_feed_events", "Events waiting in inbox subscriptions for their clients, in all.")
feed_events_most = Gauge("hub_feed_events_most", "Events waiting in the inbox subscription that has most.")
feeds_over_half_full = Gauge("hub_feeds_filling", "Inbox subscriptions more than half full (HUB_FEED_QUEUE).")
mailboxes_open = Gauge("hub_mailboxes_open", "Mailboxes with an open inbox subscription.")
receipt_readers = Gauge("hub_receipt_readers", "Open subscriptions to receipts.")
resyncs = Counter("hub_resyncs", "Subscriptions told to load the inbox anew.")

# Commits
commit_batch_size = Histogram(
    "hub_commit_works",
    "Changes committed together in one transaction.",
    buckets=[2**n for n in range(11)],
)
commit_seconds = Histogram("hub_commit_seconds", "A transaction, from its first read to its commit.", buckets=SECONDS)
commits_waiting = Gauge("hub_commit_waiting", "Changes that wait for a transaction (HUB_COMMIT_QUEUE).")
conflicts = Counter("hub_commit_conflicts", "Transactions begun anew after another process changed the same mailbox.")
commits_unavailable = Counter("hub_commit_unavailable", "Transactions that MongoDB did not answer in time.")

# Live
pubsub_disconnected = Gauge("hub_live_link_away", "1 while an API process does not hear Redis, else 0.")
publish_waiting = Gauge("hub_live_waiting", "Live messages that wait for Redis (HUB_PUBLISH_QUEUE).")
published = Counter("hub_live_published", "Live messages handed to Redis.")
publish_lost = Counter("hub_live_lost", "Live messages that Redis did not take; their readers were told to look.")
gaps = Counter("hub_gaps_healed", "Live messages that were missed and read from the store.")

# Promises kept
mailboxes_recounted = Counter(
    "hub_mailboxes_recounted", "Mailboxes whose counts were compared with their notifications."
)
mailboxes_drifted = Counter(
    "hub_mailboxes_drifted", "Mailboxes whose counts were wrong. Never, if the hub keeps its promise."
)

# Persisted operations
persisted = Counter("hub_persisted_operations", "Operations by their hash.", ["outcome"])
persisted_redis_errors = Counter("hub_persisted_alone", "Hashes of operations that Redis did not look up or take.")

# Deliveries
deliveries = Counter("hub_deliveries", "Deliveries that came to a state.", ["channel", "status"])
attempts = Counter("hub_attempts", "Calls of providers.", ["channel", "provider", "outcome"])
accept_to_sent = Histogram(
    "hub_accept_to_sent_seconds",
    "From the acceptance of a delivery until its provider took it.",
    ["channel", "priority"],
    buckets=[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200],
)
enqueue_failures = Counter(
    "hub_unqueued", "Deliveries for which there was no room on their lane, or no Redis: they wait."
)
lease_expirations = Counter("hub_lapses", "Claims that ran out because their worker died or stalled.", ["channel"])
lane_waiting = Gauge(
    "hub_lane_waiting", "Deliveries on the lanes of a channel and priority, for all workers.", ["channel", "priority"]
)
lane_oldest = Gauge(
    "hub_lane_oldest_seconds", "How long ago what waits at the head of a lane was accepted.", ["channel", "priority"]
)
breakers_open = Gauge("hub_breakers_open", "Providers or hosts that are left alone, for all workers.", ["provider"])
flushes = Counter("hub_queue_flushes", "Times that the queue in Redis was found empty and filled anew.")


@cache
def _operation_metrics(transport: str, kind: str, field: str, code: str) -> tuple[Counter, Histogram]:
    return requests.labels(transport, kind, field, code), request_seconds.labels(transport, kind)


def record_operation(transport: str, kind: str, field: str, code: str, seconds: float) -> None:
    """One operation more."""
    counter, histogram = _operation_metrics(transport, kind, field, code)
    counter.inc()
    histogram.observe(seconds)


# Versions beside one another
unreadable = Counter(
    "hub_unreadable", "Documents and live messages that this version cannot decode, and skipped.", ["collection"]
)
