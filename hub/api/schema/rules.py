"""Rules: the types, the queries, and the mutations. Only admins can change them."""

from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated, Any

import orjson
import strawberry
from msgspec.structs import replace

from hub import model
from hub.api import exact_json
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.notifications import Action
from hub.api.schema.rule_input import RuleInput, to_rule
from hub.api.schema.scalars import JSON, Duration
from hub.api.schema.simulation import DEFAULT_RECIPIENTS, Simulation, simulate_request
from hub.api.schema.steps import Step
from hub.api.schema.validation import valid_key
from hub.audience.rules import TENANT_MAX_RULES, StoredRule
from hub.decide.rules.compiled import NoSend, RuleError
from hub.decide.rules.matching import EVENT_MAX_RULES, fits
from hub.errors import BadUserInput, HubError, TooLarge, Unavailable
from hub.model import KeyRole, Scope
from hub.workflows.rule_requests import to_request

TEST_EVENT_MAX_BYTES = 256 << 10
DOES_NOT_FIT = "the type or the source of the event does not fit"


@strawberry.type(
    description="The recipients of a rule. Exactly one field is set. `users` and `topic` are JMESPath expressions."
)
class RuleRecipients:
    users: str | None
    topic: str | None
    everyone: bool | None = strawberry.field(
        resolver=lambda root: root.everyone or None, description="True if the rule sends to all users of the tenant."
    )
    where: JSON | None = strawberry.field(description="The filter.")


@strawberry.type(description="The content of the sends of a rule. All texts are Liquid.")
class RuleContent:
    title: str
    body: str
    action_url: str | None = strawberry.field(description="The link that the notification opens.")
    image_url: str | None = strawberry.field(description="The URL of the image.")
    actions: list[Action] = strawberry.field(description="The buttons. `label` and `url` are Liquid.")
    markdown: bool = strawberry.field(description="True if `body` is Markdown.")


@strawberry.type(description="The digest of the sends of a rule.")
class RuleDigest:
    key: str = strawberry.field(description="A JMESPath expression that finds the key.")
    window_s: Duration = strawberry.field(name="window", description="The length of the window.")


@strawberry.type(
    description="A rule, which turns events into sends. Expressions (`condition`, `data`, `except`, and those of `to` "
    "and `digest.key`) are JMESPath over the event."
)
class Rule:
    key: str = strawberry.field(description="The key that identifies the rule.")
    name: str | None = strawberry.field(description="The display name.")
    enabled: bool = strawberry.field(description="False if no event starts the rule.")
    type: str = strawberry.field(description="The type of the events, or a prefix that ends in `.*`.")
    source: str | None = strawberry.field(
        description="The source of the events. Null for events of every source, except for the hub's own."
    )
    condition: str | None = strawberry.field(
        description="An expression. The rule sends nothing if the result is null, false, or empty."
    )
    to: model.RuleRecipients = strawberry.field(graphql_type=RuleRecipients, description="The recipients.")
    category: str = strawberry.field(description="The key of the category.")
    template: str | None = strawberry.field(description="The key of the template.")
    content: model.Content | None = strawberry.field(
        graphql_type=RuleContent | None, description="The content. Null if the rule has a template."
    )
    data: str | None = strawberry.field(
        description="An expression that makes the data of the texts. Null for the event's own data."
    )
    priority: model.Priority | None = strawberry.field(
        description="The priority. Null uses the priority of the category."
    )
    collapse_key: str | None = strawberry.field(description="The collapse key, as Liquid.")
    channels: list[model.Channel] | None = strawberry.field(
        description="The channels. Null uses the default channels of the category."
    )
    steps: list[model.Step] = strawberry.field(graphql_type=list[Step], description="Later deliveries.")
    digest: model.RuleDigest | None = strawberry.field(
        graphql_type=RuleDigest | None, description="Gathers the deliveries of the sends with a key."
    )
    tags: list[str] = strawberry.field(description="The tags of the notification.")
    require_ack: bool = strawberry.field(description="True if the sends request an acknowledgment.")
    after_s: Duration | None = strawberry.field(
        name="after", description="The time from the event to the send. Null sends immediately."
    )
    expires_in_s: Duration | None = strawberry.field(
        name="expiresIn", description="The time from the send to its expiry. Null for a send that does not expire."
    )
    excluded: str | None = strawberry.field(
        name="except", description="An expression that finds the ids of users who do not get the send."
    )
    updated_at: datetime = strawberry.field(description="The time of the last change.")


@strawberry.type(description="The result of a test: what a rule would do with an event.")
class RuleTest:
    matched: bool = strawberry.field(description="True if the event fits the rule and meets its condition.")
    reason: str | None = strawberry.field(description="The reason that the rule would send nothing.")
    data: JSON | None = strawberry.field(description="The data of the texts.")
    simulation: list[Simulation] = strawberry.field(
        description=f"The decisions of the send for its first {DEFAULT_RECIPIENTS} recipients."
    )


