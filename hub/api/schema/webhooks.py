"""The tenant's own webhooks: where it is called about events, and what became of each call. Role admin, all of it."""

import re
from datetime import datetime

import strawberry
from msgspec import UNSET
from strawberry import ID, Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.deliveries import Attempt
from hub.api.schema.fast_inputs import fast_input
from hub.api.schema.inputs import public_url, valid_ids, valid_page_size
from hub.api.schema.types import PageInfo, connection
from hub.errors import BadUserInput
from hub.webhooks.events import EVENTS

CALLS = 50  # of a page where none is asked for
CALL_CURSOR = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _due_at(root: Parent[model.WebhookCall]) -> datetime | None:
    return None if root.enqueue_count or root.claim else root.due_at


@strawberry.type(description="One event on its way to one endpoint of the tenant. Makes no events of its own.")
class WebhookCall:
    id: ID = strawberry.field(description="What the call carries as `webhook-id`, in every attempt.")
    event: str
    status: model.DeliveryStatus
    attempts: list[model.Attempt] = strawberry.field(graphql_type=list[Attempt])
    due_at: datetime | None = strawberry.field(resolver=_due_at, description="When it is tried again, if it waits.")
    created_at: datetime


@strawberry.type
class WebhookCallEdge:
    cursor: str
    node: model.WebhookCall = strawberry.field(graphql_type=WebhookCall)


@strawberry.type
class WebhookCallConnection:
    edges: list[WebhookCallEdge]
    nodes: list[model.WebhookCall] = strawberry.field(graphql_type=list[WebhookCall])
    page_info: PageInfo


async def _calls(
    root: Parent[model.WebhookEndpoint],
    info: Info,
    statuses: list[model.DeliveryStatus] | None = None,
    first: int | None = CALLS,
    after: str | None = None,
) -> WebhookCallConnection:
    context = info.context
    if after is not None and not CALL_CURSOR.fullmatch(after):
        raise BadUserInput("after is not a cursor of this hub: hand back one that it gave, unchanged.", "after")
    size = valid_page_size(first, CALLS, context.services.settings)
    found = await context.services.webhook_calls.page(context.require_admin(), root.id, statuses, size + 1, after)
    return connection(WebhookCallConnection, WebhookCallEdge, found, size, after)


@strawberry.type(description="Where the tenant is called about events, signed as Standard Webhooks says.")
class WebhookEndpoint:
    id: ID
    url: str
    events: list[str] = strawberry.field(description="Empty: all of them, also those to come.")
    enabled: bool
    disabled_reason: str | None = strawberry.field(description="Set where the hub disabled it: nothing but failure.")
    created_at: datetime
    calls: WebhookCallConnection = strawberry.field(resolver=_calls, description="Newest first.")


@strawberry.type(description="`secret` is shown once, here.")
class WebhookSecretPayload:
    endpoint: model.WebhookEndpoint = strawberry.field(graphql_type=WebhookEndpoint)
    secret: str

    @classmethod
    def of(cls, endpoint: model.WebhookEndpoint) -> "WebhookSecretPayload":
        return cls(endpoint=endpoint, secret=endpoint.secrets[0])


@fast_input
@strawberry.input(
    description=f"`events` is any of {', '.join(EVENTS)}; left out or null: all of them, also those to come."
)
class WebhookInput:
    url: str
    events: list[str] | None = None


@strawberry.type
class WebhookQuery:
    @strawberry.field(graphql_type=list[WebhookEndpoint], description="Role admin. In the order they were made.")
    async def webhooks(self, info: Info) -> list[model.WebhookEndpoint]:
        return await info.context.services.webhook_endpoints.list_all(info.context.require_admin())


@strawberry.type
class WebhookMutation:
    @strawberry.mutation(description="Role admin.")
    async def create_webhook(self, info: Info, input: WebhookInput) -> WebhookSecretPayload:
        context = info.context
        tenant = context.require_admin()
        url = public_url(input.url, context.services.outbound_http, "input.url")
        events = _valid_events(input.events, "input.events")
        return WebhookSecretPayload.of(await context.services.webhook_endpoints.create(tenant, url, events))

    @strawberry.mutation(
        graphql_type=WebhookEndpoint,
        description="Role admin. What is left out stays as it is; `events` null is all of them.",
    )
    async def update_webhook(
        self,
        info: Info,
        id: ID,
        url: str | None = None,
        events: list[str] | None = strawberry.UNSET,
        enabled: bool | None = None,
    ) -> model.WebhookEndpoint:
        context = info.context
        return await context.services.webhook_endpoints.update(
            context.require_admin(),
            id,
            url=UNSET if url is None else public_url(url, context.services.outbound_http, "url"),
            events=UNSET if events is strawberry.UNSET else _valid_events(events, "events"),
            enabled=UNSET if enabled is None else enabled,
        )

    @strawberry.mutation(description="Role admin. For a day the secret before it signs, too.")
    async def rotate_webhook_secret(self, info: Info, id: ID) -> WebhookSecretPayload:
        context = info.context
        return WebhookSecretPayload.of(await context.services.webhook_endpoints.rotate(context.require_admin(), id))

    @strawberry.mutation(description="Role admin. Answers whether it was there.")
    async def delete_webhook(self, info: Info, id: ID) -> bool:
        context = info.context
        return await context.services.webhook_endpoints.delete(context.require_admin(), id)

    @strawberry.mutation(
        description="Role admin. Calls that FAILED back to work, where their endpoint is enabled. Answers how many."
    )
    async def replay_webhook_calls(self, info: Info, ids: list[ID]) -> int:
        context = info.context
        services = context.services
        tenant = context.require_admin()
        chosen = valid_ids(ids, services.settings)
        enabled = [endpoint.id for endpoint in await services.webhook_endpoints.list_all(tenant) if endpoint.enabled]
        return await services.webhook_calls.replay(tenant, chosen, enabled)


def _valid_events(given: list[str] | None, field: str) -> tuple[str, ...]:
    if given is None:
        return ()
    if not given:
        raise BadUserInput("Name at least one event; null is all of them.", field)
    for index, event in enumerate(given):
        if event not in EVENTS:
            raise BadUserInput(f"There is no such event. There are {', '.join(EVENTS)}.", f"{field}.{index}")
    return tuple(dict.fromkeys(given))
