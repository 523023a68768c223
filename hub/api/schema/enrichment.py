"""The enrichment of categories: the types, the input, and the secret."""

import strawberry
from msgspec.structs import replace
from strawberry import Parent

from hub import model
from hub.api.context import Info, Services
from hub.api.schema.access import Caller, access
from hub.api.schema.scalars import Duration
from hub.api.schema.validation import public_url
from hub.enrichment.calls import ANSWER_MAX_BYTES, CRITICAL_TIMEOUT_S, TIMEOUT_MAX_S, CallFailed
from hub.errors import BadUserInput
from hub.ids import new_id
from hub.iso_duration import DAY_S
from hub.model import Role
from hub.platform.outbound_http import OutboundHTTP
from hub.workflows.send_request import SendRequest, enrichment_data

TTL_MAX_DAYS = 7
URL_DESCRIPTION = "A public http(s) URL with port 80 or 443. `HUB_EGRESS_ALLOW` allows private networks."
TTL_DESCRIPTION = (
    f"How long an answer is used again for sends with the same data, at most {TTL_MAX_DAYS} days. PT0S: never."
)
TIMEOUT_DESCRIPTION = (
    f"The time for the answer, at most {TIMEOUT_MAX_S} seconds. A CRITICAL send waits at most {CRITICAL_TIMEOUT_S} "
    "seconds."
)
FAILURE_DESCRIPTION = "What happens to a send if the call fails."


@strawberry.type(description="Where the data that templates read as `enriched` comes from.")
class Enrichment:
    url: str = strawberry.field(description="The URL that is called.")
    ttl_s: Duration = strawberry.field(name="ttl", description=TTL_DESCRIPTION)
    timeout_s: Duration = strawberry.field(name="timeout", description=TIMEOUT_DESCRIPTION)
    on_failure: model.EnrichmentFailure = strawberry.field(description=FAILURE_DESCRIPTION)


@strawberry.input(
    description="Where more data comes from. Before a send is decided, a worker sends its data to `url` in a signed "
    f"POST. The answer is a JSON object of at most {ANSWER_MAX_BYTES >> 10} KiB. Templates read it as `enriched`, and "
    "recipients never see it. There is one call per send."
)
class EnrichmentInput:
    url: str = strawberry.field(description=URL_DESCRIPTION)
    ttl: Duration | None = strawberry.field(default=Duration(0), description=TTL_DESCRIPTION)
    timeout: Duration | None = strawberry.field(default=Duration(5), description=TIMEOUT_DESCRIPTION)
    on_failure: model.EnrichmentFailure | None = strawberry.field(
        default=model.EnrichmentFailure.SEND, description=FAILURE_DESCRIPTION
    )


@strawberry.type(description="A secret.")
class SecretPayload:
    secret: str = strawberry.field(description="The secret. It is returned only by this operation.")


@strawberry.type
class EnrichmentMutation:
    @strawberry.mutation(
        description="Create a new secret, which signs the enrichment calls of all categories of the tenant. For one "
        "day, calls are also signed with the previous secret. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def rotate_enrichment_secret(self, info: Info) -> SecretPayload:
        context = info.context
        tenant, audit = context.caller.tenant, context.audit("rotateEnrichmentSecret")
        return SecretPayload(secret=await context.services.enrichment_secrets.rotate(tenant, audit))


def enrichment_of(root: Parent[model.Category], info: Info) -> model.Enrichment | None:
    """Return the enrichment of a category to administrators."""
    return root.enrichment if info.context.caller.role is Role.ADMIN else None


def to_enrichment(input: EnrichmentInput, outbound_http: OutboundHTTP, field: str) -> model.Enrichment:
    """Validate and convert an enrichment. `field` is the path of the input."""
    ttl_s = input.ttl or 0
    if ttl_s > TTL_MAX_DAYS * DAY_S:
        raise BadUserInput(f"`ttl` must be at most P{TTL_MAX_DAYS}D.", f"{field}.ttl")
    timeout_s = 5 if input.timeout is None else input.timeout
    if not 1 <= timeout_s <= TIMEOUT_MAX_S:
        raise BadUserInput(f"`timeout` must be from PT1S to PT{TIMEOUT_MAX_S}S.", f"{field}.timeout")
    return model.Enrichment(
        url=public_url(input.url, outbound_http, f"{field}.url"),
        ttl_s=ttl_s,
        timeout_s=timeout_s,
        on_failure=input.on_failure or model.EnrichmentFailure.SEND,
    )


async def simulated_enrichment(
    services: Services, tenant: model.Tenant, category: model.Category, request: SendRequest, *, call: bool
) -> tuple[SendRequest, str]:
    """Return the request with its enrichment, and a note if there is none. Without `call`, only a cached answer is
    used. Nothing is stored."""
    if category.enrichment is None:
        return request, ""
    data = enrichment_data(request)
    answer = await services.enrichment_cache.find(tenant.id, category, data) if category.enrichment.ttl_s else None
    if answer is None and call:
        priority, id = request.priority or category.priority, new_id(services.clock())
        result = await services.enrichment_calls.try_call(tenant, category, data, id, priority)
        if isinstance(result, CallFailed):
            effect = EFFECTS[category.enrichment.on_failure]
            if priority is model.Priority.CRITICAL and category.enrichment.on_failure is model.EnrichmentFailure.RETRY:
                effect = EFFECTS[model.EnrichmentFailure.FAIL]  # a CRITICAL send is not retried
            return request, f"The enrichment failed: {result.error}. {effect}"
        answer = result
    if answer is None:
        return request, "The enrichment is not cached, so the texts do without it. `enrich: true` calls its URL."
    return replace(request, enriched=answer), ""


EFFECTS = {
    model.EnrichmentFailure.SEND: "The send goes without it.",
    model.EnrichmentFailure.RETRY: "The call would be retried, and then the send would be FAILED.",
    model.EnrichmentFailure.FAIL: "The send would be FAILED.",
}
