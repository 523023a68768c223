"""Every setting, read from environment variables with the prefix `HUB_`.

Names are `<area>_<what>_<unit>`. Durations end in `_s` (seconds) or `_days`, sizes in `_bytes` or `_chars`. A maximum
is `<area>_max_<things>` or `<what>_max_<unit>`.
"""

from typing import Any

from pydantic import BaseModel, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hub.model import Channel
from hub.settings import value_parsers
from hub.settings.delivery import ChannelSettings, DeliverySettings
from hub.settings.limits import ContentSettings, QuerySettings, RateLimitSettings, RequestSettings
from hub.settings.server import AuthSettings, ServerSettings, StorageSettings, StoreSettings

CHATS = frozenset({Channel.SLACK, Channel.DISCORD, Channel.TEAMS})
IMPLEMENTED_CHANNELS = frozenset(
    {
        Channel.IN_APP,
        Channel.EMAIL,
        Channel.WEB_PUSH,
        Channel.MOBILE_PUSH,
        Channel.SMS,
        Channel.WHATSAPP,
        Channel.WEBHOOK,
        *CHATS,
    }
)
"""Channels that can be configured. All others are NOT_CONFIGURED."""
LANE_RETRY_SCHEDULES_S = {"EVENTS": (5.0, 60.0, 600.0, 3600.0)}
"""The schedules of lanes that do not use HUB_RETRY_SCHEDULE. An event is tried five times."""
GROUPS: dict[str, type[BaseModel]] = {
    "Stores": StoreSettings,
    "HTTP server": ServerSettings,
    "Authentication": AuthSettings,
    "Requests and connections": RequestSettings,
    "GraphQL operations": QuerySettings,
    "Rate limits": RateLimitSettings,
    "Content": ContentSettings,
    "Transactions and retention": StorageSettings,
    "Channels": ChannelSettings,
    "Delivery": DeliverySettings,
}
"""The groups of settings by title."""


class ConfigurationError(Exception):
    """The resource that a setting names cannot be used. The message contains the setting and the reason."""


