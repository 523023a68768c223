"""How the values of settings are read. Each function returns what the hub works with, or raises ValueError with what to
write instead. No text quotes a value that may hold a password."""

import json
import math
import re
from base64 import b64decode
from email.errors import ObsoleteHeaderDefect
from email.policy import default as email_policy
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import SplitResult, urlsplit

import idna
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from hub.mail_address import InvalidMailAddress, envelope_address

WEB = {"http": 80, "https": 443}
"""Schemes of web addresses, with the ports that browsers leave out."""
NEVER_SENT = {"ws", "wss", "file", "data", "blob", "javascript", "about"}
"""Schemes that no browser sends as an origin."""
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::([0-9]*))?")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
NAME_MAX_CHARS = 253
PORT_MAX = 65_535
VISIBLE = re.compile(r"[!#-;=?-\[\]_a-z~%]+")
"""What may stand in an address as it is: no spaces, quotes, angle brackets or backslashes, nothing beyond ASCII."""
ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")  # RFC 5322, dot-atom
APPLICATION = re.compile(r"arn:aws[\w-]*:sns:([a-z0-9-]+):\d{12}:app/(\w+)/[\w.-]+", re.ASCII)
"""The ARN of an SNS platform application, with its region and kind."""
TOPIC = re.compile(r"arn:(aws[a-z-]*):sns:([a-z0-9-]+):\d{12}:[\w.-]+", re.ASCII)
"""The ARN of an SNS topic, with its partition and region."""
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
YEAR_S = 31_536_000.0  # timers and dates overflow far above


def origin(value: str) -> str:
    """An origin as browsers send it: lower case, names in their xn-- form, no default port, nothing after it."""
    shown = "the value" if "@" in value else f"`{value}`"
    scheme, found, rest = value.partition("://")
    scheme, rest = scheme.lower(), rest.removesuffix("/")
    if "*" in value:
        raise ValueError(f"{shown} has a *, and no patterns are known here: list each origin by itself")
    if not found or not SCHEME.fullmatch(scheme):
        raise ValueError(f"{shown} has no scheme: write https://app.example.org")
    if scheme in NEVER_SENT:
        raise ValueError(f"{shown}: no browser sends an origin with {scheme}://: write https://app.example.org")
    if re.search(r"[/?#\\]", rest):
        raise ValueError(f"{shown} is more than an origin: end it after the host and port, https://app.example.org")
    if "@" in rest:
        raise ValueError("an origin holds no user and no password: write https://app.example.org")
    matched = AUTHORITY.fullmatch(rest)
    try:
        if not matched:
            raise ValueError("there is no host")
        host, port = _host(matched[1]), _port(matched[2])
    except ValueError as error:
        raise ValueError(f"{shown} is no origin ({error}): write https://app.example.org") from None
    return f"{scheme}://{host}" if port in {None, WEB.get(scheme)} else f"{scheme}://{host}:{port}"


def web_origin(value: str) -> str:
    """An origin of the web, for links."""
    if value.partition("://")[0].lower() not in WEB:
        raise ValueError("begin with https:// or http://, such as https://app.example.org")
    return origin(value)


def web_address(value: str) -> str:
    """An address with http or https that a path can follow: no user, query or fragment, no slash at its end."""
    parts = _split(value)
    if "?" in value or "#" in value:
        raise ValueError("leave out what begins with ? or #: paths are put behind this address")
    return f"{origin(f'{parts.scheme}://{parts.netloc}')}{parts.path.rstrip('/')}"


def fetched_address(value: str) -> str:
    """An address with http or https that the hub itself calls."""
    parts = _split(value)
    query = f"?{parts.query}" if parts.query else ""
    return f"{origin(f'{parts.scheme}://{parts.netloc}')}{parts.path}{query}"


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("this is no address: write https://hub.example.org") from None
    if parts.scheme not in WEB or not parts.netloc:
        raise ValueError("write a whole address with https:// or http://, such as https://hub.example.org")
    if "@" in parts.netloc:
        raise ValueError("an address holds no user and no password here")
    if not VISIBLE.fullmatch(f"/{parts.path}{parts.query}"):
        raise ValueError("percent-encode spaces, quotes and letters beyond ASCII in its path")
    return parts


