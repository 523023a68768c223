"""Tenants and categories. Only admins can change them."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import strawberry
from msgspec.structs import replace
from strawberry import ID, Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.enrichment import EnrichmentInput, to_enrichment
from hub.api.schema.preferences import Category, Preferences, PreferencesInput, preference_changes
from hub.api.schema.scalars import Duration
from hub.api.schema.send_input import DIGEST_MAX_DAYS, DIGEST_MIN_S, valid_digest_window
from hub.api.schema.steps import STEPS_MAX, StepInput, to_steps
from hub.api.schema.validation import (
    DESCRIPTION_MAX_CHARS,
    valid_description,
    valid_key,
    valid_label,
    valid_locale,
    valid_timezone,
    valid_url,
)
from hub.audience import preference_matrix as preference_rules
from hub.decide.reach import Reachability
from hub.errors import BadUserInput
from hub.model import DEFAULT_LOCALE, DEFAULT_TIMEZONE, NO_PREFERENCES, KeyRole, Scope
from hub.platform.outbound_http import OutboundHTTP

COLOR = re.compile("#[0-9a-fA-F]{6}")


def _name(root: Parent[model.Tenant]) -> str:
    return root.name or root.id


def _initial_preferences(root: Parent[model.Tenant], info: Info) -> preference_rules.Matrix:
    services = info.context.services
    reachability = Reachability(services.settings.configured, root.used_channels)
    return preference_rules.matrix(
        root.preferences, NO_PREFERENCES, root.categories, reachability, services.clock(), root.timezone
    )


@strawberry.type(description="The settings of a tenant.")
class Tenant:
    id: ID
    name: str = strawberry.field(
        resolver=_name, description="The name that is shown in emails and pages. Defaults to the id."
    )
    logo_url: str | None = strawberry.field(description="The URL of the logo that is shown in emails.")
    color: str | None = strawberry.field(description="The color of buttons in emails, in the format #rrggbb.")
    timezone: str = strawberry.field(
        description="The IANA time zone of users who have none of their own. UTC if never set."
    )
    locale: str = strawberry.field(
        description="The BCP 47 tag of the language of users who have none of their own. `en` if never set."
    )
    preferences: preference_rules.Matrix = strawberry.field(
        resolver=_initial_preferences,
        graphql_type=Preferences,
        description="The default preferences of users who have not changed them.",
    )


@strawberry.input(
    description="A category. An existing category with the same key is replaced as a whole: omitted fields are set "
    "to their defaults."
)
class CategoryInput:
    key: str = strawberry.field(description="The key that identifies the category in sends, at most 256 characters.")
    name: str = strawberry.field(description="The display name of the category, at most 256 characters.")
    default_channels: list[model.Channel] = strawberry.field(
        description="The channels of a send that does not specify `channels`. At least one channel is required."
    )
    description: str | None = strawberry.field(
        default=None,
        description=f"The display text that describes the category, at most {DESCRIPTION_MAX_CHARS:,} characters.",
    )
    required: bool | None = strawberry.field(
        default=False, description="True to prevent users from disabling or muting the category."
    )
    priority: model.Priority | None = strawberry.field(
        default=model.Priority.MEDIUM, description="The priority of a send that does not specify `priority`."
    )
    steps: list[StepInput] | None = strawberry.field(
        default=None,
        description=f"The steps of a send that specifies neither `channels` nor `steps`, at most {STEPS_MAX}. They are "
        "used instead of `defaultChannels`.",
    )
    retention: Duration | None = strawberry.field(
        default=None,
        description="The time for which notifications are kept in the inboxes, counted from the send. Null keeps them "
        "until they expire. A changed value applies to new sends.",
    )
    digest: Duration | None = strawberry.field(
        default=None,
        description="The window in which deliveries of sends without `digest` are gathered per recipient and channel, "
        f"from {DIGEST_MIN_S} seconds to {DIGEST_MAX_DAYS} days. Null gathers nothing.",
    )
    enrichment: EnrichmentInput | None = strawberry.field(
        default=None, description="Where to fetch more data for the templates before a send is decided."
    )


@strawberry.input(description="A change to a tenant. An omitted field keeps its value. Null clears a field.")
class TenantInput:
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="The name that is shown in emails and pages, at most 256 characters."
    )
    logo_url: str | None = strawberry.field(
        default=strawberry.UNSET, description="The URL of the logo: an http(s) URL, or a path within your app."
    )
    color: str | None = strawberry.field(
        default=strawberry.UNSET, description="The color of buttons in emails, in the format #rrggbb."
    )
    timezone: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The time zone of users who have none of their own, as an IANA name such as Europe/Berlin. Null "
        "restores UTC.",
    )
    locale: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The language of users who have none of their own, as a BCP 47 tag such as de or pt-BR. Null "
        "restores `en`.",
    )
    preferences: PreferencesInput | None = strawberry.field(
        default=strawberry.UNSET, description="The default preferences of users who have not changed them."
    )


@strawberry.type
class TenantQuery:
    @strawberry.field(
        graphql_type=list[Category],
        description="Return the categories of the tenant in the order of creation. Users can read the categories in "
        "`preferences`. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def categories(self, info: Info) -> list[model.Category]:
        context = info.context
        return list((await context.services.tenants.get(context.caller.tenant)).categories)

    @strawberry.field(
        graphql_type=Tenant,
        description="Return the caller's tenant. Requires the `admin` role.",
        directives=access(Caller.ADMIN, Scope.READ, staff=KeyRole.OPERATOR),
    )
    async def tenant(self, info: Info) -> model.Tenant:
        context = info.context
        return await context.services.tenants.get(context.caller.tenant)


@strawberry.type
class TenantMutation:
    @strawberry.mutation(
        graphql_type=Category,
        description="Create or replace a category. The input replaces the whole category: a field that you omit "
        "returns to its default. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def upsert_category(
        self,
        info: Info,
        input: CategoryInput,
        apply_retention: Annotated[
            bool | None,
            strawberry.argument(
                description="True to apply `retention` also to the notifications of earlier sends, in the background."
            ),
        ] = False,
    ) -> model.Category:
        services, tenant = info.context.services, info.context.caller.tenant
        category = _category_from_input(input, services.outbound_http)
        parameters = {"applyRetention": True} if apply_retention else None
        audit = info.context.audit("upsertCategory", category.key, parameters=parameters)
        if category.enrichment:
            await services.enrichment_secrets.ensure(await services.tenants.get(tenant))
        category = await services.tenants.upsert_category(tenant, category, audit)
        if category.enrichment is None:
            await services.enrichment_cache.delete(tenant, category.key)
        if apply_retention:
            await services.retention.apply_to_earlier(tenant, category.key, category.retention_s)
        return category

    @strawberry.mutation(
        description="Delete a category. Notifications of it remain. A later send to the same key creates the category "
        "again, with defaults. What users chose for it is kept and then applies again. Return true if the category "
        "existed. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def delete_category(self, info: Info, key: str) -> bool:
        context = info.context
        tenant = context.caller.tenant
        audit = context.audit("deleteCategory", key)
        existed = await context.services.tenants.delete_category(tenant, valid_key(key, "key"), audit)
        await context.services.enrichment_cache.delete(tenant, key)
        return existed

    @strawberry.mutation(
        graphql_type=Tenant,
        description="Change the caller's tenant. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def update_tenant(self, info: Info, input: TenantInput) -> model.Tenant:
        context = info.context
        id = context.caller.tenant
        tenants = context.services.tenants
        now = context.services.clock()
        step = _apply_tenant_input(input, await tenants.get(id), now)
        return await tenants.change(id, step, context.audit("updateTenant", id))


def _category_from_input(input: CategoryInput, outbound_http: OutboundHTTP) -> model.Category:
    if not input.default_channels:
        raise BadUserInput("`defaultChannels` must name at least one channel.", "input.defaultChannels")
    if input.retention is not None and input.retention <= 0:
        raise BadUserInput("`retention` must be longer than zero.", "input.retention")
    return model.Category(
        key=valid_key(input.key, "input.key"),
        name=valid_label(input.name, "input.name"),
        description=valid_description(input.description, "input.description"),
        required=bool(input.required),
        default_channels=tuple(dict.fromkeys(input.default_channels)),
        priority=input.priority or model.Priority.MEDIUM,
        retention_s=input.retention,
        digest_s=valid_digest_window(input.digest, "input.digest"),
        steps=to_steps(input.steps or (), "input.steps", require_ack=False),
        enrichment=to_enrichment(input.enrichment, outbound_http, "input.enrichment") if input.enrichment else None,
    )


def _apply_tenant_input(
    input: TenantInput, current: model.Tenant, now: datetime
) -> Callable[[model.Tenant], model.Tenant]:
    """Return a function that applies the input to a tenant."""
    values: dict[str, str | None] = {}
    if input.name is not strawberry.UNSET:
        values["name"] = "" if input.name is None else valid_label(input.name, "input.name")
    if input.logo_url is not strawberry.UNSET:
        values["logo_url"] = valid_url(input.logo_url, "input.logoUrl")
    if input.color is not strawberry.UNSET:
        if input.color is not None and not COLOR.fullmatch(input.color):
            raise BadUserInput("A color must have the form #rrggbb.", "input.color")
        values["color"] = input.color
    if input.timezone is not strawberry.UNSET:
        values["timezone"] = valid_timezone(input.timezone, "input.timezone") or DEFAULT_TIMEZONE
    if input.locale is not strawberry.UNSET:
        values["locale"] = valid_locale(input.locale, "input.locale") or DEFAULT_LOCALE
    changes: preference_rules.Changes | None = preference_rules.Changes()
    if input.preferences is None:
        changes = None
    elif input.preferences is not strawberry.UNSET:
        timezone = values.get("timezone") or current.timezone
        changes = preference_changes(input.preferences, current, timezone, now, "input.preferences")

    def apply(tenant: model.Tenant) -> model.Tenant:
        preferences = NO_PREFERENCES if changes is None else preference_rules.apply_changes(tenant.preferences, changes)
        return replace(tenant, preferences=preferences, **values)

    return apply
