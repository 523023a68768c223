"""The network: three zones, each with a public, a private, and an isolated subnet."""

from typing import Any

from aws_cdk import Fn, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

ZONES = 3
HUB_PORT = 8000
MONGO_PORT = 27017


class Network(Stack):
    """The security groups are here, because rules between groups of two stacks would make the stacks depend on each
    other."""

    def __init__(self, scope: Construct, id: str, **options: Any) -> None:
        super().__init__(scope, id, **options)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr("10.0.0.0/16"),
            # Without an account and region, CDK would use only two zones.
            availability_zones=[Fn.select(zone, Fn.get_azs()) for zone in range(ZONES)],
            nat_gateways=ZONES,
            restrict_default_security_group=False,  # would need a function of its own; nothing uses the default group
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24),
                ec2.SubnetConfiguration(name="Tasks", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=20),
                ec2.SubnetConfiguration(name="Stores", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
            },
        )
        flow_logs = logs.LogGroup(
            self, "FlowLogs", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        self.vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(flow_logs),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )
        self.balancer_group = self._group("Balancer", "Load balancer", outbound=False)
        self.task_group = self._group("Task", "Processes of the hub", outbound=True)
        self.store_group = self._group("Store", "Valkey", outbound=False)
        self.mongo_group = self._group("Mongo", "Own MongoDB", outbound=True)
        self.task_group.add_ingress_rule(self.balancer_group, ec2.Port.tcp(HUB_PORT), "API")
        for source in (self.task_group, self.mongo_group):
            self.mongo_group.add_ingress_rule(source, ec2.Port.tcp(MONGO_PORT), "MongoDB")
        self.balancer_group.add_egress_rule(self.task_group, ec2.Port.tcp(HUB_PORT), "API")

    def _group(self, name: str, description: str, *, outbound: bool) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self, f"{name}Group", vpc=self.vpc, description=description, allow_all_outbound=outbound
        )
