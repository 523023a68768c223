"""Webhook endpoints of the tenant and their calls. All fields require the admin role."""

import re
from datetime import datetime
from typing import Annotated

import strawberry
from msgspec import UNSET
from strawberry import ID, Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.connections import After, Connection, First, sliced_page_fields
from hub.api.schema.deliveries import Attempt
from hub.api.schema.scalars import JSON
from hub.api.schema.validation import INVALID_CURSOR, public_url, valid_ids, valid_page_size
from hub.errors import BadUserInput, Conflict, NotFound
from hub.model import Scope
from hub.webhooks.events import EVENTS, SEND_EXPANDED, WEBHOOK_TEST

DEFAULT_PAGE_SIZE = 50
URL_DESCRIPTION = "A public http(s) URL with port 80 or 443. `HUB_EGRESS_ALLOW` allows private networks."
EVENTS_DESCRIPTION = (
    f"The event types to receive: any of {', '.join(EVENTS)}. Null selects all event types, including types that are "
    f"added later, except that a send to an audience has one {SEND_EXPANDED} instead of the events of its recipients."
)
CALL_CURSOR = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _due_at(root: Parent[model.WebhookCall]) -> datetime | None:
    return None if root.enqueue_count else root.due_at


def _payload(root: Parent[model.WebhookCall]) -> JSON:
    return JSON(root.payload)


@strawberry.type(description="A call to a webhook endpoint for one event.")
class WebhookCall:
    id: ID = strawberry.field(description="The id of the call. Every attempt sends this id in the `webhook-id` header.")
    event: str = strawberry.field(description="The type of the event, such as notification.read.")
    status: model.DeliveryStatus
    attempts: list[model.Attempt] = strawberry.field(
        graphql_type=list[Attempt], description="The HTTP requests, oldest first."
    )
    due_at: datetime | None = strawberry.field(
        resolver=_due_at, description="The time of the next attempt. Null if no attempt is scheduled."
    )
    created_at: datetime
    payload: JSON = strawberry.field(resolver=_payload, description="The body of the requests.")


async def _calls(
    root: Parent[model.WebhookEndpoint],
    info: Info,
    statuses: Annotated[
        list[model.DeliveryStatus] | None,
        strawberry.argument(description="The statuses of calls to return. Null selects all calls."),
    ] = None,
    first: First = DEFAULT_PAGE_SIZE,
    after: After = None,
) -> Connection[WebhookCall]:
    context = info.context
    if after is not None and not CALL_CURSOR.fullmatch(after):
        raise BadUserInput(INVALID_CURSOR, "after")
    size = valid_page_size(first, DEFAULT_PAGE_SIZE, context.services.settings)
    rows = await context.services.webhook_calls.page(context.caller.tenant, root.id, statuses, size + 1, after)
    return Connection(**sliced_page_fields(rows, size, after))


@strawberry.type(
    description="A URL that the hub calls for each event of the tenant. Calls are signed according to Standard "
    "Webhooks."
)
class WebhookEndpoint:
    id: ID
    url: str
    events: list[str] = strawberry.field(
        description="The event types that the endpoint receives. An empty list means all types, including types that "
        "are added later, as in `WebhookInput.events`."
    )
    enabled: bool = strawberry.field(description="True if the hub calls the endpoint.")
    disabled_reason: str | None = strawberry.field(
        description="The reason that the hub disabled the endpoint: all calls failed for `HUB_WEBHOOK_FAILING_DAYS` "
        "(default 5) days. Null if the hub did not disable the endpoint."
    )
    created_at: datetime
    calls: Connection[WebhookCall] = strawberry.field(
        resolver=_calls,
        description="The calls to the endpoint, newest first. Calls are kept for `HUB_WEBHOOK_CALL_DAYS` (default "
        "30) days.",
    )


@strawberry.type(description="A webhook endpoint and its secret.")
class WebhookSecretPayload:
    endpoint: model.WebhookEndpoint = strawberry.field(graphql_type=WebhookEndpoint)
    secret: str = strawberry.field(
        description="The secret that the hub signs calls with. It is returned only by this operation."
    )

    @classmethod
    def of(cls, endpoint: model.WebhookEndpoint) -> "WebhookSecretPayload":
        return cls(endpoint=endpoint, secret=endpoint.secrets[0])


@strawberry.input(description="A webhook endpoint.")
class WebhookInput:
    url: str = strawberry.field(description=URL_DESCRIPTION)
    events: list[str] | None = strawberry.field(default=None, description=EVENTS_DESCRIPTION)


