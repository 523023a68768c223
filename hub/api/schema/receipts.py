"""Receipts: the events of notifications and deliveries of a tenant."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.scalars import Cursor
from hub.console_url import console_url
from hub.errors import NotFound
from hub.model import KeyRole, Scope


@strawberry.type(
    description="An event of a notification or delivery. A receipt can arrive more than once: discard receipts whose "
    "`id` was already processed."
)
class Receipt:
    id: ID
    cursor: Cursor = strawberry.field(
        description="The position of the receipt. Pass the cursor of the last receipt as `after` to resume the "
        "subscription."
    )
    kind: model.ReceiptKind
    at: datetime = strawberry.field(description="The time of the event.")
    send_id: ID = strawberry.field(description="The id of the send.")
    notification_id: ID = strawberry.field(description="The id of the notification.")
    user_id: ID = strawberry.field(description="The id of the recipient.")
    channel: model.Channel | None = strawberry.field(
        description="The channel of the delivery, or the channel on which the user acted. IN_APP for the inbox."
    )
    status: model.DeliveryStatus | None = strawberry.field(
        description="The new status of the delivery. Null for kinds other than DELIVERY."
    )
    reason: str | None = strawberry.field(
        description="The reason for the status, such as REFUSED. Null for kinds other than DELIVERY."
    )
    action_key: str | None = strawberry.field(
        description="The key of the action that the user took. Null for kinds other than ACTED."
    )

    @strawberry.field(
        description="The address of the recipient's page in the operator console. Null if the hub does not have its "
        "public URL (`HUB_PUBLIC_URL`)."
    )
    def console_url(self, info: Info) -> str | None:
        hub_url = info.context.services.settings.public_url
        return console_url(hub_url, "user", self.user_id) if hub_url else None


@strawberry.type
class ReceiptSubscription:
    @strawberry.subscription(
        description="Subscribe to receipts: all receipts of one send, or the receipts of the tenant from now on. "
        "Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def receipts(
        self,
        info: Info,
        send_id: Annotated[
            ID | None,
            strawberry.argument(
                description="The id of a send. Null selects all sends of the tenant. Without `after`, it fails with "
                "CURSOR_EXPIRED if the send is older than MongoDB's oplog."
            ),
        ] = None,
        after: Annotated[
            Cursor | None,
            strawberry.argument(
                description="The `cursor` of the last receipt, to resume the subscription. Fails with CURSOR_EXPIRED "
                "if the cursor is older than the retention period of receipts (`HUB_RECEIPT_DAYS`) or "
                "than MongoDB's oplog."
            ),
        ] = None,
    ) -> AsyncGenerator[Receipt, None]:
        context = info.context
        services = context.services
        tenant = context.caller.tenant
        since = None
        if send_id is not None:
            send = await services.sends.get(tenant, send_id)
            if send is None:
                raise NotFound("This send does not exist.")
            since = max(send.created_at, send.send_at or send.created_at)
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
                    action_key=receipt.action_key,
                )
