"""Suppressed email addresses: they bounced or the recipient complained. All fields need role admin."""

import strawberry
import structlog
from strawberry import ID

from hub import base64url
from hub.api.context import Info
from hub.api.schema.inputs import valid_page_size
from hub.api.schema.inputs import valid_user_id as checked_id
from hub.api.schema.types import PageInfo
from hub.errors import BadUserInput
from hub.model import mailbox_of

SUPPRESSIONS = 50  # of a page where none is asked for

log = structlog.get_logger(__name__)


@strawberry.type(description="An address of one person that mails no longer go to: SKIPPED, with SUPPRESSED.")
class Suppression:
    user_id: ID
    address: str
    reason: str = strawberry.field(
        description="bounced, complained, or gone, where the mail server said that there is no such mailbox."
    )


@strawberry.type
class SuppressionEdge:
    cursor: str
    node: Suppression


@strawberry.type
class SuppressionConnection:
    edges: list[SuppressionEdge]
    nodes: list[Suppression]
    page_info: PageInfo


@strawberry.type
class SuppressionQuery:
    @strawberry.field(description="Role admin. Addresses that bounced or complained, by person and address.")
    async def suppressions(
        self, info: Info, first: int | None = SUPPRESSIONS, after: str | None = None
    ) -> SuppressionConnection:
        context = info.context
        tenant = context.require_admin()
        size = valid_page_size(first, SUPPRESSIONS, context.services.settings)
        since = None if after is None else _decode_cursor(after)
        found = await context.services.users.list_suppressions(tenant, size + 1, since)
        nodes = [Suppression(user_id=ID(user), address=address, reason=why) for user, address, why in found[:size]]
        edges = [SuppressionEdge(cursor=_encode_cursor(node.user_id, node.address), node=node) for node in nodes]
        return SuppressionConnection(
            edges=edges,
            nodes=nodes,
            page_info=PageInfo.of([edge.cursor for edge in edges], more=len(found) > size, after=after),
        )


@strawberry.type
class SuppressionMutation:
    @strawberry.mutation(
        description="Role admin. Mails go to that address of that person again. Answers whether it was suppressed. "
        "What was SKIPPED meanwhile stays so; what FAILED can be replayed by its id or by `reasons`."
    )
    async def lift_suppression(self, info: Info, user_id: ID, address: str) -> bool:
        context = info.context
        tenant = context.require_admin()
        lifted = await context.services.users.unsuppress(mailbox_of(tenant, checked_id(user_id, "userId")), address)
        if lifted:
            log.info("suppression_lifted", person=user_id)
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
        raise BadUserInput("after is not a cursor of this hub: hand back one that it gave, unchanged.", "after")
    return user, address
