"""Rotates HUB_JWT_SECRET: prepends a new key, keeps the two before it, and restarts the API. Code of AWS Lambda.

The hub accepts tokens of all three keys. Applications sign with the second key (the only one before the first
rotation): every task has read it, also while the tasks restart.
"""

import os
import secrets
from typing import Any

import boto3

KEYS = 3
KEY_BYTES = 32


def handler(event: dict[str, str], _: Any) -> None:
    """Perform one step of a rotation of Secrets Manager, which repeats steps that failed."""
    secret, version = event["SecretId"], event["ClientRequestToken"]
    client = boto3.client("secretsmanager")
    if event["Step"] == "createSecret":
        _create(client, secret, version)
    elif event["Step"] == "finishSecret":
        _finish(client, secret, version)
        service = {"cluster": os.environ["CLUSTER"], "service": os.environ["SERVICE"]}
        boto3.client("ecs").update_service(**service, forceNewDeployment=True)  # tasks read secrets when they start


def _create(client: Any, secret: str, version: str) -> None:
    try:
        client.get_secret_value(SecretId=secret, VersionId=version)
        return  # an earlier try has created it
    except client.exceptions.ResourceNotFoundException:
        pass
    keys = client.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")["SecretString"].split()
    value = " ".join([secrets.token_hex(KEY_BYTES), *keys][:KEYS])
    client.put_secret_value(
        SecretId=secret, ClientRequestToken=version, SecretString=value, VersionStages=["AWSPENDING"]
    )


def _finish(client: Any, secret: str, version: str) -> None:
    stages = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
    current = next(id for id, names in stages.items() if "AWSCURRENT" in names)
    if current != version:
        client.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=version, RemoveFromVersionId=current
        )
