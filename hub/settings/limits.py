"""Limits of requests, operations, and inputs."""

from pathlib import Path

from pydantic import BaseModel, Field

from hub.settings.types import COUNT_MAX, DAYS_MAX, Count, PositiveCount, PositiveSeconds, WholeSeconds


class RequestSettings(BaseModel):
    """Limits of requests and connections."""

    request_max_bytes: PositiveCount = Field(1 << 20, description="Maximum size of an HTTP request body.")
    send_many_max_bytes: PositiveCount = Field(
        4 << 20, description="Maximum size of an HTTP request body with a `sendMany` mutation."
    )
    request_timeout_s: PositiveSeconds = Field(30, description="Time in which a client must send a complete request.")
    write_timeout_s: PositiveSeconds = Field(
        20, description="Time after which a client that does not read its pending data is disconnected."
    )
    address_max_connections: Count = Field(
        1000, description="Maximum number of connections from one client address to one process; 0 is unlimited."
    )
    user_max_connections: Count = Field(
        20, description="Maximum number of open WebSockets and event streams of one user in one process."
    )
    websocket_message_max_bytes: PositiveCount = Field(
        64 << 10, description="Maximum size of a WebSocket message from a client."
    )
    websocket_max_subscriptions: Count = Field(20, description="Maximum number of open subscriptions on one WebSocket.")
    websocket_init_timeout_s: PositiveSeconds = Field(
        10, description="Time in which a WebSocket client must send `connection_init`."
    )
    websocket_ping_interval_s: PositiveSeconds = Field(20, description="Time between two pings on an open WebSocket.")
    websocket_ping_timeout_s: PositiveSeconds = Field(
        20, description="Time in which a WebSocket client must respond to a ping."
    )
    tenant_max_receipt_streams: Count = Field(
        10, description="Maximum number of open receipt subscriptions of one tenant in one process."
    )
    receipt_max_streams: Count = Field(
        100, description="Maximum number of open receipt subscriptions of all tenants in one process."
    )
    tenant_max_send_watchers: Count = Field(
        100, description="Maximum number of open subscriptions to sends of one tenant in one process."
    )


class QuerySettings(BaseModel):
    """Limits of GraphQL operations."""

    query_max_chars: PositiveCount = Field(
        100_000, description="Maximum length of the text of a GraphQL operation; pass long values as variables."
    )
    query_max_tokens: PositiveCount = Field(1000, description="Maximum number of tokens in an operation.")
    query_max_depth: PositiveCount = Field(
        12,
        description="Maximum number of nested field levels in an operation; an introspection query may have twice as "
        "many.",
    )
    query_max_fields: PositiveCount = Field(
        2000, description="Maximum number of fields in an operation after its fragments are expanded."
    )
    query_max_root_fields: PositiveCount = Field(10, description="Maximum number of root fields in an operation.")
    query_max_cost: int = Field(
        10_000,
        ge=100,
        le=COUNT_MAX,
        description="Maximum cost of an operation: objects and a tenth of plain fields, multiplied by page sizes.",
    )
    query_max_pages: PositiveCount = Field(
        20, description="Maximum number of inboxes and other paged lists that one operation reads."
    )
    operation_allowlist: Path | None = Field(
        None, description="Manifest of allowed operations; if set, all other operations are rejected."
    )
    persisted_max_queries: PositiveCount = Field(
        1000, description="Maximum number of automatic persisted queries that are stored."
    )
    persisted_query_days: int = Field(
        7, ge=1, le=DAYS_MAX, description="Days that an automatic persisted query is stored after it was last used."
    )
    fast_execution: bool = Field(
        True,
        description="Execute common operations without most of graphql-core; set `false` to bypass this while "
        "debugging.",
    )


class RateLimitSettings(BaseModel):
    """Rate limits of requests."""

    rate_limit_window_s: WholeSeconds = Field(
        10, description="Length of the sliding window of the request rate limits."
    )
    rate_limit_per_user: Count = Field(
        1000, description="Maximum number of operations of one user in the window; 0 is unlimited."
    )
    rate_limit_per_service: Count = Field(
        0, description="Maximum number of operations of one service in the window; 0 is unlimited."
    )
    rate_limit_per_tenant: Count = Field(
        0, description="Maximum number of operations of one tenant in the window; 0 is unlimited."
    )
    rate_limit_overall: Count = Field(
        0, description="Maximum number of operations of all callers in the window; 0 is unlimited."
    )
    rate_limit_cost_per_user: Count = Field(
        100_000, description="Maximum total cost of one user's operations in the window; 0 is unlimited."
    )
    rate_limit_cost_per_service: Count = Field(
        500_000, description="Maximum total cost of one service's operations in the window; 0 is unlimited."
    )
    rate_limit_per_link: Count = Field(
        100,
        description="Maximum number of requests to one link in emails or push messages in the window; 0 is unlimited.",
    )


class ContentSettings(BaseModel):
    """Limits of inputs and stored objects."""

    notification_title_max_chars: PositiveCount = Field(256, description="Maximum length of a notification's title.")
    notification_body_max_bytes: Count = Field(16 << 10, description="Maximum size of a notification's body.")
    notification_data_max_bytes: Count = Field(
        32 << 10, description="Maximum size of a notification's `data`, as JSON."
    )
    call_max_users: PositiveCount = Field(1000, description="Maximum number of users that one call may name.")
    call_max_sends: PositiveCount = Field(1000, description="Maximum number of sends in one `sendMany` call.")
    call_max_ids: PositiveCount = Field(1000, description="Maximum number of ids that one call may name.")
    page_max_items: PositiveCount = Field(100, description="Maximum number of items on one page.")
    tenant_max_categories: Count = Field(200, description="Maximum number of categories of one tenant.")
    tenant_max_topics: Count = Field(10_000, description="Maximum number of topics of one tenant.")
    tenant_max_webhooks: Count = Field(20, description="Maximum number of webhook endpoints of one tenant.")
    user_max_devices: Count = Field(
        20, description="Maximum number of browsers, apps, and personal webhooks of one user."
    )
    user_max_topics: Count = Field(
        1000, description="Maximum number of topics that one user is subscribed to or has left."
    )
    export_max_items: Count = Field(
        100_000,
        description="Maximum number of items of each list in the export of one user's data.",
    )
    search_max_notifications: Count = Field(
        10_000, description="Maximum number of notifications that a search reads, starting with the newest."
    )
