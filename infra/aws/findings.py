"""Findings of cdk-nag that do not apply. `make infra-aws` fails for any other finding."""

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def acknowledge(scope: IConstruct, rule: str, reason: str) -> None:
    """Accept a finding for a construct and what it contains. `rule`: its id without `AwsSolutions-`."""
    Validations.of(scope).acknowledge(Acknowledgment(id=f"AwsSolutions-{rule}", reason=reason))
