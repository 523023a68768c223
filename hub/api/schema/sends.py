"""Sends: status, counts, and the mutations that send, cancel, recall, pause, and resume."""

from datetime import datetime
from typing import Annotated

import strawberry
from msgspec.structs import replace
from strawberry import ID, Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.access import Caller, access
from hub.api.schema.connections import After, Connection, First, sliced_page_fields
from hub.api.schema.deliveries import DEFAULT_PAGE_SIZE as DELIVERIES_PAGE_SIZE
from hub.api.schema.deliveries import DeliveryConnection, delivery_page
from hub.api.schema.delivery_filter import OptionalDeliveryFilter, to_delivery_selection
from hub.api.schema.notifications import PROJECTION
from hub.api.schema.recipients import Recipients
from hub.api.schema.send_counts import (
    SendReactions,
    StatusCount,
    count_recipients,
    counted_at,
    expected_total,
    final_recipients,
    send_reactions,
    status_counts,
)
from hub.api.schema.send_fields import Content, priority_of, reason_of
from hub.api.schema.send_input import SendInput, to_send_request
from hub.api.schema.send_notifications import SendNotificationConnection, send_notifications
from hub.api.schema.steps import Step
from hub.api.schema.validation import (
    valid_id_cursor,
    valid_idempotency_key,
    valid_key,
    valid_page_size,
    valid_users,
)
from hub.errors import Forbidden, HubError, TooLarge
from hub.model import KeyRole, Role, Scope
from hub.status.send_counts import LARGE_MAX_AGE_S, MAX_AGE_S
from hub.status.send_counts import LARGE_SEND_MIN_RECIPIENTS as LARGE
from hub.status.send_counts import SMALL_SEND_MAX_RECIPIENTS as SMALL
from hub.status.sends import SMALL_SEND_MAX_RECIPIENTS
from hub.status.status_counts import Reactions
from hub.workflows.pause_or_resume import paused_by
from hub.workflows.publish import Published
from hub.workflows.resolve import BATCH_SIZE as RESOLVED_AT_ONCE
from hub.workflows.send_change_rounds import ROUND_SIZE
from hub.workflows.send_request import SendRequest

DEFAULT_PAGE_SIZE = 20
AUDIENCES_MAX = 10  # sends of one `sendMany` that name no users


async def _deliveries(
    root: Parent[model.Send],
    info: Info,
    filter: OptionalDeliveryFilter = None,
    first: First = DELIVERIES_PAGE_SIZE,
    after: After = None,
) -> DeliveryConnection:
    selection = to_delivery_selection(filter, root.tenant, send=root.id)
    with info.context.reading():
        return await delivery_page(info.context, root.tenant, selection, first, after)


