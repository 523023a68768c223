"""The stores, the queues of events, the alarms, and the context values."""

import json
import re
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hub.cli.metrics import rows
from infra.aws.config import Config, ContextError, read_config
from infra.aws.names import MAX_RECEIVES
from infra.aws.tests.conftest import ROOT, Template, values

DAYS_14_S = 14 * 86_400
EXAMPLES = {path.stem: json.loads(path.read_text()) for path in (ROOT / "infra/aws").glob("*.json")}


class Context:
    """The context of an app."""

    def __init__(self, **given: Any) -> None:
        self._values = EXAMPLES["example"] | given

    def try_get_context(self, key: str) -> Any:
        return self._values.get(key)


def test_valkey_is_encrypted_replicated_and_evicts_nothing(stores: Template) -> None:
    servers = stores.one("AWS::ElastiCache::ReplicationGroup")
    assert (servers["Engine"], servers["NumCacheClusters"], servers["MultiAZEnabled"]) == ("valkey", 2, True)
    assert (servers["TransitEncryptionEnabled"], servers["TransitEncryptionMode"]) == (True, "required")
    assert servers["AtRestEncryptionEnabled"] is True
    assert servers["SnapshotRetentionLimit"] == 0
    assert "NumNodeGroups" not in servers, "cluster mode is off"
    parameters = stores.one("AWS::ElastiCache::ParameterGroup")
    assert parameters["Properties"] == {"maxmemory-policy": "noeviction"}


def test_passwords_are_references(stores: Template, own_mongo: Template) -> None:
    """CloudFormation resolves them. No template contains a password."""
    for template in (stores, own_mongo):
        urls = [
            values(one["SecretString"])
            for one in template.find("AWS::SecretsManager::Secret").values()
            if "SecretString" in one
        ]
        assert len(urls) == 1
        for url in urls:
            assert re.fullmatch(r"(rediss|mongodb)://hub:\{\{resolve:secretsmanager:.+\}\}@.+", url)


def test_messages_that_are_not_received_move_to_the_dead_letter_queue(intake: Template) -> None:
    queues = intake.find("AWS::SQS::Queue")
    assert {queue["MessageRetentionPeriod"] for queue in queues.values()} == {DAYS_14_S}
    [main] = [queue for queue in queues.values() if "RedrivePolicy" in queue]
    assert main["RedrivePolicy"]["maxReceiveCount"] == MAX_RECEIVES
    assert main["VisibilityTimeout"] == 60
    rule = intake.one("AWS::Events::Rule")
    assert rule["EventPattern"] == {"source": ["com.example.shop"]}
    [target] = rule["Targets"]
    assert "DeadLetterConfig" in target


def test_another_tenant_does_not_inherit_a_queue(intake: Template) -> None:
    """A logical id contains the hash of the tenant, so it remains the same when a tenant is added before."""
    key = sha256(b"acme").hexdigest()[:10]
    ids = [*intake.find("AWS::SQS::Queue"), *intake.find("AWS::Events::Rule")]
    assert all(key in id for id in ids), ids


def test_alarms_notify_and_explain(alarms: Template) -> None:
    found = alarms.find("AWS::CloudWatch::Alarm")
    assert len(found) > 15
    for id, alarm in found.items():
        assert len(alarm["AlarmActions"]) == len(alarm["OKActions"]) == 1, id
        assert alarm["AlarmDescription"].endswith("."), id


def test_missing_workers_and_tasks_are_alarms(alarms: Template) -> None:
    """A metric that is missing because its process does not run must not look like a good one."""
    found = alarms.find("AWS::CloudWatch::Alarm")
    breaching = {id.rstrip("0123456789ABCDEF") for id, one in found.items() if one["TreatMissingData"] == "breaching"}
    assert breaching == {"NoWorker", "FewTargets", "ServeTasks", "WorkTasks", "IntakeTasks"}


