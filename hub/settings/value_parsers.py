"""Parsers of setting values. Each function returns the normalized value or raises ValueError. The message states what
to write instead. It never quotes a value that may contain a password.
"""

import json
import math
import re
from email.errors import ObsoleteHeaderDefect
from email.policy import default as email_policy
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import SplitResult, urlsplit

import idna
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from hub import base64url
from hub.email_address import InvalidEmailAddress, envelope_address
from hub.model import TENANT, TENANT_RULE
from hub.phone_number import E164

DEFAULT_PORTS = {"http": 80, "https": 443}
"""The ports that browsers omit from an origin."""
NOT_ORIGINS = {"ws", "wss", "file", "data", "blob", "javascript", "about"}
"""Schemes that browsers never send in an origin."""
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::([0-9]*))?")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
NAME_MAX_CHARS = 253
PORT_MAX = 65_535
VISIBLE = re.compile(r"[!#-;=?-\[\]_a-z~%]+")
"""ASCII characters that a URL may contain unescaped: no spaces, quotes, angle brackets, or backslashes."""
ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")  # RFC 5322, dot-atom
APPLICATION = re.compile(r"arn:aws[\w-]*:sns:([a-z0-9-]+):\d{12}:app/(\w+)/[\w.-]+", re.ASCII)
"""The ARN of an SNS platform application, with its region and kind."""
CHATS = ("SLACK", "DISCORD", "TEAMS")
TOPIC = re.compile(r"arn:(aws[a-z-]*):sns:([a-z0-9-]+):\d{12}:[\w.-]+", re.ASCII)
"""The ARN of an SNS topic, with its partition and region."""
TWILIO_ACCOUNT = re.compile(r"AC[0-9a-f]{32}")
MESSAGING_SERVICE = re.compile(r"MG[0-9a-f]{32}")
SENDER_ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]{3,11}")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
YEAR_S = 31_536_000.0  # far below the values at which timers and dates overflow
DATABASE_NAME = re.compile(r'[^\x00-\x20/\\."$*<>:|?]{1,63}')
FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
CLOUDWATCH_NAMESPACE = re.compile(r"[\w.:/#-]{1,255}", re.ASCII)
KEY_ID = re.compile(r"[\w-]{1,32}", re.ASCII)
ENCRYPTION_KEY_BYTES = 32
MIN_SECRET_BYTES = 32  # RFC 7518, 3.2: an HS256 key must be at least as long as the hash


def origin(value: str) -> str:
    """Return an origin as browsers send it: in lowercase, with `xn--` names, without a default port or a path."""
    quoted = "the value" if "@" in value else f"`{value}`"
    scheme, separator, rest = value.partition("://")
    scheme, rest = scheme.lower(), rest.removesuffix("/")
    if "*" in value:
        raise ValueError(f"{quoted} has a *, but patterns are not supported: list each origin")
    if not separator or not SCHEME.fullmatch(scheme):
        raise ValueError(f"{quoted} has no scheme: write https://app.example.org")
    if scheme in NOT_ORIGINS:
        raise ValueError(f"{quoted}: browsers send no origin with {scheme}://: write https://app.example.org")
    if re.search(r"[/?#\\]", rest):
        raise ValueError(
            f"{quoted} is more than an origin: end it after the host and port, as in https://app.example.org"
        )
    if "@" in rest:
        raise ValueError("an origin contains no user and no password: write https://app.example.org")
    matched = AUTHORITY.fullmatch(rest)
    try:
        if not matched:
            raise ValueError("it has no host")
        host, port = _host(matched[1]), _port(matched[2])
    except ValueError as error:
        raise ValueError(f"{quoted} is not a valid origin ({error}): write https://app.example.org") from None
    return f"{scheme}://{host}" if port in {None, DEFAULT_PORTS.get(scheme)} else f"{scheme}://{host}:{port}"


def chat(value: str) -> str:
    """Return the kind of a chat that users can connect."""
    if value.upper() not in CHATS:
        raise ValueError(f"`{value}` is not a chat: write {', '.join(CHATS)}")
    return value.upper()


def attribute_name(value: str) -> str:
    """Return the name of a top-level attribute of users."""
    if value.startswith("$") or "." in value:
        raise ValueError(f"`{value}` is not the name of an attribute: it must not begin with $ or contain a dot")
    return value


def web_origin(value: str) -> str:
    """Return an http or https origin."""
    if value.partition("://")[0].lower() not in DEFAULT_PORTS:
        raise ValueError("begin with https:// or http://, as in https://app.example.org")
    return origin(value)


def web_url(value: str) -> str:
    """Return an http or https URL to which a path can be appended: no user, query, fragment, or trailing slash."""
    parts = _split(value)
    if "?" in value or "#" in value:
        raise ValueError("leave out what begins with ? or #: paths are appended to this address")
    return f"{origin(f'{parts.scheme}://{parts.netloc}')}{parts.path.rstrip('/')}"


