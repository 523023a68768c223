"""The Prometheus metrics of one process, served at `/metrics`.

Label values are taken from the schema, the error table, or the settings. They never contain tenants, users, or client
input.
"""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

SECONDS = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

# Requests
requests = Counter(
    "hub_requests",
    "Operations by result code. A subscription is counted once, when it starts or is rejected.",
    ["transport", "kind", "field", "code"],
)
request_seconds = Histogram(
    "hub_request_seconds",
    "Seconds from an operation's arrival to its response, or to the start of a subscription.",
    ["transport", "kind"],
    buckets=SECONDS,
)
resolver_seconds = Histogram(
    "hub_resolver_seconds", "Seconds taken by root fields of queries and mutations.", ["field"], buckets=SECONDS
)
queries_parsed = Counter("hub_queries_parsed", "Queries that were parsed and validated because they were not cached.")
rate_limited = Counter("hub_rate_limited", "Requests rejected by a rate limit.", ["limit"])
limiter_redis_errors = Counter(
    "hub_limiter_redis_errors", "Synchronizations of the rate limiter that failed because Redis was unavailable."
)

# Sockets and subscriptions
sockets = Gauge("hub_sockets", "Open WebSockets.")
sockets_closed = Counter("hub_sockets_closed", "WebSockets that the hub closed, by close code.", ["code"])
websockets_aborted = Counter("hub_websockets_aborted", "WebSockets aborted because the client did not read.", ["why"])
connections_aborted = Counter(
    "hub_connections_aborted", "HTTP connections aborted because the client did not send or did not read.", ["why"]
)
connections_refused = Counter(
    "hub_connections_refused", "Connections rejected because the client address had too many open connections."
)
feeds = Gauge("hub_feeds", "Open inbox subscriptions.")
feed_events = Gauge("hub_feed_events", "Events queued in all inbox subscriptions.")
feed_events_max = Gauge("hub_feed_events_max", "Events queued in the fullest inbox subscription.")
feeds_over_half_full = Gauge("hub_feeds_over_half_full", "Inbox subscriptions whose queue is more than half full.")
mailboxes_open = Gauge("hub_mailboxes_open", "Mailboxes with an open inbox subscription.")
receipt_readers = Gauge("hub_receipt_readers", "Open subscriptions to receipts.")
receipt_streams = Gauge(
    "hub_receipt_streams",
    "Open change streams of receipts: one for all subscriptions, and one for each position from which some catch up.",
)
send_watchers = Gauge("hub_send_watchers", "Open subscriptions to sends.")
resyncs = Counter("hub_resyncs", "RESYNC events sent to inbox subscriptions.")

# Commits
commit_batch_size = Histogram(
    "hub_commit_batch_size",
    "Changes committed together in one transaction.",
    buckets=[2**n for n in range(11)],
)
commit_seconds = Histogram(
    "hub_commit_seconds", "Seconds from a transaction's first read to its commit.", buckets=SECONDS
)
commits_waiting = Gauge("hub_commit_waiting", "Changes waiting for a transaction.")
conflicts = Counter("hub_commit_conflicts", "Transactions retried because another process changed the same mailbox.")
commits_unavailable = Counter("hub_commit_unavailable", "Transactions that exceeded the commit deadline.")

# Live
pubsub_disconnected = Gauge(
    "hub_pubsub_disconnected", "1 while an API process has no pub/sub connection to Redis, otherwise 0."
)
publish_waiting = Gauge("hub_live_waiting", "Live messages waiting to be published to Redis.")
published = Counter("hub_live_published", "Live messages published to Redis.")
publish_lost = Counter(
    "hub_live_lost", "Live messages that could not be published. Subscribers read those changes from MongoDB."
)
mailboxes_reconciled = Counter(
    "hub_mailboxes_reconciled",
    "Mailboxes of open subscriptions that were compared with MongoDB, at most 1,000 per second and process.",
)
gaps = Counter("hub_gaps_healed", "Missed live messages whose changes were read from MongoDB.")

