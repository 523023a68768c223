"""Changes of many deliveries at once: replay those that failed, and cancel those that wait."""

from datetime import datetime
from typing import Annotated

import strawberry
from msgspec import to_builtins
from strawberry import ID, Parent

from hub.api.context import Context, Info
from hub.api.schema.access import Caller, access
from hub.api.schema.deliveries import DeliveryReasonCount
from hub.api.schema.delivery_filter import DeliveryFilter, to_replay_selection, to_stored_selection
from hub.api.schema.validation import valid_description
from hub.errors import BadUserInput, Forbidden
from hub.model import DeliveryBatchAction, KeyRole, Role, Scope, user_of
from hub.status import delivery_batches as batches
from hub.status.delivery_batches import (
    BATCH_SIZE,
    BATCHES_SHOWN,
    KEPT,
    PREVIEW_COUNT_MAX,
    READ_CHECKED_MAX,
    BatchOptions,
)
from hub.status.delivery_query import DeliveryQuery as DeliverySelection

PER_MINUTE_MAX = 60_000
Note = Annotated[
    str | None,
    strawberry.argument(
        description="Why, at most 1,024 characters. The audit log and `deliveryBatches` show it. It must not name a "
        "person."
    ),
]
PerMinute = Annotated[
    int | None,
    strawberry.argument(
        description=f"At most this many deliveries per minute, from 1 to {PER_MINUTE_MAX:,}. Null: as fast as possible."
    ),
]


def _reasons(root: Parent[batches.ReplayPreview]) -> list[DeliveryReasonCount]:
    return [
        DeliveryReasonCount(reason=reason, count=count)
        for reason, count in sorted(root.reasons.items(), key=lambda row: (-row[1], row[0]))
    ]


@strawberry.type(
    description=f"The effect of `replay` with the same filter. Deliveries are counted up to {PREVIEW_COUNT_MAX:,}."
)
class ReplayPreview:
    count: int = strawberry.field(description="The number of deliveries that would be sent again.")
    address_gone: int = strawberry.field(
        description="The number of matching deliveries whose address no longer exists. They are not sent again "
        "unless `reasons` contains ADDRESS_GONE."
    )
    suppressed: int = strawberry.field(
        description="The number of matching deliveries whose address is suppressed. They are not sent again unless "
        "`reasons` contains SUPPRESSED."
    )
    already_read: int = strawberry.field(
        description="The number of deliveries in `count` that would be SKIPPED because the notification was read in "
        f"the meantime. Only the first {READ_CHECKED_MAX:,} deliveries are checked."
    )
    reasons: list[DeliveryReasonCount] = strawberry.field(
        resolver=_reasons, description="The number of matching deliveries by reason, most frequent first."
    )


def _note(root: Parent[batches.DeliveryBatch]) -> str | None:
    return root.note or None


@strawberry.type(description="A change of many deliveries, by `replay` or `cancelDeliveries`.")
class DeliveryBatch:
    id: ID
    action: DeliveryBatchAction = strawberry.field(description="The change.")
    started_at: datetime = strawberry.field(description="The time of the call. The audit log says who made it.")
    note: str | None = strawberry.field(resolver=_note, description="The text that the call gave.")
    per_minute: int | None = strawberry.field(description="The limit of the rate, or null.")
    total: int = strawberry.field(description="The number of deliveries that matched when the batch started.")
    done: int = strawberry.field(
        description="The number of deliveries that were changed. At the end, it is less than `total` if deliveries "
        "were sent or ended otherwise in the meantime."
    )
    ended_at: datetime | None = strawberry.field(description="The time of its end, or null while it runs.")
    stopped: bool = strawberry.field(description="True if `stopDeliveryBatch` ended it.")


def _options(note: str | None, per_minute: int | None = None) -> BatchOptions:
    if per_minute is not None and not 1 <= per_minute <= PER_MINUTE_MAX:
        raise BadUserInput(f"`perMinute` must be from 1 to {PER_MINUTE_MAX:,}.", "perMinute")
    return BatchOptions(note=valid_description(note, "note") or "", per_minute=per_minute)


async def _record(context: Context, action: str, selection: DeliverySelection, options: BatchOptions) -> None:
    """Write the audit entry, before anything changes. A user whom the filter names is its target."""
    conditions = {name: value for name, value in to_builtins(selection).items() if name not in ("mailbox", "ids")}
    if selection.ids is not None:
        conditions["ids"] = len(selection.ids)
    parameters = {"filter": conditions, "note": options.note, "perMinute": options.per_minute}
    user = user_of(selection.mailbox) if selection.mailbox else None
    audit = context.audit(
        action, user, is_user=user is not None, parameters={name: value for name, value in parameters.items() if value}
    )
    await audit.record({}, None)


