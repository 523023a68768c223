"""Finds users by the beginning of their id, email address, phone number, or name."""

import asyncio
from collections.abc import Iterator

from pymongo import ASCENDING

from hub.audience.search_fields import begins_with
from hub.audience.users import COLLECTION
from hub.model import FoundBy, SearchResult, User, mailbox_of
from hub.phone_number import stored_number, without_separators
from hub.platform.connections import Database
from hub.platform.tolerant_decoding import decode_page
from hub.unicode_text import folded

FIELDS = {FoundBy.EMAIL: "email_lower", FoundBy.PHONE: "phone", FoundBy.NAME: "name_folded"}
"""The fields that searches read, which are also the names of their indexes."""


class UserSearch:
    def __init__(self, database: Database) -> None:
        self._users = database[COLLECTION]

    async def find(self, tenant: str, text: str, limit: int) -> list[SearchResult]:
        """Return up to `limit` users for each field that begins with `text`, in the order of the field, so an exact
        match is the first. Each field is looked up in its own index, all at the same time."""
        forms = list(_forms(text))
        found = await asyncio.gather(*(self._find(tenant, by, form, limit) for by, form in forms))
        return [
            SearchResult(user, by, _form_of(user, by) == form)
            for (by, form), users in zip(forms, found, strict=True)
            for user in users
        ]

    async def find_by_id(self, tenant: str, id: str) -> list[SearchResult]:
        """Return the user with this id."""
        docs = self._users.find({"_id": mailbox_of(tenant, id)}, hint="_id_")
        return [SearchResult(user, FoundBy.ID) for user in await decode_page(docs, User, 1)]

    async def _find(self, tenant: str, found_by: FoundBy, text: str, limit: int) -> list[User]:
        if found_by is FoundBy.ID:
            docs = self._users.find({"_id": begins_with(mailbox_of(tenant, text))}, hint="_id_").sort("_id", ASCENDING)
        else:
            field = FIELDS[found_by]
            docs = self._users.find({"tenant": tenant, field: begins_with(text)}, hint=field)
            docs = docs.sort([(field, ASCENDING), ("_id", ASCENDING)])
        return await decode_page(docs, User, limit)


def _forms(text: str) -> Iterator[tuple[FoundBy, str]]:
    """Yield the forms of a text that are compared with each field. Earlier versions of the hub stored phone numbers as
    they were written."""
    yield FoundBy.ID, text
    yield FoundBy.EMAIL, text.lower()
    yield FoundBy.NAME, folded(text)
    digits = without_separators(text)
    number = f"+{digits[2:]}" if digits.startswith("00") else digits
    if number.removeprefix("+").isdigit():
        yield FoundBy.PHONE, number
        if text != number:
            yield FoundBy.PHONE, text


def _form_of(user: User, found_by: FoundBy) -> str | None:
    """Return the form of the field of a user that `_forms` yields for it."""
    match found_by:
        case FoundBy.ID:
            return user.user_id
        case FoundBy.EMAIL:
            return user.email.lower() if user.email else None
        case FoundBy.PHONE:
            return stored_number(user.phone)
        case _:
            return folded(user.name) if user.name else None