def _host(text: str) -> str:
    """A host as browsers write it. Raises ValueError."""
    if text.startswith("["):
        return f"[{IPv6Address(text[1:-1]).compressed}]"
    try:
        name = idna.uts46_remap(text, std3_rules=False)
        labels = [
            label if label.isascii() else idna.encode(label, uts46=True).decode()
            for label in name.removesuffix(".").split(".")
        ]
    except UnicodeError:
        raise ValueError("its host is no name") from None
    if NUMBER.fullmatch(labels[-1]):
        return str(IPv4Address(".".join(labels)))
    host = ".".join(labels)
    if not all(LABEL.fullmatch(label) for label in labels) or len(host) > NAME_MAX_CHARS:
        raise ValueError("its host is no name")
    return f"{host}." if name.endswith(".") else host


def _port(text: str | None) -> int | None:
    port = int(text) if text else None
    if port is not None and not 0 < port <= PORT_MAX:
        raise ValueError(f"a port is 1 to {PORT_MAX}")
    return port


def sender(value: str) -> tuple[str, str]:
    """Name and address of one sender, the domain in ASCII (IDNA 2008)."""
    example = "write one sender: `Acme <no-reply@example.org>`"
    if any(not character.isprintable() for character in value):
        raise ValueError(f"there are control characters in it: {example}")
    try:
        header = email_policy.header_factory("From", value)
    except Exception:  # noqa: BLE001 - Python's parser raises many kinds for broken text, IndexError among them
        raise ValueError(f"this is no sender: {example}") from None
    if len(header.addresses) > 1:
        raise ValueError(f"these are {len(header.addresses)} senders: {example}, and put a name with a comma in quotes")
    if (
        not header.addresses
        or header.groups[0].display_name is not None
        or not all(isinstance(defect, ObsoleteHeaderDefect) for defect in header.defects)
    ):
        raise ValueError(f"this is no sender: {example}")
    [found] = header.addresses
    return str(found.display_name), _mailbox(found.username, found.domain, example)


def _mailbox(local: str, domain: str, example: str) -> str:
    if not ATOM.fullmatch(local):
        raise ValueError(f"the part before the @ has ASCII letters, digits, dots and dashes, no spaces: {example}")
    try:
        return envelope_address(f"{local}@{domain}")
    except InvalidMailAddress as error:
        raise ValueError(f"no mail can come from `{domain}` ({str(error).rstrip('.')}): {example}") from None


def vapid_subject(value: str) -> str:
    """Whom push services write to (RFC 8292, 2.1)."""
    scheme, _, rest = value.partition(":")
    try:
        if scheme == "mailto":
            name, address = sender(rest)
            if not name:
                return f"mailto:{address}"
        elif scheme == "https":
            return fetched_address(value)
    except ValueError:
        pass
    raise ValueError("write mailto:ops@example.org or https://example.org/contact")


def vapid_key(text: str) -> ec.EllipticCurvePrivateKey:
    """A private key of P-256, as `hub vapid` writes it: 32 bytes or DER in base64url."""
    try:
        plain = text.strip().rstrip("=").translate(str.maketrans("-_", "+/"))
        raw = b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        key: object = (
            ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1())
            if len(raw) == 32
            else load_der_private_key(raw, None)
        )
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("it is no key: `hub vapid` makes one")
    return key


def json_object(value: object) -> object:
    """The object that a text holds in JSON; an empty one of an empty text."""
    if not isinstance(value, str):
        return value
    try:
        found: Any = json.loads(value or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError('write an object in JSON, such as {"EMAIL": 20}')
    return found


def duration_s(word: str) -> float:
    """Seconds of `5s`, `5m`, `2h` or `1d`, at most a year."""
    word = word.strip()
    try:
        seconds = float(word[:-1]) * UNITS_S[word[-1:]]
    except (ValueError, KeyError):
        seconds = math.nan
    if not 0 <= seconds <= YEAR_S:
        raise ValueError(f"`{word}` is no duration: write 5s, 5m, 2h or 1d, at most 365d")
    return seconds