@strawberry.type(description="A send: one call to `send`, or one input of `sendMany`.")
class Send:
    id: ID
    category: str = strawberry.field(description="The key of the category.")
    status: model.SendStatus
    created_at: datetime
    created_by: str | None = strawberry.field(
        description="The user or key of the token that created the send. Null if the token named none, `erased` if the "
        "user was erased."
    )
    tags: list[str] = strawberry.field(
        description="The tags of the notifications. Empty after the last "
        f"recipient of a send to at most {SMALL_SEND_MAX_RECIPIENTS} users was erased."
    )
    priority: model.Priority = strawberry.field(
        resolver=priority_of, description="The priority of the send, or of its category."
    )
    channels: list[model.Channel] | None = strawberry.field(
        description="The channels that the send named. Null if they are those of the category."
    )
    expires_at: datetime | None = strawberry.field(description="The time at which the notifications expire.")
    reason: str | None = strawberry.field(
        resolver=reason_of,
        metadata={PROJECTION: reason_of},
        description="The reason that the send is FAILED or CANCELLED, if known, that the failure guard paused it, "
        "that its expansion is delayed, or that the last call for its enrichment failed.",
    )
    send_at: datetime | None = strawberry.field(
        description="The time for which the send was scheduled. Null if it was published immediately."
    )
    paused_reason: str | None = strawberry.field(
        description="The reason that the send is PAUSED: the subject of the token that paused it, or the failures that "
        "the failure guard found. Null if it is not PAUSED."
    )
    collapse_key: str | None = strawberry.field(
        description="The collapse key of the notifications. Null after the last recipient of a send to at most "
        f"{SMALL_SEND_MAX_RECIPIENTS} users was erased."
    )
    to: Recipients = strawberry.field(
        resolver=lambda root: root, graphql_type=Recipients, description="The recipients that the send was given."
    )
    recipients: int = strawberry.field(
        resolver=count_recipients,
        metadata={PROJECTION: final_recipients},
        description="The number of recipients. While the send is EXPANDING, the number of recipients so far.",
    )
    total: int | None = strawberry.field(
        resolver=expected_total,
        description="The number of recipients that is expected, an estimate while the send is EXPANDING. Null while it "
        "is SCHEDULED or PREPARING.",
    )
    remaining: int | None = strawberry.field(
        description="The number of deliveries and notifications that a cancellation, recall, or resumption has not "
        "changed yet. It continues in the background. "
        "For a large send, this is an estimate in the first seconds. Null if nothing is left."
    )
    title: str | None = strawberry.field(
        description="The title as it was sent. The title of a template is in the tenant's locale, without values of a "
        "recipient. Null after a recall, and after the last recipient of a send to at most "
        f"{SMALL_SEND_MAX_RECIPIENTS} users was erased."
    )
    content: Content | None = strawberry.field(
        description="The content as it was sent. Null if the send has a template, and in the same cases as `title`."
    )
    template: str | None = strawberry.field(description="The key of the template.")
    template_version: int | None = strawberry.field(
        description="The version of the template that all texts of the send come from."
    )
    steps: list[model.Step] = strawberry.field(
        graphql_type=list[Step], description="The steps of the send: those of the input or of the category."
    )
    counts: list[StatusCount] = strawberry.field(
        resolver=status_counts,
        description=f"The number of deliveries by channel and status. Of a send to more than {SMALL:,} users, up to "
        f"{MAX_AGE_S:g} s old; to more than {LARGE:,}, up to {LARGE_MAX_AGE_S:g} s.",
    )
    counted_at: datetime = strawberry.field(resolver=counted_at, description="The time at which `counts` was counted.")
    reactions: Reactions = strawberry.field(
        resolver=send_reactions,
        graphql_type=SendReactions,
        description="The number of recipients who saw, read, acknowledged, or acted. As old as `counts` may be.",
    )
    deleted_notifications: int = strawberry.field(
        description="The number of notifications that are no longer stored, because of their age "
        "(`HUB_NOTIFICATIONS_DAYS`) or because they were removed from their inbox long ago (`HUB_TOMBSTONE_DAYS`). "
        "`counts` and `reactions` include them."
    )
    notifications: SendNotificationConnection = strawberry.field(
        resolver=send_notifications,
        description="The notifications of the send, oldest first, including notifications that were removed from "
        "inboxes. Deleted ones are missing: see `deletedNotifications`.",
        directives=access(Caller.ANYONE, Scope.READ),
    )
    deliveries: DeliveryConnection = strawberry.field(
        resolver=_deliveries,
        description="The deliveries of the send to external providers, newest first. IN_APP deliveries and "
        "deliveries on channels that were not used are in `notifications(hidden: true) { nodes { "
        "deliveries { channel status reason } } }`.",
        directives=access(Caller.ANYONE, Scope.READ),
    )


@strawberry.type(description="The result of a send.")
class SendPayload:
    send: model.Send = strawberry.field(
        graphql_type=Send, description="The new send, or the earlier send if `duplicate` is true."
    )
    duplicate: bool = strawberry.field(
        description="True if nothing was sent because the idempotency key was used before with the same input."
    )

    @classmethod
    def of(cls, published: Published) -> "SendPayload":
        return cls(send=published.send, duplicate=published.duplicate)


