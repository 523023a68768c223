"""The network, the tasks, their permissions, the firewall, and the scaling policies."""

import json
import re
from typing import Any

import pytest

from hub.runtime.serve import KEEP_ALIVE_S
from hub.runtime.stop_deadline import MARGIN_S
from hub.settings import Settings
from infra.aws.names import BODY_MAX_BYTES, BODY_RULES, DATA_PATHS, INTAKE_MAX_TASKS, MAX_RECEIVES, TOO_LARGE
from infra.aws.tests.conftest import Template, values

SERVICES = {"serve", "work", "intake"}


def test_network_has_three_zones(network: Template) -> None:
    zones: dict[str, set[str]] = {}
    for subnet in network.find("AWS::EC2::Subnet").values():
        [kind] = [tag["Value"] for tag in subnet["Tags"] if tag["Key"] == "aws-cdk:subnet-name"]
        zones.setdefault(kind, set()).add(json.dumps(subnet["AvailabilityZone"]))
    assert {kind: len(found) for kind, found in zones.items()} == {"Public": 3, "Tasks": 3, "Stores": 3}
    assert len(network.find("AWS::EC2::NatGateway")) == 3


def test_services_run_in_private_subnets_without_a_fixed_number_of_tasks(hub: Template) -> None:
    services = hub.find("AWS::ECS::Service")
    assert len(services) == len(SERVICES)
    for service in services.values():
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert (network["AssignPublicIp"], len(network["Subnets"])) == ("DISABLED", 3)
        assert "DesiredCount" not in service, "a deployment would undo what autoscaling did"
        deployment = service["DeploymentConfiguration"]
        assert deployment["MinimumHealthyPercent"] == 100
        assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}


def test_containers_are_read_only_and_have_time_to_stop(hub: Template) -> None:
    containers = hub.containers()
    assert containers.keys() == SERVICES | {"backup"}
    for container in containers.values():
        environment = {one["Name"]: one["Value"] for one in container["Environment"]}
        assert container["ReadonlyRootFilesystem"] is True
        stopping_s = float(environment["HUB_DRAIN_S"]) + float(environment["HUB_SHUTDOWN_TIMEOUT_S"]) + MARGIN_S
        assert stopping_s < container["StopTimeout"] <= 120
        assert container["LogConfiguration"]["LogDriver"] == "awslogs"


