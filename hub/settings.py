"""Every setting, read from the environment with the prefix `HUB_`. A limit that callers meet is named in its error."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIN_SECRET_BYTES = 32  # RFC 7518 3.2: an HS256 key is at least as long as the hash

Words = Annotated[tuple[str, ...], NoDecode]
"""Several values in one variable, separated by spaces."""


class Settings(BaseSettings):
    """Durations end in `_S` (seconds) or `_DAYS`, sizes in `_BYTES`."""

    model_config = SettingsConfigDict(env_prefix="HUB_", frozen=True, extra="ignore")

    mongo_url: str = "mongodb://127.0.0.1:27017/?replicaSet=hub"
    mongo_database: str = "hub"
    redis_url: str = "redis://127.0.0.1:6379"
    redis_prefix: str = Field("hub:", description="Before every channel and key, so that hubs can share a server.")
    mongod: Path | None = Field(None, description="The mongod that `hub dev` starts.")
    redis_server: Path | None = Field(None, description="The redis-server that `hub dev` starts.")

    host: str = "127.0.0.1"
    port: int = 8000
    mode: Literal["production", "development"] = "production"
    allowed_origins: Words = Field((), description="Origins of browsers that may call, e.g. https://app.example.org")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    jwt_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="HS256 keys of at least 32 bytes; several separated by spaces while rotating: the first signs."
    )
    jwks_url: str = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""

    body_max_bytes: int = 1 << 20
    send_many_max_bytes: int = 4 << 20
    socket_message_max_bytes: int = 64 << 10
    init_timeout_s: float = 10
    ping_interval_s: float = 20
    ping_timeout_s: float = 20
    subscriptions_per_socket: int = 20
    sockets_per_user: int = 20
    receipt_readers_per_tenant: int = 10
    receipt_readers: int = Field(100, description="Open readers of receipts in one process, of all tenants.")

    rate_window_s: int = Field(10, description="The sliding window of the rate limits; 0 in one of them is no limit.")
    rate_per_user: int = Field(1000, description="Operations of one user in that window.")
    rate_per_service: int = Field(0, description="Operations of one service in that window.")
    rate_per_tenant: int = Field(0, description="Operations of one tenant in that window.")
    rate_overall: int = Field(0, description="Operations of all together in that window.")

    title_max_chars: int = 256
    text_max_bytes: int = Field(16 << 10, description="The body of one notification.")
    data_max_bytes: int = 32 << 10
    users_per_call: int = 1000
    sends_per_call: int = 1000
    ids_per_call: int = 1000
    page_max: int = 100
    search_window: int = Field(10_000, description="The user's newest notifications that a search looks at.")

    commit_deadline_s: float = Field(5, description="After this long without an answer a change is UNAVAILABLE.")
    commit_max_documents: int = 1000
    commit_max_bytes: int = 8 << 20
    commit_queue: int = Field(20_000, description="Changes waiting in one process; above it they are refused.")

    feed_max_changes: int = Field(1000, description="A client that missed more loads its inbox anew (RESYNC).")
    feed_max_bytes: int = Field(4 << 20, description="Or missed changes of more than this.")
    feed_queue: int = Field(256, description="Events kept for one slow socket before it gets RESYNC.")
    publish_queue: int = Field(10_000, description="Live messages waiting for Redis in one process.")
    tombstone_days: int = 30
    idempotency_days: int = 30
    receipt_days: int = Field(3, description="Readers come back as far as MongoDB's oplog reaches, often less.")

    tick_s: float = Field(0.5, description="How often the ticker looks for what is due.")
    shutdown_seconds: float = 10

    @field_validator("jwt_secret", mode="before")
    @classmethod
    def _split_secrets(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("jwt_secret")
    @classmethod
    def _strong(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES for secret in value):
            raise ValueError(f"each secret has {MIN_SECRET_BYTES} bytes or more; make one with `openssl rand -hex 32`")
        return value

    @model_validator(mode="after")
    def _some_key(self) -> "Settings":
        if not self.jwt_secret and not self.jwks_url:
            raise ValueError("set HUB_JWT_SECRET (32 bytes or more, `openssl rand -hex 32`) or HUB_JWKS_URL")
        return self
