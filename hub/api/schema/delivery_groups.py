"""Failed deliveries, grouped by what failed."""

from datetime import datetime

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.delivery_filter import OptionalDeliveryFilter, to_stored_selection
from hub.decide.explanations import explain_delivery
from hub.model import DeliveryStatus, KeyRole, Scope
from hub.status.deliveries import COUNT_MAX, NO_REASON
from hub.status.failure_groups import GROUPS_MAX, FailureGroup


def _explanation(root: Parent[FailureGroup]) -> str:
    if root.reason == NO_REASON:
        return explain_delivery(DeliveryStatus.RETRYING, None, root.channel)
    return explain_delivery(DeliveryStatus.FAILED, root.reason, root.channel)


@strawberry.type(description="Failed deliveries with the same channel, provider, reason, and error.")
class DeliveryGroup:
    channel: model.Channel
    provider: str | None = strawberry.field(
        description="The provider of the last attempt. Null if there was no attempt."
    )
    reason: str = strawberry.field(
        description="The reason, such as REFUSED. NONE means that the deliveries wait for their next attempt."
    )
    explanation: str = strawberry.field(
        resolver=_explanation, description="A sentence in English, as in `Delivery.explanation`."
    )
    error: str | None = strawberry.field(
        description="The error of the last attempt. Ids in it are replaced by `*`, so the same error is one group."
    )
    count: int = strawberry.field(description="The number of deliveries.")
    example_id: ID = strawberry.field(description="The id of the newest of these deliveries.")
    last_at: datetime = strawberry.field(description="The time of the newest failure.")


@strawberry.type
class DeliveryGroupQuery:
    @strawberry.field(
        graphql_type=list[DeliveryGroup],
        description="Return FAILED deliveries grouped by channel, provider, reason, and error, largest group first, at "
        f"most {GROUPS_MAX} groups. RETRYING deliveries are included if `statuses` contains RETRYING. Only the newest "
        f"{COUNT_MAX:,} deliveries that match are counted. TOO_LARGE if finding them takes too long. Requires the "
        "`service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def delivery_groups(self, info: Info, filter: OptionalDeliveryFilter = None) -> list[FailureGroup]:
        tenant = info.context.caller.tenant
        return await info.context.services.lookups.failure_groups.list(tenant, to_stored_selection(filter, tenant))
