"""Every setting, read from the environment with the prefix `HUB_`. A limit that callers meet is named in its error."""

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from hub import setting_values
from hub.model import Channel

POSITIVE_SETTINGS = frozenset(
    {
        *("concurrency", "lane_max", "provider_timeout_s", "queued_s", "breaker_open_s", "tick_s"),
        *("rate_window_s", "delivery_window_s", "commit_deadline_s", "commit_max_documents", "commit_queue"),
        *("page_max", "users_per_call", "sends_per_call", "ids_per_call", "title_max_chars", "shutdown_seconds"),
        *("request_timeout_s", "stalled_s", "init_timeout_s", "ping_interval_s", "ping_timeout_s", "feed_queue"),
        *("body_max_bytes", "send_many_max_bytes", "head_max_bytes", "socket_message_max_bytes", "commit_max_bytes"),
        *("feed_queue_bytes", "publish_queue"),
    }
)
"""Numbers with which nothing would go, were they 0."""
SNS_PLATFORM_KINDS = {"sns_platform_fcm": ("GCM",), "sns_platform_apns": ("APNS", "APNS_SANDBOX")}
DAYS_MAX = 20_000  # MongoDB's TTL indexes count seconds in 32 bits
COUNT_MAX = 2**31 - 1  # of what is counted
DATABASE_NAME = re.compile(r'[^\x00-\x20/\\."$*<>:|?]{1,63}')
FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
MIN_SECRET_BYTES = 32  # RFC 7518 3.2: an HS256 key is at least as long as the hash

IMPLEMENTED_CHANNELS = frozenset(
    {Channel.IN_APP, Channel.EMAIL, Channel.WEB_PUSH, Channel.MOBILE_PUSH, Channel.WEBHOOK}
)
"""Channels that can be set up. The others have no code yet, and are NOT_CONFIGURED everywhere."""


def _split_words(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _each(read: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(lambda words: tuple(dict.fromkeys(read(word) for word in words)))


def _unless_empty(read: Callable[[str], object]) -> AfterValidator:
    """Reads a value that may be left empty."""
    return AfterValidator(lambda value: read(value) if value else value)


SpaceSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_words)]
"""Several values in one variable, separated by spaces or commas."""
JSON = BeforeValidator(setting_values.json_object)
RetryDelay = Annotated[float, Field(ge=0, le=setting_values.YEAR_S)]
Port = Annotated[int, Field(ge=0, le=setting_values.PORT_MAX)]
Lane = Channel | Literal["ENDPOINT"]
"""A channel, or the calls of tenants' webhooks."""


class ConfigurationError(Exception):
    """What a setting names is no good; the text says which setting and why."""