def url_to_fetch(value: str) -> str:
    """Return an http or https URL that the hub requests."""
    parts = _split(value)
    query = f"?{parts.query}" if parts.query else ""
    return f"{origin(f'{parts.scheme}://{parts.netloc}')}{parts.path}{query}"


def is_secure_url(value: str) -> bool:
    """Return True for the URL of a page with TLS, or on this machine."""
    try:
        parts = _split(value)
        host = _host(parts.netloc.rpartition(":")[0] if parts.port else parts.netloc)
    except ValueError:
        return False
    return parts.scheme == "https" or host in ("127.0.0.1", "localhost", "[::1]")


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("this is not a valid address: write https://hub.example.org") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.netloc:
        raise ValueError("write a complete address with https:// or http://, such as https://hub.example.org")
    if "@" in parts.netloc:
        raise ValueError("this address must not contain a user or password")
    if not VISIBLE.fullmatch(f"/{parts.path}{parts.query}"):
        raise ValueError("percent-encode spaces, quotes and non-ASCII letters in its path")
    return parts


def _host(text: str) -> str:
    """Return a host as browsers write it."""
    if text.startswith("["):
        return f"[{IPv6Address(text[1:-1]).compressed}]"
    try:
        name = idna.uts46_remap(text, std3_rules=False)
        labels = [
            label if label.isascii() else idna.encode(label, uts46=True).decode()
            for label in name.removesuffix(".").split(".")
        ]
    except UnicodeError:
        raise ValueError("its host is not a valid name") from None
    if NUMBER.fullmatch(labels[-1]):
        return str(IPv4Address(".".join(labels)))
    host = ".".join(labels)
    if not all(LABEL.fullmatch(label) for label in labels) or len(host) > NAME_MAX_CHARS:
        raise ValueError("its host is not a valid name")
    return f"{host}." if name.endswith(".") else host


def _port(text: str | None) -> int | None:
    port = int(text) if text else None
    if port is not None and not 0 < port <= PORT_MAX:
        raise ValueError(f"a port is 1 to {PORT_MAX}")
    return port


def sender(value: str) -> tuple[str, str]:
    """Return the name and address of a sender, with the domain in ASCII (IDNA 2008)."""
    example = "write one sender: `Acme <no-reply@example.org>`"
    if any(not character.isprintable() for character in value):
        raise ValueError(f"it contains control characters: {example}")
    try:
        header = email_policy.header_factory("From", value)
    except Exception:  # noqa: BLE001 - for malformed text, Python's parser raises many types, such as IndexError
        raise ValueError(f"this is not a valid sender: {example}") from None
    if len(header.addresses) > 1:
        raise ValueError(f"these are {len(header.addresses)} senders: {example}, and put a name with a comma in quotes")
    if (
        not header.addresses
        or header.groups[0].display_name is not None
        or not all(isinstance(defect, ObsoleteHeaderDefect) for defect in header.defects)
    ):
        raise ValueError(f"this is not a valid sender: {example}")
    [address] = header.addresses
    return str(address.display_name), _sender_address(address.username, address.domain, example)


def _sender_address(local: str, domain: str, example: str) -> str:
    if not ATOM.fullmatch(local):
        raise ValueError(f"before the @, use only ASCII letters, digits, dots and dashes: {example}")
    try:
        return envelope_address(f"{local}@{domain}")
    except InvalidEmailAddress as error:
        raise ValueError(f"email cannot come from `{domain}` ({str(error).rstrip('.')}): {example}") from None


def vapid_subject(value: str) -> str:
    """Return the contact for operators of push services (RFC 8292, 2.1)."""
    scheme, _, rest = value.partition(":")
    try:
        if scheme == "mailto":
            name, address = sender(rest)
            if not name:
                return f"mailto:{address}"
        elif scheme == "https":
            return url_to_fetch(value)
    except ValueError:
        pass
    raise ValueError("write mailto:ops@example.org or https://example.org/contact")


def vapid_key(text: str) -> ec.EllipticCurvePrivateKey:
    """Return a P-256 private key, as printed by `hub vapid`: 32 bytes or DER in base64url."""
    try:
        raw = base64url.decode(text.strip())
        key: object = (
            ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1())
            if len(raw) == 32
            else load_der_private_key(raw, None)
        )
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("it is not a valid key: `hub vapid` creates one")
    return key


def encryption_key(text: str) -> tuple[str, bytes]:
    """Return the id and the bytes of a key, as printed by `hub keys generate-encryption-key`: `id:base64`."""
    id, _, encoded = text.partition(":")
    try:
        key = base64url.decode(encoded)
    except ValueError:
        key = b""
    if not KEY_ID.fullmatch(id) or len(key) != ENCRYPTION_KEY_BYTES:
        raise ValueError(
            f"write each key as id:base64, with an id of 1 to 32 letters, digits, dashes or underscores and a key of "
            f"{ENCRYPTION_KEY_BYTES} bytes; `hub keys generate-encryption-key` creates one"
        )
    return id, key


