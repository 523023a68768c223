"""The stores: Valkey, unless HUB_REDIS_URL is a secret of the configuration, and MongoDB if `own_mongo` is true."""

from typing import Any

from aws_cdk import SecretValue, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.aws.config import Config
from infra.aws.findings import acknowledge
from infra.aws.names import REDIS_ACCESS, REDIS_PORT, REDIS_USER
from infra.aws.network import Network
from infra.aws.own_mongo import OwnMongo

NODE_TYPE = "cache.t4g.small"
NO_ROTATION = "a new password must reach the store and the URL together: docs/operations/deploy-on-aws.md has the steps"


class Stores(Stack):
    """`secrets`: the secrets with the URLs, by the name of the setting."""

    def __init__(self, scope: Construct, id: str, network: Network, config: Config, **options: Any) -> None:
        super().__init__(scope, id, **options)
        self.secrets: dict[str, secretsmanager.ISecret] = {}
        self.valkey: Valkey | None = None
        self.mongo: OwnMongo | None = None
        if "HUB_REDIS_URL" not in config.secrets:
            self.valkey = Valkey(self, "Valkey", network)
            self.secrets["HUB_REDIS_URL"] = self.valkey.url
        if config.own_mongo:
            self.mongo = OwnMongo(self, "Mongo", network)
            self.secrets["HUB_MONGO_URL"] = self.mongo.url


class Valkey(Construct):
    """One primary and one replica in two zones. The data need not survive, so there are no snapshots. A full server
    rejects writes, which the hub counts and survives; an eviction would lose ids silently."""

    def __init__(self, scope: Construct, id: str, network: Network) -> None:
        super().__init__(scope, id)
        network.store_group.add_ingress_rule(network.task_group, ec2.Port.tcp(REDIS_PORT), "Valkey")
        password = secretsmanager.Secret(
            self,
            "Password",
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
        )
        group = self._user_group(password)
        subnets = elasticache.CfnSubnetGroup(
            self,
            "Subnets",
            description="Valkey",
            subnet_ids=network.vpc.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED).subnet_ids,
        )
        parameters = elasticache.CfnParameterGroup(
            self,
            "Parameters",
            cache_parameter_group_family="valkey8",
            description="The queue must not be evicted",
            properties={"maxmemory-policy": "noeviction"},
        )
        self.servers = elasticache.CfnReplicationGroup(
            self,
            "Servers",
            replication_group_description="Queue and live messages of the notification hub",
            engine="valkey",
            engine_version="8.0",
            cache_node_type=NODE_TYPE,
            num_cache_clusters=2,
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            at_rest_encryption_enabled=True,
            snapshot_retention_limit=0,
            port=REDIS_PORT,
            user_group_ids=[group.ref],
            cache_parameter_group_name=parameters.ref,
            cache_subnet_group_name=subnets.ref,
            security_group_ids=[network.store_group.security_group_id],
        )
        acknowledge(self.servers, "AEC6", "the users of the group authenticate, which replaces the single token")
        address = f"{self.servers.attr_primary_end_point_address}:{REDIS_PORT}"
        url = f"rediss://{REDIS_USER}:{password.secret_value.unsafe_unwrap()}@{address}"
        self.url = secretsmanager.Secret(self, "Url", secret_string_value=SecretValue.unsafe_plain_text(url))
        for secret in (password, self.url):
            acknowledge(secret, "SMG4", NO_ROTATION)

    def _user_group(self, password: secretsmanager.Secret) -> elasticache.CfnUserGroup:
        user_id = f"{Stack.of(self).stack_name.lower()}-hub"
        user = elasticache.CfnUser(
            self,
            "User",
            engine="valkey",
            user_id=user_id,
            user_name=REDIS_USER,
            access_string=REDIS_ACCESS,
            passwords=[password.secret_value.unsafe_unwrap()],
        )
        group = elasticache.CfnUserGroup(
            self,
            "UserGroup",
            engine="valkey",
            user_group_id=f"{Stack.of(self).stack_name.lower()}-hub",
            user_ids=[user_id],
        )
        group.add_resource_dependency(user)
        return group
