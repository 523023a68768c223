"""`Send.notifications`: the notifications of a send, by what their recipients did."""

from typing import Annotated

import strawberry
from strawberry import Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.connections import After, Connection, First, page_fields
from hub.api.schema.notifications import Notification
from hub.api.schema.validation import valid_id_cursor, valid_page_size
from hub.inbox.notification_lookup import EXAMINED_MAX, REACTIONS

DEFAULT_PAGE_SIZE = 20


@strawberry.type(description="A page of the notifications of a send.")
class SendNotificationConnection(Connection[Notification]):
    pass


@strawberry.input(description="Selects notifications of a send that match all fields.")
class SendNotificationFilter:
    seen: bool | None = strawberry.field(default=None, description="True for seen ones, false for the others.")
    read: bool | None = strawberry.field(default=None, description="True for those that were read, false for unread.")
    acknowledged: bool | None = strawberry.field(
        default=None, description="True for acknowledged ones, false for the others."
    )
    acted: bool | None = strawberry.field(
        default=None, description="True for those with an `actedKey`, false for the others."
    )


async def send_notifications(
    root: Parent[model.Send],
    info: Info,
    first: First = DEFAULT_PAGE_SIZE,
    after: After = None,
    hidden: Annotated[
        bool | None,
        strawberry.argument(
            description="True to include notifications that are not in an inbox because IN_APP was not requested or "
            "was SKIPPED."
        ),
    ] = False,
    filter: Annotated[
        SendNotificationFilter | None,
        strawberry.argument(
            description="Null selects all notifications. With a filter, a page examines at most "
            f"{EXAMINED_MAX:,} notifications: it may have fewer than `first`, or none, although `hasNextPage` is true. "
            "Pass `endCursor` as `after` to continue."
        ),
    ] = None,
) -> SendNotificationConnection:
    services = info.context.services
    size = valid_page_size(first, DEFAULT_PAGE_SIZE, services.settings)
    asked = {name: getattr(filter, name, None) for name in REACTIONS}
    reactions = {name: has for name, has in asked.items() if has is not None}
    with info.context.reading():
        rows, reached = await services.sends.notifications(
            root, size + 1, valid_id_cursor(after), hidden=bool(hidden), reactions=reactions
        )
    page = rows[:size]
    end = reached if len(rows) <= size else None
    more = len(rows) > size or end is not None
    return SendNotificationConnection(**page_fields(page, [n.id for n in page], more=more, after=after, end=end))
