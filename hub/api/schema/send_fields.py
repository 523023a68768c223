"""Fields of a send that are computed, and its content."""

import strawberry
from strawberry import Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.notifications import Action, Actor

EXPANSION_FAILS = "Some recipients fail and are tried again. The workers log `expansion_failed` with the error."


def reason_of(root: Parent[model.Send]) -> str | None:
    if root.failing and root.status is model.SendStatus.EXPANDING:
        return EXPANSION_FAILS
    if root.enrichment_error and root.status is model.SendStatus.PREPARING:
        return f"The call of the enrichment URL failed: {root.enrichment_error}. It is repeated."
    return root.paused_reason if root.paused_by_guard else root.reason


async def priority_of(root: Parent[model.Send], info: Info) -> model.Priority:
    if root.priority:
        return root.priority
    category = (await info.context.tenant(root.tenant)).category(root.category)
    return category.priority if category else model.Priority.MEDIUM


@strawberry.type(description="The content of a send.")
class Content:
    title: str = strawberry.field(description="The title in plain text.")
    body: str = strawberry.field(description="The body, in plain text unless `markdown` is true.")
    image_url: str | None = strawberry.field(description="The URL of the image.")
    action_url: str | None = strawberry.field(description="The link that the notification opens.")
    actions: list[Action] = strawberry.field(description="The buttons.")
    markdown: bool = strawberry.field(description="True if `body` is in the Markdown subset.")
    actor: Actor | None = strawberry.field(description="The person or system that caused the notification.")