def json_object(value: object) -> object:
    """Return the JSON object in a text, or an empty object for empty text. Return other types unchanged."""
    if not isinstance(value, str):
        return value
    try:
        parsed: Any = json.loads(value or "{}")
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise ValueError('write a JSON object, such as {"EMAIL": 20}')
    return parsed


def queue_tenants(value: object) -> object:
    """Return the tenants of SQS queues by URL, from a JSON object."""
    example = '{"https://sqs.eu-west-1.amazonaws.com/123456789012/events": "acme"}'
    try:
        parsed = json_object(value)
    except ValueError:
        raise ValueError(f"write a JSON object, such as {example}") from None
    assert isinstance(parsed, dict)
    for url, tenant in parsed.items():
        if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
            raise ValueError(f"the value of a queue is its tenant, {TENANT_RULE}, as in {example}")
        _split(url)
    return parsed


def duration_s(word: str) -> float:
    """Return the seconds of a duration such as `5s`, `5m`, `2h`, or `1d`. The maximum is a year."""
    word = word.strip()
    try:
        seconds = float(word[:-1]) * UNITS_S[word[-1:]]
    except (ValueError, KeyError):
        seconds = math.nan
    if not 0 <= seconds <= YEAR_S:
        raise ValueError(f"`{word}` is not a valid duration: write 5s, 5m, 2h or 1d, at most 365d")
    return seconds


def mail_server(value: str) -> str:
    """Check the URL of a mail server: `smtp` or `smtps`, with an optional `?starttls=on` or `off`."""
    parts = urlsplit(value)
    try:
        valid = parts.scheme in {"smtp", "smtps"} and parts.hostname and parts.port != 0
        valid = valid and parts.path in {"", "/"} and not parts.fragment
    except ValueError:  # the message may quote part of the password
        valid = False
    if not valid:
        raise ValueError(
            "write smtp://user:password@host:port or smtps://user:password@host:port, and percent-encode special "
            "characters of user and password: %40 for @, %2F for /, %23 for #"
        )
    if parts.query not in {"", "starttls=on", "starttls=off"}:
        raise ValueError("after the ?, only `starttls=on` or `starttls=off` is allowed")
    if parts.query == "starttls=off" and parts.password:
        raise ValueError("with `starttls=off` the password would be sent unencrypted")
    return value


def database_name(value: str) -> str:
    if not DATABASE_NAME.fullmatch(value):
        raise ValueError("a MongoDB database name has 1 to 63 letters, digits, dashes or underscores")
    return value


def cloudwatch_namespace(value: str) -> str:
    if not CLOUDWATCH_NAMESPACE.fullmatch(value) or value.startswith("AWS/"):
        raise ValueError("write up to 255 letters, digits and . - _ / # : that do not begin with AWS/: NotificationHub")
    return value


def sns_topic(value: str) -> str:
    if not TOPIC.fullmatch(value):
        raise ValueError(f"{value} is not an SNS topic: write its ARN, arn:aws:sns:eu-west-1:123456789012:name")
    return value


def sns_application(value: str, kinds: tuple[str, ...]) -> str:
    """Check the ARN of an SNS platform application. `kinds` are the allowed platforms."""
    matched = APPLICATION.fullmatch(value)
    if not matched or matched[2] not in kinds:
        raise ValueError(
            f"write the ARN of an SNS platform application: arn:aws:sns:eu-west-1:123456789012:app/{kinds[0]}/name"
        )
    return value


def twilio_account(value: str) -> str:
    if not TWILIO_ACCOUNT.fullmatch(value):
        raise ValueError("write the account SID of Twilio: AC and 32 hexadecimal digits")
    return value


def sms_sender(value: str) -> str:
    """Check a phone number, or the SID of a messaging service of Twilio."""
    if not MESSAGING_SERVICE.fullmatch(value) and not E164.fullmatch(value):
        raise ValueError(
            "write a phone number such as +4915112345678, or the SID of a messaging service: MG and 32 hexadecimal "
            "digits, whose pool may contain short codes and sender IDs"
        )
    return value


def whatsapp_sender(value: str) -> str:
    """Return the phone number of a WhatsApp sender. The prefix of Twilio is removed."""
    number = value.removeprefix("whatsapp:")
    if not E164.fullmatch(number):
        raise ValueError("write the phone number of the WhatsApp sender, such as +4915112345678")
    return number


def sns_sms_sender(value: str) -> str:
    """Check a sender ID or an origination number of Amazon SNS."""
    if not SENDER_ID.fullmatch(value) and not E164.fullmatch(value):
        raise ValueError(
            "write a sender ID of 3 to 11 letters and digits with at least one letter, or an origination number such "
            "as +14155550100"
        )
    return value
