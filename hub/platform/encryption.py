"""The encryption of stored credentials with AES-GCM (NIST SP 800-38D).

- An encrypted value is `v1.<key id>.<base64url of nonce and ciphertext>`. The nonce is random.
- The associated data are the collection, the field, and the id of the device or endpoint. Therefore, a value that is
  copied to another document or field does not decrypt. They do not contain the user, because devices change users.
- A stored item, such as a device, has the id of the key in `encrypted_with`. An item without it is not encrypted. The
  index on `encrypted_with` finds the items that a key encrypts, and those that are not encrypted.

Without a key, values are stored as they are. Both forms are read.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from msgspec.structs import replace
from pymongo import ASCENDING, IndexModel

from hub import base64url
from hub.settings import Settings
from hub.settings.value_parsers import encryption_key

NONCE_BYTES = 12
ENCRYPTED = re.compile(r"v1\.([\w-]{1,32})\.([\w-]{38,})", re.ASCII)  # a nonce and a tag have 38 characters
ENCRYPTED_WITH = "encrypted_with"
SETTING = "HUB_ENCRYPTION_KEYS"


class CredentialUnavailable(Exception):
    """A stored credential cannot be decrypted. The message names the key and what to change."""


class StoredCredentials(Struct, frozen=True):
    """The encrypted fields of the items of an array, such as the devices of a user. A field is a text or a list of
    texts. An item has an `id`. `name` is the plural for messages. `index_name`: a collection may have several."""

    name: str
    collection: str
    array: str
    fields: tuple[str, ...]
    index_name: str = ENCRYPTED_WITH

    def index(self) -> IndexModel:
        """Return the index that finds items by their key, in slices ordered by the id of the document."""
        return IndexModel(
            [(f"{self.array}.{ENCRYPTED_WITH}", ASCENDING), ("_id", ASCENDING)],
            name=self.index_name,
            partialFilterExpression=self.has_items(),
        )

    def has_items(self) -> dict[str, Any]:
        """Return the match of documents with items. The index contains only these."""
        return {f"{self.array}.id": {"$exists": True}}


class Item(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def encrypted_with(self) -> str | None: ...


I = TypeVar("I", bound=Item)  # noqa: E741 - the type of an item


class Encryption:
    """Encrypts with the first key, and decrypts with all. `keys` are ids with 32 bytes each."""

    def __init__(self, keys: Iterable[tuple[str, bytes]]) -> None:
        self._ciphers = {id: AESGCM(key) for id, key in keys}
        self.key_ids = tuple(self._ciphers)
        self.first_key = next(iter(self.key_ids), None)

    def encrypt(self, text: str, collection: str, field: str, id: str) -> str:
        """Return the text for storage in this field of this item. Without a key, return the text unchanged."""
        if self.first_key is None:
            return text
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self.first_key].encrypt(nonce, text.encode(), _associated_data(collection, field, id))
        return f"v1.{self.first_key}.{base64url.encode(nonce + sealed)}"

    def decrypt(self, stored: str, collection: str, field: str, id: str) -> str:
        """Return the text that was stored in this field of this item. Return a text that is not encrypted unchanged.
        Raise CredentialUnavailable."""
        if not (parts := ENCRYPTED.fullmatch(stored)):
            return stored
        key = parts[1]
        if not (cipher := self._ciphers.get(key)):
            raise CredentialUnavailable(f"{SETTING} does not contain the key `{key}`, which encrypted {field}: add it")
        try:
            raw, data = base64url.decode(parts[2]), _associated_data(collection, field, id)
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], data).decode()
        except (InvalidTag, ValueError):
            raise CredentialUnavailable(
                f"the key `{key}` in {SETTING} does not decrypt {field}: it is not the key with which {field} was "
                "encrypted, or the value was changed"
            ) from None

    def encrypted(self, where: StoredCredentials, item: I) -> I:
        """Return an item for storage."""
        values = self.encrypted_values(where, item.id, _values(where, item))
        return replace(item, **values, encrypted_with=self.first_key)  # type: ignore[type-var]

    def decrypted(self, where: StoredCredentials, item: I) -> I:
        """Return a stored item with its credentials. Raise CredentialUnavailable."""
        if item.encrypted_with is None:
            return item
        values = self.decrypted_values(where, item.id, _values(where, item))
        return replace(item, **values, encrypted_with=None)  # type: ignore[type-var]

    def decrypted_values(self, where: StoredCredentials, id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of an item's fields, decrypted. Raise CredentialUnavailable."""
        return _mapped(values, lambda name, text: self.decrypt(text, *_place(where, name, id)))

    def encrypted_values(self, where: StoredCredentials, id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of an item's fields, encrypted with the first key."""
        return _mapped(values, lambda name, text: self.encrypt(text, *_place(where, name, id)))


def create_encryption(settings: Settings) -> Encryption:
    """Return the encryption with the keys of the settings."""
    return Encryption(encryption_key(key.get_secret_value()) for key in settings.encryption_keys)


def _associated_data(collection: str, field: str, id: str) -> bytes:
    return "\n".join((collection, field, id)).encode()


def _place(where: StoredCredentials, name: str, id: str) -> tuple[str, str, str]:
    return where.collection, f"{where.array}.{name}", id


def _values(where: StoredCredentials, item: Item) -> dict[str, Any]:
    return {name: getattr(item, name) for name in where.fields}


def _mapped(values: Mapping[str, Any], change: Callable[[str, str], str]) -> dict[str, Any]:
    """Change each text, and each text in a list. Other values, such as None, are kept."""

    def changed(name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(changed(name, each) for each in value)
        return change(name, value) if isinstance(value, str) else value

    return {name: changed(name, value) for name, value in values.items()}
