"""The root fields. Each checks the role, converts the input and calls one workflow or reader."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.deliveries import Delivery, DeliveryFilter, ReplayPreview, to_delivery_filter, to_replay_filter
from hub.api.schema.devices import DeviceMutation, DeviceQuery
from hub.api.schema.health import HealthQuery
from hub.api.schema.inbox_stream import InboxStream
from hub.api.schema.inputs import (
    InboxFilter,
    SendInput,
    UserInput,
    to_inbox_filter,
    to_profile,
    to_send_request,
    valid_id_cursor,
    valid_idempotency_key,
    valid_ids,
    valid_page_size,
    valid_user_id,
)
from hub.api.schema.preferences import PreferencesMutation, PreferencesQuery
from hub.api.schema.scalars import CONFIG, Cursor
from hub.api.schema.simulation import SimulationQuery
from hub.api.schema.suppressions import SuppressionMutation, SuppressionQuery
from hub.api.schema.tenants import TenantMutation, TenantQuery
from hub.api.schema.types import (
    DeliveryConnection,
    InboxEvent,
    InboxPayload,
    Notification,
    NotificationConnection,
    Receipt,
    Send,
    SendConnection,
    SendEdge,
    SendPayload,
    User,
    connection,
    delivery_page,
    inbox_page,
)
from hub.api.schema.user_data import UserDataMutation
from hub.api.schema.webhooks import WebhookMutation, WebhookQuery
from hub.errors import BadUserInput, HubError, NotFound, TooLarge, Unavailable
from hub.inbox import state
from hub.inbox.cursors import decode_position
from hub.model import mailbox_of
from hub.status.virtual_deliveries import virtual_deliveries
from hub.workflows.publish import Published, SendRequest


@strawberry.type
class Query(PreferencesQuery, TenantQuery, DeviceQuery, SimulationQuery, WebhookQuery, SuppressionQuery, HealthQuery):
    @strawberry.field(graphql_type=User, description="The caller.")
    async def me(self, info: Info) -> model.User:
        context = info.context
        user = await context.services.users.get(context.mailbox)
        if user is None:
            await context.services.inbox_actions.get_or_create_mailbox(context.mailbox)
            user = await context.services.users.get(context.mailbox)
        if user is None:
            raise Unavailable("This person was erased just now.")
        return user

    @strawberry.field(description="The caller's inbox, newest first.")
    async def inbox(
        self,
        info: Info,
        filter: InboxFilter | None = None,
        first: int | None = 20,
        after: str | None = None,
    ) -> NotificationConnection:
        return await inbox_page(info.context, info.context.mailbox, filter, first, after)

    @strawberry.field(graphql_type=Notification | None, description="One of the caller's own.")
    async def notification(self, info: Info, id: ID) -> model.Notification | None:
        return await info.context.services.inboxes.get_notification(id, info.context.mailbox)

    @strawberry.field(graphql_type=User | None, description="Role service and up.")
    async def user(self, info: Info, id: ID) -> model.User | None:
        tenant = info.context.require_service()
        return await info.context.services.users.get(mailbox_of(tenant, valid_user_id(id, "id")))

    @strawberry.field(graphql_type=Send | None, description="Role service and up.")
    async def send(self, info: Info, id: ID) -> model.Send | None:
        return await info.context.services.sends.get(info.context.require_service(), id)

    @strawberry.field(description="Role service and up. Newest first.")
    async def sends(
        self,
        info: Info,
        category: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        first: int | None = 20,
        after: str | None = None,
    ) -> SendConnection:
        context = info.context
        tenant = context.require_service()
        size = valid_page_size(first, 20, context.services.settings)
        found = await context.services.sends.page(
            tenant, category=category, since=since, until=until, first=size + 1, after=valid_id_cursor(after)
        )
        return connection(SendConnection, SendEdge, found, size, after)

    @strawberry.field(graphql_type=Delivery | None, description="Role service and up.")
    async def delivery(self, info: Info, id: ID) -> model.Delivery | None:
        services, tenant = info.context.services, info.context.require_service()
        if found := await services.deliveries.get(tenant, id):
            return found
        n = (await services.inboxes.get_notifications([id.rpartition("-")[0]])).values()
        return next(
            (read for one in n if one.tenant == tenant for read in virtual_deliveries(one) if read.id == id), None
        )

    @strawberry.field(
        description="Role service and up. What leaves the hub, newest first. IN_APP and what was decided against stand "
        "at each notification, and are counted with their reasons in `send.counts`."
    )
    async def deliveries(
        self,
        info: Info,
        filter: DeliveryFilter | None = None,
        first: int | None = 50,
        after: str | None = None,
    ) -> DeliveryConnection:
        tenant = info.context.require_service()
        return await delivery_page(info.context, tenant, to_delivery_filter(filter, tenant), first, after)

    @strawberry.field(description="Role service and up. What `replay` with this filter would bring back.")
    async def replay_preview(self, info: Info, filter: DeliveryFilter) -> ReplayPreview:
        context = info.context
        tenant = context.require_service()
        return ReplayPreview.of(
            await context.services.deliveries.replay_preview(tenant, to_delivery_filter(filter, tenant))
        )


@strawberry.type
class Mutation(
    PreferencesMutation, TenantMutation, DeviceMutation, UserDataMutation, WebhookMutation, SuppressionMutation
):
    @strawberry.mutation
    async def mark_seen(self, info: Info, ids: list[ID]) -> InboxPayload:
        return await _mark(info.context, ids, state.seen)

    @strawberry.mutation
    async def mark_read(self, info: Info, ids: list[ID]) -> InboxPayload:
        return await _mark(info.context, ids, state.read)

    @strawberry.mutation
    async def mark_unread(self, info: Info, ids: list[ID]) -> InboxPayload:
        return await _mark(info.context, ids, state.unread)

    @strawberry.mutation
    async def archive(self, info: Info, ids: list[ID]) -> InboxPayload:
        return await _mark(info.context, ids, state.archived)

    @strawberry.mutation
    async def unarchive(self, info: Info, ids: list[ID]) -> InboxPayload:
        return await _mark(info.context, ids, state.unarchived)

    @strawberry.mutation(description="Away until then; it comes back by itself, on top and as new.")
    async def snooze(self, info: Info, ids: list[ID], until: datetime) -> InboxPayload:
        if until <= info.context.services.clock():
            raise BadUserInput("Snooze until an instant to come.", "until")
        return await _mark(info.context, ids, state.snoozed(until))

    @strawberry.mutation(description="Back now, on top, as it was.")
    async def unsnooze(self, info: Info, ids: list[ID]) -> InboxPayload:
        return await _mark(info.context, ids, state.unsnoozed)

    @strawberry.mutation(description="Confirms what was sent with `requireAck`. Confirming implies reading.")
    async def acknowledge(self, info: Info, ids: list[ID]) -> InboxPayload:
        return await _mark(info.context, ids, state.acknowledged)

    @strawberry.mutation
    async def mark_all_seen(
        self,
        info: Info,
        filter: InboxFilter | None = None,
    ) -> InboxPayload:
        return await _mark_all(info.context, filter, state.seen)

    @strawberry.mutation
    async def mark_all_read(
        self,
        info: Info,
        filter: InboxFilter | None = None,
    ) -> InboxPayload:
        return await _mark_all(info.context, filter, state.read)

    @strawberry.mutation
    async def archive_all(
        self,
        info: Info,
        filter: InboxFilter | None = None,
    ) -> InboxPayload:
        return await _mark_all(info.context, filter, state.archived)

    @strawberry.mutation(description="Role service and up. Answers once it is stored durably.")
    async def send(self, info: Info, input: SendInput) -> SendPayload:
        context = info.context
        tenant = context.require_service()
        request, key = _request(context, input, "input", _header_key(info))
        return _payload(await context.services.publish.send(tenant, request, key))

    @strawberry.mutation(
        description="Role service and up. Up to 1,000 sends, naming up to 1,000 recipients in all, in one call; "
        "answers in order. A send that failed is null, with an error whose path ends in its index."
    )
    async def send_many(self, info: Info, inputs: list[SendInput]) -> list[SendPayload | None]:
        context = info.context
        tenant = context.require_service()
        settings = context.services.settings
        if len(inputs) > settings.call_max_sends:
            raise TooLarge(f"inputs holds more than {settings.call_max_sends} sends (HUB_CALL_MAX_SENDS).")
        if sum(len(given.to.users or ()) for given in inputs) > settings.call_max_users:
            raise TooLarge(f"inputs name more than {settings.call_max_users} users in all (HUB_CALL_MAX_USERS).")
        header = _header_key(info)
        answers: list[Published | BaseException | None] = [None] * len(inputs)
        asked: list[tuple[SendRequest, str | None]] = []
        places: list[int] = []
        for index, given in enumerate(inputs):
            try:
                asked.append(_request(context, given, f"inputs.{index}", header and f"{header}/{index}"))
                places.append(index)
            except HubError as error:
                answers[index] = error
        for index, answer in zip(places, await context.services.publish.send_many(tenant, asked), strict=True):
            answers[index] = answer
        # An exception in a list is an error at its index.
        return [_payload(answer) if isinstance(answer, Published) else answer for answer in answers]  # type: ignore[misc]

    @strawberry.mutation(
        graphql_type=Send, description="Role service and up. What has not gone out yet never does; inboxes keep theirs."
    )
    async def cancel_send(self, info: Info, id: ID) -> model.Send:
        return await info.context.services.send_cancellation.cancel(info.context.require_service(), id)

    @strawberry.mutation(
        graphql_type=Send,
        description="Role service and up. Take it back: out of every inbox, live, and every delivery not yet made is "
        "cancelled.",
    )
    async def recall_send(self, info: Info, id: ID) -> model.Send:
        return await info.context.services.send_cancellation.recall(info.context.require_service(), id)

    @strawberry.mutation(
        description="Role service and up. Dead letters back to work: FAILED, and RETRYING, which then has its next try "
        "now, where it is named by its id or by `filter.statuses`. Those whose address is gone or suppressed only "
        "where their ids or `filter.reasons` name them. Answers how many match; beyond 1,000 the rest follows in the "
        "background."
    )
    async def replay(self, info: Info, ids: list[ID] | None = None, filter: DeliveryFilter | None = None) -> int:
        context = info.context
        tenant = context.require_service()
        return await context.services.deliveries.replay(tenant, to_replay_filter(context, tenant, ids, filter))

    @strawberry.mutation(
        graphql_type=list[User], description="Role service and up. Absent leaves as it is, null clears."
    )
    async def upsert_users(self, info: Info, users: list[UserInput]) -> list[model.User]:
        context = info.context
        tenant = context.require_service()
        settings = context.services.settings
        if len(users) > settings.call_max_users:
            raise TooLarge(f"users holds more than {settings.call_max_users} (HUB_CALL_MAX_USERS): call in parts.")
        if not users:
            return []
        profiles = [to_profile(given, tenant, settings, f"users.{index}") for index, given in enumerate(users)]
        context.touched_mailboxes.update(given.id for given in profiles)
        return await context.services.users.upsert(profiles)


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="The caller's inbox, change by change. With `after`, first everything since that position."
    )
    async def inbox(self, info: Info, after: Cursor | None = None) -> AsyncIterator[InboxEvent]:
        context = info.context
        services = context.services
        position = decode_position(after, "after") if after is not None else None
        try:
            feed = await services.subscriptions.subscribe(context.mailbox, position)
        except NotFound:
            await services.inbox_actions.create_mailbox(context.mailbox)
            feed = await services.subscriptions.subscribe(context.mailbox, position)
        return InboxStream(feed, services.subscriptions, services.clock)

    @strawberry.subscription(
        description="Role service and up: every receipt of the tenant from now on, or of one send from its beginning. "
        "A cursor past the retention fails with CURSOR_EXPIRED."
    )
    async def receipts(
        self, info: Info, send_id: ID | None = None, after: Cursor | None = None
    ) -> AsyncGenerator[Receipt, None]:
        context = info.context
        services = context.services
        tenant = context.require_service()
        since = None
        if send_id is not None:
            send = await services.sends.get(tenant, send_id)
            if send is None:
                raise NotFound("There is no such send.")
            since = send.created_at
        async with aclosing(services.receipts.stream(tenant, send_id, after, since)) as stream:
            async for told in stream:
                receipt = told.receipt
                yield Receipt(
                    id=ID(receipt.id),
                    cursor=Cursor(told.cursor),
                    kind=receipt.kind,
                    at=receipt.at,
                    send_id=ID(receipt.send_id),
                    notification_id=ID(receipt.notification_id),
                    user_id=ID(receipt.user_id),
                    channel=receipt.channel,
                    status=receipt.status,
                    reason=receipt.reason,
                )


async def _mark(context: Context, ids: Sequence[str], mark: state.Mark) -> InboxPayload:
    services = context.services
    marked = await services.inbox_actions.mark(context.mailbox, valid_ids(ids, services.settings), mark)
    return InboxPayload.of(marked, services.inboxes.position(marked.head))


async def _mark_all(
    context: Context,
    filter: InboxFilter | None,
    mark: state.Mark,
) -> InboxPayload:
    services = context.services
    marked = await services.inbox_actions.mark_all(context.mailbox, to_inbox_filter(filter), mark)
    return InboxPayload.of(marked, services.inboxes.position(marked.head))


def _request(context: Context, given: SendInput, field: str, header_key: str | None) -> tuple[SendRequest, str | None]:
    services = context.services
    key = valid_idempotency_key(given.idempotency_key, f"{field}.idempotencyKey") or header_key
    return to_send_request(given, services.settings, services.clock(), field), key


def _header_key(info: Info) -> str | None:
    """The `Idempotency-Key` header, made one key a field, so that a request may hold several sends."""
    key = info.context.idempotency_key
    return key and f"{key}/{info.path.key}"


def _payload(published: Published) -> SendPayload:
    return SendPayload(send=published.send, duplicate=published.duplicate)


def make_schema() -> strawberry.Schema:
    return strawberry.Schema(Query, Mutation, Subscription, config=CONFIG)
