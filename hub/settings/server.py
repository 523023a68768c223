"""Settings of the stores, the HTTP server, and access tokens."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr

from hub.settings.types import (
    AttributeNames,
    CloudWatchNamespace,
    Count,
    DatabaseName,
    Days,
    EncryptionKeys,
    HeaderToken,
    Networks,
    Origins,
    Port,
    PositiveCount,
    PositiveSeconds,
    Seconds,
    SecretKeys,
    URLToFetch,
    WorkerCount,
)


class StoreSettings(BaseModel):
    """MongoDB and Redis."""

    mongo_url: str = Field(
        "mongodb://127.0.0.1:27017/?replicaSet=hub", description="Address of the MongoDB replica set."
    )
    mongo_database: DatabaseName = Field("hub", description="Name of the MongoDB database.")
    redis_url: str = Field("redis://127.0.0.1:6379", description="Address of the Redis server.")
    redis_prefix: str = Field(
        "{hub}:",
        description="Prefix of every Redis key and channel; hubs that share a Redis server must use different "
        "prefixes; in cluster mode, the prefix must contain a hash tag such as `{hub}`.",
    )
    encryption_keys: EncryptionKeys = Field(
        (),
        description="Keys that encrypt stored credentials, each as `id:base64` with 32 bytes; the first key encrypts, "
        "all keys decrypt; if empty, credentials are stored as they are.",
    )
    mongod: Path | None = Field(None, description="Path of the `mongod` program that `hub dev` starts.")
    redis_server: Path | None = Field(None, description="Path of the `redis-server` program that `hub dev` starts.")


class ServerSettings(BaseModel):
    """The HTTP server and the processes."""

    host: str = Field("127.0.0.1", description="Address that the HTTP server listens on.")
    port: Port = Field(8000, description="Port that the HTTP server listens on.")
    mode: Literal["production", "development"] = Field(
        "production",
        description="In `development`, the hub serves the demo page and captures messages of channels without a "
        "provider.",
    )
    allowed_origins: Origins = Field(
        (), description="Browser origins that may call the API, such as `https://app.example.org`."
    )
    trusted_proxies: Networks = Field(
        (), description="Addresses and networks of proxies whose `X-Forwarded-For` is trusted, such as `10.0.0.0/24`."
    )
    ssl_certfile: Path | None = Field(
        None, description="PEM file with the certificate and its chain; if set, `hub serve` uses HTTPS."
    )
    ssl_keyfile: Path | None = Field(
        None, description="PEM file with the private key, if it is not in `HUB_SSL_CERTFILE`."
    )
    ssl_keyfile_password: SecretStr | None = Field(None, description="Password of the private key.")
    ssl_ca_certs: Path | None = Field(
        None,
        description="PEM file with CA certificates; if set, clients must present a certificate signed by one of "
        "these CAs.",
    )
    metrics_token: HeaderToken = Field(
        SecretStr(""), description="Bearer token that `/metrics` requires; if empty, `/metrics` requires no token."
    )
    work_port: Port | None = Field(
        None, description="Port on which `hub work` and `hub intake` serve `/metrics`, `/healthz`, and `/readyz`."
    )
    workers: WorkerCount = Field(
        1,
        description="Number of processes that `hub serve` and `hub work` run; they share the port, and one that ends "
        "is started again.",
    )
    drain_s: Seconds = Field(
        5,
        description="Time over which `hub serve` closes its WebSockets and event streams after SIGTERM, which spreads "
        "the reconnections of clients.",
    )
    cloudwatch_namespace: CloudWatchNamespace = Field(
        "",
        description="Namespace of Amazon CloudWatch, such as `NotificationHub`; if set, `hub serve` and `hub work` "
        "write a line with their metrics to stdout every minute.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest severity level that is logged."
    )


class AuthSettings(BaseModel):
    """Access tokens."""

    jwt_secret: SecretKeys = Field(
        (),
        description="HS256 keys of at least 32 bytes, separated by spaces during rotation; the first key signs.",
    )
    jwks_url: URLToFetch = Field("", description="URL of the JSON Web Key Set that is used to verify access tokens.")
    jwt_issuer: str = Field("", description="Required `iss` claim of access tokens; if empty, any issuer is accepted.")
    jwt_audience: str = Field(
        "", description="Required `aud` claim of access tokens; if empty, any audience is accepted."
    )
    console_oidc_client_id: str = Field(
        "",
        description="Client id of the console at `HUB_JWT_ISSUER`; if set, people sign in to the console there, by "
        "OpenID Connect.",
    )
    console_oidc_scopes: str = Field(
        "openid", description="Scopes that the console requests from the issuer, separated by spaces."
    )
    jwt_leeway_s: float = Field(
        60, ge=0, le=3600, description="Clock difference that is accepted for `iat` and `nbf`; `exp` has no leeway."
    )


class StorageSettings(BaseModel):
    """Transactions, the change feed, and the retention of documents."""

    commit_deadline_s: PositiveSeconds = Field(
        5, description="Time in which MongoDB must commit a change; otherwise the change fails with UNAVAILABLE."
    )
    commit_max_documents: PositiveCount = Field(1000, description="Maximum number of documents in one transaction.")
    commit_max_bytes: int = Field(
        8 << 20, gt=0, le=12 << 20, description="Maximum size of one transaction; MongoDB has a limit of 16 MiB."
    )
    backlog_max_changes: Count = Field(
        1000, description="Number of missed changes above which a client receives RESYNC."
    )
    tombstone_days: Days = Field(
        30, description="Days that the tombstone of a removed notification is stored for clients that resume."
    )
    indexed_attributes: AttributeNames = Field(
        (),
        description="Names of up to 16 user attributes that are indexed for filters; a change converts stored users in "
        "the background.",
    )
    audit_days: Days = Field(400, description="Days that entries of the audit log are stored.")
    template_days: Days = Field(
        400, description="Days that a version of a template is stored after it was replaced or deleted."
    )
    notifications_days: Days = Field(
        90,
        description="Days that notifications are stored after they were sent; later they are removed from the inbox.",
    )
    unread_notifications_days: Days = Field(
        365,
        description="The same for a notification that is unread, snoozed, pinned, or not acknowledged when its days "
        "end, whose deliveries wait, or whose category has a longer retention; at least `HUB_NOTIFICATIONS_DAYS`.",
    )
    deliveries_days: Days = Field(
        90,
        description="Days that deliveries are stored after their last change; one that still waits is never deleted.",
    )
    sends_days: Days = Field(
        400, description="Days that sends are stored; a send is never deleted before its notifications."
    )
    idempotency_days: Days = Field(30, description="Days that idempotency keys are stored.")
    events_days: Days = Field(30, description="Days that events and the results of their rules are stored.")
    receipt_days: Days = Field(
        3,
        description="Days that receipts are stored; the size of MongoDB's oplog often limits resuming to a shorter "
        "time.",
    )
