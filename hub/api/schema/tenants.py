"""Tenants and their categories. Only admins change them."""

import re
from collections.abc import Callable

import strawberry
from msgspec.structs import replace
from strawberry import ID, Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.preferences import Category, Preferences, PreferencesInput, preference_changes
from hub.api.schema.scalars import Duration
from hub.api.schema.validation import valid_key, valid_label, valid_url
from hub.audience import preferences as preference_rules
from hub.errors import BadUserInput
from hub.model import NO_PREFERENCES
from hub.text import is_single_line

DESCRIPTION_MAX_CHARS = 1024
COLOR = re.compile("#[0-9a-fA-F]{6}")


def _name(root: Parent[model.Tenant]) -> str:
    return root.name or root.id


def _initial_preferences(root: Parent[model.Tenant], info: Info) -> preference_rules.Matrix:
    services = info.context.services
    return preference_rules.matrix(
        root.preferences, NO_PREFERENCES, root.categories, services.settings.configured, services.clock()
    )


@strawberry.type(description="The settings of a tenant.")
class Tenant:
    id: ID
    name: str = strawberry.field(resolver=_name, description="The name that emails and pages show. Default: the id.")
    logo_url: str | None = strawberry.field(description="The logo that emails show.")
    color: str | None = strawberry.field(description="The color of buttons in emails, as #rrggbb.")
    preferences: preference_rules.Matrix = strawberry.field(
        resolver=_initial_preferences,
        graphql_type=Preferences,
        description="The defaults of users who have not changed their preferences.",
    )


@strawberry.input(description="A category. It replaces the whole category: a field that is left out gets its default.")
class CategoryInput:
    key: str = strawberry.field(description="The key that sends name, at most 256 characters.")
    name: str = strawberry.field(description="The name to show to users, at most 256 characters.")
    default_channels: list[model.Channel] = strawberry.field(
        description="The channels of sends that name none. At least one."
    )
    description: str | None = strawberry.field(
        default=None, description=f"A text to show to users, at most {DESCRIPTION_MAX_CHARS:,} characters."
    )
    required: bool | None = strawberry.field(default=False, description="True if users must not disable or mute it.")
    priority: model.Priority | None = strawberry.field(
        default=model.Priority.MEDIUM, description="The priority of sends that name none."
    )
    retention: Duration | None = strawberry.field(
        default=None,
        description="How long notifications of the category are kept. It is stored, but not applied yet.",
    )


@strawberry.input(description="A change of a tenant. A field that is left out keeps its value. Null clears it.")
class TenantInput:
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="The name that emails and pages show, at most 256 characters."
    )
    logo_url: str | None = strawberry.field(
        default=strawberry.UNSET, description="An http(s) URL, or a path within your app."
    )
    color: str | None = strawberry.field(
        default=strawberry.UNSET, description="The color of buttons in emails, as #rrggbb."
    )
    preferences: PreferencesInput | None = strawberry.field(
        default=strawberry.UNSET, description="The defaults of users who have not changed their preferences."
    )


@strawberry.type
class TenantQuery:
    @strawberry.field(
        graphql_type=list[Category],
        description="Return the categories of the tenant, in the order of their creation. Users get them from "
        "`preferences`. Requires role `service` or `admin`.",
    )
    async def categories(self, info: Info) -> list[model.Category]:
        context = info.context
        return list((await context.services.tenants.get(context.require_service())).categories)

    @strawberry.field(graphql_type=Tenant, description="Return the tenant of the caller. Requires role `admin`.")
    async def tenant(self, info: Info) -> model.Tenant:
        context = info.context
        return await context.services.tenants.get(context.require_admin())


@strawberry.type
class TenantMutation:
    @strawberry.mutation(graphql_type=Category, description="Create or replace a category. Requires role `admin`.")
    async def upsert_category(self, info: Info, input: CategoryInput) -> model.Category:
        context = info.context
        return await context.services.tenants.upsert_category(context.require_admin(), _category_from_input(input))

    @strawberry.mutation(graphql_type=Tenant, description="Change the tenant of the caller. Requires role `admin`.")
    async def update_tenant(self, info: Info, input: TenantInput) -> model.Tenant:
        context = info.context
        id = context.require_admin()
        tenants = context.services.tenants
        return await tenants.change(id, _apply_tenant_input(input, await tenants.get(id)))


def _category_from_input(input: CategoryInput) -> model.Category:
    if not input.default_channels:
        raise BadUserInput("`defaultChannels` must name at least one channel.", "input.defaultChannels")
    if input.retention is not None and input.retention <= 0:
        raise BadUserInput("`retention` must be longer than zero.", "input.retention")
    description = input.description
    if description and (len(description) > DESCRIPTION_MAX_CHARS or not is_single_line(description)):
        raise BadUserInput(
            f"At most {DESCRIPTION_MAX_CHARS} characters and no control characters are allowed.", "input.description"
        )
    return model.Category(
        key=valid_key(input.key, "input.key"),
        name=valid_label(input.name, "input.name"),
        description=description,
        required=bool(input.required),
        default_channels=tuple(dict.fromkeys(input.default_channels)),
        priority=input.priority or model.Priority.MEDIUM,
        retention_s=input.retention,
    )


def _apply_tenant_input(input: TenantInput, current: model.Tenant) -> Callable[[model.Tenant], model.Tenant]:
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
    changes: preference_rules.Changes | None = preference_rules.Changes()
    if input.preferences is None:
        changes = None
    elif input.preferences is not strawberry.UNSET:
        changes = preference_changes(input.preferences, current, "input.preferences")

    def apply(tenant: model.Tenant) -> model.Tenant:
        preferences = NO_PREFERENCES if changes is None else preference_rules.apply_changes(tenant.preferences, changes)
        return replace(tenant, preferences=preferences, **values)

    return apply
