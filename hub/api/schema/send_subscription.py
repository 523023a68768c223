"""The subscription to a send."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.sends import Send
from hub.model import KeyRole, Scope


@strawberry.type
class SendSubscription:
    @strawberry.subscription(
        graphql_type=AsyncGenerator[Send, None],
        description="Subscribe to a send: its state now and after each change, at most once a second. A slow client "
        "gets only the newest state. The subscription ends when no delivery of the send waits any longer: the last "
        "event has the final counts. Before, the counts of a large send may be some seconds old (`Send.countedAt`). "
        "Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def send(
        self, info: Info, id: Annotated[ID, strawberry.argument(description="The id of the send.")]
    ) -> AsyncGenerator[model.Send, None]:
        context = info.context
        tenant = context.caller.tenant
        async with aclosing(context.services.watched_sends.watch(tenant, id)) as states:
            async for state in states:
                context.watched_send = state
                yield state.send
