"""Alarms, which send to a topic, and a dashboard."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.aws.backup import Backup
from infra.aws.config import Config
from infra.aws.dashboard import dashboard
from infra.aws.hub import Hub
from infra.aws.intake import Intake
from infra.aws.scaling import MIN_TASKS, MINUTE, hub_metric, running_tasks
from infra.aws.stores import Stores
from infra.aws.tasks import HubService

FIVE_MINUTES = Duration.minutes(5)
OVER, UNDER = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD, cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
BACKUP_MAX_AGE_S = 26 * 3600
MISSING_IS_GOOD = cloudwatch.TreatMissingData.NOT_BREACHING
MISSING_IS_BAD = cloudwatch.TreatMissingData.BREACHING


class Alarms(Stack):
    """`topic`: where alarms are sent."""

    def __init__(
        self, scope: Construct, id: str, hub: Hub, stores: Stores, queues: Intake | None, config: Config, **options: Any
    ) -> None:
        super().__init__(scope, id, **options)
        self.topic = sns.Topic(self, "Topic", enforce_ssl=True)
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"AWS:SourceAccount": self.account}},
            )
        )
        if config.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(config.alarm_email))
        self._deliveries(config.metrics_namespace)
        self._requests(hub, config)
        self._log_lines(hub, config.metrics_namespace)
        self._tasks(hub)
        if queues:
            self._queues(queues)
        if stores.valkey:
            self._valkey(stores.valkey.servers.ref)
        if "HUB_SES_FROM" in config.settings:
            self._email()
        if hub.backup:
            self._backups(hub.backup, config.metrics_namespace)
        dashboard(self, hub, queues, config.metrics_namespace)
        CfnOutput(self, "AlarmTopic", value=self.topic.topic_arn)

    def _alarm(
        self,
        name: str,
        text: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        *,
        periods: int = 1,
        missing: cloudwatch.TreatMissingData = MISSING_IS_GOOD,
        comparison: cloudwatch.ComparisonOperator = OVER,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_description=text,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=comparison,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        alarm.add_ok_action(actions.SnsAction(self.topic))

    def _deliveries(self, namespace: str) -> None:
        late = hub_metric(namespace, "work", "hub_due_oldest_seconds", "Maximum")
        self._alarm("QueueStuck", "Deliveries wait longer than 5 minutes for a worker.", late, 300, periods=5)
        reports = hub_metric(namespace, "work", "hub_lane_waiting", "SampleCount")
        self._alarm(
            "NoWorker",
            "No `hub work` reports: deliveries wait.",
            reports,
            1,
            periods=5,
            missing=MISSING_IS_BAD,
            comparison=UNDER,
        )
        away = hub_metric(namespace, "serve", "hub_pubsub_disconnected", "Maximum")
        self._alarm("RedisUnavailable", "Nothing is lost, but live events take seconds.", away, 0, periods=2)

    def _requests(self, hub: Hub, config: Config) -> None:
        balancer = hub.edge.balancer.metrics
        errors = cloudwatch.MathExpression(
            expression="IF(requests > 0, 100 * FILL(errors, 0) / requests, 0)",
            using_metrics={
                "errors": balancer.http_code_target(
                    elbv2.HttpCodeTarget.TARGET_5XX_COUNT, statistic="Sum", period=MINUTE
                ),
                "requests": balancer.request_count(statistic="Sum", period=MINUTE),
            },
            period=MINUTE,
            label="Percent of requests with status 5xx",
        )
        self._alarm("RequestsFail", "More than 1 % of requests have status 5xx.", errors, 1, periods=5)
        slow = balancer.target_response_time(statistic="p99", period=MINUTE)
        self._alarm("Slow", "1 % of requests take longer than a second.", slow, 1, periods=10)
        healthy = hub.targets.metrics.healthy_host_count(statistic="Minimum", period=MINUTE)
        self._alarm(
            "FewTargets",
            "Fewer than two tasks of `hub serve` respond.",
            healthy,
            MIN_TASKS,
            periods=5,
            missing=MISSING_IS_BAD,
            comparison=UNDER,
        )
        expiry = cloudwatch.Metric(
            namespace="AWS/CertificateManager",
            metric_name="DaysToExpiry",
            dimensions_map={"CertificateArn": config.certificate_arn},
            statistic="Minimum",
            period=Duration.days(1),
        )
        self._alarm("Certificate", "The certificate expires in less than 14 days.", expiry, 14, comparison=UNDER)

    def _log_lines(self, hub: Hub, namespace: str) -> None:
        """Count lines of the logs: errors, and counts of an inbox that are wrong, which must never happen."""
        for service in _services(hub):
            name = service.node.id
            errors = self._filter(
                f"{name}Errors",
                service.log_group,
                logs.FilterPattern.any(
                    logs.FilterPattern.string_value("$.level", "=", "error"),
                    logs.FilterPattern.string_value("$.level", "=", "critical"),
                ),
                namespace,
            )
            self._alarm(f"{name}Errors", f"The log of `hub {name.lower()}` has errors.", errors, 0)
        drifted = self._filter(
            "CountsDrifted",
            hub.work.log_group,
            logs.FilterPattern.string_value("$.event", "=", "counts_drifted"),
            namespace,
        )
        self._alarm("CountsDrifted", "Counts of an inbox were wrong: please report it.", drifted, 0)

    def _filter(
        self, name: str, group: logs.ILogGroup, pattern: logs.IFilterPattern, namespace: str
    ) -> cloudwatch.Metric:
        found = logs.MetricFilter(
            self,
            f"{name}Filter",
            log_group=group,
            filter_pattern=pattern,
            metric_namespace=namespace,
            metric_name=name,
            metric_value="1",
            default_value=0,
        )
        return found.metric(statistic="Sum", period=FIVE_MINUTES)

    def _tasks(self, hub: Hub) -> None:
        for service in _services(hub):
            name = service.node.id
            self._alarm(
                f"{name}Tasks",
                f"Fewer than two tasks of `hub {name.lower()}` run.",
                running_tasks(hub.cluster, service.service),
                MIN_TASKS,
                periods=10,
                missing=MISSING_IS_BAD,
                comparison=UNDER,
            )
        failed = hub.rotation.function.metric_errors(period=FIVE_MINUTES)
        self._alarm("RotationFails", "HUB_JWT_SECRET was not rotated.", failed, 0)

    def _backups(self, backup: Backup, namespace: str) -> None:
        """The age is 0 until the first backup."""
        age = hub_metric(namespace, "work", "hub_backup_age_seconds", "Maximum", Duration.hours(1))
        self._alarm("BackupOld", "The newest backup is more than 26 hours old.", age, BACKUP_MAX_AGE_S)
        text = "There has been no backup for 26 hours since the deployment."
        self._alarm("NoBackup", text, age, 1, periods=26, comparison=UNDER)
        failed = cloudwatch.Metric(
            namespace="AWS/Events",
            metric_name="FailedInvocations",
            dimensions_map={"RuleName": backup.rule.rule_name},
            statistic="Sum",
            period=FIVE_MINUTES,
        )
        self._alarm("BackupNotStarted", "EventBridge could not start the task of the backup.", failed, 0)

    def _queues(self, queues: Intake) -> None:
        for one in queues.queues:
            for queue in (one.dead, one.undelivered):
                waiting = queue.metric_approximate_number_of_messages_visible(statistic="Maximum", period=MINUTE)
                text = f"A dead-letter queue of the tenant {one.tenant} has messages."
                self._alarm(queue.node.id, text, waiting, 0)
            age = one.queue.metric_approximate_age_of_oldest_message(statistic="Maximum", period=MINUTE)
            text = f"Events of the tenant {one.tenant} wait longer than 5 minutes."
            self._alarm(f"{one.queue.node.id}Late", text, age, 300, periods=5)
            failed = cloudwatch.Metric(
                namespace="AWS/Events",
                metric_name="FailedInvocations",
                dimensions_map={"RuleName": one.rule.rule_name},
                statistic="Sum",
                period=FIVE_MINUTES,
            )
            text = f"EventBridge could not send events of the tenant {one.tenant} to the queue."
            self._alarm(f"{one.rule.node.id}Fails", text, failed, 0)

    def _valkey(self, group: str) -> None:
        """The metrics of ElastiCache are those of nodes, which are called like their group."""
        for node in (1, 2):
            nodes = {"CacheClusterId": f"{group}-{node:03}"}

            def metric(name: str, nodes: dict[str, str] = nodes) -> cloudwatch.Metric:
                return cloudwatch.Metric(
                    namespace="AWS/ElastiCache",
                    metric_name=name,
                    dimensions_map=nodes,
                    statistic="Maximum",
                    period=MINUTE,
                )

            memory = metric("DatabaseMemoryUsagePercentage")
            text = "Valkey is nearly full: it will reject writes, and deliveries wait in MongoDB."
            self._alarm(f"ValkeyMemory{node}", text, memory, 75, periods=5)
            self._alarm(
                f"ValkeyCpu{node}", "Valkey needs a larger node.", metric("EngineCPUUtilization"), 80, periods=5
            )

    def _email(self) -> None:
        for name, metric_name, limit in (
            ("Bounces", "Reputation.BounceRate", 0.04),
            ("Complaints", "Reputation.ComplaintRate", 0.0008),
        ):
            rate = cloudwatch.Metric(
                namespace="AWS/SES", metric_name=metric_name, statistic="Maximum", period=Duration.hours(1)
            )
            self._alarm(name, "Amazon SES may suspend the account.", rate, limit)


def _services(hub: Hub) -> Sequence[HubService]:
    return [service for service in (hub.serve, hub.work, hub.intake) if service]