@strawberry.type
class RuleQuery:
    @strawberry.field(
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
        graphql_type=list[Rule],
        description=f"Return the rules of the tenant, at most {TENANT_MAX_RULES}, sorted by key. Requires the "
        "`service` or `admin` role.",
    )
    async def rules(self, info: Info) -> list[model.Rule]:
        context = info.context
        tenant = context.caller.tenant
        with context.reading():
            return await context.services.rules.list_rules(tenant)

    @strawberry.field(
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
        graphql_type=Rule | None,
        description="Return a rule, or null if it does not exist. Requires the `service` or `admin` role.",
    )
    async def rule(self, info: Info, key: str) -> model.Rule | None:
        context = info.context
        tenant = context.caller.tenant
        with context.reading():
            return await context.services.rules.get(tenant, valid_key(key, "key"))

    @strawberry.field(
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
        description="Return what a rule would do with an event, without storing or sending anything. Requires the "
        "`service` or `admin` role.",
    )
    async def test_rule(
        self,
        info: Info,
        input: Annotated[RuleInput, strawberry.argument(description="The rule, which need not be stored.")],
        event: Annotated[
            JSON,
            strawberry.argument(
                description="The event in the JSON format of CloudEvents: an object with `type`, and usually `source`, "
                "`id`, `subject`, and `data`."
            ),
        ],
    ) -> RuleTest:
        services, id, now = info.context.services, info.context.caller.tenant, info.context.services.clock()
        rule = replace(to_rule(input, id, now), enabled=True)
        values = _event_values(event)
        await _check(services.rule_requests.compile(rule))
        type, source = values["type"], values.get("source", "")
        if not fits(rule, type, source):
            return RuleTest(matched=False, reason=DOES_NOT_FIT, data=None, simulation=[])
        tenant = await services.tenants.get(id)
        [evaluated] = await services.rule_requests.evaluate([StoredRule(rule)], values, tenant, now)
        data = None if evaluated.data is None else JSON(evaluated.data)
        if isinstance(evaluated, NoSend):
            return RuleTest(matched=evaluated.matched, reason=evaluated.reason, data=data, simulation=[])
        request = to_request(rule, evaluated, type, now, now)
        try:
            simulation = await simulate_request(services, id, request, DEFAULT_RECIPIENTS, now)
        except Unavailable:
            raise
        except HubError as error:
            return RuleTest(matched=True, reason=error.message, data=data, simulation=[])
        return RuleTest(matched=True, reason=None, data=data, simulation=simulation)


@strawberry.type
class RuleMutation:
    @strawberry.mutation(
        directives=access(Caller.ADMIN),
        graphql_type=Rule,
        description="Create or replace a rule. Nothing is stored if an expression or a text is not valid, or if an "
        f"expression breaks a limit although the event is empty. At most {EVENT_MAX_RULES} enabled rules may fit one "
        "event. Requires the `admin` role.",
    )
    async def upsert_rule(self, info: Info, input: RuleInput) -> model.Rule:
        services, tenant = info.context.services, info.context.caller.tenant
        rule = to_rule(input, tenant, services.clock())
        await _check(services.rule_requests.compile(rule))
        return await services.rules.upsert(rule, info.context.audit("upsertRule", rule.key))

    @strawberry.mutation(
        directives=access(Caller.ADMIN),
        description="Delete a rule. Return true if it existed. Its scheduled sends remain. Requires the `admin` role.",
    )
    async def delete_rule(self, info: Info, key: str) -> bool:
        services, tenant = info.context.services, info.context.caller.tenant
        return await services.rules.delete(tenant, valid_key(key, "key"), info.context.audit("deleteRule", key))


async def _check(compilation: Awaitable[None]) -> None:
    """Convert an error of a rule to one that names the field of the input."""
    try:
        await compilation
    except RuleError as error:
        raise BadUserInput(f"{error}.", f"input.{error.field}") from None


def _event_values(event: object) -> dict[str, Any]:
    """Return an event of a test as rules read it. Raise BadUserInput or TooLarge."""
    text = exact_json.dumps(event, "event")
    if len(text) > TEST_EVENT_MAX_BYTES:
        raise TooLarge(f"An event has at most {TEST_EVENT_MAX_BYTES >> 10} KiB as JSON.", field="event")
    values = orjson.loads(text)
    if not isinstance(values, dict) or not isinstance(values.get("type"), str):
        raise BadUserInput("The event must be an object with `type`, a text.", "event")
    if not isinstance(values.get("source", ""), str):
        raise BadUserInput("`source` must be a text.", "event.source")
    return values