class Settings(
    StoreSettings,
    ServerSettings,
    AuthSettings,
    RequestSettings,
    QuerySettings,
    RateLimitSettings,
    ContentSettings,
    StorageSettings,
    ChannelSettings,
    DeliverySettings,
    BaseSettings,
):
    """All settings and the validation rules that involve several settings."""

    model_config = SettingsConfigDict(
        env_prefix="HUB_", frozen=True, extra="ignore", str_strip_whitespace=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _reject_control_characters(cls, given: Any) -> Any:
        """Reject control characters and surrogates. Python decodes bytes that are not valid UTF-8 to surrogates."""
        for name, value in given.items() if isinstance(given, dict) else ():
            if isinstance(value, str) and value_parsers.FORBIDDEN_CHARACTERS.search(value):
                raise ValueError(f"HUB_{name.upper()} contains control characters or is not UTF-8: write it again")
        return given

    @model_validator(mode="after")
    def _require_sender(self) -> "Settings":
        if self.smtp_url and not self.smtp_from:
            raise ValueError("HUB_SMTP_URL also requires HUB_SMTP_FROM, the sender: `Acme <no-reply@example.org>`")
        return self

    @model_validator(mode="after")
    def _require_twilio_account(self) -> "Settings":
        used = {"HUB_SMS_FROM": self.sms_from, "HUB_WHATSAPP_FROM": self.whatsapp_from}
        names = " and ".join(name for name, value in used.items() if value)
        if names and not (self.twilio_account_sid and self.twilio_auth_token.get_secret_value()):
            raise ValueError(
                f"{names} cannot be used without HUB_TWILIO_ACCOUNT_SID and HUB_TWILIO_AUTH_TOKEN, "
                "from the start page of Twilio's console"
            )
        return self

    @model_validator(mode="after")
    def _require_signing_key(self) -> "Settings":
        if not self.jwt_secret and not self.jwks_url:
            raise ValueError("set HUB_JWT_SECRET (32 bytes or more, `openssl rand -hex 32`) or HUB_JWKS_URL")
        return self

    @model_validator(mode="after")
    def _require_issuer_of_console(self) -> "Settings":
        if not self.console_oidc_client_id:
            return self
        if not self.jwks_url or not value_parsers.is_secure_url(self.jwt_issuer):
            raise ValueError(
                "HUB_CONSOLE_OIDC_CLIENT_ID also requires HUB_JWT_ISSUER, an issuer with HTTPS such as "
                "https://login.example.org, and HUB_JWKS_URL, the keys that verify its access tokens"
            )
        return self

    @model_validator(mode="after")
    def _require_vapid_subject(self) -> "Settings":
        key = self.vapid_private_key.get_secret_value()
        if key and not self.vapid_subject:
            raise ValueError("HUB_VAPID_PRIVATE_KEY also requires HUB_VAPID_SUBJECT: mailto:ops@example.org")
        if key:
            try:
                value_parsers.vapid_key(key)
            except ValueError:
                raise ValueError("HUB_VAPID_PRIVATE_KEY is not a valid key: `hub vapid` creates one.") from None
        return self

    @model_validator(mode="after")
    def _keep_sends_longer(self) -> "Settings":
        if self.sends_days < self.deliveries_days:
            raise ValueError(
                f"HUB_SENDS_DAYS ({self.sends_days}) must be at least HUB_DELIVERIES_DAYS ({self.deliveries_days})"
            )
        return self

    @model_validator(mode="after")
    def _require_one_region(self) -> "Settings":
        arns = [arn for arn in (self.sns_platform_fcm, self.sns_platform_apns) if arn]
        if len({arn.split(":")[3] for arn in arns}) > 1:
            raise ValueError(
                "HUB_SNS_PLATFORM_FCM and HUB_SNS_PLATFORM_APNS are in different regions: create both in one region"
            )
        return self

    def concurrency_of(self, lane: str) -> int:
        """Return the maximum number of concurrent calls on a lane. For SMTP it is at most the number of connections."""
        default = self.delivery_concurrency
        if lane == Channel.EMAIL and self.smtp_url:
            default = min(default, self.smtp_max_connections)
        by_lane = {str(name): calls for name, calls in self.delivery_concurrency_by_channel.items()}
        return by_lane.get(lane, default)

    def schedule_of(self, lane: str) -> tuple[float, ...]:
        """Return the delays between attempts on a lane, in seconds."""
        by_lane = {str(name): delays for name, delays in self.retry_schedule_by_channel.items()}
        return by_lane.get(lane) or LANE_RETRY_SCHEDULES_S.get(lane) or self.retry_schedule

    @property
    def senders(self) -> dict[Channel, str]:
        """The sender of each channel whose recipients can reply STOP."""
        whatsapp = f"whatsapp:{self.whatsapp_from}" if self.whatsapp_from else ""
        senders = {Channel.SMS: self.sms_from, Channel.WHATSAPP: whatsapp}
        return {channel: sender for channel, sender in senders.items() if sender}

    @property
    def configured(self) -> frozenset[Channel]:
        """The channels that a send can use: all implemented channels in development, else those with a provider."""
        return IMPLEMENTED_CHANNELS if self.mode == "development" else self.provided

    @property
    def provided(self) -> frozenset[Channel]:
        """The channels that have a provider."""
        has_provider = {
            Channel.IN_APP: True,
            Channel.EMAIL: bool(self.smtp_url and self.smtp_from) or bool(self.ses_from),
            Channel.WEB_PUSH: bool(self.vapid_private_key.get_secret_value()),
            Channel.MOBILE_PUSH: bool(self.sns_platform_fcm or self.sns_platform_apns),
            Channel.SMS: bool(self.sms_from or self.sns_sms_from),
            Channel.WHATSAPP: bool(self.whatsapp_from),
            Channel.WEBHOOK: self.personal_webhooks,
            **{channel: channel in self.chats for channel in CHATS},
        }
        return frozenset(channel for channel, provided in has_provider.items() if provided)
