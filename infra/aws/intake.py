"""The way of events: a rule of EventBridge sends them to a queue, which `hub intake` receives. Each tenant has its own
queue, because the queue determines the tenant."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.aws.findings import acknowledge
from infra.aws.names import MAX_RECEIVES

RETENTION = Duration.days(14)  # the maximum; the time in the dead-letter queue includes the time in the first queue
VISIBILITY = Duration.seconds(60)


@dataclass(frozen=True, slots=True)
class TenantQueue:
    """`dead`: messages that are not events. `undelivered`: events that EventBridge could not send to `queue`."""

    tenant: str
    queue: sqs.Queue
    dead: sqs.Queue
    undelivered: sqs.Queue
    rule: events.Rule


class Intake(Stack):
    """`queues`: one per tenant."""

    def __init__(self, scope: Construct, id: str, patterns: Mapping[str, Mapping[str, Any]], **options: Any) -> None:
        super().__init__(scope, id, **options)
        self.queues = [self._add(tenant, pattern) for tenant, pattern in sorted(patterns.items())]

    def _add(self, tenant: str, pattern: Mapping[str, Any]) -> TenantQueue:
        # The ids depend on the tenant only: otherwise, another tenant could inherit the queue with its messages.
        key = sha256(tenant.encode()).hexdigest()[:10]
        dead = self._queue(f"Dead{key}")
        undelivered = self._queue(f"Undelivered{key}")
        queue = self._queue(
            f"Events{key}",
            visibility_timeout=VISIBILITY,
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=MAX_RECEIVES),
        )
        rule = events.Rule(self, f"Rule{key}", description=f"Events of the tenant {tenant}")
        rule.add_event_pattern(**{_ARGUMENTS.get(name, name): value for name, value in pattern.items()})
        rule.add_target(targets.SqsQueue(queue, dead_letter_queue=undelivered))
        CfnOutput(self, f"Queue{key}", value=queue.queue_url, description=f"Queue of the tenant {tenant}")
        for each in (dead, undelivered):
            acknowledge(each, "SQS3", "it is a dead-letter queue")
        return TenantQueue(tenant, queue, dead, undelivered, rule)

    def _queue(self, id: str, **options: Any) -> sqs.Queue:
        return sqs.Queue(
            self,
            id,
            retention_period=RETENTION,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            **options,
        )


_ARGUMENTS = {"detail-type": "detail_type"}
"""The fields of a pattern whose name in Python is different."""