@strawberry.type
class SendQuery:
    @strawberry.field(
        graphql_type=Send | None,
        description="Return a send, or null if the send does not exist. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def send(self, info: Info, id: ID) -> model.Send | None:
        return await info.context.services.sends.get(info.context.caller.tenant, id)

    @strawberry.field(
        description="Return the sends of the tenant, newest first. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def sends(
        self,
        info: Info,
        category: Annotated[
            str | None, strawberry.argument(description="The key of a category. Null selects all categories.")
        ] = None,
        statuses: Annotated[
            list[model.SendStatus] | None,
            strawberry.argument(description="Selects sends with one of these statuses. Null selects all statuses."),
        ] = None,
        since: Annotated[
            datetime | None, strawberry.argument(description="Selects sends that were created at this time or later.")
        ] = None,
        until: Annotated[
            datetime | None, strawberry.argument(description="Selects sends that were created before this time.")
        ] = None,
        first: First = DEFAULT_PAGE_SIZE,
        after: After = None,
    ) -> Connection[Send]:
        context = info.context
        tenant = context.caller.tenant
        size = valid_page_size(first, DEFAULT_PAGE_SIZE, context.services.settings)
        rows = await context.services.sends.page(
            tenant,
            category=category,
            statuses=statuses or None,
            since=since,
            until=until,
            first=size + 1,
            after=valid_id_cursor(after),
        )
        return Connection(**sliced_page_fields(rows, size, after))


@strawberry.type
class SendMutation:
    @strawberry.mutation(
        description="Send a notification. The operation returns when the send is stored durably. If it fails with "
        "UNAVAILABLE, the send may have been stored: retry with the same idempotency key. A send to everyone or "
        "to a topic or filter is EXPANDING when the operation returns, and workers expand it. A send in a category "
        "with enrichment is PREPARING when the operation returns. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND),
    )
    async def send(self, info: Info, input: SendInput) -> SendPayload:
        context = info.context
        tenant = context.caller.tenant
        request, key = _to_request(context, input, "input", _header_key(info))
        return SendPayload.of(await context.services.publish.send(tenant, request, key))

    @strawberry.mutation(
        description="Execute several sends. Return the results in the order of the inputs. The result of a failed "
        "send is null, and `errors` contains an error whose path ends with the index of the send. "
        "Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND),
    )
    async def send_many(
        self,
        info: Info,
        inputs: Annotated[
            list[SendInput],
            strawberry.argument(
                description="The sends, at most `HUB_CALL_MAX_SENDS` (default 1,000), with at most "
                "`HUB_CALL_MAX_USERS` (default 1,000) users in total, and with at most "
                f"{AUDIENCES_MAX} sends that do not name their users."
            ),
        ],
    ) -> list[SendPayload | None]:
        context = info.context
        tenant = context.caller.tenant
        settings = context.services.settings
        if len(inputs) > settings.call_max_sends:
            raise TooLarge(
                f"`inputs` has more than {settings.call_max_sends} sends (HUB_CALL_MAX_SENDS). Split them into several "
                "calls."
            )
        if sum(len(input.to.users or ()) for input in inputs) > settings.call_max_users:
            raise TooLarge(
                f"`inputs` names more than {settings.call_max_users} users in total (HUB_CALL_MAX_USERS). Split them "
                "into several calls."
            )
        if sum(input.to.users is strawberry.UNSET for input in inputs) > AUDIENCES_MAX:
            raise TooLarge(f"`inputs` has more than {AUDIENCES_MAX} sends that do not name their users.")
        header_key = _header_key(info)
        results: list[Published | BaseException | None] = [None] * len(inputs)
        requests: list[tuple[SendRequest, str | None, str]] = []
        indexes: list[int] = []
        for index, input in enumerate(inputs):
            try:
                key = header_key and f"{header_key}/{index}"
                field = f"inputs.{index}"
                requests.append((*_to_request(context, input, field, key), field))
                indexes.append(index)
            except HubError as error:
                results[index] = error
        for index, result in zip(indexes, await context.services.publish.send_many(tenant, requests), strict=True):
            results[index] = result
        # GraphQL converts an exception in the list to an error at the index of the exception.
        return [SendPayload.of(result) if isinstance(result, Published) else result for result in results]  # type: ignore[misc]

    @strawberry.mutation(
        graphql_type=Send,
        description="Cancel the deliveries of a send that have not been sent. The notifications remain in the "
        f"inboxes. If there are more than {ROUND_SIZE:,} deliveries, they follow in the background: see "
        "`Send.remaining`. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND, staff=KeyRole.SUPPORT),
    )
    async def cancel_send(self, info: Info, id: ID) -> model.Send:
        context = info.context
        tenant = context.caller.tenant
        if context.caller.role is Role.SUPPORT:
            send = await context.services.sends.get(tenant, id)
            if send and (send.audience or send.recipients != 1):
                raise Forbidden(
                    "A token with role support cancels only sends to one named user. To cancel this send, use a token "
                    "with role operator."
                )
        return await context.services.send_cancellation.cancel(tenant, id)

    @strawberry.mutation(
        graphql_type=Send,
        description="Recall a send: cancel the deliveries that have not been sent, and remove the notifications from "
        f"all inboxes. Subscribed clients receive the removal. If there are more than {ROUND_SIZE:,} deliveries and "
        "notifications, they follow in the background: see `Send.remaining`. Requires the `service` or "
        "`admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND, staff=KeyRole.OPERATOR),
    )
    async def recall_send(self, info: Info, id: ID) -> model.Send:
        return await info.context.services.send_cancellation.recall(info.context.caller.tenant, id)

    @strawberry.mutation(
        graphql_type=Send,
        description="Pause a send: no call that has not started is made, including steps and items of digests, and a "
        "scheduled send is not published. The notifications remain in the inboxes. Fails with CONFLICT if the send "
        "has ended. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND, staff=KeyRole.OPERATOR),
    )
    async def pause_send(self, info: Info, id: ID) -> model.Send:
        reason = paused_by(info.context.caller.actor)
        return await info.context.services.send_pause.pause(info.context.caller.tenant, id, reason)

    @strawberry.mutation(
        graphql_type=Send,
        description="Continue a paused send in the status that it had. Each held delivery is decided again. If there "
        f"are more than {ROUND_SIZE:,}, they follow in the background: see `Send.remaining`. Fails with "
        "CONFLICT if the send has ended. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND, staff=KeyRole.OPERATOR),
    )
    async def resume_send(self, info: Info, id: ID) -> model.Send:
        return await info.context.services.send_pause.resume(info.context.caller.tenant, id)

    @strawberry.mutation(
        description="Remove the notifications with a collapse key from inboxes, because their subject is settled, and "
        "cancel their deliveries that have not been sent. Return the number of notifications. If "
        f"there are more than {RESOLVED_AT_ONCE:,}, they are removed in the background. Requires the "
        "`service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND),
    )
    async def resolve(
        self,
        info: Info,
        collapse_key: Annotated[str, strawberry.argument(description="The collapse key of the notifications.")],
        users: Annotated[
            list[ID] | None,
            strawberry.argument(
                description="The ids of the users, at most `HUB_CALL_MAX_USERS` (default 1,000). Null selects all "
                "users of the tenant."
            ),
        ] = None,
    ) -> int:
        context = info.context
        tenant = context.caller.tenant
        services = context.services
        named = None if users is None else valid_users(users, services.settings, "users")
        return await services.resolve.resolve(tenant, valid_key(collapse_key, "collapseKey"), named)


def _to_request(
    context: Context, input: SendInput, field: str, header_key: str | None
) -> tuple[SendRequest, str | None]:
    """Return the request and the idempotency key."""
    services = context.services
    key = valid_idempotency_key(input.idempotency_key, f"{field}.idempotencyKey") or header_key
    request = to_send_request(input, services.settings, services.clock(), field)
    return replace(request, created_by=context.caller.user or context.caller.key or None), key


def _header_key(info: Info) -> str | None:
    """Return the `Idempotency-Key` header plus the response key, because a request may contain several sends."""
    key = info.context.idempotency_key
    return key and f"{key}/{info.path.key}"
