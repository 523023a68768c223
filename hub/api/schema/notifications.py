"""The GraphQL type Notification."""

from datetime import datetime
from typing import Any

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.deliveries import Delivery
from hub.api.schema.reader_language import because_for_reader
from hub.api.schema.scalars import JSON
from hub.platform.translations import because
from hub.status.virtual_deliveries import virtual_deliveries

PROJECTION = "projection"
"""The metadata key of the function with which a projection reads a field whose resolver needs a context."""


@strawberry.type(description="A button of a notification.")
class Action:
    key: str = strawberry.field(description="The key that the sender chose. Unique within the notification.")
    label: str = strawberry.field(description="The label of the button.")
    url: str | None = strawberry.field(description="The link of the button: an http(s) URL, or a path within your app.")
    primary: bool = strawberry.field(description="True if clients should emphasize the button.")


@strawberry.type(description="The person or system that caused a notification, for a picture next to the text.")
class Actor:
    name: str = strawberry.field(description="The display name.")
    avatar_url: str | None = strawberry.field(
        description="The URL of a small, square picture: an http(s) URL, or a path within your app."
    )


def _category_name(root: Parent[model.Notification]) -> str:
    return root.category_name or root.category


def _because(root: Parent[model.Notification], info: Info) -> Any:
    context = info.context
    if context.language and root.mailbox == context.caller.mailbox:
        return because(root, context.language)
    return _because_for_recipient(root, context)


async def _because_for_recipient(n: model.Notification, context: Context) -> str:
    return because(n, await context.language_of(n.mailbox))


async def _deliveries(root: Parent[model.Notification], info: Info) -> list[model.Delivery]:
    stored = await info.context.external_deliveries(root.id) if root.has_deliveries else []
    return virtual_deliveries(root) + stored


@strawberry.type(description="A notification in the inbox of one user.")
class Notification:
    id: ID
    user_id: ID = strawberry.field(description="The id of the recipient.")
    category: str = strawberry.field(description="The key of the category.")
    category_name: str = strawberry.field(
        resolver=_category_name,
        description="The display name of the category at the time of the send. Renaming the category does not change "
        "this value.",
    )
    title: str = strawberry.field(description="The title in plain text. Empty after the send is recalled.")
    body: str = strawberry.field(
        description="The body, in plain text unless `markdown` is true. Empty after the send is recalled."
    )
    markdown: bool = strawberry.field(
        description="True if `body` is in the Markdown subset: bold, italic, code, links, and lists. Other Markdown, "
        "HTML, and images are plain text."
    )
    data: JSON | None = strawberry.field(description="The data that the sender passed for clients.")
    image_url: str | None = strawberry.field(
        description="The URL of the image: an http(s) URL, or a path within your app."
    )
    action_url: str | None = strawberry.field(
        description="The link that the notification opens: an http(s) URL, or a path within your app."
    )
    actions: list[Action] = strawberry.field(description="The buttons of the notification.")
    actor: Actor | None = strawberry.field(description="The person or system that caused the notification.")
    priority: model.Priority
    tags: list[str] = strawberry.field(
        description="The tags that the sender set. `InboxFilter.tags` selects notifications by tag."
    )
    created_at: datetime = strawberry.field(description="The time of the send.")
    updated_at: datetime = strawberry.field(description="The time of the last change.")
    expires_at: datetime | None = strawberry.field(
        description="The time at which the notification is removed from the inbox. Null if the sender set no time. "
        "The retention of the category, which may remove the notification earlier, is not included."
    )
    seen_at: datetime | None = strawberry.field(
        description="The time at which the user saw the notification. Null if unseen."
    )
    read_at: datetime | None = strawberry.field(
        description="The time at which the user read the notification in the inbox, or clicked a link in an email or "
        "push. Null if unread."
    )
    archived_at: datetime | None = strawberry.field(
        description="The time at which the user archived the notification. Null if not archived."
    )
    snoozed_until: datetime | None = strawberry.field(
        description="The time at which the notification returns to the top of the inbox as unread. Null if not snoozed."
    )
    acknowledged_at: datetime | None = strawberry.field(
        description="The time at which the user acknowledged the notification. Null if not acknowledged. Only "
        "notifications with `requireAck` can be acknowledged."
    )
    require_ack: bool = strawberry.field(description="True if the sender requests an acknowledgment.")
    pinned: bool = strawberry.field(
        description="True if clients should show the notification above the others while it is in the ACTIVE view: the "
        "sender or the user pinned it. See the mutations `pin` and `unpin`."
    )
    acted_key: str | None = strawberry.field(
        description="The key of the action that the user took in the inbox, an email, or a push. Null if none. See the "
        "mutation `act`."
    )
    acted_at: datetime | None = strawberry.field(
        description="The time at which the user took the action in `actedKey`. Null if none."
    )
    thread_key: str | None = strawberry.field(
        description="The key of the thread. Clients can show the notifications of one thread together."
    )
    collapse_key: str | None = strawberry.field(
        description="The key of the subject. A newer notification with the same key replaces this one."
    )
    collapsed_count: int = strawberry.field(
        description="The number of notifications that this one represents: itself and the unread ones that it "
        "replaced, one after another. 1 without a collapse key."
    )
    added_modseq: int = strawberry.field(
        name="sortKey",
        description="The position in the inbox. The notification with the highest `sortKey` is first. A notification "
        "whose snooze ends by itself has a new `sortKey`. A subscription returns changes in a different "
        "order, so clients should store notifications by `id` and sort them by `sortKey`.",
    )
    because: str = strawberry.field(
        resolver=_because,
        graphql_type=str,
        metadata={PROJECTION: because_for_reader},
        description="A sentence that explains why the user received the notification. The language is the caller's "
        "for users, and the recipient's for services and admins.",
    )
    because_kind: model.BecauseKind = strawberry.field(description="The reason in `because` in machine-readable form.")
    because_of: str | None = strawberry.field(
        description="The key of the topic or rule in `because`. Null for other reasons."
    )
    deliveries: list[model.Delivery] = strawberry.field(
        resolver=_deliveries,
        graphql_type=list[Delivery],
        description="The deliveries of the notification, one for each channel and device. Channels that were not "
        "used are included as SKIPPED deliveries with a reason.",
    )
