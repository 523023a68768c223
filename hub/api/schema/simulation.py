"""`simulate`: the decisions for a send that is neither stored nor sent."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated

import strawberry
from msgspec.structs import replace
from strawberry import ID

from hub import markdown, model
from hub.api.context import Info, Services
from hub.api.schema.access import Caller, access
from hub.api.schema.enrichment import simulated_enrichment
from hub.api.schema.send_input import SendInput, to_send_request
from hub.api.schema.simulated_digests import load_digests
from hub.api.schema.validation import valid_page_size
from hub.audience.tenants import default_category
from hub.audience.users import unknown_user
from hub.decide.explanations import explain_decision
from hub.decide.plan import NO_CHANNELS, plan
from hub.decide.plan import Decision as PlannedDecision
from hub.decide.plan_times import with_times
from hub.decide.templates import TemplateError
from hub.decide.throttle import throttled
from hub.ids import new_id
from hub.inbox.window_counts import empty_count, throttle_id
from hub.model import DeliveryStatus, KeyRole, Reason, Scope, mailbox_of, user_of
from hub.workflows.send_request import SendRequest
from hub.workflows.send_texts import RenderTime, SendTexts

DEFAULT_RECIPIENTS = 20
MARKDOWN_CHANNELS = {
    *(model.Channel.IN_APP, model.Channel.WEBHOOK),
    *(model.Channel.SLACK, model.Channel.DISCORD, model.Channel.TEAMS),
}
"""The channels that receive the body with its markup."""


@strawberry.type(
    description="The decision for one recipient on one channel. If the channel delivers to devices, there is one for "
    "each device."
)
class Decision:
    channel: model.Channel
    device_id: ID | None = strawberry.field(
        description="The device that the delivery would go to, as in `Delivery.deviceId`. Null if the channel does not "
        "deliver to devices, if it is SKIPPED, and for a step that is not due: its devices are chosen then."
    )
    step: int = strawberry.field(description="The number of the step, as in `Delivery.step`.")
    unless: model.StepStop = strawberry.field(description="What stops the delivery, as in `Delivery.unless`.")
    outcome: model.DeliveryStatus = strawberry.field(
        description="ACCEPTED if the notification would be delivered on the channel now, HELD if it would be delivered "
        "at `dueAt`, or when the channel is resumed, SKIPPED if not at all, and FAILED if the text of the template "
        "cannot be rendered."
    )
    reason: str | None = strawberry.field(
        description="The reason that the channel is SKIPPED, such as NO_ADDRESS, HELD, or FAILED. Null if ACCEPTED."
    )
    due_at: datetime | None = strawberry.field(
        description="The time at which a HELD delivery would become due. Null otherwise, and if its channel is paused."
    )
    title: str | None = strawberry.field(description="The title on this channel. Null if SKIPPED or FAILED.")
    body: str | None = strawberry.field(description="The body on this channel. Null if SKIPPED or FAILED.")
    note: str | None = strawberry.field(
        default=None,
        description="A remark: the enrichment of the category is not cached, or a name may be misspelled, because the "
        "category or the user does not exist.",
    )

    @strawberry.field(
        description="A sentence in English that explains the outcome and the reason, for support staff and developers."
    )
    def explanation(self) -> str:
        return explain_decision(self.outcome, self.reason, self.channel)


@strawberry.type(description="The decisions for one recipient.")
class Simulation:
    user_id: ID = strawberry.field(description="The id of the recipient.")
    decisions: list[Decision] = strawberry.field(description="The decisions, one for each channel, device, and step.")


@strawberry.type
class SimulationQuery:
    @strawberry.field(
        description="Return the decisions of a send for each recipient, without storing or sending anything. "
        "Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def simulate(
        self,
        info: Info,
        input: SendInput,
        first: Annotated[
            int | None,
            strawberry.argument(
                description="The number of recipients to simulate, from 1 to `HUB_PAGE_MAX_ITEMS` (default 100)."
            ),
        ] = DEFAULT_RECIPIENTS,
        enrich: Annotated[
            bool | None,
            strawberry.argument(
                description="True to call the enrichment of the category. Otherwise, only a cached answer is used, and "
                "`Decision.note` says so if there is none."
            ),
        ] = False,
    ) -> list[Simulation]:
        context = info.context
        services, now = context.services, context.services.clock()
        id = context.caller.tenant
        request = to_send_request(input, services.settings, now, "input")
        size = valid_page_size(first, DEFAULT_RECIPIENTS, services.settings)
        return await simulate_request(services, id, request, size, now, enrich=bool(enrich))


async def simulate_request(
    services: Services, id: str, request: SendRequest, size: int, now: datetime, *, enrich: bool = False
) -> list[Simulation]:
    """Return the decisions of a send of a tenant for its first `size` recipients. `enrich`: call the enrichment of the
    category."""
    later_at = request.send_at if request.send_at and request.send_at > now else None
    at = later_at or now
    recipients = await _first_recipients(services, id, request, size)
    tenant = await services.tenants.get(id)
    stored = await services.users.get_many(recipients)
    users = [stored.get(mailbox) or unknown_user(mailbox, now) for mailbox in recipients]
    category = (known_category := tenant.category(request.category)) or default_category(request.category)
    request, enrichment_note = await simulated_enrichment(services, tenant, category, request, call=enrich)
    texts = await services.send_texts.load(id, request, now, "input") if request.template else None
    configured = services.settings.configured
    opt_outs = await services.opt_outs.opted_out({user.phone for user in users if user.phone})
    throttle = request.throttle
    ids = [throttle_id(mailbox, throttle.key) for mailbox in recipients] if throttle else []
    counts = await services.window_counts.get_many(ids) if ids else {}
    digests = await load_digests(services, request, category, tenant, users, now, later_at)
    mailboxes = await services.inboxes.get_mailboxes(recipients)

    render_time = RenderTime(len(users), "input")

    async def simulate_decision(user: model.User, notification: str, decision: PlannedDecision) -> list[Decision]:
        if decision.outcome is DeliveryStatus.SKIPPED:
            return _to_decisions(decision, None)
        if texts is None:
            return _to_decisions(decision, request.content)
        return _to_decisions(decision, await _render(texts, render_time, user, notification, decision.channel))

    simulations = []
    for user in users:
        opted_out = opt_outs.get(user.phone or "", NO_CHANNELS)
        planned = plan(request.requested, category, tenant.preferences, user, configured, at, opted_out)
        if throttle:
            count_id = throttle_id(user.id, throttle.key)
            counted = counts.get(count_id) or empty_count(count_id, at)
            planned, _ = throttled(throttle, planned, category, tenant, user, counted, at)
        planned = digests.gather(planned, user.id)
        mailbox = mailboxes.get(user.id)
        planned = with_times(planned, category, tenant, user, at, request.expires_at, mailbox).plan
        notification = new_id(now)
        decisions = [
            simulated
            for decision in planned.decisions
            for simulated in await simulate_decision(user, notification, _waiting(decision, tenant, later_at))
        ]
        has_user = bool(mailbox) or user.id in stored
        _set_note(decisions, enrichment_note, has_category=bool(known_category), has_user=has_user)
        simulations.append(Simulation(user_id=ID(user.user_id), decisions=decisions))
    return simulations


async def _first_recipients(services: Services, tenant: str, request: SendRequest, size: int) -> list[str]:
    """Return the keys of the first recipients of a send."""
    if request.audience is None:
        return [mailbox_of(tenant, user) for user in request.users[:size]]
    await services.recipients.check(tenant, request.audience, "input")
    found = await services.recipients.list_first(tenant, request.audience, size + len(request.excluded))
    return [key for key in found if user_of(key) not in request.excluded][:size]


def _set_note(decisions: Sequence[Decision], enrichment: str, *, has_category: bool, has_user: bool) -> None:
    """Note that the enrichment is missing, and which of the names do not exist."""
    notes = (
        enrichment,
        "" if has_category else "The category does not exist and would be created.",
        "" if has_user else "The user does not exist and would be created.",
    )
    note = " ".join(filter(None, notes)) or None
    for decision in decisions:
        decision.note = note


async def _render(
    texts: SendTexts, render_time: RenderTime, user: model.User, notification: str, channel: model.Channel
) -> model.Content | TemplateError:
    """Return the content of a notification on a channel, or the error. Let other calls run if rendering takes long."""
    content = partial(texts.content, user, notification, channel)
    return await render_time.run(content, slow=texts.is_slow(user, notification, channel))


def _waiting(decision: PlannedDecision, tenant: model.Tenant, at: datetime | None) -> PlannedDecision:
    """Return the decision. If the send is scheduled for `at`, a delivery that leaves then is HELD until then. If the
    channel is paused, a delivery that would leave now is HELD until the channel is resumed."""
    if decision.outcome is not DeliveryStatus.ACCEPTED:
        return decision
    if at is None:
        is_paused = tenant.is_paused(decision.channel)
        return replace(decision, outcome=DeliveryStatus.HELD, reason=Reason.PAUSED) if is_paused else decision
    return replace(decision, outcome=DeliveryStatus.HELD, reason=Reason.SCHEDULED, due_at=at)


def _to_decisions(decision: PlannedDecision, content: model.Content | TemplateError | None) -> list[Decision]:
    """Return one decision per device, or one without a device."""
    failed = isinstance(content, TemplateError)
    devices = decision.devices if decision.outcome is not DeliveryStatus.SKIPPED else ()
    return [
        Decision(
            channel=decision.channel,
            device_id=ID(device) if device else None,
            step=decision.step,
            unless=decision.unless,
            outcome=DeliveryStatus.FAILED if failed else decision.outcome,
            reason=Reason.TEMPLATE_ERROR if failed else decision.reason,
            due_at=decision.due_at,
            title=content.title if isinstance(content, model.Content) else None,
            body=_body(content, decision.channel) if isinstance(content, model.Content) else None,
        )
        for device in devices or (None,)
    ]


def _body(content: model.Content, channel: model.Channel) -> str:
    return markdown.plain_text(content.body) if content.markdown and channel not in MARKDOWN_CHANNELS else content.body
