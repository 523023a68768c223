"""Tenants and their categories: settings that only an admin changes."""

import re
from collections.abc import Callable

import strawberry
from msgspec.structs import replace
from strawberry import ID, Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.fast_inputs import fast_input
from hub.api.schema.inputs import valid_key, valid_label, valid_url
from hub.api.schema.preferences import Category, Preferences, PreferencesInput, preference_changes
from hub.api.schema.scalars import Duration
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


@strawberry.type(description="How the tenant is set up and looks.")
class Tenant:
    id: ID
    name: str = strawberry.field(resolver=_name)
    logo_url: str | None
    color: str | None
    preferences: preference_rules.Matrix = strawberry.field(
        resolver=_initial_preferences, graphql_type=Preferences, description="What its people start from."
    )


@fast_input
@strawberry.input
class CategoryInput:
    key: str
    name: str
    default_channels: list[model.Channel]
    description: str | None = None
    required: bool | None = False
    priority: model.Priority | None = model.Priority.MEDIUM
    retention: Duration | None = None


@fast_input
@strawberry.input(description="Absent leaves as it is, null clears. `preferences`: what users start from.")
class TenantInput:
    name: str | None = strawberry.UNSET
    logo_url: str | None = strawberry.UNSET
    color: str | None = strawberry.field(default=strawberry.UNSET, description="#rrggbb")
    preferences: PreferencesInput | None = strawberry.UNSET


@strawberry.type
class TenantQuery:
    @strawberry.field(
        graphql_type=list[Category],
        description="Role service and up. In the order they were made; users find them in their preferences.",
    )
    async def categories(self, info: Info) -> list[model.Category]:
        context = info.context
        return list((await context.services.tenants.get(context.require_service())).categories)

    @strawberry.field(graphql_type=Tenant, description="Role admin.")
    async def tenant(self, info: Info) -> model.Tenant:
        context = info.context
        return await context.services.tenants.get(context.require_admin())


@strawberry.type
class TenantMutation:
    @strawberry.mutation(
        graphql_type=Category, description="Role admin. The whole of it: what is left out has its default."
    )
    async def upsert_category(self, info: Info, input: CategoryInput) -> model.Category:
        context = info.context
        return await context.services.tenants.upsert_category(context.require_admin(), _category_from_input(input))

    @strawberry.mutation(graphql_type=Tenant, description="Role admin.")
    async def update_tenant(self, info: Info, input: TenantInput) -> model.Tenant:
        context = info.context
        id = context.require_admin()
        tenants = context.services.tenants
        return await tenants.change(id, _apply_tenant_input(input, await tenants.get(id)))


def _category_from_input(given: CategoryInput) -> model.Category:
    if not given.default_channels:
        raise BadUserInput("Name at least one channel.", "input.defaultChannels")
    if given.retention is not None and given.retention <= 0:
        raise BadUserInput("A retention is longer than nothing.", "input.retention")
    description = given.description
    if description and (len(description) > DESCRIPTION_MAX_CHARS or not is_single_line(description)):
        raise BadUserInput(
            f"At most {DESCRIPTION_MAX_CHARS} characters, and no control characters.", "input.description"
        )
    return model.Category(
        key=valid_key(given.key, "input.key"),
        name=valid_label(given.name, "input.name"),
        description=description,
        required=bool(given.required),
        default_channels=tuple(dict.fromkeys(given.default_channels)),
        priority=given.priority or model.Priority.MEDIUM,
        retention_s=given.retention,
    )


def _apply_tenant_input(given: TenantInput, known: model.Tenant) -> Callable[[model.Tenant], model.Tenant]:
    """Return a function that applies the input to a tenant."""
    values: dict[str, str | None] = {}
    if given.name is not strawberry.UNSET:
        values["name"] = "" if given.name is None else valid_label(given.name, "input.name")
    if given.logo_url is not strawberry.UNSET:
        values["logo_url"] = valid_url(given.logo_url, "input.logoUrl")
    if given.color is not strawberry.UNSET:
        if given.color is not None and not COLOR.fullmatch(given.color):
            raise BadUserInput("A colour is #rrggbb.", "input.color")
        values["color"] = given.color
    changes: preference_rules.Changes | None = preference_rules.Changes()
    if given.preferences is None:
        changes = None
    elif given.preferences is not strawberry.UNSET:
        changes = preference_changes(given.preferences, known, "input.preferences")

    def step(tenant: model.Tenant) -> model.Tenant:
        start = NO_PREFERENCES if changes is None else preference_rules.apply_changes(tenant.preferences, changes)
        return replace(tenant, preferences=start, **values)

    return step
