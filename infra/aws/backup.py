"""A task that runs `hub backup` every day, and the bucket of the backups."""

from aws_cdk import CfnOutput, Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.aws.findings import acknowledge
from infra.aws.permissions import acknowledge_wildcard
from infra.aws.tasks import HubTask, Shared

SIZE = (512, 1024)  # CPU units and MiB
HOUR_UTC = "3"
KEPT_DAYS = 35
LOCKED_DAYS = 7  # in which nobody can delete a backup without `s3:BypassGovernanceRetention`
OBJECT_ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")


class Backup(Construct):
    def __init__(self, scope: Construct, id: str, shared: Shared) -> None:
        super().__init__(scope, id)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            versioned=True,
            object_lock_enabled=True,
            object_lock_default_retention=s3.ObjectLockRetention.governance(Duration.days(LOCKED_DAYS)),
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=Duration.days(KEPT_DAYS),
                    noncurrent_version_expiration=Duration.days(LOCKED_DAYS),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )
        acknowledge(self.bucket, "S1", "CloudTrail, which is a setting of the account, records who reads the backups")
        target = f"s3://{self.bucket.bucket_name}/hub/{{date}}"
        one = HubTask(self, "Run", shared, ["backup", target], SIZE, serves=False)
        self.task, self.log_group = one.task, one.log_group
        self._allow_writing(one.role)
        self.rule = events.Rule(
            self,
            "Daily",
            description="Back up the hub",
            schedule=events.Schedule.cron(minute="30", hour=HOUR_UTC),
            targets=[
                targets.EcsTask(
                    cluster=shared.cluster,
                    task_definition=self.task,
                    security_groups=[shared.network.task_group],
                    subnet_selection=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
                )
            ],
        )
        task = "arn:<AWS::Partition>:ecs:<AWS::Region>:*:task/<ClusterEB0386A7>/*"
        acknowledge(self.task, f"IAM5[Resource::{task}]", "EventBridge tags the tasks that it starts")
        CfnOutput(self, "Backups", value=self.bucket.bucket_name, description="Bucket of the backups")

    def _allow_writing(self, role: iam.Role) -> None:
        """Allow what `hub backup` and `hub restore` need."""
        objects = self.bucket.arn_for_objects("hub/*")
        role.add_to_policy(iam.PolicyStatement(actions=[*OBJECT_ACTIONS], resources=[objects]))
        role.add_to_policy(iam.PolicyStatement(actions=["s3:ListBucket"], resources=[self.bucket.bucket_arn]))
        acknowledge_wildcard(role, "<BackupBucketBC94E555.Arn>/hub/*", "each backup has files of its own")
