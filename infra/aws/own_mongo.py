"""MongoDB on three instances in three zones, for operators who do not use Atlas. AWS Backup copies their volumes.

The journal is on the volume of the data, so a snapshot of the volume is consistent. A volume outlives its instance.
"""

from pathlib import Path

from aws_cdk import Aws, Duration, RemovalPolicy, SecretValue, Size, Tags
from aws_cdk import aws_backup as backup
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.aws.findings import acknowledge
from infra.aws.network import MONGO_PORT, ZONES, Network

INSTANCE = ec2.InstanceType("m7g.large")
DATA_GIB = 200
OPLOG_MB = 20_000
DOMAIN = "hub.internal"
BACKUP_DAYS = 35
SCRIPT = Path(__file__).with_name("own_mongo.sh")
TAG = "notification-hub-backup"
NO_ROTATION = "MongoDB needs two users for a rotation without an outage; the keys of members change by hand"


class OwnMongo(Construct):
    """`url`: the secret with HUB_MONGO_URL."""

    def __init__(self, scope: Construct, id: str, network: Network) -> None:
        super().__init__(scope, id)
        self._key = self._secret("Key", 756)
        self._password = self._secret("Password", 64)
        self._names = [f"mongo{member}.{DOMAIN}" for member in range(ZONES)]
        self._zone = route53.PrivateHostedZone(self, "Zone", vpc=network.vpc, zone_name=DOMAIN)
        subnets = network.vpc.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS).subnets
        for member, subnet in enumerate(subnets):
            self._member(member, subnet, network)
        self._back_up()
        hosts = ",".join(f"{name}:{MONGO_PORT}" for name in self._names)
        password = self._password.secret_value.unsafe_unwrap()
        url = f"mongodb://hub:{password}@{hosts}/?replicaSet=hub&authSource=admin"
        self.url = secretsmanager.Secret(self, "Url", secret_string_value=SecretValue.unsafe_plain_text(url))
        for secret in (self._key, self._password, self.url):
            acknowledge(secret, "SMG4", NO_ROTATION)

    def _secret(self, name: str, length: int) -> secretsmanager.Secret:
        return secretsmanager.Secret(
            self,
            name,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=length, exclude_punctuation=True
            ),
        )

    def _member(self, member: int, subnet: ec2.ISubnet, network: Network) -> None:
        role = iam.Role(self, f"Role{member}", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
        self._key.grant_read(role)
        self._password.grant_read(role)
        instance = ec2.Instance(
            self,
            f"Member{member}",
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=[subnet]),
            instance_type=INSTANCE,
            machine_image=ec2.MachineImage.latest_amazon_linux2023(cpu_type=ec2.AmazonLinuxCpuType.ARM_64),
            security_group=network.mongo_group,
            role=role,
            require_imdsv2=True,
            detailed_monitoring=True,
            user_data=ec2.UserData.custom(self._script(member)),
            block_devices=[
                ec2.BlockDevice(device_name="/dev/xvda", volume=ec2.BlockDeviceVolume.ebs(20, encrypted=True))
            ],
        )
        instance.apply_removal_policy(RemovalPolicy.DESTROY)
        volume = ec2.Volume(
            self,
            f"Data{member}",
            availability_zone=subnet.availability_zone,
            size=Size.gibibytes(DATA_GIB),
            volume_type=ec2.EbsDeviceVolumeType.GP3,
            encrypted=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        Tags.of(volume).add(TAG, "daily")
        ec2.CfnVolumeAttachment(
            self,
            f"Attachment{member}",
            device="/dev/sdf",
            instance_id=instance.instance_id,
            volume_id=volume.volume_id,
        )
        route53.ARecord(
            self,
            f"Name{member}",
            zone=self._zone,
            record_name=f"mongo{member}",
            target=route53.RecordTarget.from_ip_addresses(instance.instance_private_ip),
            ttl=Duration.minutes(1),
        )
        acknowledge(
            instance,
            "EC29",
            "a replica set outlives one member, and the data are on a volume of their own",
        )

    def _script(self, member: int) -> str:
        script = SCRIPT.read_text(encoding="utf-8")
        for name, value in {
            "MEMBER": str(member),
            "NAMES": " ".join(self._names),
            "REGION": Aws.REGION,
            "KEY": self._key.secret_arn,
            "PASSWORD": self._password.secret_arn,
            "OPLOG_MB": str(OPLOG_MB),
        }.items():
            script = script.replace(f"@{name}@", value)
        return script

    def _back_up(self) -> None:
        """Copy the volumes every day. A restored volume needs new epochs of all mailboxes: see the documentation."""
        vault = backup.BackupVault(self, "Vault", removal_policy=RemovalPolicy.RETAIN)
        plan = backup.BackupPlan(self, "Plan", backup_vault=vault)
        plan.add_rule(
            backup.BackupPlanRule(
                schedule_expression=events.Schedule.cron(hour="3", minute="0"),
                delete_after=Duration.days(BACKUP_DAYS),
            )
        )
        acknowledge(
            plan,
            "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup]",
            "AWS maintains the permissions of its backup service",
        )
        plan.add_selection("Volumes", resources=[backup.BackupResource.from_tag(TAG, "daily")])
