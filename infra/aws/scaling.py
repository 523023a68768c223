"""When services get more or fewer tasks."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_sqs as sqs

from infra.aws.names import INTAKE_MAX_TASKS
from infra.aws.tasks import HubService

MIN_TASKS = 2  # in two zones
SERVE_MAX_TASKS = 20
WORK_MAX_TASKS = 10  # the limit of the slowest provider, or 100 connections of MongoDB for each task
SOCKETS_PER_TASK = 5_000
CPU_PERCENT = 60
LATE_S, VERY_LATE_S = 30, 120
IN_TIME_S = 5
WAITING_PER_TASK = 100
BACKLOG_PER_TASK = 500  # a task stores this many events in seconds
MINUTE = Duration.minutes(1)


def hub_metric(namespace: str, process: str, name: str, statistic: str, period: Duration = MINUTE) -> cloudwatch.Metric:
    """Return a metric that the hub writes to its log."""
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map={"Process": process},
        statistic=statistic,
        period=period,
    )


def running_tasks(cluster: ecs.ICluster, service: ecs.FargateService) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="ECS/ContainerInsights",
        metric_name="RunningTaskCount",
        dimensions_map={"ClusterName": cluster.cluster_name, "ServiceName": service.service_name},
        statistic="Average",
        period=MINUTE,
    )


def scale_serve(one: HubService, namespace: str) -> None:
    """Keep sockets and CPU per task. Fewer tasks come slowly, because each one that stops moves its sockets."""
    tasks = one.service.auto_scale_task_count(min_capacity=MIN_TASKS, max_capacity=SERVE_MAX_TASKS)
    slowly = {"scale_in_cooldown": Duration.minutes(15), "scale_out_cooldown": Duration.minutes(2)}
    tasks.scale_to_track_custom_metric(
        "Sockets",
        metric=hub_metric(namespace, "serve", "hub_sockets", "Average"),  # of the tasks
        target_value=SOCKETS_PER_TASK,
        **slowly,
    )
    tasks.scale_on_cpu_utilization("Cpu", target_utilization_percent=CPU_PERCENT, **slowly)


def scale_work(one: HubService, namespace: str) -> None:
    """Add tasks if deliveries are late. Remove one after 15 minutes in which little waits.

    A delivery that waits for its next attempt is not late, so a provider that does not respond adds no tasks."""
    tasks = one.service.auto_scale_task_count(min_capacity=MIN_TASKS, max_capacity=WORK_MAX_TASKS)

    def metric(name: str, statistic: str = "Maximum") -> cloudwatch.Metric:
        return hub_metric(namespace, "work", name, statistic)

    tasks.scale_on_metric(
        "Late",
        metric=metric("hub_due_oldest_seconds"),
        scaling_steps=[
            autoscaling.ScalingInterval(lower=0, upper=LATE_S, change=0),
            autoscaling.ScalingInterval(lower=LATE_S, upper=VERY_LATE_S, change=2),
            autoscaling.ScalingInterval(lower=VERY_LATE_S, change=5),
        ],
        evaluation_periods=3,
        datapoints_to_alarm=2,
        cooldown=Duration.minutes(3),
        metric_aggregation_type=autoscaling.MetricAggregationType.MAXIMUM,
    )
    idle = {
        "due": metric("hub_due_waiting"),
        "queued": metric("hub_lane_waiting"),
        "oldest": metric("hub_due_oldest_seconds"),
        "workers": metric("hub_lane_waiting", "SampleCount"),  # each worker writes one line per minute
    }
    tasks.scale_on_metric(
        "Idle",
        metric=cloudwatch.MathExpression(
            expression=f"IF(due + queued < {WAITING_PER_TASK} * workers AND oldest < {IN_TIME_S}, 0, 1)",
            using_metrics=idle,
            period=MINUTE,
            label="Workers are busy",
        ),
        scaling_steps=[
            autoscaling.ScalingInterval(upper=0.5, change=-1),
            autoscaling.ScalingInterval(lower=0.5, change=0),
        ],
        evaluation_periods=15,
        datapoints_to_alarm=15,
        cooldown=Duration.minutes(15),
        metric_aggregation_type=autoscaling.MetricAggregationType.MAXIMUM,
    )


def scale_intake(one: HubService, cluster: ecs.Cluster, queues: list[sqs.Queue]) -> None:
    """Keep the messages per task. CDK has no target tracking of an expression, so the policy is written out."""
    tasks = one.service.auto_scale_task_count(min_capacity=MIN_TASKS, max_capacity=INTAKE_MAX_TASKS)
    policy = autoscaling.CfnScalingPolicy
    visible = [
        policy.TargetTrackingMetricDataQueryProperty(
            id=f"queue{number}",
            return_data=False,
            metric_stat=policy.TargetTrackingMetricStatProperty(
                metric=policy.TargetTrackingMetricProperty(
                    namespace="AWS/SQS",
                    metric_name="ApproximateNumberOfMessagesVisible",
                    dimensions=[policy.TargetTrackingMetricDimensionProperty(name="QueueName", value=queue.queue_name)],
                ),
                stat="Sum",
            ),
        )
        for number, queue in enumerate(queues, 1)
    ]
    running = policy.TargetTrackingMetricDataQueryProperty(
        id="running",
        return_data=False,
        metric_stat=policy.TargetTrackingMetricStatProperty(
            metric=policy.TargetTrackingMetricProperty(
                namespace="ECS/ContainerInsights",
                metric_name="RunningTaskCount",
                dimensions=[
                    policy.TargetTrackingMetricDimensionProperty(name="ClusterName", value=cluster.cluster_name),
                    policy.TargetTrackingMetricDimensionProperty(name="ServiceName", value=one.service.service_name),
                ],
            ),
            stat="Average",
        ),
    )
    backlog = policy.TargetTrackingMetricDataQueryProperty(
        id="backlog",
        expression=f"({' + '.join(query.id for query in visible)}) / running",
        label="Messages per task",
        return_data=True,
    )
    resource = f"service/{cluster.cluster_name}/{one.service.service_name}"
    created = policy(
        Stack.of(one),
        "IntakeBacklog",
        policy_name="backlog-per-task",
        policy_type="TargetTrackingScaling",
        service_namespace="ecs",
        scalable_dimension="ecs:service:DesiredCount",
        resource_id=resource,
        target_tracking_scaling_policy_configuration=policy.TargetTrackingScalingPolicyConfigurationProperty(
            target_value=BACKLOG_PER_TASK,
            scale_in_cooldown=300,
            scale_out_cooldown=60,
            customized_metric_specification=policy.CustomizedMetricSpecificationProperty(
                metrics=[*visible, running, backlog]
            ),
        ),
    )
    created.node.add_dependency(tasks)
