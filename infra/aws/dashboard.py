"""The dashboard: requests, sockets, deliveries, events."""

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from infra.aws.hub import Hub
from infra.aws.intake import Intake
from infra.aws.scaling import MINUTE, hub_metric, running_tasks


def dashboard(scope: Construct, hub: Hub, queues: Intake | None, namespace: str) -> cloudwatch.Dashboard:
    """Return a dashboard with a row for the API, one for the workers, and one for the queues of events."""
    board = cloudwatch.Dashboard(scope, "Dashboard")
    balancer = hub.edge.balancer.metrics

    def serve(name: str, statistic: str) -> cloudwatch.Metric:
        return hub_metric(namespace, "serve", name, statistic)

    def work(name: str) -> cloudwatch.Metric:
        return hub_metric(namespace, "work", name, "Maximum")  # all workers report the same values

    board.add_widgets(
        _graph(
            "Requests",
            balancer.request_count(statistic="Sum", period=MINUTE),
            balancer.http_code_target(elbv2.HttpCodeTarget.TARGET_5XX_COUNT, statistic="Sum", period=MINUTE),
        ),
        _graph("Response time (p99)", balancer.target_response_time(statistic="p99", period=MINUTE)),
        _graph("Sockets", serve("hub_sockets", "Sum"), serve("hub_sockets", "Maximum")),
        _graph("Changes that wait for MongoDB", serve("hub_commit_waiting", "Maximum")),
    )
    board.add_widgets(
        _graph("Deliveries that wait", work("hub_due_waiting"), work("hub_lane_waiting")),
        _graph("Age of the oldest due delivery", work("hub_due_oldest_seconds")),
        _graph("Open circuit breakers", work("hub_breakers_open")),
        _graph(
            "Tasks",
            *(running_tasks(hub.cluster, one.service) for one in (hub.serve, hub.work, hub.intake) if one),
        ),
    )
    if queues:
        board.add_widgets(
            _graph(
                "Events that wait",
                *(one.queue.metric_approximate_number_of_messages_visible() for one in queues.queues),
            ),
            _graph(
                "Dead letters",
                *(
                    queue.metric_approximate_number_of_messages_visible()
                    for one in queues.queues
                    for queue in (one.dead, one.undelivered)
                ),
            ),
        )
    return board


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=6, height=6)