class Settings(BaseSettings):
    """Durations end in `_S` (seconds) or `_DAYS`, sizes in `_BYTES`."""

    model_config = SettingsConfigDict(
        env_prefix="HUB_", frozen=True, extra="ignore", str_strip_whitespace=True, allow_inf_nan=False
    )

    mongo_url: str = "mongodb://127.0.0.1:27017/?replicaSet=hub"
    mongo_database: str = "hub"
    redis_url: str = "redis://127.0.0.1:6379"
    redis_prefix: str = Field("hub:", description="Before every channel and key, so that hubs can share a server.")
    mongod: Path | None = Field(None, description="The mongod that `hub dev` starts.")
    redis_server: Path | None = Field(None, description="The redis-server that `hub dev` starts.")

    host: str = "127.0.0.1"
    port: Port = 8000
    mode: Literal["production", "development"] = "production"
    allowed_origins: Annotated[SpaceSeparated, _each(setting_values.origin)] = Field(
        (), description="Origins of browsers that may call, e.g. https://app.example.org"
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="Addresses and networks of proxies whose word on the client is taken, e.g. 10.0.0.0/24"
    )
    ssl_certfile: Path | None = Field(None, description="PEM, with the chain; `hub serve` then speaks TLS.")
    ssl_keyfile: Path | None = Field(None, description="Its key, where that is not in the same file.")
    ssl_keyfile_password: SecretStr | None = None
    ssl_ca_certs: Path | None = Field(None, description="Clients must show a certificate that one of these signed.")
    metrics_token: SecretStr = Field(SecretStr(""), description="If set, whoever reads /metrics must send it.")
    work_port: Port | None = Field(None, description="Where `hub work` answers /metrics, /healthz and /readyz.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    jwt_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="HS256 keys of at least 32 bytes; several separated by spaces while rotating: the first signs."
    )
    jwks_url: Annotated[str, _unless_empty(setting_values.fetched_address)] = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_leeway_s: float = Field(
        60,
        ge=0,
        le=3600,
        description="How far an issuer's clock may be ahead, in `iat` and `nbf`; `exp` has no leeway.",
    )

    body_max_bytes: int = 1 << 20
    send_many_max_bytes: int = 4 << 20
    head_max_bytes: int = Field(64 << 10, description="The first line and headers of an HTTP request.")
    socket_message_max_bytes: int = 64 << 10
    request_timeout_s: float = Field(30, description="For a client to send a whole HTTP request.")
    stalled_s: float = Field(20, description="A client that takes nothing of what waits for it is cut off.")
    query_max_chars: int = Field(100_000, ge=1, description="Of its text; what is long belongs into variables.")
    query_max_tokens: int = Field(1000, ge=1)
    query_max_depth: int = Field(12, ge=1, description="Levels of fields; introspection may have twice as many.")
    query_max_fields: int = Field(2000, ge=1, description="After its fragments are spread.")
    query_max_root_fields: int = Field(10, ge=1, description="Each is a request of its own.")
    query_max_cost: int = Field(10_000, ge=100, description="Objects, and a tenth of plain fields, with page sizes.")
    query_max_pages: int = Field(20, ge=1, description="Inboxes and other paged lists that one operation reads.")
    persisted_operations: Path | None = Field(
        None, description="A manifest; with it only its operations run, by their ids or their very texts."
    )
    persisted_max: int = Field(1000, ge=1, description="Texts that clients have sent and call by their hash.")
    persisted_days: int = Field(7, ge=1, description="How long such a text is kept after its last use.")
    init_timeout_s: float = 10
    ping_interval_s: float = 20
    ping_timeout_s: float = 20
    subscriptions_per_socket: int = 20
    sockets_per_user: int = Field(20, description="WebSockets and event streams.")
    connections_per_address: int = Field(1000, description="In one process; 0 is no limit.")
    receipt_readers_per_tenant: int = 10
    receipt_readers: int = Field(100, description="Open readers of receipts in one process, of all tenants.")

    rate_window_s: int = Field(10, description="The sliding window of the rate limits; 0 in one of them is no limit.")
    rate_per_user: int = Field(1000, description="Operations of one user in that window.")
    rate_per_service: int = Field(0, description="Operations of one service in that window.")
    rate_per_tenant: int = Field(0, description="Operations of one tenant in that window.")
    rate_overall: int = Field(0, description="Operations of all together in that window.")
    rate_cost_per_user: int = Field(100_000, description="What the costly operations of one user may cost in it.")
    rate_cost_per_service: int = Field(500_000, description="What those of one service may cost in that window.")
    rate_per_link: int = Field(100, description="Uses of the links of one mail or push in that window.")

    title_max_chars: int = 256
    text_max_bytes: int = Field(16 << 10, description="The body of one notification.")
    data_max_bytes: int = 32 << 10
    users_per_call: int = 1000
    sends_per_call: int = 1000
    ids_per_call: int = 1000
    page_max: int = 100
    categories_per_tenant: int = 200
    devices_per_user: int = Field(20, description="Browsers, apps and webhooks of one person.")
    export_max: int = Field(100_000, description="The newest notifications (deliveries, receipts) in an export.")
    search_window: int = Field(10_000, description="The user's newest notifications that a search looks at.")

    commit_deadline_s: float = Field(5, description="After this long without an answer a change is UNAVAILABLE.")
    commit_max_documents: int = 1000
    commit_max_bytes: int = Field(8 << 20, le=12 << 20, description="Of one transaction: MongoDB takes 16 MiB at once.")
    commit_queue: int = Field(20_000, description="Changes waiting in one process; above it they are refused.")

    feed_max_changes: int = Field(1000, description="A client that missed more loads its inbox anew (RESYNC).")
    feed_max_bytes: int = Field(4 << 20, description="Or missed changes of more than this.")
    feed_queue: int = Field(256, description="Events kept for one slow socket before it gets RESYNC.")
    feed_queue_bytes: int = Field(1 << 20, description="Or events of more than this.")
    publish_queue: int = Field(10_000, description="Live messages waiting for Redis in one process.")
    tombstone_days: int = 30
    idempotency_days: int = 30
    receipt_days: int = Field(3, description="Readers come back as far as MongoDB's oplog reaches, often less.")

    public_url: Annotated[str, _unless_empty(setting_values.web_address)] = Field(
        "", description="Where people reach this hub, for links in mails: https://hub.example.org"
    )
    app_url: Annotated[str, _unless_empty(setting_values.web_origin)] = Field(
        "", description="Where links that are a path lead: https://app.example.org"
    )
    smtp_url: str = Field(
        "",
        description="smtps://user:password@host:465 for TLS from the start, smtp:// for STARTTLS, which then must be "
        "there unless the host is this machine; `?starttls=on` or `off` at its end says otherwise.",
    )
    smtp_connections: int = Field(10, gt=0, description="Open connections of one worker to the mail server.")
    email_from: str = Field("", description="The sender of mails: `Acme <no-reply@example.org>`.")
    ses_from: str = Field("", description="The sender of mails through Amazon SES.")
    sns_topics: SpaceSeparated = Field(
        (), description="ARNs of the SNS topics that tell of bounces and complaints of SES."
    )
    vapid_private_key: SecretStr = Field(SecretStr(""), description="Web push; make one with `hub vapid`.")
    vapid_subject: Annotated[str, _unless_empty(setting_values.vapid_subject)] = Field(
        "", description="Whom push services write to: mailto:ops@example.org"
    )
    sns_platform_fcm: str = Field("", description="The ARN of the SNS platform application for Android.")
    sns_platform_apns: str = Field("", description="The ARN of the SNS platform application for iOS.")
    webhooks: bool = Field(True, description="Whether people may connect webhooks of their own.")
    webhooks_per_tenant: int = Field(20, description="Endpoints that a tenant has its events told to.")
    webhook_failing_days: int = Field(5, description="An endpoint with nothing but failure for so long is disabled.")
    webhook_call_days: int = Field(30, description="How long calls of a tenant's endpoints are kept, and replayable.")
    egress_allow: SpaceSeparated = Field(
        (), description="Networks that webhooks and push may reach although private: CIDRs."
    )

    concurrency: int = Field(100, description="Calls of providers under way at once, in one worker and channel.")
    concurrencies: Annotated[dict[Lane, Annotated[int, Field(ge=1, le=COUNT_MAX)]], NoDecode, JSON] = Field(
        {}, description='For single channels, or ENDPOINT (tenants\' webhooks), as JSON: {"EMAIL": 20}.'
    )
    provider_timeout_s: float = Field(15, description="After this long a provider's silence is a failure.")
    lease_margin_s: float = Field(30, description="A worker's hold on a delivery outlasts the call by this much.")
    retry_schedule: Annotated[tuple[float, ...], NoDecode] = Field(
        (5, 300, 1800, 7200, 18000, 36000, 36000), description="Waits between attempts: `5s,5m,30m,2h`, with jitter."
    )
    retry_schedules: Annotated[dict[Lane, tuple[RetryDelay, ...]], NoDecode, JSON] = Field(
        {}, description='For single channels, as JSON: {"EMAIL": [60, 3600]}, in seconds.'
    )
    retry_after_max_s: float = Field(86_400, description="A provider's Retry-After is honoured up to this.")
    lapses_max: int = Field(
        5,
        ge=2,
        description="Workers that may die with a delivery before it is FAILED; with the last two it is alone.",
    )
    breaker_open_s: float = Field(30, description="A provider that fails is left alone this long, then asked again.")
    delivery_window_s: int = Field(60, description="The window of the limits of deliveries; 0 in one is no limit.")
    deliveries_per_user: int = Field(0, description="Of one person on one channel in that window.")
    deliveries_per_channel: int = Field(0, description="Of one channel in that window.")
    deliveries_per_tenant: int = Field(0, description="Of one tenant in that window.")
    deliveries_overall: int = Field(0, description="Of all together in that window.")
    lane_max: int = Field(1000, description="Deliveries of one channel, priority and tenant on the queue at once.")
    queued_s: float = Field(60, description="A delivery nobody claimed for this long is put on the queue again.")

    tick_s: float = Field(0.5, description="How often the ticker looks for what is due.")
    shutdown_seconds: float = 10

    @model_validator(mode="before")
    @classmethod
    def _reject_control_characters(cls, given: object) -> object:
        """What is no UTF-8 in the environment comes as surrogates, and would break where it is used."""
        for name, value in given.items() if isinstance(given, dict) else ():
            if isinstance(value, str) and FORBIDDEN_CHARACTERS.search(value):
                raise ValueError(f"HUB_{name.upper()} holds control characters, or is not UTF-8: write it anew")
        return given

    @field_validator("jwt_secret", mode="before")
    @classmethod
    def _split_secrets(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("egress_allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            ip_network(word)
        return value

    @field_validator("retry_schedule", mode="before")
    @classmethod
    def _split_durations(cls, value: object) -> object:
        return tuple(setting_values.duration_s(word) for word in value.split(",")) if isinstance(value, str) else value

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: str) -> str:
        parts = urlsplit(value)
        try:
            good = parts.scheme in {"smtp", "smtps"} and parts.hostname and parts.port != 0
            good = good and parts.path in {"", "/"} and not parts.fragment
        except ValueError:  # its text may quote a part of the password
            good = False
        if value and not good:
            raise ValueError(
                "write smtp://user:password@host:port or smtps://user:password@host:port, and percent-encode what has "
                "another meaning in an address: %40 for @, %2F for /, %23 for #"
            )
        if parts.query not in {"", "starttls=on", "starttls=off"}:
            raise ValueError("after the ? there may be `starttls=on` or `starttls=off`, and nothing else")
        if parts.query == "starttls=off" and parts.password:
            raise ValueError("with `starttls=off` the password could be read on its way")
        return value

    @field_validator("email_from", "ses_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        if value:
            setting_values.sender(value)
        return value

    @field_validator("sns_topics")
    @classmethod
    def _topics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [word for word in value if not setting_values.TOPIC.fullmatch(word)]:
            raise ValueError(f"{wrong[0]} is no SNS topic: write its ARN, arn:aws:sns:eu-west-1:123456789012:name")
        return value

    @field_validator("mongo_database")
    @classmethod
    def _database(cls, value: str) -> str:
        if not DATABASE_NAME.fullmatch(value):
            raise ValueError("a database of MongoDB has 1 to 63 letters, digits, dashes or underscores")
        return value

    @field_validator("metrics_token")
    @classmethod
    def _require_visible_ascii(cls, value: SecretStr) -> SecretStr:
        if not all("!" <= character <= "~" for character in value.get_secret_value()):
            raise ValueError("a token has visible characters of ASCII and no spaces: it comes in a header")
        return value

    @field_validator(*SNS_PLATFORM_KINDS)
    @classmethod
    def _application(cls, value: str, info: ValidationInfo) -> str:
        kinds = SNS_PLATFORM_KINDS[info.field_name or ""]
        found = setting_values.APPLICATION.fullmatch(value)
        if value and not (found and found[2] in kinds):
            raise ValueError(
                f"write the ARN of an SNS platform application: arn:aws:sns:eu-west-1:123456789012:app/{kinds[0]}/name"
            )
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ip_network(word) for word in value.replace(",", " ").split())

    @field_validator("jwt_secret")
    @classmethod
    def _require_long_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES for secret in value):
            raise ValueError(f"each secret has {MIN_SECRET_BYTES} bytes or more; make one with `openssl rand -hex 32`")
        return value

    @model_validator(mode="after")
    def check_numbers(self) -> "Settings":
        for name, value in self:
            if isinstance(value, int | float):
                _in_bounds(name, value)
        if self.smtp_url and not self.email_from:
            raise ValueError(
                "HUB_SMTP_URL needs HUB_EMAIL_FROM too, the sender of mails: `Acme <no-reply@example.org>`"
            )
        return self

    @model_validator(mode="after")
    def require_signing_key(self) -> "Settings":
        if not self.jwt_secret and not self.jwks_url:
            raise ValueError("set HUB_JWT_SECRET (32 bytes or more, `openssl rand -hex 32`) or HUB_JWKS_URL")
        return self

    @model_validator(mode="after")
    def require_vapid_subject(self) -> "Settings":
        key = self.vapid_private_key.get_secret_value()
        if key and not self.vapid_subject:
            raise ValueError("HUB_VAPID_PRIVATE_KEY needs HUB_VAPID_SUBJECT too: mailto:ops@example.org")
        if key:
            try:
                setting_values.vapid_key(key)
            except ValueError:
                raise ValueError("HUB_VAPID_PRIVATE_KEY is no key: `hub vapid` makes one.") from None
        return self

    @model_validator(mode="after")
    def _one_region(self) -> "Settings":
        arns = [arn for arn in (self.sns_platform_fcm, self.sns_platform_apns) if arn]
        if len({arn.split(":")[3] for arn in arns}) > 1:
            raise ValueError(
                "HUB_SNS_PLATFORM_FCM and HUB_SNS_PLATFORM_APNS are in different regions: make both in one region"
            )
        return self

    def concurrency_of(self, channel: str) -> int:
        """Calls under way at once on a channel. A mail server takes no more at once than we have connections to it."""
        usual = self.concurrency
        if channel == Channel.EMAIL and self.smtp_url:
            usual = min(usual, self.smtp_connections)
        return next((most for name, most in self.concurrencies.items() if name == channel), usual)

    def schedule_of(self, channel: str) -> tuple[float, ...]:
        """The waits between attempts on a channel."""
        own = next((waits for name, waits in self.retry_schedules.items() if name == channel), ())
        return own or self.retry_schedule

    @property
    def configured(self) -> frozenset[Channel]:
        """The channels that a send can use. In development those without a provider go to a catcher."""
        return IMPLEMENTED_CHANNELS if self.mode == "development" else self.provided

    @property
    def provided(self) -> frozenset[Channel]:
        """The channels that have a provider."""
        has = {
            Channel.IN_APP: True,
            Channel.EMAIL: bool(self.smtp_url and self.email_from) or bool(self.ses_from),
            Channel.WEB_PUSH: bool(self.vapid_private_key.get_secret_value()),
            Channel.MOBILE_PUSH: bool(self.sns_platform_fcm or self.sns_platform_apns),
            Channel.WEBHOOK: self.webhooks,
        }
        return frozenset(channel for channel, there in has.items() if there)


def _in_bounds(name: str, value: float) -> None:
    """ValueError for a number with which the hub would not run."""
    least = "more than 0" if name in POSITIVE_SETTINGS else "0 or more"
    if value < 0 or (name in POSITIVE_SETTINGS and not value):
        raise ValueError(f"HUB_{name.upper()} is {value:g}: give {least}")
    most: float = COUNT_MAX
    if name.endswith(("_s", "_seconds")):
        most = setting_values.YEAR_S
    elif name.endswith("_days"):
        most = DAYS_MAX
    if value > most:
        raise ValueError(f"HUB_{name.upper()} is {value:g}: give {most:.0f} at most")
