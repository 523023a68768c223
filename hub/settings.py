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
Lane = Channel | Literal["WEBHOOK_ENDPOINT"]
"""A channel, or the calls of tenants' webhooks."""


class ConfigurationError(Exception):
    """What a setting names is no good; the text says which setting and why."""


class Settings(BaseSettings):
    """Durations end in `_S` (seconds) or `_DAYS`, sizes in `_BYTES`."""

    model_config = SettingsConfigDict(
        env_prefix="HUB_", frozen=True, extra="ignore", str_strip_whitespace=True, allow_inf_nan=False
    )

    mongo_url: str = Field(
        "mongodb://127.0.0.1:27017/?replicaSet=hub", description="Address of the MongoDB replica set."
    )
    mongo_database: str = Field("hub", description="Name of the MongoDB database.")
    redis_url: str = Field("redis://127.0.0.1:6379", description="Address of the Redis server.")
    redis_prefix: str = Field(
        "hub:", description="Prefix of every Redis key and channel, so that several hubs can share a server."
    )
    mongod: Path | None = Field(None, description="Path of the `mongod` that `hub dev` starts.")
    redis_server: Path | None = Field(None, description="Path of the `redis-server` that `hub dev` starts.")

    host: str = Field("127.0.0.1", description="Address that the HTTP server listens on.")
    port: Port = Field(8000, description="Port that the HTTP server listens on.")
    mode: Literal["production", "development"] = Field(
        "production",
        description="`development` serves the demo page and captures outgoing messages that have no provider.",
    )
    allowed_origins: Annotated[SpaceSeparated, _each(setting_values.origin)] = Field(
        (), description="Browser origins that may call the API, such as `https://app.example.org`."
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
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
    metrics_token: SecretStr = Field(
        SecretStr(""), description="Bearer token that `/metrics` requires; empty leaves `/metrics` open."
    )
    work_port: Port | None = Field(
        None, description="Port on which `hub work` serves `/metrics`, `/healthz` and `/readyz`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )

    jwt_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="HS256 keys of at least 32 bytes, separated by spaces while rotating; the first one signs."
    )
    jwks_url: Annotated[str, _unless_empty(setting_values.fetched_address)] = Field(
        "", description="Address of the JSON Web Key Set that verifies access tokens."
    )
    jwt_issuer: str = Field("", description="Required `iss` claim of access tokens; empty accepts any.")
    jwt_audience: str = Field("", description="Required `aud` claim of access tokens; empty accepts any.")
    jwt_leeway_s: float = Field(
        60, ge=0, le=3600, description="Clock difference accepted in `iat` and `nbf`; `exp` has no leeway."
    )

    body_max_bytes: int = Field(1 << 20, description="Largest HTTP request body.")
    send_many_max_bytes: int = Field(4 << 20, description="Largest HTTP request body of a `sendMany` mutation.")
    head_max_bytes: int = Field(64 << 10, description="Largest request line and headers of an HTTP request.")
    socket_message_max_bytes: int = Field(64 << 10, description="Largest WebSocket message from a client.")
    request_timeout_s: float = Field(30, description="Time a client has to send a whole HTTP request.")
    stalled_s: float = Field(
        20, description="A client that reads nothing for this long while data waits for it is disconnected."
    )
    query_max_chars: int = Field(
        100_000, ge=1, description="Longest text of a GraphQL operation; long values belong in variables."
    )
    query_max_tokens: int = Field(1000, ge=1, description="Most tokens of a GraphQL operation.")
    query_max_depth: int = Field(
        12, ge=1, description="Most levels of fields in an operation; introspection may have twice as many."
    )
    query_max_fields: int = Field(
        2000, ge=1, description="Most fields of an operation after its fragments are expanded."
    )
    query_max_root_fields: int = Field(10, ge=1, description="Most root fields of an operation.")
    query_max_cost: int = Field(
        10_000,
        ge=100,
        description="Highest cost of an operation: objects and a tenth of plain fields, multiplied by page sizes.",
    )
    query_max_pages: int = Field(20, ge=1, description="Most inboxes and other paged lists that one operation reads.")
    persisted_operations: Path | None = Field(
        None, description="Manifest of allowed operations; if set, no other operation runs."
    )
    persisted_max: int = Field(1000, ge=1, description="Most automatic persisted queries that are stored.")
    persisted_days: int = Field(
        7, ge=1, description="Days that an automatic persisted query is stored after its last use."
    )
    init_timeout_s: float = Field(10, description="Time a WebSocket client has to send `connection_init`.")
    ping_interval_s: float = Field(20, description="Time between two pings to an open WebSocket.")
    ping_timeout_s: float = Field(20, description="Time a WebSocket client has to answer a ping.")
    subscriptions_per_socket: int = Field(20, description="Most subscriptions of one WebSocket.")
    sockets_per_user: int = Field(20, description="Most WebSockets and event streams of one user in one process.")
    connections_per_address: int = Field(
        1000, description="Most connections of one client address in one process; 0 is unlimited."
    )
    receipt_readers_per_tenant: int = Field(
        10, description="Most open receipt subscriptions of one tenant in one process."
    )
    receipt_readers: int = Field(100, description="Most open receipt subscriptions of all tenants in one process.")

    rate_window_s: int = Field(10, description="Sliding window of the request rate limits.")
    rate_per_user: int = Field(1000, description="Most operations of one user in the window; 0 is unlimited.")
    rate_per_service: int = Field(0, description="Most operations of one service in the window; 0 is unlimited.")
    rate_per_tenant: int = Field(0, description="Most operations of one tenant in the window; 0 is unlimited.")
    rate_overall: int = Field(0, description="Most operations of all callers in the window; 0 is unlimited.")
    rate_cost_per_user: int = Field(
        100_000, description="Highest total cost of one user's operations in the window; 0 is unlimited."
    )
    rate_cost_per_service: int = Field(
        500_000, description="Highest total cost of one service's operations in the window; 0 is unlimited."
    )
    rate_per_link: int = Field(
        100, description="Most uses of the links of one email or push in the window; 0 is unlimited."
    )

    title_max_chars: int = Field(256, description="Longest title of a notification.")
    text_max_bytes: int = Field(16 << 10, description="Largest body of a notification.")
    data_max_bytes: int = Field(32 << 10, description="Largest `data` of a notification, as JSON.")
    users_per_call: int = Field(1000, description="Most users that one call may name.")
    sends_per_call: int = Field(1000, description="Most sends of one `sendMany` call.")
    ids_per_call: int = Field(1000, description="Most ids that one call may name.")
    page_max: int = Field(100, description="Largest page of a list.")
    categories_per_tenant: int = Field(200, description="Most categories of one tenant.")
    devices_per_user: int = Field(20, description="Most browsers, apps and personal webhooks of one user.")
    export_max: int = Field(
        100_000, description="Most notifications, deliveries and receipts, each, in the export of a user's data."
    )
    search_window: int = Field(10_000, description="Number of the user's newest notifications that a search reads.")

    commit_deadline_s: float = Field(
        5, description="A change that MongoDB has not committed after this time is answered with UNAVAILABLE."
    )
    commit_max_documents: int = Field(1000, description="Most documents of one transaction.")
    commit_max_bytes: int = Field(
        8 << 20, le=12 << 20, description="Largest size of one transaction; MongoDB's own limit is 16 MiB."
    )
    commit_queue: int = Field(
        20_000, description="Most changes that wait for a commit in one process; further changes are refused."
    )

    feed_max_changes: int = Field(1000, description="A client that missed more changes than this gets RESYNC.")
    feed_max_bytes: int = Field(
        4 << 20, description="A client that missed more bytes of changes than this gets RESYNC."
    )
    feed_queue: int = Field(256, description="Most events that wait for one slow subscription before it gets RESYNC.")
    feed_queue_bytes: int = Field(
        1 << 20, description="Most bytes of events that wait for one slow subscription before it gets RESYNC."
    )
    publish_queue: int = Field(10_000, description="Most live messages that wait for Redis in one process.")
    tombstone_days: int = Field(
        30, description="Days that a removed notification is kept as a tombstone for clients that resume."
    )
    idempotency_days: int = Field(30, description="Days that idempotency keys are stored.")
    receipt_days: int = Field(
        3, description="Days that receipts are stored; MongoDB's oplog often limits resuming to a shorter time."
    )

    public_url: Annotated[str, _unless_empty(setting_values.web_address)] = Field(
        "", description="Public address of this hub, used for links in emails, such as `https://hub.example.org`."
    )
    app_url: Annotated[str, _unless_empty(setting_values.web_origin)] = Field(
        "",
        description="Origin of the app, put in front of action URLs that are a path, such as "
        "`https://app.example.org`.",
    )
    smtp_url: str = Field(
        "",
        description="Mail server: `smtps://user:password@host:465`, or `smtp://` with required STARTTLS, "
        "which `?starttls=on` or `off` overrides.",
    )
    smtp_connections: int = Field(10, gt=0, description="Most open connections of one worker to the mail server.")
    email_from: str = Field("", description="Sender of emails through SMTP, such as `Acme <no-reply@example.org>`.")
    ses_from: str = Field("", description="Sender of emails through Amazon SES.")
    sns_topics: SpaceSeparated = Field(
        (), description="ARNs of the SNS topics that publish bounces, complaints and deliveries of SES."
    )
    vapid_private_key: SecretStr = Field(
        SecretStr(""), description="Private key that signs web pushes, as printed by `hub vapid`."
    )
    vapid_subject: Annotated[str, _unless_empty(setting_values.vapid_subject)] = Field(
        "", description="Contact for operators of push services, such as `mailto:ops@example.org`."
    )
    sns_platform_fcm: str = Field("", description="ARN of the SNS platform application for Android.")
    sns_platform_apns: str = Field("", description="ARN of the SNS platform application for iOS.")
    webhooks: bool = Field(True, description="Allow users to connect personal webhooks.")
    webhooks_per_tenant: int = Field(20, description="Most webhook endpoints of one tenant.")
    webhook_failing_days: int = Field(
        5, description="A webhook endpoint whose calls all failed for this many days is disabled."
    )
    webhook_call_days: int = Field(
        30, description="Days that calls of webhook endpoints are stored and can be replayed."
    )
    egress_allow: SpaceSeparated = Field(
        (), description="Private networks (CIDR) that webhooks and web pushes may reach."
    )

    concurrency: int = Field(100, description="Most provider calls at once, for each worker and channel.")
    concurrencies: Annotated[dict[Lane, Annotated[int, Field(ge=1, le=COUNT_MAX)]], NoDecode, JSON] = Field(
        {},
        description="Concurrency of single channels, or of WEBHOOK_ENDPOINT (the webhooks of tenants), as JSON such "
        'as `{"EMAIL": 20}`.',
    )
    provider_timeout_s: float = Field(15, description="A provider call without an answer after this time has failed.")
    lease_margin_s: float = Field(30, description="Time that a worker's lease lasts beyond the provider timeout.")
    retry_schedule: Annotated[tuple[float, ...], NoDecode] = Field(
        (5, 300, 1800, 7200, 18000, 36000, 36000),
        description="Delays between delivery attempts before jitter, such as `5s,5m,30m,2h`.",
    )
    retry_schedules: Annotated[dict[Lane, tuple[RetryDelay, ...]], NoDecode, JSON] = Field(
        {}, description='Delays for single channels in seconds, as JSON such as `{"EMAIL": [60, 3600]}`.'
    )
    retry_after_max_s: float = Field(86_400, description="Longest `Retry-After` of a provider that is honored.")
    lapses_max: int = Field(
        5,
        ge=2,
        description="Expired leases after which a delivery is FAILED with POISON; the last two attempts run "
        "in isolation.",
    )
    breaker_open_s: float = Field(30, description="Time that an open circuit breaker waits before it allows a probe.")
    delivery_window_s: int = Field(60, description="Window of the delivery rate limits.")
    deliveries_per_user: int = Field(
        0, description="Most deliveries to one user on one channel in the window; 0 is unlimited."
    )
    deliveries_per_channel: int = Field(0, description="Most deliveries of one channel in the window; 0 is unlimited.")
    deliveries_per_tenant: int = Field(0, description="Most deliveries of one tenant in the window; 0 is unlimited.")
    deliveries_overall: int = Field(0, description="Most deliveries of the whole hub in the window; 0 is unlimited.")
    lane_max: int = Field(1000, description="Most ids in one lane of the Redis queue; the rest waits in MongoDB.")
    queued_s: float = Field(60, description="A delivery that no worker claimed for this long is enqueued again.")

    tick_s: float = Field(0.5, description="Time between two runs of the scheduler.")
    shutdown_seconds: float = Field(10, description="Time that a process has to finish its work after SIGTERM.")

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