@strawberry.type
class WebhookQuery:
    @strawberry.field(
        graphql_type=list[WebhookEndpoint],
        description="Return the webhook endpoints of the tenant in the order of creation. Requires the `admin` role.",
        directives=access(Caller.ADMIN, Scope.READ),
    )
    async def webhooks(self, info: Info) -> list[model.WebhookEndpoint]:
        return await info.context.services.webhook_endpoints.list_all(info.context.caller.tenant)


@strawberry.type
class WebhookMutation:
    @strawberry.mutation(
        description="Create a webhook endpoint. Requires the `admin` role.", directives=access(Caller.ADMIN)
    )
    async def create_webhook(self, info: Info, input: WebhookInput) -> WebhookSecretPayload:
        context = info.context
        tenant = context.caller.tenant
        url = public_url(input.url, context.services.outbound_http, "input.url")
        events = _valid_events(input.events, "input.events")
        audit = context.audit("createWebhook")
        return WebhookSecretPayload.of(await context.services.webhook_endpoints.create(tenant, url, events, audit))

    @strawberry.mutation(
        graphql_type=WebhookEndpoint,
        description="Change a webhook endpoint. An omitted argument keeps its value. Enabling the endpoint or "
        "changing its URL clears its failures. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def update_webhook(
        self,
        info: Info,
        id: ID,
        url: Annotated[str | None, strawberry.argument(description=URL_DESCRIPTION)] = None,
        events: Annotated[list[str] | None, strawberry.argument(description=EVENTS_DESCRIPTION)] = strawberry.UNSET,
        enabled: Annotated[
            bool | None,
            strawberry.argument(
                description="True to enable the endpoint, false to stop all calls. Null does not change the value."
            ),
        ] = None,
    ) -> model.WebhookEndpoint:
        context = info.context
        return await context.services.webhook_endpoints.update(
            context.caller.tenant,
            id,
            url=UNSET if url is None else public_url(url, context.services.outbound_http, "url"),
            events=UNSET if events is strawberry.UNSET else _valid_events(events, "events"),
            enabled=UNSET if enabled is None else enabled,
            audit=context.audit("updateWebhook", id),
        )

    @strawberry.mutation(
        description="Create a new secret for a webhook endpoint. For one day, calls are also signed with the "
        "previous secret. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def rotate_webhook_secret(self, info: Info, id: ID) -> WebhookSecretPayload:
        context = info.context
        tenant, audit = context.caller.tenant, context.audit("rotateWebhookSecret", id)
        return WebhookSecretPayload.of(await context.services.webhook_endpoints.rotate(tenant, id, audit))

    @strawberry.mutation(
        description="Delete a webhook endpoint. Return true if the endpoint existed. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def delete_webhook(self, info: Info, id: ID) -> bool:
        context = info.context
        tenant, audit = context.caller.tenant, context.audit("deleteWebhook", id)
        return await context.services.webhook_endpoints.delete(tenant, id, audit)

    @strawberry.mutation(
        graphql_type=WebhookCall,
        description=f"Send the event {WEBHOOK_TEST} to a webhook endpoint, whichever event types it receives. Return "
        "the call, which is signed, retried, and listed like other calls. Fails with CONFLICT if the endpoint is not "
        "enabled. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def test_webhook(self, info: Info, id: ID) -> model.WebhookCall:
        context = info.context
        services, tenant = context.services, context.caller.tenant
        endpoint = next((one for one in await services.webhook_endpoints.list_all(tenant) if one.id == id), None)
        if endpoint is None:
            raise NotFound("This webhook does not exist.")
        if not endpoint.enabled:
            raise Conflict("This webhook is disabled, so nothing is sent to it. Enable it with `updateWebhook`.")
        return await services.webhook_calls.create_test(tenant, endpoint)

    @strawberry.mutation(
        description="Send FAILED calls to enabled webhook endpoints again. Return the number of calls. Requires the "
        "`admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def replay_webhook_calls(
        self,
        info: Info,
        ids: Annotated[
            list[ID],
            strawberry.argument(description="The ids of calls, at most `HUB_CALL_MAX_IDS` (default 1,000)."),
        ],
    ) -> int:
        context = info.context
        services = context.services
        tenant = context.caller.tenant
        call_ids = valid_ids(ids, services.settings)
        enabled = [endpoint.id for endpoint in await services.webhook_endpoints.list_all(tenant) if endpoint.enabled]
        return await services.webhook_calls.replay(tenant, call_ids, enabled)


def _valid_events(events: list[str] | None, field: str) -> tuple[str, ...]:
    if events is None:
        return ()
    if not events:
        raise BadUserInput("`events` must name at least one event, or be null for all events.", field)
    for index, event in enumerate(events):
        if event not in EVENTS:
            raise BadUserInput(
                f"{event[:64]!r} is not an event. The events are {', '.join(EVENTS)}.", f"{field}.{index}"
            )
    return tuple(dict.fromkeys(events))
