"""The audit log, and which mutations write to it."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.connections import After, First, PageInfo, sliced_page_fields
from hub.api.schema.scalars import JSON
from hub.api.schema.validation import valid_id_cursor, valid_page_size
from hub.platform.audit_changes import MAX_BYTES

DEFAULT_PAGE_SIZE = 50

READ_CONTENT = "readContent"
"""The action of entries about a caller in the role `support` or `operator` who read the content of messages."""
AUDITED = frozenset(
    {
        "cancelDeliveries",
        "createServiceKey",
        "createWebhook",
        "deleteCategory",
        "deleteRule",
        "deleteTemplate",
        "deleteUser",
        "deleteWebhook",
        "exportUser",
        "liftSuppression",
        "pauseChannel",
        "resumeChannel",
        "releaseRestored",
        "replay",
        "revertTemplate",
        "revokeServiceKey",
        "rotateEnrichmentSecret",
        "rotateWebhookSecret",
        "stopDeliveryBatch",
        "subscribeToTopic",
        "unsubscribeFromTopic",
        "updateTenant",
        "updateWebhook",
        "upsertCategory",
        "upsertRule",
        "upsertTemplate",
        "upsertTopic",
        "upsertUsers",
    }
)
"""The mutations that change configuration, credentials, or people. Each calls `Context.audit` with its name."""

OWN_INBOX = "It changes the caller's inbox."
OWN_SETTINGS = "It changes the caller's own preferences, devices, or subscriptions."
SENDS = "It sends, or changes what was sent."
NOT_AUDITED = {
    **dict.fromkeys(("markSeen", "markRead", "markUnread", "archive", "unarchive", "snooze", "unsnooze"), OWN_INBOX),
    **dict.fromkeys(
        ("pin", "unpin", "acknowledge", "act", "markAllSeen", "markAllRead", "archiveAll", "undoMarkAll"), OWN_INBOX
    ),
    **dict.fromkeys(("updatePreferences", "registerWebPush", "registerMobileDevice", "connectWebhook"), OWN_SETTINGS),
    **dict.fromkeys(("connectChat", "removeDevice", "leaveTopic", "rejoinTopic"), OWN_SETTINGS),
    **dict.fromkeys(("send", "sendMany", "cancelSend", "recallSend", "pauseSend", "resumeSend"), SENDS),
    **dict.fromkeys(("resolve", "testWebhook", "replayWebhookCalls", "publishEvent", "replayEvents"), SENDS),
}
"""The other mutations, with the reason. If the caller is `support` or `operator`, `staff_audit` writes an entry."""


def _changes(root: Parent[model.AuditEntry]) -> JSON | None:
    return root.changes  # type: ignore[return-value]


@strawberry.type(description="One change of configuration, credentials, or people. Entries are never changed.")
class AuditEntry:
    id: ID = strawberry.field(description="The id. Ids sort by time.")
    at: datetime = strawberry.field(description="The time of the change, by MongoDB's clock.")
    actor: str = strawberry.field(
        description="The user or key of the token, or the role of a token that names none. Of a command that changes "
        "the database directly, `cli:` and the name of the account. Of a user who was erased, `erased:` and a hash."
    )
    action: str = strawberry.field(description="The name of the mutation or command.")
    target: str | None = strawberry.field(
        description="The key or id of what was changed. Of a user who was erased, `erased:` and a hash."
    )
    request_id: str | None = strawberry.field(description="The id of the request, which its log lines also contain.")
    changes: JSON | None = strawberry.field(
        resolver=_changes,
        description="Of configuration, each changed field with its values `before` and `after`; secrets and the paths "
        f"of endpoints are `***`. Of people, the names of the changed `fields`. At most {MAX_BYTES >> 10} KiB: larger "
        "values are replaced by their size in `bytes`.",
    )


@strawberry.type(description="An entry in a page and its cursor.")
class AuditEdge:
    cursor: str = strawberry.field(description="The position of the entry. Pass it as `after` to get older entries.")
    node: AuditEntry = strawberry.field(description="The entry.")


@strawberry.type(description="A page of the audit log, newest first.")
class AuditConnection:
    edges: list[AuditEdge] = strawberry.field(description="The entries in the page, with their cursors.")
    nodes: list[AuditEntry] = strawberry.field(description="The entries in the page, without cursors.")
    page_info: PageInfo = strawberry.field(description="The position of the page in the log.")


@strawberry.input(description="Selects the entries of the audit log that match all fields.")
class AuditFilter:
    actor: str | None = strawberry.field(default=None, description="The actor. Null selects all.")
    action: str | None = strawberry.field(default=None, description="The name of the mutation or command.")
    target: str | None = strawberry.field(default=None, description="The key or id of what was changed.")
    since: datetime | None = strawberry.field(default=None, description="Only entries from this time on.")
    until: datetime | None = strawberry.field(default=None, description="Only entries before this time.")


@strawberry.type
class AuditQuery:
    @strawberry.field(
        description="Return the audit log: who changed configuration, credentials, and people. Entries are kept for "
        "`HUB_AUDIT_DAYS` (default 400) days. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def audit_log(
        self,
        info: Info,
        filter: Annotated[
            AuditFilter | None, strawberry.argument(description="The filter. Null returns all entries.")
        ] = None,
        first: First = DEFAULT_PAGE_SIZE,
        after: After = None,
    ) -> AuditConnection:
        context = info.context
        services, tenant = context.services, context.caller.tenant
        size = valid_page_size(first, DEFAULT_PAGE_SIZE, services.settings)
        given = filter or AuditFilter()
        query = model.AuditQuery(
            actor=given.actor, action=given.action, target=given.target, since=given.since, until=given.until
        )
        with context.reading():
            rows = await services.audit_log.list_page(tenant, query, size + 1, valid_id_cursor(after))
        return AuditConnection(**sliced_page_fields(rows, size, after))
