"""Exports and erases the data of a user."""

import strawberry
from strawberry import ID

from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.scalars import JSON
from hub.api.schema.validation import valid_user_id
from hub.errors import NotFound
from hub.model import Scope, mailbox_of


@strawberry.type
class UserDataMutation:
    @strawberry.mutation(
        description="Return all stored data of a user, newest first. In the result, `complete` is false if the "
        "export reached the limit of `HUB_EXPORT_MAX_ITEMS` (default 100,000) items of a list, or if the address of a "
        "device cannot be decrypted. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def export_user(self, info: Info, id: ID) -> JSON:
        context = info.context
        tenant = context.caller.tenant
        audit = context.audit("exportUser", id, is_user=True)
        exported = await context.services.user_data.export(mailbox_of(tenant, valid_user_id(id, "id")), audit)
        if exported is None:
            raise NotFound("This user does not exist.")
        return JSON(exported)

    @strawberry.mutation(
        description="Erase a user: profile, devices, preferences, topics, inbox, deliveries, and receipts, and the id "
        "wherever else it is stored. The counts of sends are kept. Return true if the user existed. If the operation "
        "fails, call it again to continue. Requires the `admin` role.",
        directives=access(Caller.ADMIN, Scope.PEOPLE),
    )
    async def delete_user(self, info: Info, id: ID) -> bool:
        context = info.context
        tenant = context.caller.tenant
        audit = context.audit("deleteUser", is_user=True)
        return await context.services.user_data.erase(mailbox_of(tenant, valid_user_id(id, "id")), audit)
