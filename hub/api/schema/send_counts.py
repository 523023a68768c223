"""The numbers of a send: its recipients, and its deliveries by status."""

from collections import Counter, defaultdict
from datetime import datetime

import strawberry
from strawberry import Parent

from hub import model
from hub.api.context import Info
from hub.decide.explanations import explain_delivery
from hub.status.status_counts import Reactions


@strawberry.type(description="The number of deliveries with one reason.")
class ReasonCount:
    reason: str = strawberry.field(description="The reason, such as NO_ADDRESS.")
    explanation: str = strawberry.field(description="A sentence in English, as in `Delivery.explanation`.")
    count: int = strawberry.field(description="The number of deliveries.")


@strawberry.type(description="The number of deliveries of a send with one status on one channel.")
class StatusCount:
    channel: model.Channel
    status: model.DeliveryStatus
    count: int = strawberry.field(description="The number of deliveries, with and without a reason.")
    reasons: list[ReasonCount] = strawberry.field(
        description="Deliveries with a reason, counted by reason, most frequent first."
    )


@strawberry.type(
    description="The number of recipients of a send who did something with its notification, in the inbox or elsewhere."
)
class SendReactions:
    seen: int = strawberry.field(description="Recipients who saw it in the inbox, or read it.")
    read: int = strawberry.field(
        description="Recipients who read it in the inbox, or clicked a link in an email or push."
    )
    acknowledged: int = strawberry.field(description="Recipients who acknowledged it.")
    acted: int = strawberry.field(description="Recipients who took one of its actions.")


async def send_reactions(root: Parent[model.Send], info: Info) -> Reactions:
    return await info.context.send_reactions(root)


async def status_counts(root: Parent[model.Send], info: Info) -> list[StatusCount]:
    by_status: defaultdict[tuple[model.Channel, model.DeliveryStatus], Counter[str | None]] = defaultdict(Counter)
    for (channel, status, reason), count in (await info.context.send_counts(root)).counts.items():
        by_status[channel, status][reason] += count
    return [
        StatusCount(
            channel=channel,
            status=status,
            count=reasons.total(),
            reasons=[
                ReasonCount(reason=reason, explanation=explain_delivery(status, reason, channel), count=reasons[reason])
                for reason in sorted(filter(None, reasons), key=lambda reason: (-reasons[reason], reason))
            ],
        )
        for (channel, status), reasons in sorted(by_status.items(), key=lambda row: row[0])
    ]


async def counted_at(root: Parent[model.Send], info: Info) -> datetime:
    return (await info.context.send_counts(root)).at


async def count_recipients(root: Parent[model.Send], info: Info) -> int:
    return root.recipients if root.parts_left is None else await info.context.count_expanded(root.id)


def final_recipients(send: model.Send) -> int:
    """Return the number of recipients without a query. Raise LookupError if it requires one."""
    if send.parts_left is not None:
        raise LookupError
    return send.recipients


async def expected_total(root: Parent[model.Send], info: Info) -> int | None:
    if root.status in (model.SendStatus.SCHEDULED, model.SendStatus.PREPARING):
        return None
    recipients = await count_recipients(root, info)
    return recipients if root.parts_left is None else max(recipients, root.expected_recipients)
