"""The inbox: pages, counts and the mutations that change it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.connections import After, Connection, First, page_fields
from hub.api.schema.notifications import Notification
from hub.api.schema.scalars import Cursor
from hub.api.schema.validation import FILTER_MAX, valid_ids, valid_keys, valid_page_size
from hub.errors import BadUserInput, NotFound
from hub.inbox import state
from hub.inbox.cursors import decode_page_cursor, encode_page_cursor, encode_position
from hub.inbox.store import InboxQuery as InboxSelection
from hub.model import InboxView
from hub.text import is_single_line
from hub.workflows.inbox_actions import Marked

DEFAULT_PAGE_SIZE = 20
SEARCH_MAX_CHARS = 256
SEARCH_MAX_WORDS = 10

Ids = Annotated[
    list[ID],
    strawberry.argument(
        description="Ids of notifications, at most `HUB_CALL_MAX_IDS` (default 1,000). Ids that are not in the "
        "caller's inbox are ignored."
    ),
]


@strawberry.type(description="A page of an inbox, newest first, with the counts of the inbox.")
class NotificationConnection(Connection[Notification]):
    unread: int = strawberry.field(
        description="Unread notifications in the whole inbox, whatever the filter. Archived and snoozed ones do not "
        "count."
    )
    unseen: int = strawberry.field(
        description="Unseen notifications in the whole inbox, whatever the filter. Reading implies seeing."
    )
    position: Cursor = strawberry.field(
        description="The state of the inbox that this page shows. Subscribe with `inbox(after:)` from here to get "
        "every later change once."
    )


@strawberry.input(description="Selects notifications of an inbox. A notification must match all fields.")
class InboxFilter:
    view: model.InboxView | None = strawberry.field(default=InboxView.ACTIVE, description="The part of the inbox.")
    categories: list[str] | None = strawberry.field(
        default=None, description=f"Keys of categories, at most {FILTER_MAX}. Any of them matches."
    )
    tags: list[str] | None = strawberry.field(default=None, description=f"At most {FILTER_MAX}. Any of them matches.")
    priorities: list[model.Priority] | None = strawberry.field(default=None, description="Any of them matches.")
    search: str | None = strawberry.field(
        default=None,
        description=f"At most {SEARCH_MAX_WORDS} words. Each must occur in title or body. Only the newest "
        "notifications of the view are searched (`HUB_SEARCH_MAX_NOTIFICATIONS`, default 10,000).",
    )


OptionalFilter = Annotated[
    InboxFilter | None, strawberry.argument(description="Null: all notifications of the view ACTIVE.")
]


@strawberry.type(description="The result of a change of the caller's inbox.")
class InboxPayload:
    notifications: list[model.Notification] = strawberry.field(
        graphql_type=list[Notification], description="The notifications that changed, at most 100."
    )
    changed: int = strawberry.field(description="The number of notifications that changed.")
    unread: int = strawberry.field(description="The unread count of the inbox after the change.")
    unseen: int = strawberry.field(description="The unseen count of the inbox after the change.")
    position: Cursor = strawberry.field(description="The position in the change feed after the change.")

    @classmethod
    def of(cls, marked: Marked, position: model.Position) -> "InboxPayload":
        return cls(
            notifications=marked.notifications,
            changed=marked.changed,
            unread=marked.head.unread,
            unseen=marked.head.unseen,
            position=Cursor(encode_position(position)),
        )


async def inbox_page(
    context: Context,
    mailbox: str,
    filter: InboxFilter | None,
    first: int | None,
    after: str | None,
) -> NotificationConnection:
    """Return a page of a mailbox, with its counts and its feed position. Create the mailbox if it does not exist."""
    services = context.services
    selection = to_inbox_selection(filter)
    size = valid_page_size(first, DEFAULT_PAGE_SIZE, services.settings)
    below = decode_page_cursor(after, "after") if after is not None else None
    page = await services.inboxes.get_page(mailbox, selection, size, below)
    if page is None:
        await services.inbox_actions.get_or_create_mailbox(mailbox)
        page = await services.inboxes.get_page(mailbox, selection, size, below)
    if page is None:
        raise NotFound("This inbox does not exist. The user was erased.")
    cursors = [encode_page_cursor(n.added_modseq) for n in page.notifications]
    return NotificationConnection(
        **page_fields(page.notifications, cursors, more=page.more, after=after),
        unread=page.head.unread,
        unseen=page.head.unseen,
        position=Cursor(encode_position(page.position)),
    )


def to_inbox_selection(filter: InboxFilter | None) -> InboxSelection:
    """Check a filter and convert it."""
    if filter is None:
        return InboxSelection()
    search = filter.search or ""
    if len(search) > SEARCH_MAX_CHARS:
        raise BadUserInput(f"A search must have at most {SEARCH_MAX_CHARS} characters.", "filter.search")
    if not is_single_line(search):
        raise BadUserInput("A search must not contain control characters.", "filter.search")
    words = tuple(dict.fromkeys(search.split()))
    if len(words) > SEARCH_MAX_WORDS:
        raise BadUserInput(f"A search must have at most {SEARCH_MAX_WORDS} words.", "filter.search")
    if filter.priorities is not None and len(filter.priorities) > FILTER_MAX:
        raise BadUserInput(f"At most {FILTER_MAX} priorities are allowed.", "filter.priorities")
    return InboxSelection(
        view=filter.view or InboxView.ACTIVE,
        categories=tuple(sorted(valid_keys(filter.categories, FILTER_MAX, "filter.categories"))),
        tags=valid_keys(filter.tags, FILTER_MAX, "filter.tags"),
        priorities=tuple(filter.priorities or ()),
        words=words,
    )


@strawberry.type
class InboxQuery:
    @strawberry.field(description="Return a page of the caller's inbox, newest first.")
    async def inbox(
        self,
        info: Info,
        filter: OptionalFilter = None,
        first: First = DEFAULT_PAGE_SIZE,
        after: After = None,
    ) -> NotificationConnection:
        return await inbox_page(info.context, info.context.mailbox, filter, first, after)

    @strawberry.field(
        graphql_type=Notification | None,
        description="Return a notification of the caller. Null if the caller has none with this id.",
    )
    async def notification(self, info: Info, id: ID) -> model.Notification | None:
        return await info.context.services.inboxes.get_notification(id, info.context.mailbox)


@strawberry.type
class InboxMutation:
    @strawberry.mutation(description="Mark notifications of the caller as seen. They stay unread.")
    async def mark_seen(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.seen)

    @strawberry.mutation(
        description="Mark notifications of the caller as read, and as seen. Their deliveries on other channels that "
        "were not sent yet are SKIPPED with ALREADY_READ."
    )
    async def mark_read(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.read)

    @strawberry.mutation(description="Mark notifications of the caller as unread. They stay seen.")
    async def mark_unread(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.unread)

    @strawberry.mutation(
        description="Archive notifications of the caller. This ends their snooze and does not mark them as read."
    )
    async def archive(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.archived)

    @strawberry.mutation(description="Move notifications of the caller from the archive back to the inbox.")
    async def unarchive(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.unarchived)

    @strawberry.mutation(
        description="Hide notifications of the caller until an instant. Then they return to the top of the inbox, "
        "unread and unseen. Archived ones leave the archive."
    )
    async def snooze(
        self,
        info: Info,
        ids: Ids,
        until: Annotated[datetime, strawberry.argument(description="A time in the future.")],
    ) -> InboxPayload:
        if until <= info.context.services.clock():
            raise BadUserInput("`until` must be in the future.", "until")
        return await _mark(info.context, ids, state.snoozed(until))

    @strawberry.mutation(
        description="End the snooze of notifications of the caller. They return to the top of the inbox. Their other "
        "marks do not change."
    )
    async def unsnooze(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.unsnoozed)

    @strawberry.mutation(
        description="Acknowledge notifications of the caller that were sent with `requireAck`. Acknowledging implies "
        "reading."
    )
    async def acknowledge(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.acknowledged)

    @strawberry.mutation(
        description="Mark all notifications of the caller that match the filter as seen. "
        "Returns when all of it is done."
    )
    async def mark_all_seen(self, info: Info, filter: OptionalFilter = None) -> InboxPayload:
        return await _mark_all(info.context, filter, state.seen)

    @strawberry.mutation(
        description="Mark all notifications of the caller that match the filter as read. "
        "Returns when all of it is done."
    )
    async def mark_all_read(self, info: Info, filter: OptionalFilter = None) -> InboxPayload:
        return await _mark_all(info.context, filter, state.read)

    @strawberry.mutation(
        description="Archive all notifications of the caller that match the filter. Returns when all of it is done."
    )
    async def archive_all(self, info: Info, filter: OptionalFilter = None) -> InboxPayload:
        return await _mark_all(info.context, filter, state.archived)


async def _mark(context: Context, ids: Sequence[str], mark: state.Mark) -> InboxPayload:
    services = context.services
    marked = await services.inbox_actions.mark(context.mailbox, valid_ids(ids, services.settings), mark)
    return InboxPayload.of(marked, services.inboxes.position(marked.head))


async def _mark_all(context: Context, filter: InboxFilter | None, mark: state.Mark) -> InboxPayload:
    services = context.services
    marked = await services.inbox_actions.mark_all(context.mailbox, to_inbox_selection(filter), mark)
    return InboxPayload.of(marked, services.inboxes.position(marked.head))
