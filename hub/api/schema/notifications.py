"""The type Notification."""

from datetime import datetime
from typing import Any

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.deliveries import Delivery
from hub.api.schema.reader_language import PROJECTION, because_for_reader
from hub.api.schema.scalars import JSON
from hub.platform.translations import because
from hub.status.virtual_deliveries import virtual_deliveries


@strawberry.type(description="A button of a notification.")
class Action:
    key: str = strawberry.field(description="The key that the sender chose. Unique in the notification.")
    label: str = strawberry.field(description="The text of the button.")
    url: str | None = strawberry.field(description="An http(s) URL, or a path within your app.")
    primary: bool = strawberry.field(description="True for a button to emphasize.")


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
    user_id: ID = strawberry.field(description="The recipient.")
    category: str = strawberry.field(description="The key of its category.")
    category_name: str = strawberry.field(
        resolver=_category_name,
        description="The name of the category at the time of the send, to show to users. Renaming the category does "
        "not change it.",
    )
    title: str = strawberry.field(description="Plain text. Empty after a recall.")
    body: str = strawberry.field(description="Plain text. Empty after a recall.")
    data: JSON | None = strawberry.field(description="The sender's data for the client.")
    image_url: str | None = strawberry.field(description="An http(s) URL, or a path within your app.")
    action_url: str | None = strawberry.field(
        description="The link of the whole notification: an http(s) URL, or a path within your app."
    )
    actions: list[Action] = strawberry.field(description="The buttons.")
    priority: model.Priority
    tags: list[str] = strawberry.field(description="The sender's tags. `InboxFilter.tags` selects by them.")
    created_at: datetime = strawberry.field(description="The time of the send.")
    updated_at: datetime = strawberry.field(description="The time of the last change.")
    expires_at: datetime | None = strawberry.field(description="It leaves the inbox at this time.")
    seen_at: datetime | None = strawberry.field(description="When the user saw it in a list. Null: unseen.")
    read_at: datetime | None = strawberry.field(
        description="When the user read it, in the inbox or by a click in an email or push. Null: unread."
    )
    archived_at: datetime | None = strawberry.field(description="When the user archived it. Null: not archived.")
    snoozed_until: datetime | None = strawberry.field(
        description="It returns to the top of the inbox at this time, as unread. Null: not snoozed."
    )
    acknowledged_at: datetime | None = strawberry.field(
        description="When the user acknowledged it. Only notifications with `requireAck` can be acknowledged."
    )
    require_ack: bool = strawberry.field(description="True if the sender asks for an acknowledgment.")
    added_modseq: int = strawberry.field(
        name="sortKey",
        description="The position in the inbox; the highest comes first. A notification that returns from a snooze "
        "gets a new one. A subscription sends changes in another order: store notifications by `id` and sort them by "
        "`sortKey`.",
    )
    because: str = strawberry.field(
        resolver=_because,
        graphql_type=str,
        metadata={PROJECTION: because_for_reader},
        description="Why the user received it, as a sentence. Users get it in their own language, services and admins "
        "in that of the recipient.",
    )
    because_kind: model.BecauseKind = strawberry.field(description="The reason in `because`, for programs.")
    because_of: str | None = strawberry.field(
        description="The key of the topic or rule in `because`. Null for other reasons."
    )
    deliveries: list[model.Delivery] = strawberry.field(
        resolver=_deliveries,
        graphql_type=list[Delivery],
        description="One per channel and device. Channels that were not used are included: SKIPPED, with the reason.",
    )
