"""A notification as a mail: the message that leaves, byte for byte the same in every attempt. Pure.

The headers are written here rather than by `email.message`: that decodes encoded words found in a title, and breaks or
encodes a long `List-Unsubscribe` and `Message-ID`, which then no longer work.
"""

import binascii
import re
from email.header import Header
from email.utils import format_datetime

import idna
from msgspec import Struct

from hub import setting_values
from hub.model import CONTROLS
from hub.send.mail_layout import html, text
from hub.send.message import Message

ATOM = re.compile(r"[^\s\x00-\x20\x7f()<>\[\]:;@\\,\"]+")  # RFC 5322's atoms with dots, RFC 6531's letters
LOCAL_MAX_BYTES = 64  # RFC 5321 4.5.3.1.1
ADDRESS_MAX_BYTES = 254


class Unsendable(ValueError):
    """No mail can be made of it. The text names no address."""


class Sender(Struct, frozen=True):
    """Who a mail is from: `Acme <no-reply@example.org>`."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class Letter(Struct, frozen=True):
    """A mail with its envelope. `utf8`: only a server with SMTPUTF8 (RFC 6531) can take it."""

    sender: str
    recipient: str
    data: bytes
    utf8: bool


def sender_from(setting: str) -> Sender:
    """The sender that a setting names, which it was checked to do."""
    name, address = setting_values.sender(setting)
    return Sender(_line(name), address)


def mailbox(address: str) -> str:
    """A bare address as it goes into the envelope, its domain in ASCII (IDNA 2008). Raises Unsendable."""
    local, _, domain = address.strip().rpartition("@")
    if not ATOM.fullmatch(local) or not ATOM.fullmatch(domain) or CONTROLS.search(address):
        raise Unsendable("this is no mail address")
    try:
        domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        raise Unsendable("the domain of the mail address is none") from None
    if len(local.encode()) > LOCAL_MAX_BYTES or len(local.encode()) + 1 + len(domain) > ADDRESS_MAX_BYTES:
        raise Unsendable("the mail address is too long")
    return f"{local}@{domain}"


def letter(message: Message, sender: Sender) -> Letter:
    """The mail of a delivery. Raises Unsendable where the person has no address that mail can go to."""
    if not message.user.email:
        raise Unsendable("the person has no mail address")
    recipient = mailbox(message.user.email)
    utf8 = not recipient.isascii()
    boundary = f"=_{message.id}"  # no line of quoted-printable can hold `=_`
    headers = [
        f"Date: {format_datetime(message.created_at)}",
        f"From: {_from(sender)}",
        f"To: {recipient}",
        f"Subject: {_words('Subject', message.notification.title)}",
        f"Message-ID: <{message.id}@{sender.domain}>",
        "Auto-Submitted: auto-generated",  # RFC 3834: no out-of-office answers
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
    return Letter(sender.address, recipient, "\r\n".join(lines).encode(), utf8)


def _part(boundary: str, subtype: str, content: str) -> list[str]:
    return [
        f"--{boundary}",
        f"Content-Type: text/{subtype}; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        binascii.b2a_qp(content.encode()).decode().replace("\n", "\r\n"),
    ]


def _from(sender: Sender) -> str:
    if not sender.name:
        return sender.address
    name = _words("From", sender.name)
    return (
        f'"{name}" <{sender.address}>' if name == sender.name else f"{name} <{sender.address}>"
    )  # quoted for its dots


def _words(header: str, value: str) -> str:
    """Text of people in a header: always as encoded words (RFC 2047), so that nothing in it is read as anything else,
    but for plain words."""
    value = _line(value)
    if len(value) < 60 and re.fullmatch(r"[A-Za-z0-9 !.'-]*", value):
        return value
    return Header(value, "utf-8", header_name=header).encode(linesep="\r\n")


def _line(value: str) -> str:
    return " ".join(CONTROLS.sub(" ", value).split())
