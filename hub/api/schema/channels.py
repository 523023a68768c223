"""Channels that are paused for a tenant."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.validation import valid_description
from hub.errors import BadUserInput
from hub.model import Channel, KeyRole, Scope
from hub.workflows.health import HELD_COUNTED_MAX


async def _held(root: Parent[model.PausedChannel], info: Info) -> int:
    context = info.context
    with context.reading():
        return await context.services.health.count_held(context.caller.tenant, root.channel)


def _reason(root: Parent[model.PausedChannel]) -> str | None:
    return root.reason or None


@strawberry.type(description="A channel that `pauseChannel` paused. The audit log says who paused it.")
class PausedChannel:
    channel: Channel
    since: datetime = strawberry.field(description="The time of the pause.")
    reason: str | None = strawberry.field(resolver=_reason, description="The text that `pauseChannel` was given.")
    held: int = strawberry.field(
        resolver=_held,
        description="The number of deliveries that wait because the channel is paused, counted up to "
        f"{HELD_COUNTED_MAX:,} per priority. Items of open digests are not included.",
    )


@strawberry.type
class ChannelQuery:
    @strawberry.field(
        graphql_type=list[PausedChannel],
        description="Return the channels that are paused for the caller's tenant. Requires the `service` or `admin` "
        "role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def paused_channels(self, info: Info) -> list[model.PausedChannel]:
        context = info.context
        tenant = await context.tenant(context.caller.tenant)
        return sorted(tenant.paused_channels, key=lambda paused: list(Channel).index(paused.channel))


@strawberry.type
class ChannelMutation:
    @strawberry.mutation(
        description="Pause a channel of the tenant: no call that has not started is made, and deliveries become HELD "
        "with the reason PAUSED until `resumeChannel`. None fails for it. Return true if the channel was not paused "
        "before. Requires the `admin` role.",
        directives=access(Caller.ADMIN, staff=KeyRole.OPERATOR),
    )
    async def pause_channel(
        self,
        info: Info,
        channel: Channel,
        reason: Annotated[
            str | None,
            strawberry.argument(description="Why it is paused, at most 1,024 characters, for `pausedChannels`."),
        ] = None,
    ) -> bool:
        context = info.context
        if channel is Channel.IN_APP:
            raise BadUserInput("IN_APP makes no calls, so it cannot be paused. Pause the send instead.", "channel")
        text = valid_description(reason, "reason") or ""
        audit = context.audit("pauseChannel", channel)
        return await context.services.channel_pauses.pause(context.caller.tenant, channel, text, audit)

    @strawberry.mutation(
        description="Resume a channel of the tenant. Each delivery that waits for it is decided again, in the "
        "background, within the usual limits. Return true if the channel was paused. Requires the `admin` role.",
        directives=access(Caller.ADMIN, staff=KeyRole.OPERATOR),
    )
    async def resume_channel(self, info: Info, channel: Channel) -> bool:
        context = info.context
        audit = context.audit("resumeChannel", channel)
        return await context.services.channel_pauses.resume(context.caller.tenant, channel, audit)
