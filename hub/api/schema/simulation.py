"""`simulate`: what a send would do, with nothing stored and nothing sent."""

from datetime import datetime

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Info
from hub.api.schema.inputs import SendInput, to_send_request, valid_page_size
from hub.audience.tenants import default_category
from hub.audience.users import unknown_user
from hub.decide.plan import Decision as Decided
from hub.decide.plan import plan
from hub.model import DeliveryStatus, User, mailbox_of


@strawberry.type(
    description="What would become of a send on one channel: `title` and `body` as they would be read there."
)
class Decision:
    channel: model.Channel
    outcome: model.DeliveryStatus
    reason: str | None
    due_at: datetime | None
    title: str | None
    body: str | None


@strawberry.type(description="One recipient, with a decision for every channel.")
class Simulation:
    user_id: ID
    decisions: list[Decision]


@strawberry.type
class SimulationQuery:
    @strawberry.field(
        description="Role service and up. What would happen to this send, recipient by recipient, with nothing stored "
        "and nothing sent."
    )
    async def simulate(self, info: Info, input: SendInput, first: int | None = 20) -> list[Simulation]:
        context = info.context
        services, now = context.services, context.services.clock()
        id = context.require_service()
        request = to_send_request(input, services.settings, now, "input")
        named = request.users[: valid_page_size(first, 20, services.settings)]
        tenant = await services.tenants.get(id)
        people = await services.users.get_many([mailbox_of(id, user) for user in named])
        category = tenant.category(request.category) or default_category(request.category)

        def decided(user: User) -> tuple[Decided, ...]:
            return plan(
                request.requested, category, tenant.preferences, user, services.settings.configured, now
            ).decisions

        def told(decision: Decided) -> Decision:
            goes = decision.outcome is not DeliveryStatus.SKIPPED
            return Decision(
                channel=decision.channel,
                outcome=decision.outcome,
                reason=decision.reason,
                due_at=None,
                title=request.content.title if goes else None,
                body=request.content.body if goes else None,
            )

        return [
            Simulation(user_id=ID(user), decisions=[told(decision) for decision in decided(somebody)])
            for user in named
            for somebody in [people.get(mailbox_of(id, user)) or unknown_user(mailbox_of(id, user), now)]
        ]
