"""Print the Grafana dashboard of the hub.

.venv-infra/bin/python infra/grafana/dashboard.py > infra/grafana/hub.json

Panels that need an exporter are empty without it. docs/operations/monitoring.md lists the exporters.
"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import GraphDrawStyle, StackingMode, VisibilityMode

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
Query = tuple[str, str]
"""An expression, and the legend of its series."""
MEAN_BATCH = (
    "sum(rate(hub_commit_batch_size_sum[$__rate_interval])) / sum(rate(hub_commit_batch_size_count[$__rate_interval]))"
)
OPLOG = (
    "min by (instance) (abs(mongodb_mongod_replset_oplog_head_timestamp - mongodb_mongod_replset_oplog_tail_timestamp))"
)
LAG = (
    'max by (set) (mongodb_mongod_replset_member_optime_date{state="PRIMARY"}) '
    '- min by (set) (mongodb_mongod_replset_member_optime_date{state="SECONDARY"})'
)


def rate(metric: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({metric}[$__rate_interval]))"


def running(job: str) -> str:
    """Return the number of processes that respond. With `--workers`, several respond in one scrape."""
    return f'count(process_start_time_seconds{{job="{job}"}}) or vector(0)'


def quantiles(metric: str, *by: str, labels: str = "") -> list[Query]:
    """Return the median and the 99th percentile of a histogram."""
    grouped = ", ".join(("le", *by))
    legend = "".join(f" {{{{{label}}}}}" for label in by)
    buckets = f"sum by ({grouped}) (rate({metric}_bucket{labels}[$__rate_interval]))"
    return [(f"histogram_quantile({q}, {buckets})", f"{name}{legend}") for q, name in ((0.5, "50 %"), (0.99, "99 %"))]


def _targets(queries: Sequence[Query]) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + number))
        for number, (expr, legend) in enumerate(queries)
    ]


def number(
    title: str, expr: str, description: str, *, unit: str = "short", red_above: float | None = None
) -> stat.Panel:
    """Return a panel with one number. It is red above `red_above`."""
    steps = [models.Threshold(color="green", value=None)]
    if red_above is not None:
        steps.append(models.Threshold(color="red", value=red_above))
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .thresholds(builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        .targets(_targets([(expr, "")]))
        .span(4)
        .height(4)
    )


def graph(
    title: str,
    queries: Sequence[Query],
    description: str,
    *,
    unit: str = "short",
    width: int = 8,
    stacked: bool = False,
) -> timeseries.Panel:
    """Return a panel with lines, or with stacked areas."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .draw_style(GraphDrawStyle.LINE)
        .show_points(VisibilityMode.NEVER)
        .fill_opacity(20 if stacked else 0)
        .targets(_targets(queries))
        .span(width)
        .height(8)
    )
    return panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)) if stacked else panel


Panels = list[stat.Panel | timeseries.Panel]


def overview() -> Panels:
    failed = 'sum(rate(hub_requests_total{code=~"UNAVAILABLE|INTERNAL_SERVER_ERROR"}[$__rate_interval]))'
    return [
        number("API processes", running("hub-serve"), "`hub serve` processes that respond."),
        number("Workers", running("hub-work"), "`hub work` processes that respond."),
        number("WebSockets", "sum(hub_sockets)", "Open WebSockets of all processes."),
        number("Operations per second", "sum(rate(hub_requests_total[$__rate_interval]))", "GraphQL operations."),
        number(
            "Failed operations",
            f"({failed} or vector(0)) / sum(rate(hub_requests_total[$__rate_interval]))",
            "Share of UNAVAILABLE and INTERNAL_SERVER_ERROR.",
            unit="percentunit",
            red_above=0.01,
        ),
        number(
            "Firing alerts",
            'count(ALERTS{alertname=~"Hub.+", alertstate="firing"}) or vector(0)',
            "Each has a runbook.",
            red_above=1,
        ),
        graph(
            "Operations by result",
            [(rate("hub_requests_total", "code"), "{{code}}")],
            "OK, or the error code.",
            unit="ops",
            stacked=True,
        ),
        graph(
            "Mutations by duration",
            quantiles("hub_request_seconds", labels='{kind="mutation"}'),
            "From the arrival of a mutation to its response.",
            unit="s",
        ),
        graph(
            "Sends and marks",
            [(rate('hub_requests_total{kind="mutation"}', "field"), "{{field}}")],
            "Mutations by field.",
            unit="ops",
            stacked=True,
        ),
        graph(
            "CPU",
            [('rate(process_cpu_seconds_total{job=~"hub-.+"}[$__rate_interval])', "{{job}} {{instance}} {{process}}")],
            "A process uses at most a little more than one core.",
            unit="percentunit",
            width=12,
        ),
        graph(
            "Memory",
            [('process_resident_memory_bytes{job=~"hub-.+"}', "{{job}} {{instance}} {{process}}")],
            "An idle subscription takes about 18 kB.",
            unit="bytes",
            width=12,
        ),
    ]


