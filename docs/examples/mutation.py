"""The mutation of docs/contributing/add-a-mutation.md."""

import strawberry

from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.inbox import InboxFilter, InboxPayload, to_inbox_selection
from hub.inbox import state


@strawberry.type
class ArchiveMutation:
    # [start:method]
    @strawberry.mutation(
        description="Archive every notification of a category. Return how many changed.",
        directives=access(Caller.USER),
    )
    async def archive_category(self, info: Info, category: str) -> InboxPayload:
        context = info.context
        services = context.services
        selection = to_inbox_selection(InboxFilter(categories=[category]))
        marked = await services.inbox_actions.mark_all(context.mailbox, selection, state.archived)
        return InboxPayload.of(marked, services.inboxes.position(marked.head))

    # [end:method]