# Consistency checks
mailboxes_recounted = Counter(
    "hub_mailboxes_recounted", "Mailboxes whose counts were compared with their notifications."
)
mailboxes_drifted = Counter(
    "hub_mailboxes_drifted", "Mailboxes whose stored counts were wrong. Always 0 unless the hub has a bug."
)

# Persisted operations
persisted = Counter("hub_persisted_operations", "Persisted operations by outcome.", ["outcome"])
persisted_redis_errors = Counter(
    "hub_persisted_redis_errors", "Persisted operations that could not be loaded from Redis or stored there."
)

# Events
events_received = Counter(
    "hub_events_received",
    "Events that arrived, by their way (`http`, `graphql`, or `sqs`) and result (`stored` or `duplicate`).",
    ["through", "result"],
)

intake_messages = Counter(
    "hub_intake_messages",
    "Messages received from queues: `stored`, `duplicate`, `too_large`, `rejected` (not an event), or `returned` "
    "(not stored, and made visible again).",
    ["result"],
)
intake_paused = Gauge("hub_intake_paused", "1 while `hub intake` receives nothing because MongoDB takes no writes.")

# Deliveries
deliveries = Counter("hub_deliveries", "Deliveries that reached a status.", ["channel", "status"])
attempts = Counter("hub_attempts", "Provider calls.", ["channel", "provider", "outcome"])
accept_to_sent = Histogram(
    "hub_accept_to_sent_seconds",
    "Seconds from the acceptance of a delivery until its provider accepted it.",
    ["channel", "priority"],
    buckets=[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200],
)
enqueue_failures = Counter(
    "hub_enqueue_failures", "Deliveries that were not enqueued because their lane was full or Redis was unavailable."
)
lease_expirations = Counter(
    "hub_lease_expirations", "Leases that expired because the worker died or stalled.", ["channel"]
)
lane_waiting = Gauge(
    "hub_lane_waiting",
    "Deliveries on the lanes in Redis. Every worker reports the same value, so use the maximum, not the sum.",
    ["channel", "priority"],
)
due_waiting = Gauge(
    "hub_due_waiting",
    "Deliveries that are due and not on a lane, up to 100,000. Every worker reports the same value.",
    ["channel", "priority"],
)
due_oldest = Gauge(
    "hub_due_oldest_seconds",
    "Seconds since the delivery that waits longest for a worker became due, on a lane or not. Every worker reports the "
    "same value.",
    ["channel", "priority"],
)
guarded_sends = Counter(
    "hub_guarded_sends",
    "Decisions of the failure guard: `passed`, `undecided` (passed after too few calls), or `failed` (paused).",
    ["result"],
)
breakers_open = Gauge("hub_breakers_open", "Circuit breakers that are open, across all workers.", ["provider"])
breaker_redis_errors = Counter(
    "hub_breaker_redis_errors", "Calls to Redis by circuit breakers that failed. Provider calls are then allowed."
)
activity_lost = Counter(
    "hub_activity_lost", "Deliveries that the counts of `activity` lack, because MongoDB did not store them in time."
)
flushes = Counter("hub_queue_flushes", "Number of times the queue was refilled because Redis had lost its data.")


# Backups
backup_age = Gauge(
    "hub_backup_age_seconds",
    "Seconds since the time of the data in the newest backup of `hub backup`, or 0 if there is none. Every worker "
    "reports the same value.",
)


@cache
def _operation_metrics(transport: str, kind: str, field: str, code: str) -> tuple[Counter, Histogram]:
    return requests.labels(transport, kind, field, code), request_seconds.labels(transport, kind)


def record_operation(transport: str, kind: str, field: str, code: str, seconds: float) -> None:
    """Record one finished operation."""
    counter, histogram = _operation_metrics(transport, kind, field, code)
    counter.inc()
    histogram.observe(seconds)


# Processes
process_restarts = Counter(
    "hub_process_restarts", "Times that this process of `--workers` was started again after it had ended unexpectedly."
)

# Version compatibility
unreadable = Counter(
    "hub_unreadable", "Documents and live messages skipped because this version cannot decode them.", ["collection"]
)
