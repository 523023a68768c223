"""Addresses that are suppressed: they are gone, or the user reported spam. All fields require the admin role."""

from typing import Annotated

import strawberry
import structlog
from strawberry import ID

from hub import base64url
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.connections import After, Connection, First, sliced_page_fields
from hub.api.schema.validation import INVALID_CURSOR, valid_page_size, valid_user_id
from hub.errors import BadUserInput
from hub.model import KeyRole, Scope, mailbox_of

DEFAULT_PAGE_SIZE = 50

log = structlog.get_logger(__name__)


@strawberry.type(
    description="A suppressed email address or phone number of one user. Nothing is sent to the address: deliveries "
    "are SKIPPED with reason SUPPRESSED."
)
class Suppression:
    user_id: ID = strawberry.field(description="The id of the user.")
    address: str = strawberry.field(
        description="The email address in lowercase, the phone number for SMS, or `whatsapp:` and the phone number."
    )
    reason: str = strawberry.field(
        description="`bounced` if emails bounced, `complained` if the user reported an email as spam, or `gone` if "
        "the provider reported that the address does not exist."
    )


@strawberry.type
class SuppressionQuery:
    @strawberry.field(
        description="Return the suppressed addresses of the tenant, sorted by user and address. Requires the `admin` "
        "role.",
        directives=access(Caller.ADMIN, Scope.READ, staff=KeyRole.SUPPORT),
    )
    async def suppressions(
        self, info: Info, first: First = DEFAULT_PAGE_SIZE, after: After = None
    ) -> Connection[Suppression]:
        context = info.context
        tenant = context.caller.tenant
        size = valid_page_size(first, DEFAULT_PAGE_SIZE, context.services.settings)
        last = None if after is None else _decode_cursor(after)
        rows = [
            Suppression(user_id=ID(user), address=address, reason=reason)
            for user, address, reason in await context.services.users.list_suppressions(tenant, size + 1, last)
        ]
        fields = sliced_page_fields(rows, size, after, lambda row: _encode_cursor(row.user_id, row.address))
        return Connection(**fields)


@strawberry.type
class SuppressionMutation:
    @strawberry.mutation(
        description="Lift the suppression of an address, so later messages are sent to this address again. "
        "Return true if the address was suppressed. SKIPPED deliveries remain SKIPPED. FAILED deliveries "
        "can be replayed by id or by `filter.reasons`. Requires the `admin` role.",
        directives=access(Caller.ADMIN, Scope.PEOPLE, staff=KeyRole.SUPPORT),
    )
    async def lift_suppression(
        self,
        info: Info,
        user_id: ID,
        address: Annotated[str, strawberry.argument(description="The address as in `suppressions`. Case is ignored.")],
    ) -> bool:
        context = info.context
        tenant = context.caller.tenant
        mailbox = mailbox_of(tenant, valid_user_id(user_id, "userId"))
        audit = context.audit("liftSuppression", user_id, is_user=True)
        lifted = await context.services.users.unsuppress(mailbox, address, audit)
        if lifted:
            log.info("suppression_lifted", recipient=user_id)
        return lifted


def _encode_cursor(user: str, address: str) -> str:
    return base64url.encode(f"{user}\n{address}".encode())


def _decode_cursor(cursor: str) -> tuple[str, str]:
    """Return the user and the address of a cursor. Raise BadUserInput for an invalid cursor."""
    try:
        user, _, address = base64url.decode(cursor).decode().partition("\n")
    except ValueError:
        user = address = ""
    if not user or _encode_cursor(user, address) != cursor:
        raise BadUserInput(INVALID_CURSOR, "after")
    return user, address
