"""Settings of the stores, the HTTP server and access tokens."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr

from hub.settings.types import (
    Count,
    DatabaseName,
    Days,
    HeaderToken,
    Networks,
    Origins,
    Port,
    PositiveCount,
    PositiveSeconds,
    SecretKeys,
    URLToFetch,
)


class StoreSettings(BaseModel):
    """MongoDB and Redis."""

    mongo_url: str = Field(
        "mongodb://127.0.0.1:27017/?replicaSet=hub", description="Address of the MongoDB replica set."
    )
    mongo_database: DatabaseName = Field("hub", description="Name of the MongoDB database.")
    redis_url: str = Field("redis://127.0.0.1:6379", description="Address of the Redis server.")
    redis_prefix: str = Field(
        "hub:", description="Prefix of every Redis key and channel; hubs that share a server need different prefixes."
    )
    mongod: Path | None = Field(None, description="Path of the `mongod` that `hub dev` starts.")
    redis_server: Path | None = Field(None, description="Path of the `redis-server` that `hub dev` starts.")


class ServerSettings(BaseModel):
    """The HTTP server and the processes."""

    host: str = Field("127.0.0.1", description="Address that the HTTP server listens on.")
    port: Port = Field(8000, description="Port that the HTTP server listens on.")
    mode: Literal["production", "development"] = Field(
        "production",
        description="`development` serves the demo page and captures outgoing messages that have no provider.",
    )
    allowed_origins: Origins = Field(
        (), description="Browser origins that may call the API, such as `https://app.example.org`."
    )
    trusted_proxies: Networks = Field(
        (), description="Addresses and networks of proxies whose `X-Forwarded-For` is trusted, such as `10.0.0.0/24`."
    )
    ssl_certfile: Path | None = Field(
        None, description="PEM file with the certificate and its chain; if set, `hub serve` serves TLS."
    )
    ssl_keyfile: Path | None = Field(
        None, description="PEM file with the private key, if it is not in `HUB_SSL_CERTFILE`."
    )
    ssl_keyfile_password: SecretStr | None = Field(None, description="Password of the private key.")
    ssl_ca_certs: Path | None = Field(
        None,
        description="PEM file of certificate authorities; if set, clients must present a certificate that one"
        " of them signed.",
    )
    metrics_token: HeaderToken = Field(
        SecretStr(""), description="Bearer token that `/metrics` requires; if empty, `/metrics` is open."
    )
    work_port: Port | None = Field(
        None, description="Port on which `hub work` serves `/metrics`, `/healthz` and `/readyz`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )


class AuthSettings(BaseModel):
    """Access tokens."""

    jwt_secret: SecretKeys = Field(
        (), description="HS256 keys of at least 32 bytes, separated by spaces during rotation; the first one signs."
    )
    jwks_url: URLToFetch = Field("", description="Address of the JSON Web Key Set that verifies access tokens.")
    jwt_issuer: str = Field("", description="Required `iss` claim of access tokens; empty accepts any.")
    jwt_audience: str = Field("", description="Required `aud` claim of access tokens; empty accepts any.")
    jwt_leeway_s: float = Field(
        60, ge=0, le=3600, description="Clock difference accepted in `iat` and `nbf`; `exp` has no leeway."
    )


class StorageSettings(BaseModel):
    """Transactions, the change feed, and how long documents are stored."""

    commit_deadline_s: PositiveSeconds = Field(
        5, description="A change that MongoDB has not committed after this time fails with UNAVAILABLE."
    )
    commit_max_documents: PositiveCount = Field(1000, description="Maximum number of documents in one transaction.")
    commit_max_bytes: int = Field(
        8 << 20, gt=0, le=12 << 20, description="Maximum size of one transaction; MongoDB's own limit is 16 MiB."
    )
    backlog_max_changes: Count = Field(1000, description="A client that missed more changes than this gets RESYNC.")
    tombstone_days: Days = Field(
        30, description="Days that a removed notification is kept as a tombstone for clients that resume."
    )
    idempotency_days: Days = Field(30, description="Days that idempotency keys are stored.")
    receipt_days: Days = Field(
        3, description="Days that receipts are stored; MongoDB's oplog often limits resuming to a shorter time."
    )
