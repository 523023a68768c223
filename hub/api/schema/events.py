"""Events: the event log, and the mutations that publish and replay events."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api import exact_json
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.connections import After, Connection, First, sliced_page_fields
from hub.api.schema.scalars import JSON
from hub.api.schema.selections import selects
from hub.api.schema.sends import Send
from hub.api.schema.validation import FILTER_MAX, valid_id_cursor, valid_ids, valid_page_size
from hub.errors import BadUserInput, TooLarge, Unavailable
from hub.events import event_store
from hub.events.cloud_events import ATTRIBUTE_MAX_CHARS, EVENT_MAX_BYTES, NewEvent, new_event
from hub.ids import new_id
from hub.model import KeyRole, Scope
from hub.utc_time import rfc3339

DEFAULT_PAGE_SIZE = 50


async def _send(root: Parent[model.RuleResult], info: Info) -> model.Send | None:
    return await info.context.find_send(root.send) if root.send else None


@strawberry.type(description="The result of a rule for an event.")
class RuleResult:
    rule: str = strawberry.field(description="The key of the rule.")
    matched: bool = strawberry.field(description="True if the event matched the condition of the rule.")
    reason: str | None = strawberry.field(description="The reason that the rule made no send.")
    send: model.Send | None = strawberry.field(
        resolver=_send,
        graphql_type=Send | None,
        description="The send that the rule made. Null if it made none.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
    )


def _received_at(root: Parent[model.Event]) -> datetime:
    return root.created_at


def _status(root: Parent[model.Event]) -> model.EventStatus:
    return model.event_status(root)


def _reason(root: Parent[model.Event]) -> str | None:
    failed = [attempt.error for attempt in root.attempts[-1:] if attempt.error]
    return failed[0] if failed and root.reason != event_store.TOO_LARGE else root.reason


@strawberry.type(
    description="An event, as CloudEvents 1.0 defines it. `source` and `eventId` together are unique in a tenant: "
    "another event with the same values is a duplicate, and is not stored."
)
class Event:
    id: ID = strawberry.field(description="The id that the hub gave the event.")
    event_id: str = strawberry.field(description="The attribute `id` of the event.")
    source: str
    type: str
    subject: str | None = strawberry.field(
        description="The subject of the event. If it is the id of a user, the event is erased with the user."
    )
    time: datetime = strawberry.field(description="The attribute `time` of the event, or the time when it arrived.")
    received_at: datetime = strawberry.field(resolver=_received_at, description="The time when the event arrived.")
    status: model.EventStatus = strawberry.field(resolver=_status)
    reason: str | None = strawberry.field(
        resolver=_reason,
        description="The reason that the event is FAILED, or the error of the last try of its rules.",
    )
    data: JSON | None
    results: list[model.RuleResult] = strawberry.field(
        graphql_type=list[RuleResult], description="One result for each rule whose type pattern fits the event."
    )


@strawberry.input(description="Selects events that match all fields. An empty filter selects all events.")
class EventFilter:
    types: list[str] | None = strawberry.field(
        default=None, description=f"An event must have one of these types, at most {FILTER_MAX}."
    )
    source: str | None = strawberry.field(default=None, description="The source of the event.")
    statuses: list[model.EventStatus] | None = strawberry.field(
        default=None, description="An event must have one of these statuses."
    )
    since: datetime | None = strawberry.field(
        default=None, description="Selects events that arrived at this time or later."
    )
    until: datetime | None = strawberry.field(default=None, description="Selects events that arrived before this time.")


@strawberry.input(
    description=f"An event. Each attribute has at most {ATTRIBUTE_MAX_CHARS:,} characters, and `data` at most "
    f"{EVENT_MAX_BYTES >> 10} KiB."
)
class EventInput:
    id: str | None = strawberry.field(
        default=None,
        description="The id of the event, unique in its source. Null for a new id: then a repeated call "
        "publishes another event.",
    )
    source: str = strawberry.field(description="The system in which the event happened, such as `/shop/orders`.")
    type: str = strawberry.field(description="The type of the event, such as `com.example.order.shipped`.")
    subject: str | None = strawberry.field(default=None, description="The subject of the event, such as `order 7`.")
    time: datetime | None = strawberry.field(default=None, description="When the event happened. Null for now.")
    data: JSON | None = strawberry.field(default=None, description="The data that rules read.")


@strawberry.type
class EventQuery:
    @strawberry.field(
        description="Return the events of the tenant, newest first. Events are kept for `HUB_EVENTS_DAYS` (default "
        "30) days. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
    )
    async def events(
        self,
        info: Info,
        filter: Annotated[
            EventFilter | None,
            strawberry.argument(description="The filter that selects events. Null selects all events."),
        ] = None,
        first: First = DEFAULT_PAGE_SIZE,
        after: After = None,
    ) -> Connection[Event]:
        context = info.context
        tenant = context.caller.tenant
        size = valid_page_size(first, DEFAULT_PAGE_SIZE, context.services.settings)
        with context.reading():
            rows = await context.services.events.page(
                tenant,
                _to_query(filter),
                size + 1,
                valid_id_cursor(after),
                with_data=selects(info.selected_fields, "data"),
            )
        return Connection(**sliced_page_fields(rows, size, after))

    @strawberry.field(
        graphql_type=Event | None,
        description="Return an event, or null if the event does not exist. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
    )
    async def event(self, info: Info, id: ID) -> model.Event | None:
        return await info.context.services.events.get(info.context.caller.tenant, id)


@strawberry.type
class EventMutation:
    @strawberry.mutation(
        graphql_type=Event,
        description="Publish an event, as `POST /events` does. The operation returns when the event is stored "
        "durably. If the tenant has an event with the same `source` and `id`, return it; nothing else happens. "
        "Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.EVENTS),
    )
    async def publish_event(self, info: Info, input: EventInput) -> model.Event:
        context = info.context
        tenant = context.caller.tenant
        [stored] = await context.services.receive_events.receive(tenant, [_to_event(input)], "graphql")
        event = await context.services.events.get(tenant, stored.id)
        if event is None:
            raise Unavailable("The event was erased in the meantime. Publish it again.")
        return event

    @strawberry.mutation(
        description="Run the rules again for events whose rules have run or failed. A rule that made a send for an "
        "event makes no other. Return the number of events. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.EVENTS),
    )
    async def replay_events(
        self,
        info: Info,
        ids: Annotated[
            list[ID], strawberry.argument(description="The ids of events, at most `HUB_CALL_MAX_IDS` (default 1,000).")
        ],
    ) -> int:
        context = info.context
        tenant = context.caller.tenant
        return await context.services.events.replay(tenant, valid_ids(ids, context.services.settings))


def _to_query(filter: EventFilter | None) -> event_store.EventQuery:
    if filter is None:
        return event_store.EventQuery()
    types = tuple(filter.types or ())
    if len(types) > FILTER_MAX:
        raise BadUserInput(f"At most {FILTER_MAX} values are allowed.", "filter.types")
    return event_store.EventQuery(
        types=types,
        source=filter.source,
        statuses=tuple(filter.statuses or ()),
        since=filter.since,
        until=filter.until,
    )


def _to_event(input: EventInput) -> NewEvent:
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": new_id() if input.id is None else input.id,
        "source": input.source,
        "type": input.type,
    }
    if input.subject is not None:
        attributes["subject"] = input.subject
    if input.time is not None:
        attributes["time"] = rfc3339(input.time)
    data = None if input.data is None else exact_json.dumps(input.data, "input.data").decode()
    try:
        return new_event(attributes, data)
    except BadUserInput as error:
        raise BadUserInput(error.message, f"input.{error.extensions['field']}") from None
    except TooLarge as error:
        raise TooLarge(error.message, field="input.data") from None
