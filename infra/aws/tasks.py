"""The ECS services `hub serve`, `hub work`, and `hub intake`, and tasks that run one command."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.aws.config import Config
from infra.aws.findings import acknowledge
from infra.aws.names import REDIS_PREFIX
from infra.aws.network import HUB_PORT, Network
from infra.aws.permissions import acknowledge_wildcard, allow_traces

STOP_S = 120  # ECS kills a container this long after SIGTERM, the maximum of Fargate
DRAIN_S = 60  # in which `hub serve` closes its sockets
SHUTDOWN_S = 50  # then, the hub ends itself 5 s later
COLLECTOR = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3"
COLLECTOR_CONFIG = {
    "receivers": {"otlp": {"protocols": {"http": {"endpoint": "127.0.0.1:4318"}}}},
    "processors": {"batch": {}},
    "exporters": {"awsxray": {}},
    "service": {"pipelines": {"traces": {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["awsxray"]}}},
}
ECR_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>[^:@]+)[:@](?P<tag>.+)"
)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all services have in common."""

    network: Network
    cluster: ecs.Cluster
    config: Config
    secrets: Mapping[str, secretsmanager.ISecret]
    settings: Mapping[str, str]


class HubTask(Construct):
    """A command of the hub, as the definition of a task."""

    def __init__(
        self, scope: Construct, id: str, shared: Shared, command: Sequence[str], size: tuple[int, int], *, serves: bool
    ) -> None:
        super().__init__(scope, id)
        cpu, memory_mib = size
        self.task = ecs.FargateTaskDefinition(self, "Task", cpu=cpu, memory_limit_mib=memory_mib)
        self.role: iam.Role = self.task.task_role
        self.log_group = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        self._add_hub(shared, command, serves=serves)
        acknowledge(self.task, "ECS2", "secrets come from Secrets Manager")
        if execution_role := self.task.execution_role:
            acknowledge_wildcard(execution_role, "*", "ecr:GetAuthorizationToken has no resource")

    def _add_hub(self, shared: Shared, command: Sequence[str], *, serves: bool) -> None:
        """Add the container. `serves`: it listens on HUB_PORT until it is stopped."""
        health = ecs.HealthCheck(
            command=["CMD", "hub", "healthcheck"],
            interval=Duration.seconds(10),
            timeout=Duration.seconds(5),
            start_period=Duration.seconds(120),
        )
        self.task.add_container(
            "hub",
            image=_image(self, shared.config.image),
            command=[*command],
            environment={**_environment(shared, command[0]), **shared.settings},
            secrets={name: ecs.Secret.from_secrets_manager(secret) for name, secret in shared.secrets.items()},
            logging=ecs.LogDrivers.aws_logs(stream_prefix=command[0], log_group=self.log_group),
            health_check=health if serves else None,
            port_mappings=[ecs.PortMapping(container_port=HUB_PORT)] if serves else [],
            readonly_root_filesystem=True,
            stop_timeout=Duration.seconds(STOP_S),
        )


class HubService(HubTask):
    """One command of the hub as a service that starts new tasks before it stops old ones."""

    def __init__(self, scope: Construct, id: str, shared: Shared, command: str, size: tuple[int, int]) -> None:
        super().__init__(scope, id, shared, [command], size, serves=True)
        if shared.config.traces:
            self._add_collector()
        self.service = ecs.FargateService(
            self,
            "Service",
            cluster=shared.cluster,
            task_definition=self.task,
            security_groups=[shared.network.task_group],
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            enable_ecs_managed_tags=True,
        )

    def _add_collector(self) -> None:
        allow_traces(self.role)
        self.task.add_container(
            "collector",
            image=ecs.ContainerImage.from_registry(COLLECTOR),
            essential=False,  # without traces, the hub still works
            environment={"AOT_CONFIG_CONTENT": json.dumps(COLLECTOR_CONFIG)},
            logging=ecs.LogDrivers.aws_logs(stream_prefix="collector", log_group=self.log_group),
            memory_limit_mib=128,
            cpu=64,
        )


def _environment(shared: Shared, command: str) -> dict[str, str]:
    variables = {
        "AWS_REGION": Aws.REGION,
        "HUB_HOST": "0.0.0.0",  # noqa: S104 - the security group admits only the load balancer
        "HUB_PORT": str(HUB_PORT),
        "HUB_WORK_PORT": str(HUB_PORT),
        "HUB_PUBLIC_URL": f"https://{shared.config.domain}",
        "HUB_TRUSTED_PROXIES": shared.network.vpc.vpc_cidr_block,
        "HUB_REDIS_PREFIX": REDIS_PREFIX,
        "HUB_DRAIN_S": str(DRAIN_S),
        "HUB_SHUTDOWN_TIMEOUT_S": str(SHUTDOWN_S),
        "HUB_CLOUDWATCH_NAMESPACE": shared.config.metrics_namespace,
    }
    if shared.config.traces:
        variables |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SERVICE_NAME": f"hub-{command}"}
    return variables


def _image(scope: Construct, name: str) -> ecs.ContainerImage:
    """Return an image. Tasks may pull it if it is in a repository of ECR."""
    found = ECR_IMAGE.fullmatch(name)
    if not found:
        return ecs.ContainerImage.from_registry(name)
    arn = f"arn:{Aws.PARTITION}:ecr:{found['region']}:{found['account']}:repository/{found['name']}"
    repository = ecr.Repository.from_repository_attributes(
        scope, "Repository", repository_arn=arn, repository_name=found["name"]
    )
    return ecs.ContainerImage.from_ecr_repository(repository, found["tag"])


def known_secrets(scope: Stack, arns: Mapping[str, str]) -> dict[str, secretsmanager.ISecret]:
    """Return the secrets of the configuration, by the name of the setting."""
    return {
        name: secretsmanager.Secret.from_secret_complete_arn(scope, name.title().replace("_", ""), arn)
        for name, arn in arns.items()
    }
