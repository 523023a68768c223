"""The hub: services, load balancer, email, and the rotated secret."""

from typing import Any

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.aws.backup import Backup
from infra.aws.config import Config
from infra.aws.edge import Edge
from infra.aws.email import Email
from infra.aws.intake import Intake
from infra.aws.network import Network
from infra.aws.permissions import allow_sending
from infra.aws.rotation import Rotation, jwt_secret
from infra.aws.scaling import scale_intake, scale_serve, scale_work
from infra.aws.stores import Stores
from infra.aws.tasks import HubService, Shared, known_secrets

SERVE_SIZE = (1024, 2048)  # CPU units and MiB
WORK_SIZE = (1024, 2048)
INTAKE_SIZE = (256, 512)


class Hub(Stack):
    """`intake` is None without event patterns."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        network: Network,
        stores: Stores,
        queues: Intake | None,
        config: Config,
        **options: Any,
    ) -> None:
        super().__init__(scope, id, **options)
        self.cluster = ecs.Cluster(
            self, "Cluster", vpc=network.vpc, container_insights_v2=ecs.ContainerInsights.ENABLED
        )
        secret = jwt_secret(self)
        secrets = {**known_secrets(self, config.secrets), **stores.secrets, "HUB_JWT_SECRET": secret}
        settings = dict(config.settings)
        if sender := config.settings.get("HUB_SES_FROM"):
            settings["HUB_SNS_TOPICS"] = Email(self, "Email", sender).topic.topic_arn
        shared = Shared(network, self.cluster, config, secrets, settings)
        namespace = config.metrics_namespace

        self.serve = HubService(self, "Serve", shared, "serve", SERVE_SIZE)
        scale_serve(self.serve, namespace)
        self.edge = Edge(self, "Edge", network, config)
        self.targets = self.edge.forward_to(self.serve)

        self.work = HubService(self, "Work", shared, "work", WORK_SIZE)
        allow_sending(self.work.role, settings)
        scale_work(self.work, namespace)

        self.intake = self._add_intake(shared, queues) if queues else None
        self.backup = Backup(self, "Backup", shared) if config.backups else None
        self.rotation = Rotation(self, "Rotation", secret, self.serve, self.cluster.cluster_name)
        CfnOutput(self, "ClusterName", value=self.cluster.cluster_name)
        CfnOutput(self, "WorkService", value=self.work.service.service_name)
        CfnOutput(self, "Address", value=self.edge.balancer.load_balancer_dns_name)

    def _add_intake(self, shared: Shared, queues: Intake) -> HubService:
        tenants = ",".join(f'"{one.queue.queue_url}":"{one.tenant}"' for one in queues.queues)
        with_queues = Shared(
            shared.network,
            shared.cluster,
            shared.config,
            shared.secrets,
            {**shared.settings, "HUB_INTAKE": f"{{{tenants}}}"},
        )
        intake = HubService(self, "Intake", with_queues, "intake", INTAKE_SIZE)
        for one in queues.queues:
            one.queue.grant_consume_messages(intake.role)
        scale_intake(intake, self.cluster, [one.queue for one in queues.queues])
        return intake
