"""The load balancer and its firewall."""

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.aws.config import Config
from infra.aws.findings import acknowledge
from infra.aws.firewall import firewall
from infra.aws.network import HUB_PORT, Network
from infra.aws.tasks import HubService

IDLE_S = 60  # less than the 75 s after which the hub closes idle connections; the hub pings WebSockets every 20 s
DRAIN_S = 60
LOG_DAYS = 90


class Edge(Construct):
    """HTTPS on port 443 for `hub serve`. Port 80 redirects. `/metrics` is not public."""

    def __init__(self, scope: Construct, id: str, network: Network, config: Config) -> None:
        super().__init__(scope, id)
        self.balancer = elbv2.ApplicationLoadBalancer(
            self,
            "Balancer",
            vpc=network.vpc,
            internet_facing=True,
            security_group=network.balancer_group,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            idle_timeout=Duration.seconds(IDLE_S),
            drop_invalid_header_fields=True,
            deletion_protection=True,
        )
        self._log_access()
        for port in (80, 443):
            network.balancer_group.add_ingress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(port), "Internet")
        acknowledge(network.balancer_group, "EC23", "browsers and back ends call the hub from the internet")
        self.balancer.add_listener(
            "Http",
            port=80,
            open=False,
            default_action=elbv2.ListenerAction.redirect(protocol="HTTPS", port="443", permanent=True),
        )
        self.listener = self.balancer.add_listener(
            "Https",
            port=443,
            open=False,
            certificates=[elbv2.ListenerCertificate.from_arn(config.certificate_arn)],
            ssl_policy=elbv2.SslPolicy.RECOMMENDED_TLS,
        )
        self.firewall = firewall(self, self.balancer, config.waf_rate)

    def forward_to(self, serve: HubService) -> elbv2.ApplicationTargetGroup:
        """Forward requests to the API. Its health check ignores MongoDB: ECS would replace all tasks in an outage."""
        self.listener.add_action(
            "Metrics",
            priority=1,
            conditions=[elbv2.ListenerCondition.path_patterns(["/metrics"])],
            action=elbv2.ListenerAction.fixed_response(404, content_type="text/plain", message_body="Not found"),
        )
        return self.listener.add_targets(
            "Serve",
            port=HUB_PORT,
            protocol=elbv2.ApplicationProtocol.HTTP,
            targets=[serve.service],
            deregistration_delay=Duration.seconds(DRAIN_S),
            health_check=elbv2.HealthCheck(
                path="/healthz", interval=Duration.seconds(10), healthy_threshold_count=2, unhealthy_threshold_count=3
            ),
        )

    def _log_access(self) -> None:
        bucket = s3.Bucket(
            self,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,  # the load balancer cannot use a key of KMS
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            removal_policy=RemovalPolicy.RETAIN,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(LOG_DAYS))],
        )
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("logdelivery.elasticloadbalancing.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects(f"AWSLogs/{Aws.ACCOUNT_ID}/*")],
            )
        )
        self.balancer.set_attribute("access_logs.s3.enabled", "true")
        self.balancer.set_attribute("access_logs.s3.bucket", bucket.bucket_name)
        self.balancer.node.add_dependency(bucket)
        acknowledge(bucket, "S1", "it stores the access logs of the balancer")
