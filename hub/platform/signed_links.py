"""Signed links in emails and push messages. A link allows one action on one delivery without signing in.

A token has the format `1.{delivery}.{mac}`. The MAC covers the version, the purpose, and the delivery id. A token is
therefore valid for only one purpose and cannot be altered. It contains no user and no category, because these are read
from the delivery. All processes share the signing key in MongoDB. Keep the key as long as emails with links exist.
"""

import re
import secrets
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest, digest
from urllib.parse import urlencode, urlsplit

from bson import Binary
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from hub import base64url
from hub.model import Notification
from hub.platform.connections import Database, Indexes

COLLECTION = "secrets"
VERSION = "1"
KEY_BYTES = 32
MAC_BYTES = 16  # the first half of HMAC-SHA256, as RFC 2104 allows
TOKEN = re.compile(r"1\.([0-9a-z_-]{1,100})\.([A-Za-z0-9_-]{22})")
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
        self._public_url = public_url.rstrip("/")

    def sign(self, purpose: LinkPurpose, delivery: str) -> str:
        """Return the token for a purpose and delivery."""
        return f"{VERSION}.{delivery}.{self._mac(purpose, delivery)}"

    def verify(self, purpose: LinkPurpose, token: str) -> str | None:
        """Return the delivery id, or None if this hub did not issue the token for this purpose."""
        match = TOKEN.match(token)
        if match and token[match.end() :].strip(TRAILING_PUNCTUATION):
            return None
        return match[1] if match and compare_digest(match[2], self._mac(purpose, match[1])) else None

    def url(self, purpose: LinkPurpose, delivery: str) -> str:
        """Return the URL of the link, or an empty string if HUB_PUBLIC_URL is not set."""
        return f"{self._public_url}/{purpose}/{self.sign(purpose, delivery)}" if self._public_url else ""

    def _mac(self, purpose: LinkPurpose, delivery: str) -> str:
        mac = digest(self._key, f"{VERSION}.{purpose}.{delivery}".encode(), sha256)
        return base64url.encode(mac[:MAC_BYTES])


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