def delivery() -> Panels:
    ends = 'sum by (channel) (rate(hub_deliveries_total{status=~"SENT|DELIVERED|FAILED"}[$__rate_interval]))'
    failed = 'sum by (channel) (rate(hub_deliveries_total{status="FAILED"}[$__rate_interval]))'
    return [
        graph(
            "Deliveries by status",
            [(rate("hub_deliveries_total", "channel", "status"), "{{channel}} {{status}}")],
            "Deliveries that reached a status.",
            unit="ops",
            stacked=True,
        ),
        graph(
            "Calls by outcome",
            [(rate("hub_attempts_total", "provider", "outcome"), "{{provider}} {{outcome}}")],
            "Provider calls. Retry is a temporary failure, Dead and Gone are permanent.",
            unit="ops",
            stacked=True,
        ),
        graph(
            "Failed deliveries",
            [(f"{failed} / {ends} or 0 * {ends}", "{{channel}}")],
            "Share of the deliveries that ended.",
            unit="percentunit",
        ),
        graph(
            "From acceptance to the provider",
            quantiles("hub_accept_to_sent_seconds", "channel", "priority"),
            "Includes retries and waiting in the queue.",
            unit="s",
            width=12,
        ),
        graph(
            "Open circuit breakers",
            [("max by (provider) (hub_breakers_open) or vector(0)", "{{provider}}")],
            "Webhooks, chats, and push services have one for each host or address.",
            width=12,
        ),
    ]


def queue() -> Panels:
    return [
        graph(
            "Waiting",
            [
                ("max by (channel, priority) (hub_lane_waiting)", "{{channel}} {{priority}}"),
                ("max by (channel, priority) (hub_due_waiting)", "{{channel}} {{priority}} in MongoDB"),
            ],
            "Deliveries that wait for a worker. A lane in Redis holds at most HUB_LANE_MAX_IDS per tenant.",
            stacked=True,
        ),
        graph(
            "Oldest",
            [("max by (channel, priority) (hub_due_oldest_seconds)", "{{channel}} {{priority}}")],
            "Time since the delivery that waits longest became due.",
            unit="s",
        ),
        graph(
            "Wanted workers",
            [("hub:workers_wanted", "wanted"), (running("hub-work"), "running")],
            "The number that the scaling rule wants.",
        ),
        graph(
            "Repairs",
            [
                ("sum(rate(hub_enqueue_failures_total[$__rate_interval]))", "not queued"),
                ("sum(rate(hub_lease_expirations_total[$__rate_interval])) or vector(0)", "leases that expired"),
                ("sum(rate(hub_queue_flushes_total[$__rate_interval]))", "queue refilled"),
            ],
            "Repairs by the scheduler.",
            unit="ops",
        ),
        graph(
            "Events",
            [(rate("hub_events_received_total", "through", "result"), "{{through}} {{result}}")],
            "Events that arrived.",
            unit="ops",
        ),
        graph(
            "Messages from queues",
            [
                (rate("hub_intake_messages_total", "result"), "{{result}}"),
                ("max(hub_intake_paused)", "paused"),
            ],
            "Messages that `hub intake` received.",
        ),
    ]