def test_variables_are_settings_with_valid_values(
    hub: Template, other_hub: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub ignores variables that are not settings, so a misspelt one would have no effect."""
    for template in (hub, other_hub):
        for container in template.containers().values():
            given = {one["Name"]: values(one["Value"]) for one in container["Environment"]}
            secrets = {one["Name"] for one in container["Secrets"]}
            names = {name for name in given.keys() | secrets if name.startswith("HUB_")}
            assert {name.removeprefix("HUB_").lower() for name in names} <= Settings.model_fields.keys()
            assert {"HUB_MONGO_URL", "HUB_REDIS_URL", "HUB_JWT_SECRET"} <= secrets
            with monkeypatch.context() as patch:
                for name in names & given.keys():
                    patch.setenv(name, resolved(name, given[name]))
                patch.setenv("HUB_JWT_SECRET", "x" * 32)
                assert Settings().public_url == "https://hub.example.org"


def resolved(name: str, value: str) -> str:
    """Return a value as CloudFormation would resolve it."""
    if name == "HUB_TRUSTED_PROXIES":
        return "10.0.0.0/16"
    if name == "HUB_SNS_TOPICS":
        return "arn:aws:sns:eu-west-1:123456789012:topic"
    return re.sub(r"<HubIntake:[^>]*>", "https://sqs.eu-west-1.amazonaws.com/123456789012/events", value)


def test_api_may_call_nothing_of_aws_but_the_collector_of_traces(hub: Template, other_hub: Template) -> None:
    assert hub.actions("ServeTaskTaskRole") == {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
    assert other_hub.actions("ServeTaskTaskRole") == set()


def test_workers_may_only_send(hub: Template, other_hub: Template) -> None:
    traces = hub.actions("ServeTaskTaskRole")
    assert hub.actions("WorkTaskTaskRole") - traces == {"ses:SendEmail", "ses:SendRawEmail"}
    sns = {"sns:CreatePlatformEndpoint", "sns:SetEndpointAttributes", "sns:Publish"}
    assert other_hub.actions("WorkTaskTaskRole") == sns
    resources = {json.dumps(one["Resource"]) for one in other_hub.statements("WorkTaskTaskRole")}
    assert '"arn:aws:sns:eu-west-1:123456789012:app/GCM/shop"' in resources
    assert '"arn:aws:sns:eu-west-1:123456789012:endpoint/GCM/shop/*"' in resources


def test_intake_may_only_receive(hub: Template) -> None:
    needed = {"ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes"}
    allowed = hub.actions("IntakeTaskTaskRole") - hub.actions("ServeTaskTaskRole")
    assert {f"sqs:{name}" for name in needed} <= allowed
    assert allowed <= {f"sqs:{name}" for name in needed | {"GetQueueUrl"}}


def test_backup_runs_every_day_and_may_only_write_to_its_bucket(hub: Template, other_hub: Template) -> None:
    rule = hub.one("AWS::Events::Rule")
    assert rule["ScheduleExpression"] == "cron(30 3 * * ? *)"
    [target] = rule["Targets"]
    network = target["EcsParameters"]["NetworkConfiguration"]["AwsVpcConfiguration"]
    assert (target["EcsParameters"]["LaunchType"], len(network["Subnets"])) == ("FARGATE", 3)
    [service] = [one for id, one in hub.find("AWS::ECS::Service").items() if id.startswith("Work")]
    work = service["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert (network["SecurityGroups"], network["Subnets"]) == (work["SecurityGroups"], work["Subnets"])
    container, worker = hub.containers()["backup"], hub.containers()["work"]
    [bucket] = [id for id in hub.find("AWS::S3::Bucket") if id.startswith("Backup")]
    assert values(container["Command"][1]) == f"s3://<{bucket}>/hub/{{date}}"
    assert container["Secrets"] == worker["Secrets"]
    assert "HealthCheck" not in container
    assert hub.actions("BackupRunTaskTaskRole") == {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}
    assert {json.dumps(one["Resource"]).count(bucket) for one in hub.statements("BackupRunTaskTaskRole")} == {1}
    assert not other_hub.find("AWS::Events::Rule")
    assert "backup" not in other_hub.containers()


def test_backups_are_private_locked_and_deleted_after_a_time(hub: Template) -> None:
    resources = hub.content["Resources"]
    [resource] = [resources[id] for id in hub.find("AWS::S3::Bucket") if id.startswith("Backup")]
    bucket = resource["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    lock = bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert (bucket["ObjectLockEnabled"], lock) == (True, {"Days": 7, "Mode": "GOVERNANCE"})
    [lifecycle] = bucket["LifecycleConfiguration"]["Rules"]
    assert (lifecycle["Status"], lifecycle["ExpirationInDays"]) == ("Enabled", 35)
    assert resource["DeletionPolicy"] == "Retain"


@pytest.mark.parametrize("size", [0, 8192, 999_999, 1 << 20, 4_194_299, BODY_MAX_BYTES, 4_000_000])
def test_body_of_the_permitted_size_passes_the_firewall(size: int) -> None:
    assert not re.search(TOO_LARGE, str(size))


@pytest.mark.parametrize("step", [1, 5, 6, 99, 695, 5_695, 100_000, 900_000, 5_900_000, 10**9])
def test_larger_body_is_blocked(step: int) -> None:
    assert re.search(TOO_LARGE, str(BODY_MAX_BYTES + step))
    assert re.search(TOO_LARGE, f"000{BODY_MAX_BYTES + step}")
    assert Settings(jwt_secret="x" * 32).send_many_max_bytes == BODY_MAX_BYTES


def test_rules_about_bodies_count_and_block_on_other_paths_only(hub: Template) -> None:
    rules = {rule["Name"]: rule for rule in hub.one("AWS::WAFv2::WebACL")["Rules"]}
    common = rules["AWSManagedRulesCommonRuleSet"]["Statement"]["ManagedRuleGroupStatement"]
    counted = {one["Name"] for one in common["RuleActionOverrides"] if one["ActionToUse"] == {"Count": {}}}
    assert counted == BODY_RULES.keys()
    assert {"SizeRestrictions_BODY", "CrossSiteScripting_BODY"} <= counted
    block = rules["found-in-body"]
    assert block["Action"] == {"Block": {}}
    assert block["Priority"] > rules["AWSManagedRulesCommonRuleSet"]["Priority"], "labels exist after the managed rules"
    found, elsewhere = block["Statement"]["AndStatement"]["Statements"]
    labels = {one["LabelMatchStatement"]["Key"] for one in found["OrStatement"]["Statements"]}
    assert labels == {f"awswaf:managed:aws:core-rule-set:{label}" for label in BODY_RULES.values()}
    paths = elsewhere["NotStatement"]["Statement"]["OrStatement"]["Statements"]
    assert {one["ByteMatchStatement"]["SearchString"] for one in paths} == set(DATA_PATHS)


def test_metrics_are_not_public(hub: Template) -> None:
    rule = hub.one("AWS::ElasticLoadBalancingV2::ListenerRule")
    assert rule["Conditions"][0]["PathPatternConfig"]["Values"] == ["/metrics"]
    assert rule["Actions"][0]["FixedResponseConfig"]["StatusCode"] == "404"


def test_load_balancer_closes_idle_connections_before_the_hub(hub: Template) -> None:
    balancer = hub.one("AWS::ElasticLoadBalancingV2::LoadBalancer")
    attributes = {one["Key"]: one["Value"] for one in balancer["LoadBalancerAttributes"]}
    idle_s = int(attributes["idle_timeout.timeout_seconds"])
    assert Settings(jwt_secret="x" * 32).websocket_ping_interval_s < idle_s < KEEP_ALIVE_S


def targets(hub: Template) -> dict[str, Any]:
    """Return the scaling policies, by logical id."""
    return hub.find("AWS::ApplicationAutoScaling::ScalingPolicy")


def test_limits_of_tasks(hub: Template) -> None:
    limits = {
        (one["MinCapacity"], one["MaxCapacity"])
        for one in hub.find("AWS::ApplicationAutoScaling::ScalableTarget").values()
    }
    assert (2, INTAKE_MAX_TASKS) in limits
    assert all(least == 2 for least, _ in limits)
    assert INTAKE_MAX_TASKS < MAX_RECEIVES


def test_api_scales_on_sockets_per_task_and_cpu(hub: Template) -> None:
    found = [
        one["TargetTrackingScalingPolicyConfiguration"] for id, one in targets(hub).items() if id.startswith("Serve")
    ]
    [sockets] = [one for one in found if "CustomizedMetricSpecification" in one]
    metric = sockets["CustomizedMetricSpecification"]
    assert (metric["MetricName"], metric["Statistic"]) == ("hub_sockets", "Average")
    assert metric["Dimensions"] == [{"Name": "Process", "Value": "serve"}]
    assert sockets["TargetValue"] == 5000
    [cpu] = [one for one in found if "PredefinedMetricSpecification" in one]
    assert cpu["TargetValue"] == 60
    assert cpu["ScaleInCooldown"] == sockets["ScaleInCooldown"] == 900


def test_workers_scale_on_late_deliveries(hub: Template) -> None:
    """Two tasks more above 30 s, five above 120 s, and one less if the expression `Idle` is 0."""
    steps = {}
    for id, one in targets(hub).items():
        if id.startswith("Work"):
            policy = one["StepScalingPolicyConfiguration"]
            steps[id] = [
                (
                    step.get("MetricIntervalLowerBound"),
                    step.get("MetricIntervalUpperBound"),
                    step["ScalingAdjustment"],
                )
                for step in policy["StepAdjustments"]
            ]
    assert sorted(steps.values(), key=len) == [[(None, 0, -1)], [(0, 90, 2), (90, None, 5)]]
    rules = [one for one in hub.find("AWS::CloudWatch::Alarm").values() if "Work" in json.dumps(one["AlarmActions"])]
    late, idle = sorted(rules, key=lambda one: "Metrics" in one)
    assert (late["MetricName"], late["Statistic"], late["Threshold"]) == ("hub_due_oldest_seconds", "Maximum", 30)
    assert (late["EvaluationPeriods"], late["DatapointsToAlarm"]) == (3, 2)
    assert (idle["EvaluationPeriods"], idle["DatapointsToAlarm"]) == (15, 15)
    [expression] = [one["Expression"] for one in idle["Metrics"] if "Expression" in one]
    assert expression == "IF(due + queued < 100 * workers AND oldest < 5, 0, 1)"


def test_intake_scales_on_messages_per_task(hub: Template) -> None:
    [policy] = [one for id, one in targets(hub).items() if "IntakeBacklog" in id]
    queries = policy["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]["Metrics"]
    by_id = {query["Id"]: query for query in queries}
    assert by_id["backlog"]["Expression"] == "(queue1) / running"
    assert by_id["queue1"]["MetricStat"]["Metric"]["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert [query["ReturnData"] for query in queries].count(True) == 1
