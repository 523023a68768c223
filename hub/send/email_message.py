"""The email of a notification. The bytes are the same in every attempt. Pure.

The headers are not written with `email.message`, which decodes encoded words in a title and breaks or encodes a long
`List-Unsubscribe` or `Message-ID` header, which then does not work (see docs/adr/0026).
"""

import binascii
import re
from base64 import b64encode
from email.utils import format_datetime

from msgspec import Struct

from hub.email_address import InvalidEmailAddress, envelope_address
from hub.send.email_body import html, text
from hub.send.message import Message
from hub.settings import value_parsers
from hub.unicode_text import single_line

ENCODED_WORD_MAX_CHARS = 75  # RFC 2047 2
ENCODED_WORD = "=?utf-8?b?{}?="


class InvalidAddress(ValueError):
    """The user has no valid email address. The error text does not contain the address."""


class Sender(Struct, frozen=True):
    """The sender of an email: `Acme <no-reply@example.org>`."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class Email(Struct, frozen=True):
    """An email with its envelope. If `utf8` is True, the mail server must support SMTPUTF8 (RFC 6531)."""

    sender: str
    recipient: str
    data: bytes
    utf8: bool


def parse_sender(setting: str) -> Sender:
    """Return the sender in a validated setting."""
    name, address = value_parsers.sender(setting)
    return Sender(single_line(name), address)


def build_email(message: Message, sender: Sender) -> Email:
    """Build the email of a delivery. Raise InvalidAddress if the user has no valid email address."""
    if not message.user.email:
        raise InvalidAddress("the user has no email address")
    try:
        recipient = envelope_address(message.user.email)
    except InvalidEmailAddress as error:
        raise InvalidAddress(f"the email address is not valid: {error}") from None
    utf8 = not recipient.isascii()
    boundary = f"=_{message.id}"  # a quoted-printable line never contains `=_`
    headers = [
        f"Date: {format_datetime(message.created_at)}",
        f"From: {_from_header(sender)}",
        f"To: {recipient}",
        f"Subject: {_encode_header('Subject', message.subject or message.notification.title)}",
        f"Message-ID: <{message.id}@{sender.domain}>",
        "Auto-Submitted: auto-generated",  # RFC 3834: prevents out-of-office replies
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative; boundary="{boundary}"',
    ]
    if message.unsubscribe_url:  # RFC 2369, RFC 8058
        headers.append(f"List-Unsubscribe: <{message.unsubscribe_url}>")
        headers.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    lines = [
        *headers,
        "",
        *_part(boundary, "plain", text(message)),
        *_part(boundary, "html", html(message)),
        f"--{boundary}--",
        "",
    ]
    return Email(sender.address, recipient, "\r\n".join(lines).encode(), utf8)


def _part(boundary: str, subtype: str, content: str) -> list[str]:
    return [
        f"--{boundary}",
        f"Content-Type: text/{subtype}; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        binascii.b2a_qp(content.encode()).decode().replace("\n", "\r\n"),
    ]


def _from_header(sender: Sender) -> str:
    if not sender.name:
        return sender.address
    name = _encode_header("From", sender.name)
    if name == sender.name:
        return f'"{name}" <{sender.address}>'  # quoted because it may contain dots
    return f"{name}\r\n <{sender.address}>"


def _encode_header(header: str, value: str) -> str:
    """Encode user text for a header.

    Short plain text is not changed. Other text is converted to encoded words (RFC 2047) of at most 75 characters, on
    lines of at most 76 characters."""
    value = single_line(value)
    if len(value) < 60 and re.fullmatch(r"[A-Za-z0-9 !.'-]*", value):
        return value
    words, chunk, room = [], b"", _encoded_word_capacity(len(header) + 2)
    for character in value:
        encoded = character.encode(errors="replace")
        if len(chunk) + len(encoded) > room:
            words.append(chunk)
            chunk, room = b"", _encoded_word_capacity(1)
        chunk += encoded
    return "\r\n ".join(ENCODED_WORD.format(b64encode(chunk).decode()) for chunk in (*words, chunk))


def _encoded_word_capacity(before: int) -> int:
    """Return the number of bytes that fit in an encoded word after `before` characters on the line."""
    chars = ENCODED_WORD_MAX_CHARS + 1 - max(before, 1) - len(ENCODED_WORD.format(""))
    return chars // 4 * 3
