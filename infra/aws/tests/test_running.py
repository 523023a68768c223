"""The parts that run without an account: the intake stack, the rotation, and the user of Valkey, with real processes of
the hub, a real Redis, and the servers of moto."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import boto3
import pytest
from redis import Redis as RedisClient

from hub.platform.embedded_servers import Mongod, Redis
from infra.aws import migrate, rotation_function
from infra.aws.names import REDIS_ACCESS, REDIS_PREFIX, REDIS_USER
from infra.aws.tests.conftest import Template, values
from tests.client import Tenant, eventually
from tests.event_calls import list_events
from tests.hub_process import CONSTANTS
from tests.processes import Deployment, Process

REGION = "eu-west-1"
CREDENTIALS = {"AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of AWS clients that use the servers of moto."""
    variables = {**CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": moto_url}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def deploy(template: Template) -> dict[str, str]:
    """Create a stack from the template. Return its outputs by description."""
    cloudformation, name = boto3.client("cloudformation"), f"intake-{uuid4().hex[:8]}"
    cloudformation.create_stack(StackName=name, TemplateBody=template.path.read_text())
    [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {one.get("Description", ""): one["OutputValue"] for one in stack["Outputs"]}


@pytest.mark.filterwarnings("ignore:.*QueuePolicy:UserWarning")  # moto checks no policies
async def test_event_of_eventbridge_reaches_the_tenant_through_the_deployed_stack(
    servers: tuple[Mongod, Redis], tenant: Tenant, intake: Template, aws: dict[str, str]
) -> None:
    """`hub intake` receives from the queue of the stack. Events that do not match the pattern do not arrive."""
    mongod, redis = servers
    queue = (await asyncio.to_thread(deploy, intake))["Queue of the tenant acme"]
    process = Process("intake", mongod.url, redis.url, intake=json.dumps({queue: tenant.name}))
    process.environment |= {**aws, CONSTANTS: json.dumps({"hub.intake.queue_intake.WAIT_S": 1})}
    try:
        await process.start()
        entries = [
            {"Source": source, "DetailType": "Order Shipped", "Detail": json.dumps({"order": order})}
            for order, source in enumerate(("com.example.shop", "com.example.other", "com.example.shop"), 1)
        ]
        await asyncio.to_thread(boto3.client("events").put_events, Entries=entries)

        async def arrived() -> list[Any]:
            found = await list_events(tenant)
            return found if len(found) == 2 else []

        found = await eventually(arrived, 60)
    finally:
        process.kill()
    assert {(event["source"], event["data"]["order"]) for event in found} == {
        ("com.example.shop", 1),
        ("com.example.shop", 3),
    }


def rotate(secret: str) -> list[str]:
    """Rotate as Secrets Manager does, and repeat each step. Return the keys."""
    version = str(uuid4())
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        event = {"SecretId": secret, "ClientRequestToken": version, "Step": step}
        rotation_function.handler(event, None)
        rotation_function.handler(event, None)
    found: str = boto3.client("secretsmanager").get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")[
        "SecretString"
    ]
    return found.split()


def test_rotation_prepends_a_key_keeps_two_and_restarts_the_api(
    aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aws
    secrets, ecs = boto3.client("secretsmanager"), boto3.client("ecs")
    secret = secrets.create_secret(Name=f"jwt-{uuid4().hex}", SecretString="first" * 8)["ARN"]
    cluster = ecs.create_cluster(clusterName=f"hub-{uuid4().hex[:8]}")["cluster"]["clusterName"]
    container = {"name": "hub", "image": "hub", "memory": 512}
    ecs.register_task_definition(family="serve", containerDefinitions=[container])
    ecs.create_service(cluster=cluster, serviceName="serve", taskDefinition="serve", desiredCount=1)
    monkeypatch.setenv("CLUSTER", cluster)
    monkeypatch.setenv("SERVICE", "serve")
    restarts = []
    original = boto3.client

    def client(service: str) -> Any:
        made = original(service)
        if service == "ecs":
            made.meta.events.register(
                "before-parameter-build.ecs.UpdateService", lambda params, **_: restarts.append(params)
            )
        return made

    monkeypatch.setattr(boto3, "client", client)
    first = rotate(secret)
    second = rotate(secret)
    third = rotate(secret)
    assert first[1:] == ["first" * 8]
    assert second[1:] == first
    assert third[1:] == second[:2]
    assert len({*first, *second, *third}) == 4
    assert restarts[0] == {"cluster": cluster, "service": "serve", "forceNewDeployment": True}
    assert len(restarts) == 6


def start_service(template: Template) -> str:
    """Create the stack that `migrate` reads, and a service with the container of `hub work`. Return the cluster."""
    ec2, ecs = boto3.client("ec2"), boto3.client("ecs")
    cluster = ecs.create_cluster(clusterName=f"hub-{uuid4().hex[:8]}")["cluster"]["clusterName"]
    container = template.containers()["work"]
    family = ecs.register_task_definition(
        family="work",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="1024",
        memory="2048",
        taskRoleArn="arn:aws:iam::123456789012:role/task",
        executionRoleArn="arn:aws:iam::123456789012:role/execution",
        containerDefinitions=[
            {
                "name": "hub",
                "image": "hub:1",
                "command": container["Command"],
                "secrets": [
                    {"name": one["Name"], "valueFrom": values(one["ValueFrom"])} for one in container["Secrets"]
                ],
                "portMappings": [{"containerPort": 8000}],
                "memory": 1024,  # moto requires it
                "readonlyRootFilesystem": True,
            },
            {"name": "collector", "image": "collector:1", "memory": 128},
        ],
    )["taskDefinition"]["family"]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": []}}
    ecs.create_service(
        cluster=cluster,
        serviceName="work",
        taskDefinition=family,
        desiredCount=0,
        launchType="FARGATE",
        networkConfiguration=network,
    )
    outputs = {"ClusterName": {"Value": cluster}, "WorkService": {"Value": "work"}}
    body = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": outputs}
    boto3.client("cloudformation").create_stack(StackName=migrate.STACK, TemplateBody=json.dumps(body))
    return str(cluster)


@pytest.mark.parametrize("code", [0, 1, None])
def test_migration_runs_the_new_image_as_a_task_like_the_workers(
    code: int | None, hub: Template, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moto starts no containers, so the test ends the task with the exit code, which is missing if it never started."""
    assert aws
    cluster = start_service(hub)
    calls: list[dict[str, Any]] = []
    ended = [
        {"lastStatus": "RUNNING"},
        {"lastStatus": "STOPPED", "containers": [{"exitCode": code} if code is not None else {}]},
    ]
    original = boto3.client

    def client(service: str) -> Any:
        made = original(service)
        events = made.meta.events
        events.register("before-parameter-build.ecs.RunTask", lambda params, **_: calls.append(dict(params)))
        events.register("after-call.ecs.DescribeTasks", lambda parsed, **_: parsed["tasks"][0].update(ended.pop(0)))
        return made

    monkeypatch.setattr(boto3, "client", client)
    monkeypatch.setattr(migrate, "POLL_S", 0)
    try:
        assert migrate.migrate("hub:2") == (1 if code is None else code)
    finally:
        original("cloudformation").delete_stack(StackName=migrate.STACK)
    ecs = original("ecs")
    [call] = calls
    started = ecs.describe_task_definition(taskDefinition=call["taskDefinition"])["taskDefinition"]
    work = ecs.describe_task_definition(taskDefinition="work")["taskDefinition"]
    [container] = started["containerDefinitions"]
    assert (container["image"], container["command"]) == ("hub:2", ["migrate"])
    assert container["secrets"] == work["containerDefinitions"][0]["secrets"]
    assert {name: started[name] for name in migrate.COPIED if name in work} == {
        name: work[name] for name in migrate.COPIED if name in work
    }
    [service] = ecs.describe_services(cluster=cluster, services=["work"])["services"]
    assert call["networkConfiguration"] == service["networkConfiguration"]
    assert started["status"] == "INACTIVE"


def test_outputs_that_the_migration_reads_exist(hub: Template) -> None:
    assert {"ClusterName", "WorkService"} <= hub.content["Outputs"].keys()


async def test_hub_works_as_the_user_of_valkey(servers: tuple[Mongod, Redis]) -> None:
    """The user may use the keys and channels of the hub only, and no dangerous command."""
    mongod, redis = servers
    admin = RedisClient.from_url(redis.url)
    admin.execute_command("ACL", "SETUSER", REDIS_USER, "reset", ">secret", *REDIS_ACCESS.split())  # type: ignore[no-untyped-call]
    url = redis.url.replace("redis://", f"redis://{REDIS_USER}:secret@")
    try:
        async with Deployment(mongod.url, url, apis=1, workers=1, redis_prefix=REDIS_PREFIX) as running:
            async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
                async with tenant.feed("ann", (await tenant.inbox("ann"))["position"]) as feed:
                    await tenant.send("ann")
                    await feed.take(1)
            for process in (*running.apis, *running.workers):
                assert "NOPERM" not in process.log
                assert await process.stop() == 0
        denied = admin.acl_log()
        assert [entry["object"] for entry in denied if entry["username"] == REDIS_USER] == []
    finally:
        admin.acl_deluser(REDIS_USER)
        admin.close()
