"""Signed links in emails and push messages. A link allows one action without signing in.

- `1.{delivery}.{mac}` allows one action on one delivery. The MAC covers the version, the purpose, and the delivery id.
  A token is therefore valid for only one purpose and cannot be altered. It contains no user and no category, because
  these are read from the delivery.
- `2.{ciphertext}.{tag}` unsubscribes a user from a category. Both are encrypted with AES-SIV (RFC 5297), so the link
  works after the delivery was deleted, and does not reveal them. Every email to the user in this category has the same
  link.

All processes share the signing key in MongoDB. Keep the key as long as emails with links exist.
"""

import re
import secrets
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest, digest
from urllib.parse import urlencode, urlsplit

from bson import Binary
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from hub import base64url
from hub.model import Notification
from hub.platform.connections import Database, Indexes

COLLECTION = "secrets"
VERSION, ENCRYPTED_VERSION = "1", "2"
KEY_BYTES = 32
MAC_BYTES = 16  # the first half of HMAC-SHA256, as RFC 2104 allows
TOKEN = re.compile(r"1\.([0-9a-z_-]{1,100})\.([A-Za-z0-9_-]{22})")
ENCRYPTED_TOKEN = re.compile(r"2\.([A-Za-z0-9_-]{1,700})\.([A-Za-z0-9_-]{22})")
ENCRYPTED_MAX_BYTES = 500  # longer names would not fit into a header line of 998 characters (RFC 5322)
TRAILING_PUNCTUATION = ".,;:!?'*_~>)]}\"\u201d\u2019\u00bb\u2026\u3002\u3001\uff0c\u300d\uff09"
"""Characters after a link that email programs may include in the link. They are ignored after a complete token."""


class LinkPurpose(StrEnum):
    """The purpose of a link. The value is the first segment of its path."""

    UNSUBSCRIBE = "unsubscribe"
    RECEIPT = "r"


class SignedLinks:
    """Signs and verifies links. `public_url`: HUB_PUBLIC_URL, or empty."""

    def __init__(self, key: bytes, public_url: str = "") -> None:
        self._key = key
        self._cipher = AESSIV(digest(key, b"unsubscribe", sha256))
        self._public_url = public_url.rstrip("/")

    def sign(self, purpose: LinkPurpose, delivery: str) -> str:
        """Return the token for a purpose and delivery."""
        return f"{VERSION}.{delivery}.{self._mac(purpose, delivery)}"

    def verify(self, purpose: LinkPurpose, token: str) -> str | None:
        """Return the delivery id, or None if this hub did not issue the token for this purpose."""
        match = _match(TOKEN, token)
        return match[1] if match and compare_digest(match[2], self._mac(purpose, match[1])) else None

    def url(self, purpose: LinkPurpose, delivery: str) -> str:
        """Return the URL of the link, or an empty string if HUB_PUBLIC_URL is not set."""
        return f"{self._public_url}/{purpose}/{self.sign(purpose, delivery)}" if self._public_url else ""

    def unsubscribe_url(self, mailbox: str, category: str, delivery: str) -> str:
        """Return the URL with which a user unsubscribes from a category, or an empty string if HUB_PUBLIC_URL is not
        set. If the names are too long, the link is that of the delivery."""
        names = f"{mailbox}\n{category}".encode()
        if not self._public_url or len(names) > ENCRYPTED_MAX_BYTES:
            return self.url(LinkPurpose.UNSUBSCRIBE, delivery)
        return f"{self._public_url}/{LinkPurpose.UNSUBSCRIBE}/{self._encrypt(names)}"

    def read_unsubscribe(self, token: str) -> tuple[str, str] | None:
        """Return the mailbox and the category, or None if this is not an encrypted token that this hub issued."""
        if not (match := _match(ENCRYPTED_TOKEN, token)):
            return None
        try:
            names = self._cipher.decrypt(base64url.decode(match[2]) + base64url.decode(match[1]), None)
        except (ValueError, InvalidTag):
            return None
        if self._encrypt(names) != match[0]:  # base64 has several texts for the same bytes
            return None
        mailbox, _, category = names.decode().partition("\n")
        return mailbox, category

    def _encrypt(self, names: bytes) -> str:
        sealed = self._cipher.encrypt(names, None)
        tag, ciphertext = sealed[:MAC_BYTES], sealed[MAC_BYTES:]
        return f"{ENCRYPTED_VERSION}.{base64url.encode(ciphertext)}.{base64url.encode(tag)}"

    def _mac(self, purpose: LinkPurpose, delivery: str) -> str:
        mac = digest(self._key, f"{VERSION}.{purpose}.{delivery}".encode(), sha256)
        return base64url.encode(mac[:MAC_BYTES])


def _match(pattern: re.Pattern[str], token: str) -> re.Match[str] | None:
    match = pattern.match(token)
    return None if match and token[match.end() :].strip(TRAILING_PUNCTUATION) else match


def indexes() -> Indexes:
    return {COLLECTION: []}  # read by `_id` only


async def load_signing_key(database: Database) -> bytes:
    """Return the signing key. The first call creates it."""
    new = {"key": Binary(secrets.token_bytes(KEY_BYTES))}
    try:
        doc = await database[COLLECTION].find_one_and_update(
            {"_id": "signed_links"}, {"$setOnInsert": new}, upsert=True, return_document=ReturnDocument.AFTER
        )
    except DuplicateKeyError:  # another process created it at the same time
        doc = await database[COLLECTION].find_one({"_id": "signed_links"})
    assert doc
    return bytes(doc["key"])


def absolute_url(url: str | None, app_url: str) -> str | None:
    """Return `url` as an absolute URL: HUB_APP_URL, if set, is prepended to a path."""
    return f"{app_url}{url}" if app_url and url and url.startswith("/") else url


def item_url(n: Notification, app_url: str, action: str) -> str | None:
    """Return the URL for an action that has no URL, or None if no URL is known.

    The result is the notification's URL, or the app's URL with the notification and the action in the query."""
    if url := http_url(absolute_url(n.action_url, app_url)):
        return url
    return f"{app_url}/?{urlencode({'notification': n.id, 'action': action})}" if app_url else None


def http_url(url: str | None) -> str | None:
    """Return `url` if it is an absolute HTTP or HTTPS URL, or None. Other URLs are useless or unsafe in an email."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname else None
