"""Run `hub migrate` of a new image as a task of ECS, before `cdk deploy Hub` starts the image.

    .venv/bin/python infra/aws/migrate.py IMAGE

The task has the settings, the secrets, the role, and the network of `hub work`. Processes of the earlier version run
meanwhile. The exit code is that of `hub migrate`.
"""

import sys
import time
from typing import Any

import boto3

STACK = "Hub"
FAMILY = "hub-migrate"
POLL_S = 5.0
COPIED = (
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "runtimePlatform",
)
"""The fields that the task has in common with `hub work`."""


def migrate(image: str) -> int:
    """Return the exit code of the command."""
    ecs, outputs = boto3.client("ecs"), read_outputs()
    cluster = outputs["ClusterName"]
    [service] = ecs.describe_services(cluster=cluster, services=[outputs["WorkService"]])["services"]
    work = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    registered = ecs.register_task_definition(**definition(work, image))["taskDefinition"]["taskDefinitionArn"]
    try:
        started = ecs.run_task(
            cluster=cluster,
            taskDefinition=registered,
            launchType="FARGATE",
            networkConfiguration=service["networkConfiguration"],
        )
        if not started["tasks"]:
            print(f"The task could not be started: {started['failures']}", file=sys.stderr)  # noqa: T201
            return 1
        return wait(ecs, cluster, started["tasks"][0]["taskArn"])
    finally:
        ecs.deregister_task_definition(taskDefinition=registered)


def read_outputs() -> dict[str, str]:
    """Return the outputs of the stack."""
    [stack] = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}


def definition(work: dict[str, Any], image: str) -> dict[str, Any]:
    """Return the definition of the task: that of `hub work` with another image and command."""
    [hub] = [one for one in work["containerDefinitions"] if one["name"] == "hub"]
    container = {name: value for name, value in hub.items() if name not in {"healthCheck", "portMappings"}}
    container |= {"image": image, "command": ["migrate"]}
    common = {name: work[name] for name in COPIED if work.get(name)}
    return {"family": FAMILY, "containerDefinitions": [container], **common}


def wait(ecs: Any, cluster: str, task: str) -> int:
    """Wait until the task ends, however long MongoDB builds indexes. Return its exit code."""
    print(f"{task} runs. Its output is in the log of `hub work`.", flush=True)  # noqa: T201
    while True:
        [found] = ecs.describe_tasks(cluster=cluster, tasks=[task])["tasks"]
        if found["lastStatus"] == "STOPPED":
            break
        time.sleep(POLL_S)
    [container] = found["containers"]
    code = container.get("exitCode")
    print(f"hub migrate ended with the exit code {code}: {found.get('stoppedReason', '')}", flush=True)  # noqa: T201
    return 1 if code is None else int(code)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: migrate.py IMAGE")
    sys.exit(migrate(sys.argv[1]))
