"""The inbox: pages, counts, and mutations."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.access import Caller, access
from hub.api.schema.connections import After, Connection, First, page_fields
from hub.api.schema.notifications import Notification
from hub.api.schema.scalars import Cursor
from hub.api.schema.validation import FILTER_MAX, valid_ids, valid_key, valid_keys, valid_page_size
from hub.errors import BadUserInput, NotFound
from hub.inbox import state
from hub.inbox.cursors import decode_page_cursor, decode_undo, encode_page_cursor, encode_position, encode_undo
from hub.inbox.inbox_reader import InboxQuery as InboxSelection
from hub.model import InboxView
from hub.unicode_text import is_single_line
from hub.workflows.inbox_actions import Marked

DEFAULT_PAGE_SIZE = 20
SEARCH_MAX_CHARS = 256
SEARCH_MAX_WORDS = 10

Ids = Annotated[
    list[ID],
    strawberry.argument(
        description="The ids of notifications, at most `HUB_CALL_MAX_IDS` (default 1,000). Ids that are not in the "
        "caller's inbox are ignored."
    ),
]


@strawberry.type(description="A page of an inbox, newest first, and the counts of the inbox.")
class NotificationConnection(Connection[Notification]):
    unread: int = strawberry.field(
        description="The number of unread notifications in the inbox, regardless of the filter. Archived and snoozed "
        "notifications are not counted."
    )
    unseen: int = strawberry.field(
        description="The number of unseen notifications in the inbox, regardless of the filter. A notification that "
        "was read is also seen."
    )
    position: Cursor = strawberry.field(
        description="The position in the change feed that this page reflects. Pass it to the subscription "
        "`inbox(after:)` to get each later change once."
    )


@strawberry.input(description="Selects notifications in an inbox that match all fields.")
class InboxFilter:
    view: model.InboxView | None = strawberry.field(
        default=InboxView.ACTIVE, description="The view of the inbox to select from."
    )
    categories: list[str] | None = strawberry.field(
        default=None,
        description=f"The keys of categories, at most {FILTER_MAX}. A notification must be in one of these categories.",
    )
    tags: list[str] | None = strawberry.field(
        default=None, description=f"Tags, at most {FILTER_MAX}. A notification must have one of these tags."
    )
    priorities: list[model.Priority] | None = strawberry.field(
        default=None, description="A notification must have one of these priorities."
    )
    pinned: bool | None = strawberry.field(
        default=None,
        description="True selects the pinned notifications, and false the others. Null selects both.",
    )
    search: str | None = strawberry.field(
        default=None,
        description=f"At most {SEARCH_MAX_WORDS} words, each of which must occur in the title or body. Only the "
        "newest notifications in the view are searched (`HUB_SEARCH_MAX_NOTIFICATIONS`, default 10,000).",
    )


OptionalFilter = Annotated[
    InboxFilter | None,
    strawberry.argument(
        description="The filter that selects notifications. Null selects all notifications in the ACTIVE view."
    ),
]


@strawberry.type(description="The result of a change to the caller's inbox.")
class InboxPayload:
    notifications: list[model.Notification] = strawberry.field(
        graphql_type=list[Notification], description="The notifications that changed, at most 100."
    )
    changed: int = strawberry.field(description="The number of notifications that changed.")
    unread: int = strawberry.field(description="The unread count of the inbox after the change.")
    unseen: int = strawberry.field(description="The unseen count of the inbox after the change.")
    position: Cursor = strawberry.field(description="The position in the change feed after the change.")
    undo_token: str | None = strawberry.field(
        description="The token with which `undoMarkAll` reverts this change. Null unless `markAllRead` or `archiveAll` "
        "changed notifications."
    )

    @classmethod
    def of(cls, marked: Marked, position: model.Position) -> "InboxPayload":
        return cls(
            notifications=marked.notifications,
            changed=marked.changed,
            unread=marked.head.unread,
            unseen=marked.head.unseen,
            position=Cursor(encode_position(position)),
            undo_token=encode_undo(marked.undo) if marked.undo else None,
        )


async def inbox_page(
    context: Context,
    mailbox: str,
    filter: InboxFilter | None,
    first: int | None,
    after: str | None,
) -> NotificationConnection:
    """Return a page of a mailbox, with counts and feed position. Create the mailbox if it does not exist."""
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
    """Validate and convert a filter."""
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
        pinned=filter.pinned,
        words=words,
    )


@strawberry.type
class InboxQuery:
    @strawberry.field(description="Return a page of the caller's inbox, newest first.", directives=access(Caller.USER))
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
        description="Return a notification of the caller, or null if the caller has no notification with this id.",
        directives=access(Caller.USER),
    )
    async def notification(self, info: Info, id: ID) -> model.Notification | None:
        return await info.context.services.inboxes.get_notification(id, info.context.mailbox)


@strawberry.type
class InboxMutation:
    @strawberry.mutation(
        description="Mark notifications of the caller as seen. Unread notifications remain unread.",
        directives=access(Caller.USER),
    )
    async def mark_seen(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.seen)

    @strawberry.mutation(
        description="Mark notifications of the caller as read and seen. Deliveries on other channels that have not "
        "been sent become SKIPPED with reason ALREADY_READ.",
        directives=access(Caller.USER),
    )
    async def mark_read(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.read)

    @strawberry.mutation(
        description="Mark notifications of the caller as unread. The notifications remain seen.",
        directives=access(Caller.USER),
    )
    async def mark_unread(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.unread)

    @strawberry.mutation(
        description="Archive notifications of the caller. Archiving ends a snooze but does not mark the "
        "notifications as read.",
        directives=access(Caller.USER),
    )
    async def archive(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.archived)

    @strawberry.mutation(
        description="Move notifications of the caller from the archive to the inbox.", directives=access(Caller.USER)
    )
    async def unarchive(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.unarchived)

    @strawberry.mutation(
        description="Hide notifications of the caller until a specified time. At that time, the notifications return "
        "to the top of the inbox as unread and unseen. Archived notifications are removed from the "
        "archive.",
        directives=access(Caller.USER),
    )
    async def snooze(
        self,
        info: Info,
        ids: Ids,
        until: Annotated[
            datetime,
            strawberry.argument(
                description="The time at which the notifications return to the inbox. Must be in the future."
            ),
        ],
    ) -> InboxPayload:
        if until <= info.context.services.clock():
            raise BadUserInput("`until` must be in the future.", "until")
        return await _mark(info.context, ids, state.snoozed(until))

    @strawberry.mutation(
        description="End the snooze of notifications of the caller. The notifications return to their places in the "
        "inbox. A snooze that ends by itself returns them to the top.",
        directives=access(Caller.USER),
    )
    async def unsnooze(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.unsnoozed)

    @strawberry.mutation(
        description="Pin notifications of the caller. Clients show pinned notifications of the ACTIVE view above the "
        "others. An archived or snoozed notification is shown there when it returns to the inbox.",
        directives=access(Caller.USER),
    )
    async def pin(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.pinned)

    @strawberry.mutation(
        description="Unpin notifications of the caller, including those that were sent with `pinned`. The "
        "notifications keep their place in the inbox.",
        directives=access(Caller.USER),
    )
    async def unpin(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.unpinned)

    @strawberry.mutation(
        description="Acknowledge notifications of the caller that were sent with `requireAck`. Acknowledged "
        "notifications are also marked as read.",
        directives=access(Caller.USER),
    )
    async def acknowledge(self, info: Info, ids: Ids) -> InboxPayload:
        return await _mark(info.context, ids, state.acknowledged)

    @strawberry.mutation(
        description="Take one of the actions of a notification of the caller, which also marks the notification as "
        "read. The first action counts: another one fails with CONFLICT, and the same one again changes nothing. Fails "
        "with NOT_FOUND if the notification is not in the caller's inbox.",
        directives=access(Caller.USER),
    )
    async def act(
        self,
        info: Info,
        id: Annotated[ID, strawberry.argument(description="The id of the notification.")],
        key: Annotated[str, strawberry.argument(description="The key of the action.")],
    ) -> InboxPayload:
        services = info.context.services
        marked = await services.inbox_actions.act(info.context.mailbox, id, valid_key(key, "key"))
        return InboxPayload.of(marked, services.inboxes.position(marked.head))

    @strawberry.mutation(
        description="Mark all notifications of the caller that match the filter as seen. The operation returns when "
        "all notifications are marked.",
        directives=access(Caller.USER),
    )
    async def mark_all_seen(self, info: Info, filter: OptionalFilter = None) -> InboxPayload:
        return await _mark_all(info.context, filter, state.seen)

    @strawberry.mutation(
        description="Mark all notifications of the caller that match the filter as read. The operation returns when "
        "all notifications are marked. `undoMarkAll` reverts it.",
        directives=access(Caller.USER),
    )
    async def mark_all_read(self, info: Info, filter: OptionalFilter = None) -> InboxPayload:
        return await _mark_all(info.context, filter, state.read)

    @strawberry.mutation(
        description="Archive all notifications of the caller that match the filter. The operation returns when all "
        "notifications are archived. `undoMarkAll` reverts it.",
        directives=access(Caller.USER),
    )
    async def archive_all(self, info: Info, filter: OptionalFilter = None) -> InboxPayload:
        return await _mark_all(info.context, filter, state.archived)

    @strawberry.mutation(
        description="Revert a `markAllRead` or an `archiveAll` of the caller: mark the notifications as unread again, "
        "or move them back to the views they were in. Notifications that were changed since are not changed. "
        "Deliveries that were skipped remain skipped. The operation returns when all notifications are marked.",
        directives=access(Caller.USER),
    )
    async def undo_mark_all(
        self,
        info: Info,
        token: Annotated[str, strawberry.argument(description="The `undoToken` of the change.")],
    ) -> InboxPayload:
        services, mailbox = info.context.services, info.context.mailbox
        marked = await services.inbox_actions.undo_mark_all(mailbox, decode_undo(token, "token"))
        return InboxPayload.of(marked, services.inboxes.position(marked.head))


async def _mark(context: Context, ids: Sequence[str], mark: state.Mark) -> InboxPayload:
    services = context.services
    marked = await services.inbox_actions.mark(context.mailbox, valid_ids(ids, services.settings), mark)
    return InboxPayload.of(marked, services.inboxes.position(marked.head))


async def _mark_all(context: Context, filter: InboxFilter | None, mark: state.Mark) -> InboxPayload:
    services = context.services
    marked = await services.inbox_actions.mark_all(context.mailbox, to_inbox_selection(filter), mark)
    return InboxPayload.of(marked, services.inboxes.position(marked.head))
