"""The fields of users that searches and filters read. They are computed from the profile whenever it is written.

- `tenant`: begins each index, so the sizes of other tenants do not matter.
- `email_lower`, `name_folded`: the forms that searches compare.
- `indexed`: the attributes in HUB_INDEXED_ATTRIBUTES that the user has, as a list of `{k, v}`. `v` is the value of the
  attribute, also if it is null, a list, or an object.
- `search_version`: identifies this format and the indexed attributes. Users with another one are converted in the
  background (`user_conversion.py`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pymongo import ASCENDING, IndexModel

from hub.model import mailbox_of
from hub.unicode_text import folded

FORMAT = 1
LAST_CHARACTER = "\U0010ffff"
NAMES = ("tenant", "email_lower", "name_folded", "indexed", "search_version")


def indexes() -> list[IndexModel]:
    return [
        # `list_page`, `UserSearch`: the users of a tenant whose email, phone number, or name begins with a text
        # `UserSelection`: the users with one of several emails, by id
        *(
            IndexModel(
                [("tenant", ASCENDING), (name, ASCENDING), ("_id", ASCENDING)],
                name=name,
                partialFilterExpression={name: {"$exists": True}},
            )
            for name in ("email_lower", "phone", "name_folded")
        ),
        # `UserSelection`: the users of a tenant with a value of an attribute in HUB_INDEXED_ATTRIBUTES, by id. It is
        # not partial: MongoDB would not use it for $elemMatch.
        IndexModel([(key, ASCENDING) for key in ("tenant", "indexed.k", "indexed.v", "_id")], name="indexed"),
        # `UserConversion`: the users to convert
        IndexModel([("search_version", ASCENDING)], name="search_version"),
    ]


def match_prefix(tenant: str, text: str) -> list[dict[str, Any]]:
    """Return conditions, each of which an index serves. A user matches one of them if the id, email, phone number, or
    name begins with `text`."""
    own = {"tenant": tenant}
    return [
        {"_id": begins_with(mailbox_of(tenant, text))},
        own | {"email_lower": begins_with(text.lower())},
        own | {"phone": begins_with(text)},
        own | {"name_folded": begins_with(folded(text))},
    ]


def begins_with(text: str) -> dict[str, str]:
    """Return the condition that a value begins with `text`, as a range of an index."""
    return {"$gte": text, "$lt": f"{text}{LAST_CHARACTER}"}


class SearchFields:
    """Computes the fields. `indexed_attributes` are the names in HUB_INDEXED_ATTRIBUTES."""

    def __init__(self, indexed_attributes: Sequence[str]) -> None:
        self._names = sorted(indexed_attributes)
        self.version = hashlib.sha256(orjson.dumps([FORMAT, *self._names])).hexdigest()[:16]

    def is_indexed(self, path: Sequence[str]) -> bool:
        """Return True if the attribute with a path is indexed. Only top-level attributes are."""
        return len(path) == 1 and path[0] in self._names

    def of_profile(self, profile: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that depend on the fields in `profile`. None: the field is not stored."""
        fields: dict[str, Any] = {}
        if "email" in profile:
            fields["email_lower"] = profile["email"].lower() if profile["email"] else None
        if "name" in profile:
            fields["name_folded"] = folded(profile["name"]) if profile["name"] else None
        if "attributes" in profile:
            fields["indexed"] = self._indexed(profile["attributes"]) or None
        return fields

    def _indexed(self, attributes: Any) -> list[dict[str, Any]]:
        if not isinstance(attributes, dict):
            return []
        return [{"k": name, "v": attributes[name]} for name in self._names if name in attributes]
