"""Export and delete the data of a user."""

import strawberry
from strawberry import ID

from hub.api.context import Info
from hub.api.schema.inputs import valid_user_id
from hub.api.schema.scalars import JSON
from hub.errors import NotFound
from hub.model import mailbox_of


@strawberry.type
class UserDataMutation:
    @strawberry.mutation(
        description="Role admin. All that is kept of a person, the newest first; `complete` is false where there is "
        "more of something than an export holds (HUB_EXPORT_MAX_ITEMS)."
    )
    async def export_user(self, info: Info, id: ID) -> JSON:
        context = info.context
        tenant = context.require_admin()
        exported = await context.services.user_data.export(mailbox_of(tenant, valid_user_id(id, "id")))
        if exported is None:
            raise NotFound("There is no such person.")
        return JSON(exported)

    @strawberry.mutation(
        description="Role admin. Erases a person: profile, devices, preferences, inbox, deliveries, receipts. What was "
        "sent stays as numbers. Answers whether there was anybody; call again if it fails half-way."
    )
    async def delete_user(self, info: Info, id: ID) -> bool:
        context = info.context
        tenant = context.require_admin()
        return await context.services.user_data.erase(mailbox_of(tenant, valid_user_id(id, "id")))
