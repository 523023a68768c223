"""`activity`: the deliveries of a tenant over time, for charts."""

from datetime import datetime
from typing import Annotated

import strawberry

from hub import iso_duration
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.scalars import Duration
from hub.api.schema.validation import valid_key
from hub.errors import BadUserInput
from hub.model import Channel, DeliveryStatus, KeyRole, Scope
from hub.status import activity as stored
from hub.status.activity import INTERVALS_MAX, KEPT, Interval, count_intervals

HOUR = Duration(3600)


def _days(interval: Interval) -> str:
    return f"{KEPT[interval].days:,} days"


@strawberry.type(description="The number of deliveries that reached a status on a channel in a time.")
class ActivityBucket:
    at: datetime = strawberry.field(description="The start of the time, in UTC. Its length is `by`.")
    channel: Channel
    status: DeliveryStatus = strawberry.field(
        description="RETRYING for an attempt that failed and is repeated, or the status that the delivery reached: "
        "SENT, DELIVERED, READ, FAILED, SKIPPED, CANCELLED, or EXPIRED. A delivery counts once for each."
    )
    count: int


@strawberry.type
class ActivityQuery:
    @strawberry.field(
        graphql_type=list[ActivityBucket],
        description="Return the number of deliveries by time, channel, and status, for charts. Times without "
        "deliveries are left out. Deliveries appear within 10 seconds. The counts are approximate: a crash, or an "
        "outage of MongoDB, may set them back by 10 seconds. Digests are counted by their items. Requires the "
        "`service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def activity(
        self,
        info: Info,
        since: Annotated[
            datetime, strawberry.argument(description="The first time. The whole minute, hour, or day is included.")
        ],
        until: Annotated[
            datetime | None, strawberry.argument(description="The end, which is not included. Defaults to now.")
        ] = None,
        by: Annotated[
            Duration | None,
            strawberry.argument(
                description=f"PT1M (kept for {_days(Interval.MINUTE)}), PT1H ({_days(Interval.HOUR)}), or P1D "
                f"({_days(Interval.DAY)}). There are at most {INTERVALS_MAX:,} of these from `since` to `until`."
            ),
        ] = HOUR,
        category: Annotated[
            str | None, strawberry.argument(description="The key of a category. Null counts all categories.")
        ] = None,
    ) -> list[stored.ActivityBucket]:
        context = info.context
        interval, end = _interval(by), until or context.services.clock()
        if end <= since:
            raise BadUserInput("`until`, which defaults to now, must be later than `since`.", "until")
        if (count := count_intervals(interval, since, end)) > INTERVALS_MAX:
            raise BadUserInput(
                f"From `since` to `until`, there are {count:,} times {interval}. At most {INTERVALS_MAX:,} are "
                "allowed: choose a longer `by` or a shorter time.",
                "by",
            )
        key = None if category is None else valid_key(category, "category")
        with context.reading():
            return await context.services.lookups.activity.read(context.caller.tenant, interval, since, end, key)


def _interval(by: int | None) -> Interval:
    text = iso_duration.format(by or HOUR)
    if text not in set(Interval):
        raise BadUserInput(f"`by` must be {Interval.MINUTE}, {Interval.HOUR}, or {Interval.DAY}.", "by")
    return Interval(text)