def live() -> Panels:
    return [
        graph(
            "Subscriptions",
            [
                ("sum(hub_sockets)", "WebSockets"),
                ("sum(hub_feeds)", "inboxes"),
                ("sum(hub_mailboxes_open)", "different inboxes"),
                ("sum(hub_receipt_readers)", "receipts"),
                ("sum(hub_send_watchers)", "sends"),
            ],
            "Open connections and subscriptions.",
        ),
        graph(
            "Live messages",
            [
                ("sum(rate(hub_live_published_total[$__rate_interval]))", "published"),
                ("sum(rate(hub_live_lost_total[$__rate_interval]))", "not published"),
                ("sum(rate(hub_gaps_healed_total[$__rate_interval]))", "read from MongoDB"),
            ],
            "A message that is not published is read from MongoDB within seconds.",
            unit="ops",
        ),
        graph(
            "Slow clients",
            [
                ("max(hub_feed_events_max)", "events in the fullest queue"),
                ("sum(hub_feeds_over_half_full)", "queues over half full"),
                ("sum(rate(hub_resyncs_total[$__rate_interval])) * 60", "RESYNC per minute"),
            ],
            "A client that does not keep up receives RESYNC.",
        ),
        graph(
            "Closed WebSockets",
            [
                (rate("hub_sockets_closed_total", "code"), "{{code}}"),
                (rate("hub_websockets_aborted_total", "why"), "aborted: {{why}}"),
            ],
            "1012 is a restart of the process, 4401 and 4403 are access.",
            unit="ops",
        ),
        graph(
            "Rejected",
            [
                (rate("hub_rate_limited_total", "limit"), "rate limit {{limit}}"),
                ("sum(rate(hub_connections_refused_total[$__rate_interval]))", "connections per address"),
            ],
            "Requests and connections above a limit.",
            unit="ops",
        ),
        graph(
            "Open files",
            [('process_open_fds{job=~"hub-.+"} / process_max_fds{job=~"hub-.+"}', "{{job}} {{instance}} {{process}}")],
            "Each WebSocket needs one.",
            unit="percentunit",
        ),
    ]


def stores() -> Panels:
    return [
        graph(
            "Transactions by duration", quantiles("hub_commit_seconds"), "From the first read to the commit.", unit="s"
        ),
        graph(
            "Changes per transaction",
            [
                (MEAN_BATCH, "mean"),
                ("max by (instance) (hub_commit_waiting)", "waiting on {{instance}}"),
            ],
            "Concurrent changes are committed together.",
        ),
        graph(
            "Failures of MongoDB and Redis",
            [
                ("sum(rate(hub_commit_conflicts_total[$__rate_interval]))", "conflicts"),
                ("sum(rate(hub_commit_unavailable_total[$__rate_interval]))", "deadline exceeded"),
                ("sum(rate(hub_limiter_redis_errors_total[$__rate_interval]))", "rate limiter without Redis"),
                ("max(hub_pubsub_disconnected)", "pub/sub disconnected"),
            ],
            "Conflicts are repeated and normal in small numbers.",
        ),
        graph(
            "Redis memory",
            [("redis_memory_used_bytes", "used {{instance}}"), ("redis_memory_max_bytes", "limit {{instance}}")],
            "Needs the Redis exporter.",
            unit="bytes",
        ),
        graph(
            "Oplog",
            [(OPLOG, "{{instance}}")],
            "Time that the oplog covers. Needs the MongoDB exporter.",
            unit="s",
        ),
        graph(
            "Replication lag",
            [(LAG, "{{set}}")],
            "Of the member that is furthest behind. Needs the MongoDB exporter.",
            unit="s",
        ),
        number(
            "Newest backup",
            "max(hub_backup_age_seconds)",
            "Age of the newest backup of `hub backup`. 0 if there is none.",
            unit="s",
            red_above=26 * 3600,
        ),
    ]


SECTIONS = {"Overview": overview, "Delivery": delivery, "Queue": queue, "Live": live, "Stores": stores}


def build() -> models.Dashboard:
    dashboard = (
        builders.Dashboard("Notification hub")
        .uid("notification-hub")
        .tags(["notification-hub"])
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for title, panels in SECTIONS.items():
        dashboard = dashboard.with_row(builders.Row(title))
        for panel in panels():
            dashboard = dashboard.with_panel(panel)
    return dashboard.build()


if __name__ == "__main__":
    print(JSONEncoder(sort_keys=True, indent=2).encode(build()))  # noqa: T201
