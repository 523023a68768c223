"""Types of settings: the parsers of their text and the bounds of numbers."""

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from hub.model import Channel
from hub.settings import value_parsers

DAYS_MAX = 20_000  # MongoDB's TTL indexes count seconds in 32 bits
WORKERS_MAX = 64
COUNT_MAX = 2**31 - 1
SNS_PLATFORM_KINDS = {"sns_platform_fcm": ("GCM",), "sns_platform_apns": ("APNS", "APNS_SANDBOX")}
"""The kinds of SNS platform applications that each setting accepts."""


def _split_words(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _split_secrets(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else value


def _split_networks(value: object) -> object:
    return tuple(ip_network(word) for word in value.replace(",", " ").split()) if isinstance(value, str) else value


def _split_durations(value: object) -> object:
    return tuple(value_parsers.duration_s(word) for word in value.split(",")) if isinstance(value, str) else value


def _each(parse: Callable[[str], str]) -> AfterValidator:
    """Parse each word and remove duplicates."""
    return AfterValidator(lambda words: tuple(dict.fromkeys(parse(word) for word in words)))


def _unless_empty(parse: Callable[[str], Any]) -> AfterValidator:
    return AfterValidator(lambda value: parse(value) if value else value)


def _check_sender(value: str) -> str:
    value_parsers.sender(value)
    return value


def _check_network(value: str) -> str:
    ip_network(value)
    return value


def _check_visible_ascii(value: SecretStr) -> SecretStr:
    if not all("!" <= character <= "~" for character in value.get_secret_value()):
        raise ValueError("a token is sent in a header: use visible ASCII characters without spaces")
    return value


def _check_secret_lengths(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if any(len(secret.get_secret_value().encode()) < value_parsers.MIN_SECRET_BYTES for secret in secrets):
        raise ValueError(
            f"each secret has {value_parsers.MIN_SECRET_BYTES} bytes or more; create one with `openssl rand -hex 32`"
        )
    return secrets


def _check_encryption_keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    ids = [value_parsers.encryption_key(key.get_secret_value())[0] for key in keys]
    if len(set(ids)) < len(ids):
        raise ValueError("two keys have the same id: give each key an id of its own")
    return keys


Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
PositiveCount = Annotated[int, Field(gt=0, le=COUNT_MAX)]
WorkerCount = Annotated[int, Field(ge=1, le=WORKERS_MAX)]
Seconds = Annotated[float, Field(ge=0, le=value_parsers.YEAR_S)]
PositiveSeconds = Annotated[float, Field(gt=0, le=value_parsers.YEAR_S)]
WholeSeconds = Annotated[int, Field(gt=0, le=int(value_parsers.YEAR_S))]
Days = Annotated[int, Field(ge=0, le=DAYS_MAX)]
Port = Annotated[int, Field(ge=0, le=value_parsers.PORT_MAX)]

SpaceSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_words)]
"""Values separated by spaces or commas."""
Origins = Annotated[SpaceSeparated, _each(value_parsers.origin)]
PrivateNetworks = Annotated[SpaceSeparated, _each(_check_network)]
WebOrigins = Annotated[SpaceSeparated, _each(value_parsers.web_origin)]
Chats = Annotated[SpaceSeparated, _each(value_parsers.chat)]
SnsTopics = Annotated[SpaceSeparated, _each(value_parsers.sns_topic)]
AttributeNames = Annotated[SpaceSeparated, _each(value_parsers.attribute_name), Field(max_length=16)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_split_networks)]
SecretKeys = Annotated[
    tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_secrets), AfterValidator(_check_secret_lengths)
]
EncryptionKeys = Annotated[
    tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_words), AfterValidator(_check_encryption_keys)
]

AppOrigin = Annotated[str, _unless_empty(value_parsers.web_origin)]
WebURL = Annotated[str, _unless_empty(value_parsers.web_url)]
URLToFetch = Annotated[str, _unless_empty(value_parsers.url_to_fetch)]
MailServer = Annotated[str, _unless_empty(value_parsers.mail_server)]
Sender = Annotated[str, _unless_empty(_check_sender)]
TwilioAccount = Annotated[str, _unless_empty(value_parsers.twilio_account)]
SmsSender = Annotated[str, _unless_empty(value_parsers.sms_sender)]
WhatsAppSender = Annotated[str, _unless_empty(value_parsers.whatsapp_sender)]
SnsSmsSender = Annotated[str, _unless_empty(value_parsers.sns_sms_sender)]
VapidSubject = Annotated[str, _unless_empty(value_parsers.vapid_subject)]
FcmApplication = Annotated[
    str, _unless_empty(partial(value_parsers.sns_application, kinds=SNS_PLATFORM_KINDS["sns_platform_fcm"]))
]
ApnsApplication = Annotated[
    str, _unless_empty(partial(value_parsers.sns_application, kinds=SNS_PLATFORM_KINDS["sns_platform_apns"]))
]
DatabaseName = Annotated[str, AfterValidator(value_parsers.database_name)]
CloudWatchNamespace = Annotated[str, _unless_empty(value_parsers.cloudwatch_namespace)]
HeaderToken = Annotated[SecretStr, AfterValidator(_check_visible_ascii)]

Lane = Channel | Literal["WEBHOOK_ENDPOINT", "EVENTS", "ENRICHMENT"]
"""A channel, the calls of tenants' webhook endpoints, or the events for which rules run."""
JSON = BeforeValidator(value_parsers.json_object)
Concurrencies = Annotated[dict[Lane, PositiveCount], NoDecode, JSON]
QueueTenants = Annotated[dict[str, str], NoDecode, BeforeValidator(value_parsers.queue_tenants)]
RetrySchedule = Annotated[tuple[float, ...], NoDecode, BeforeValidator(_split_durations)]
RetrySchedules = Annotated[dict[Lane, tuple[Seconds, ...]], NoDecode, JSON]
