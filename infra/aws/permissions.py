"""The AWS calls of each process. `hub serve` makes none."""

import re
from collections.abc import Mapping

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from infra.aws.findings import acknowledge

DOMAIN = re.compile(r"@([^@>\s]+)>?\s*$")
PLATFORM_APPLICATIONS = ("HUB_SNS_PLATFORM_FCM", "HUB_SNS_PLATFORM_APNS")
TRACE_ACTIONS = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")


def sender_domain(sender: str) -> str:
    """Return the domain of `Acme <no-reply@example.org>`. Raise ValueError."""
    found = DOMAIN.search(sender)
    if not found:
        raise ValueError("HUB_SES_FROM must be a sender such as Acme <no-reply@example.org>")
    return found[1].lower()


def allow_sending(role: iam.Role, settings: Mapping[str, str]) -> None:
    """Allow `hub work` to call the providers that the settings name."""
    if sender := settings.get("HUB_SES_FROM"):
        _allow_email(role, sender_domain(sender))
    for setting in PLATFORM_APPLICATIONS:
        if application := settings.get(setting):
            _allow_push(role, application)
    if "HUB_SNS_SMS_FROM" in settings:
        role.add_to_policy(iam.PolicyStatement(actions=["sns:Publish"], resources=["*"]))
        acknowledge_wildcard(role, "*", "an SMS has no resource: IAM cannot limit phone numbers")


def _allow_email(role: iam.Role, domain: str) -> None:
    prefix = f"arn:{Aws.PARTITION}:ses:{Aws.REGION}:{Aws.ACCOUNT_ID}"
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["ses:SendEmail", "ses:SendRawEmail"],  # emails are sent as raw messages
            resources=[f"{prefix}:identity/{domain}", f"{prefix}:configuration-set/*"],
        )
    )
    acknowledge_wildcard(
        role,
        "arn:<AWS::Partition>:ses:<AWS::Region>:<AWS::AccountId>:configuration-set/*",
        "the identity chooses its configuration set",
    )


def _allow_push(role: iam.Role, application: str) -> None:
    endpoints = f"{application.replace(':app/', ':endpoint/')}/*"
    role.add_to_policy(iam.PolicyStatement(actions=["sns:CreatePlatformEndpoint"], resources=[application]))
    role.add_to_policy(iam.PolicyStatement(actions=["sns:Publish", "sns:SetEndpointAttributes"], resources=[endpoints]))
    acknowledge_wildcard(role, endpoints, "each device has an endpoint")


def allow_traces(role: iam.Role) -> None:
    """Allow the collector to send traces to X-Ray."""
    role.add_to_policy(iam.PolicyStatement(actions=[*TRACE_ACTIONS], resources=["*"]))
    acknowledge_wildcard(role, "*", "X-Ray has no resources that a policy could name")


def acknowledge_wildcard(role: iam.IRole, resource: str, reason: str) -> None:
    acknowledge(role, f"IAM5[Resource::{resource}]", reason)
