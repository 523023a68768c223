"""Links in mails and pushes: who has one may do one thing about one delivery, without signing in.

A token is `1.{delivery}.{seal}`. The seal covers its version, its kind and the delivery's id, so that the token of one
kind is none of another, and nothing about it can be altered. It names no person and no category: those are looked up.
The key is in MongoDB, for all processes and for as long as mails lie about.
"""

import re
import secrets
from base64 import urlsafe_b64encode
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest, digest
from urllib.parse import urlencode, urlsplit

from bson import Binary
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from hub.model import Notification
from hub.platform.connections import Database, Indexes

COLLECTION = "secrets"
VERSION = "1"
KEY_BYTES = 32
MAC_BYTES = 16  # of HMAC-SHA256: half of it, as RFC 2104 allows
TOKEN = re.compile(r"1\.([0-9a-z_-]{1,100})\.([A-Za-z0-9_-]{22})")
TRAILING_PUNCTUATION = ".,;:!?'*_~>)]}\"\u201d\u2019\u00bb\u2026\u3002\u3001\uff0c\u300d\uff09"
"""What mail programs take into a link from the sentence around it. A token is complete without it."""


class LinkPurpose(StrEnum):
    """What a link is for; its value is the first part of its path."""

    UNSUBSCRIBE = "unsubscribe"
    RECEIPT = "r"


class SignedLinks:
    """`public_url`: HUB_PUBLIC_URL, empty where there is none."""

    def __init__(self, key: bytes, public_url: str = "") -> None:
        self._key = key
        self._public_url = public_url.rstrip("/")

    def sign(self, kind: LinkPurpose, delivery: str) -> str:
        """The token of that kind for a delivery."""
        return f"{VERSION}.{delivery}.{self._mac(kind, delivery)}"

    def verify(self, kind: LinkPurpose, token: str) -> str | None:
        """The delivery's id; None for what is no token of that kind, whole and of this hub."""
        found = TOKEN.match(token)
        if found and token[found.end() :].strip(TRAILING_PUNCTUATION):
            return None
        return found[1] if found and compare_digest(found[2], self._mac(kind, found[1])) else None

    def url(self, kind: LinkPurpose, delivery: str) -> str:
        """The whole link; empty without HUB_PUBLIC_URL."""
        return f"{self._public_url}/{kind}/{self.sign(kind, delivery)}" if self._public_url else ""

    def _mac(self, kind: LinkPurpose, delivery: str) -> str:
        sealed = digest(self._key, f"{VERSION}.{kind}.{delivery}".encode(), sha256)
        return urlsafe_b64encode(sealed[:MAC_BYTES]).decode().rstrip("=")


def indexes() -> Indexes:
    return {COLLECTION: []}  # read by `_id` only


async def load_signing_key(database: Database) -> bytes:
    """The key of all links, made by whoever asks first."""
    fresh = {"key": Binary(secrets.token_bytes(KEY_BYTES))}
    try:
        doc = await database[COLLECTION].find_one_and_update(
            {"_id": "links"}, {"$setOnInsert": fresh}, upsert=True, return_document=ReturnDocument.AFTER
        )
    except DuplicateKeyError:  # another process made it at the same moment
        doc = await database[COLLECTION].find_one({"_id": "links"})
    assert doc
    return bytes(doc["key"])


def absolute_url(url: str | None, app_url: str) -> str | None:
    """`url` as it is followed from outside the app: a path within it begins with HUB_APP_URL, where that is set."""
    return f"{app_url}{url}" if app_url and url and url.startswith("/") else url


def item_url(n: Notification, app_url: str, action: str) -> str | None:
    """Where an action without an address of its own leads: the notification's own address, else the app, which is told
    the notification and the action. None without both."""
    if address := http_url(absolute_url(n.action_url, app_url)):
        return address
    return f"{app_url}/?{urlencode({'notification': n.id, 'action': action})}" if app_url else None


def http_url(url: str | None) -> str | None:
    """`url` if it is absolute, and http or https: another means nothing in a mail, or worse."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname else None