def test_old_and_missing_backups_are_alarms(alarms: Template) -> None:
    """The age is 0 until the first backup, which is normal on the first day only."""
    found = {id.rstrip("0123456789ABCDEF"): one for id, one in alarms.find("AWS::CloudWatch::Alarm").items()}
    old, none = found["BackupOld"], found["NoBackup"]
    assert old["MetricName"] == none["MetricName"] == "hub_backup_age_seconds"
    assert (old["Threshold"], old["ComparisonOperator"], old["EvaluationPeriods"]) == (
        26 * 3600,
        "GreaterThanThreshold",
        1,
    )
    assert (none["Threshold"], none["ComparisonOperator"]) == (1, "LessThanThreshold")
    assert none["Period"] * none["EvaluationPeriods"] == 26 * 3600


def test_metrics_of_the_hub_exist(alarms: Template, hub: Template) -> None:
    named = set(re.findall(r"hub_[a-z_]+", json.dumps(alarms.content) + json.dumps(hub.content)))
    assert "hub_due_oldest_seconds" in named
    assert named <= {row.name for row in rows()}


def test_own_mongodb_has_a_member_with_a_volume_in_each_zone(own_mongo: Template) -> None:
    instances = own_mongo.find("AWS::EC2::Instance").values()
    volumes = own_mongo.find("AWS::EC2::Volume").values()
    assert len({json.dumps(one["AvailabilityZone"]) for one in instances}) == 3
    assert len({json.dumps(one["AvailabilityZone"]) for one in volumes}) == 3
    for volume in volumes:
        assert (volume["VolumeType"], volume["Encrypted"]) == ("gp3", True)
        assert {"Key": "notification-hub-backup", "Value": "daily"} in volume["Tags"]
    [selected] = own_mongo.one("AWS::Backup::BackupSelection")["BackupSelection"]["ListOfTags"]
    assert (selected["ConditionKey"], selected["ConditionValue"]) == ("notification-hub-backup", "daily")
    assert "AWS::ElastiCache::ReplicationGroup" not in json.dumps(own_mongo.content), "HUB_REDIS_URL is given"


def test_script_of_a_member_is_valid_and_complete(own_mongo: Template, tmp_path: Path) -> None:
    scripts = []
    for instance in own_mongo.find("AWS::EC2::Instance").values():
        text = values(instance["UserData"]["Fn::Base64"])
        assert not re.search(r"@[A-Z_]+@", text)
        script = tmp_path / "script.sh"
        script.write_text(re.sub(r"<[\w.:]+>", "value", text))
        subprocess.run(["bash", "-n", script], check=True)
        scripts.append(re.search(r"^member=(\d)$", text, re.MULTILINE))
    assert sorted(found[1] for found in scripts if found) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"domain": None}, "`domain` is missing"),
        ({"settings": {"MODE": "development"}}, "MODE in `settings` or `secrets` is not a setting"),
        ({"settings": {"HUB_MONGO_URL": "mongodb://x"}}, "HUB_MONGO_URL: in `settings` and in `secrets`"),
        ({"secrets": {}}, "`secrets` has HUB_MONGO_URL"),
        ({"own_mongo": True}, "unless `own_mongo` is true"),
        ({"settings": {"HUB_JWT_SECRET": "x"}}, "HUB_JWT_SECRET: the stack creates"),
        ({"events": "{"}, "`events` is not JSON"),
    ],
)
def test_wrong_context_value_is_explained(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ContextError, match=re.escape(message)):
        read_config(Context(**given))


def test_context_value_may_be_the_text_of_json() -> None:
    """`cdk deploy -c` passes text."""
    config = read_config(Context(traces="false", waf_rate="5000", settings='{"HUB_CHATS": ""}'))
    assert (config.traces, config.waf_rate, config.settings) == (False, 5000, {"HUB_CHATS": ""})


def test_examples_are_valid() -> None:
    assert EXAMPLES.keys() == {"cdk", "example", "own-mongo"}
    for name in ("example", "own-mongo"):
        assert Config(**EXAMPLES[name]).metrics_namespace == "NotificationHub/hub.example.org"
