"""Service keys. Keys are listed, created, and revoked by administrators."""

from datetime import datetime

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.validation import LABEL_MAX_CHARS, valid_label
from hub.audience.service_keys import REVOKED_DAYS, REVOKED_SHOWN_MAX, TENANT_MAX_KEYS
from hub.errors import BadUserInput
from hub.model import KeyRole, Scope


def _scopes(root: Parent[model.ServiceKey]) -> list[Scope]:
    return [scope for scope in Scope if scope in root.scopes]


@strawberry.type(description="A credential of a back end. It is sent as `authorization: Bearer hub_sk_...`.")
class ServiceKey:
    id: ID
    name: str
    role: KeyRole
    scopes: list[Scope] = strawberry.field(
        resolver=_scopes,
        description="The scopes that narrow the role. An empty list means everything that the role may do.",
    )
    preview: str = strawberry.field(description="The first characters of the key.")
    created_at: datetime
    created_by: str = strawberry.field(
        description="The id of the user whose token created the key, or the role of a token without a user."
    )
    last_used_at: datetime | None = strawberry.field(
        description="The minute of the last request. Null if the key was never used."
    )
    expires_at: datetime | None = strawberry.field(description="The expiry. Null if the key does not expire.")
    revoked_at: datetime | None = strawberry.field(description="The revocation. Null if the key is not revoked.")


@strawberry.type(description="A service key and its secret.")
class ServiceKeySecretPayload:
    key: model.ServiceKey = strawberry.field(graphql_type=ServiceKey)
    secret: str = strawberry.field(description="The key to send. It is returned only by this operation.")


@strawberry.input(description="A service key.")
class ServiceKeyInput:
    name: str = strawberry.field(description=f"A name for people, at most {LABEL_MAX_CHARS} characters.")
    role: KeyRole | None = strawberry.field(default=KeyRole.SERVICE, description="The role of the key.")
    scopes: list[Scope] | None = strawberry.field(
        default=None,
        description="The scopes that narrow the role. An empty list or null means everything that the role may do.",
    )
    expires_at: datetime | None = strawberry.field(
        default=None, description="The expiry, in the future. Null means that the key does not expire."
    )


@strawberry.type
class ServiceKeyQuery:
    @strawberry.field(
        graphql_type=list[ServiceKey],
        description=f"Return the service keys of the tenant: up to {TENANT_MAX_KEYS} that are not revoked, oldest "
        f"first, and the last {REVOKED_SHOWN_MAX} that were revoked within {REVOKED_DAYS} days. Requires the `admin` "
        "role.",
        directives=access(Caller.ADMIN),
    )
    async def service_keys(self, info: Info) -> list[model.ServiceKey]:
        return await info.context.services.service_keys.list_all(info.context.caller.tenant)


@strawberry.type
class ServiceKeyMutation:
    @strawberry.mutation(
        description=f"Create a service key. A tenant has at most {TENANT_MAX_KEYS} keys that are not revoked. Requires "
        "a token with the `admin` role. A service key cannot create keys.",
        directives=access(Caller.ADMIN, keys=False),
    )
    async def create_service_key(self, info: Info, input: ServiceKeyInput) -> ServiceKeySecretPayload:
        context = info.context
        tenant = context.caller.tenant
        if input.expires_at and input.expires_at <= context.services.real_clock():
            raise BadUserInput("`expiresAt` must be in the future.", "input.expiresAt")
        key, secret = await context.services.service_keys.create(
            tenant,
            valid_label(input.name, "input.name"),
            input.role or KeyRole.SERVICE,
            input.scopes or (),
            input.expires_at,
            context.caller.actor,
            context.audit("createServiceKey"),
        )
        return ServiceKeySecretPayload(key=key, secret=secret)

    @strawberry.mutation(
        graphql_type=ServiceKey,
        description="Revoke a service key. All processes reject it within a second, close its WebSockets, and end its "
        "event streams. Revoking a key again changes nothing. Requires a token with the `admin` role. A service key "
        "cannot revoke keys.",
        directives=access(Caller.ADMIN, keys=False),
    )
    async def revoke_service_key(self, info: Info, id: ID) -> model.ServiceKey:
        services = info.context.services
        audit = info.context.audit("revokeServiceKey", id)
        key = await services.service_keys.revoke(info.context.caller.tenant, id, audit)
        services.key_revocations.publish(key.id)
        return key
