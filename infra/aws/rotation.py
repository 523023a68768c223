"""The secret HUB_JWT_SECRET, and its rotation every 30 days."""

from pathlib import Path

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.aws.tasks import HubService

DAYS = 30  # tokens must be valid for less time than this
CODE = Path(__file__).with_name("rotation_function.py")
INLINE_MAX_CHARS = 4096


def jwt_secret(scope: Construct) -> secretsmanager.Secret:
    """Return the secret with its first key."""
    return secretsmanager.Secret(
        scope,
        "JwtSecret",
        description="HUB_JWT_SECRET: keys of HS256, separated by spaces; applications sign with the second",
        generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
    )


class Rotation(Construct):
    """Only `hub serve` restarts, because it alone verifies tokens."""

    def __init__(
        self, scope: Construct, id: str, secret: secretsmanager.Secret, serve: HubService, cluster_name: str
    ) -> None:
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        role = self._role(secret, serve, log_group)
        self.function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE.read_text(encoding="utf-8")),
            environment={"CLUSTER": cluster_name, "SERVICE": serve.service.service_name},
            timeout=Duration.minutes(1),
            role=role,
            log_group=log_group,
        )
        self.function.add_permission(
            "SecretsManager",
            principal=iam.ServicePrincipal("secretsmanager.amazonaws.com"),
            source_arn=secret.secret_arn,
        )
        schedule = secretsmanager.CfnRotationSchedule(
            self,
            "Schedule",
            secret_id=secret.secret_arn,
            rotation_lambda_arn=self.function.function_arn,
            rotate_immediately_on_update=False,
            rotation_rules=secretsmanager.CfnRotationSchedule.RotationRulesProperty(automatically_after_days=DAYS),
        )
        schedule.node.add_dependency(self.function)

    def _role(self, secret: secretsmanager.Secret, serve: HubService, log_group: logs.LogGroup) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        actions = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
        for names, resource in (
            ([f"secretsmanager:{name}" for name in actions], secret.secret_arn),
            (["ecs:UpdateService"], serve.service.service_arn),
            (["logs:CreateLogStream", "logs:PutLogEvents"], log_group.log_group_arn),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=names, resources=[resource]))
        return role