@strawberry.type
class DeliveryBatchQuery:
    @strawberry.field(
        graphql_type=ReplayPreview,
        description="Return the effect that `replay` would have with this filter, without sending anything. Requires "
        "the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
    )
    async def replay_preview(self, info: Info, filter: DeliveryFilter) -> batches.ReplayPreview:
        tenant = info.context.caller.tenant
        return await info.context.services.delivery_batches.replay_preview(tenant, to_stored_selection(filter, tenant))

    @strawberry.field(
        graphql_type=list[DeliveryBatch],
        description=f"Return the newest {BATCHES_SHOWN} replays and cancellations that were continued in the "
        f"background, newest first. They are stored for {KEPT.days} days after their end. Requires the `service` or "
        "`admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
    )
    async def delivery_batches(self, info: Info) -> list[batches.DeliveryBatch]:
        return await info.context.services.delivery_batches.list_recent(info.context.caller.tenant)


@strawberry.type
class DeliveryBatchMutation:
    @strawberry.mutation(
        description=f"Send failed deliveries again. Return the number of matching deliveries. The first {BATCH_SIZE:,} "
        "are replayed immediately, the others in the background, as `deliveryBatches` shows. FAILED deliveries are "
        "replayed. RETRYING deliveries become due immediately if they are selected by `ids` or `filter.statuses`. "
        "Deliveries whose address no longer exists or is suppressed are replayed only if they are "
        "selected by `ids` or `filter.reasons`, and so are those that are HELD since a restore (RESTORED), which the "
        "scheduler decides again. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND, staff=KeyRole.SUPPORT),
    )
    async def replay(
        self,
        info: Info,
        ids: Annotated[
            list[ID] | None,
            strawberry.argument(
                description="The ids of deliveries, at most `HUB_CALL_MAX_IDS` (default 1,000). Pass either `ids` or "
                "`filter`."
            ),
        ] = None,
        filter: Annotated[
            DeliveryFilter | None,
            strawberry.argument(description="The filter that selects deliveries. Pass either `ids` or `filter`."),
        ] = None,
        per_minute: PerMinute = None,
        note: Note = None,
    ) -> int:
        context = info.context
        tenant, options = context.caller.tenant, _options(note, per_minute)
        selection = to_replay_selection(context, tenant, ids, filter)
        if context.caller.role is Role.SUPPORT and (ids is None or len(ids) > 1):
            raise Forbidden(
                "A token with role support replays one delivery at a time: pass its id in `ids`. To replay several, "
                "use a token with role operator."
            )
        await _record(context, "replay", selection, options)
        return await context.services.delivery_batches.replay(tenant, selection, options)

    @strawberry.mutation(
        description="Continue webhook calls, events, and sends that are held since a restore. Deliveries are released "
        "with `replay`. Return their number, which is limited: repeat the call until it returns 0. Requires the "
        "`admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def release_restored(self, info: Info) -> int:
        context = info.context
        services, tenant = context.services, context.caller.tenant
        await context.audit("releaseRestored", parameters={"released": True}).record({}, None)
        calls = await services.webhook_calls.release_restored(tenant)
        events = await services.events.release_restored(tenant)
        return calls + events + await services.send_pause.resume_restored(tenant)

    @strawberry.mutation(
        description="Cancel the deliveries that a filter selects and that wait: ACCEPTED, HELD, and RETRYING ones. "
        "Deliveries that are being sent are not retried, unless the filter has statuses or times of failure. Return "
        f"the number of matching deliveries that wait. The first {BATCH_SIZE:,} are canceled immediately, the others "
        "in the background, as `deliveryBatches` shows. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND, staff=KeyRole.OPERATOR),
    )
    async def cancel_deliveries(self, info: Info, filter: DeliveryFilter, note: Note = None) -> int:
        context = info.context
        tenant, options = context.caller.tenant, _options(note)
        selection = to_stored_selection(filter, tenant)
        await _record(context, "cancelDeliveries", selection, options)
        return await context.services.delivery_batches.cancel(tenant, selection, options)

    @strawberry.mutation(
        description="Stop a replay or cancellation that runs in the background. Its changes remain. Return "
        "true if it was running. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND, staff=KeyRole.OPERATOR),
    )
    async def stop_delivery_batch(
        self, info: Info, id: Annotated[ID, strawberry.argument(description="The id of the batch.")]
    ) -> bool:
        context = info.context
        await context.audit("stopDeliveryBatch", id, parameters={"stopped": True}).record({}, None)
        return await context.services.delivery_batches.stop(context.caller.tenant, id)
