"""Receipts: what happened to notifications and deliveries of a tenant."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Info
from hub.api.schema.scalars import Cursor
from hub.errors import NotFound


@strawberry.type(
    description="An event of a notification or delivery. Receipts arrive at least once: drop the ids that you have "
    "processed already."
)
class Receipt:
    id: ID
    cursor: Cursor = strawberry.field(description="Pass the last one as `after` to resume the subscription.")
    kind: model.ReceiptKind
    at: datetime = strawberry.field(description="The time of the event.")
    send_id: ID = strawberry.field(description="The send.")
    notification_id: ID = strawberry.field(description="The notification.")
    user_id: ID = strawberry.field(description="The recipient.")
    channel: model.Channel | None = strawberry.field(
        description="The channel of the delivery, or the one in which the user acted: IN_APP for the inbox."
    )
    status: model.DeliveryStatus | None = strawberry.field(
        description="The new status of the delivery. Only for DELIVERY."
    )
    reason: str | None = strawberry.field(description="The reason of the status, such as REFUSED. Only for DELIVERY.")


@strawberry.type
class ReceiptSubscription:
    @strawberry.subscription(
        description="Subscribe to receipts: those of one send from its beginning, or all of the tenant from now on. "
        "Requires role `service` or `admin`."
    )
    async def receipts(
        self,
        info: Info,
        send_id: Annotated[ID | None, strawberry.argument(description="Null: all sends of the tenant.")] = None,
        after: Annotated[
            Cursor | None,
            strawberry.argument(
                description="The `cursor` of the last receipt, to resume. CURSOR_EXPIRED if it is older than receipts "
                "are kept (`HUB_RECEIPT_DAYS`) or than MongoDB's oplog."
            ),
        ] = None,
    ) -> AsyncGenerator[Receipt, None]:
        context = info.context
        services = context.services
        tenant = context.require_service()
        since = None
        if send_id is not None:
            send = await services.sends.get(tenant, send_id)
            if send is None:
                raise NotFound("This send does not exist.")
            since = send.created_at
        async with aclosing(services.receipts.stream(tenant, send_id, after, since)) as stream:
            async for item in stream:
                receipt = item.receipt
                yield Receipt(
                    id=ID(receipt.id),
                    cursor=Cursor(item.cursor),
                    kind=receipt.kind,
                    at=receipt.at,
                    send_id=ID(receipt.send_id),
                    notification_id=ID(receipt.notification_id),
                    user_id=ID(receipt.user_id),
                    channel=receipt.channel,
                    status=receipt.status,
                    reason=receipt.reason,
                )
