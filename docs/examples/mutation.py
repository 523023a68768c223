"""The mutation of docs/contributing/add-a-mutation.md."""

import strawberry

from hub.api.context import Info
from hub.api.schema.inputs import InboxFilter, to_inbox_filter
from hub.api.schema.types import InboxPayload
from hub.inbox import state


@strawberry.type
class ArchiveMutation:
    # [start:method]
    @strawberry.mutation(description="Archives every notification of a category. Returns how many changed.")
    async def archive_category(self, info: Info, category: str) -> InboxPayload:
        context = info.context
        services = context.services
        filter = to_inbox_filter(InboxFilter(categories=[category]))
        marked = await services.inbox_actions.mark_all(context.mailbox, filter, state.archived)
        return InboxPayload.of(marked, services.inboxes.position(marked.head))

    # [end:method]
