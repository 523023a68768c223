"""Selects the users of a tenant who match a filter, in slices by id.

Each call reads one bounded slice, and returns the position that it reached. A slice may contain nobody although more
follow. The ids are ascending in all slices, so a caller can store the position and continue later.

A slice begins with candidates. If an index serves a condition of the filter, these are the users whom the index finds.
Otherwise all users of the tenant are read (a scan), and MongoDB returns those whom `mongo_query` finds.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct
from pymongo import ASCENDING

from hub.audience.filters import And, FieldName, In, Node, matches, mongo_query, reads, subject_of
from hub.audience.search_fields import SearchFields
from hub.audience.topics import Topics
from hub.audience.users import COLLECTION
from hub.model import Tenant, User, mailbox_of, user_of
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode

SLICE = 500  # candidates
SCAN_SLICE = 5000  # users whom MongoDB reads for one slice of a scan
EVALUATION_MAX_S = 0.2
SERVED_MAX_VALUES = 100  # MongoDB does not merge more ranges of an index in the order of ids
SERVED_MAX_TOPICS = 10
PROFILE_FIELDS = dict.fromkeys(("created_at", "updated_at", "name", "email", "phone", "locale", "timezone"), 1)


class Slice(Struct, frozen=True):
    """The ids of users who match, ascending. `position`: the id up to which the users were read, for the next call, or
    None if these were all."""

    users: list[str]
    position: str | None


class SelectionPlan(Struct, frozen=True):
    """`served`: the condition that an index serves. None: all users of the tenant are read."""

    served: In | None

    @property
    def scans(self) -> bool:
        return self.served is None


class UserRange(NamedTuple):
    """The users of a tenant with ids above `after` and up to `until`."""

    tenant: str
    after: str
    until: str | None

    @property
    def match(self) -> Document:
        until = {"$lt": f"{self.tenant}0"} if self.until is None else {"$lte": mailbox_of(self.tenant, self.until)}
        return {"_id": {"$gt": mailbox_of(self.tenant, self.after)} | until}  # `0` follows the slash


class UserSelection:
    def __init__(self, database: Database, topics: Topics, fields: SearchFields) -> None:
        self._users = database[COLLECTION]
        self._topics = topics
        self._fields = fields

    async def plan(self, node: Node) -> SelectionPlan:
        """Return the plan for a filter. It scans while users must be converted, if their fields are to be searched."""
        conditions = [part for part in (node.nodes if isinstance(node, And) else (node,)) if isinstance(part, In)]
        ranked = sorted((rank, index) for index, part in enumerate(conditions) if (rank := self._rank(part)))
        served = conditions[ranked[0][1]] if ranked else None
        if served and served.field.name in {FieldName.EMAIL, FieldName.ATTRIBUTES} and await self._must_convert():
            return SelectionPlan(None)
        return SelectionPlan(served)

    def _rank(self, condition: In) -> int | None:
        """Return a number that is lower for an index that finds fewer users, or None if no index serves a condition."""
        field, count = condition.field, len(condition.values)
        match field.name:
            case FieldName.ID:
                return 1
            case FieldName.EMAIL if count <= SERVED_MAX_VALUES:
                return 2
            case FieldName.ATTRIBUTES if count <= SERVED_MAX_VALUES and self._fields.is_indexed(field.path):
                return 3
            case FieldName.TOPICS if count <= SERVED_MAX_TOPICS:
                return 4
        return None

    async def _must_convert(self) -> bool:
        other = {"search_version": {"$ne": self._fields.version}}
        return await self._users.find_one(other, {"_id": 1}, hint="search_version") is not None

    async def select(self, tenant: Tenant, node: Node, after_user: str, until_user: str | None, limit: int) -> Slice:
        """Read a slice of the users with ids above `after_user` and up to `until_user` (None: all). Return up to
        `limit` users who match."""
        plan, users = await self.plan(node), UserRange(tenant.id, after_user, until_user)
        fields = PROFILE_FIELDS | ({"attributes": 1} if reads(node, FieldName.ATTRIBUTES) else {})
        if plan.served is None:
            docs, position = await self._scan(users, mongo_query(node, tenant), fields)
        else:
            docs, position = await self._find_served(users, plan.served, fields)
        candidates = [user for doc in docs if (user := decode(doc, User)) is not None]
        topics: Mapping[str, Sequence[str]] = {}
        if candidates and reads(node, FieldName.TOPICS):
            topics = await self._topics.topics_of([user.id for user in candidates])
        found, evaluated_until = await asyncio.to_thread(_evaluate, node, tenant, candidates, topics)
        if len(found) > limit:
            return Slice(found[:limit], found[limit - 1])
        return Slice(found, evaluated_until or position)

    async def _scan(self, users: UserRange, query: Document, fields: Document) -> tuple[list[Document], str | None]:
        """Return candidates, and the id of the last user who was read (None: of the range)."""
        match, ids = users.match, {"_id": 1}
        if query:
            ends = self._users.find(match, ids, hint="_id_").sort("_id", ASCENDING).skip(SCAN_SLICE - 1).limit(1)
            if end := await ends.to_list():
                users = users._replace(until=user_of(end[0]["_id"]))
            match = {"$and": [users.match, query]}
            return await self._read(match, fields, "_id_", user_of(end[0]["_id"]) if end else None)
        return await self._read(match, fields, "_id_", None)

    async def _find_served(self, users: UserRange, served: In, fields: Document) -> tuple[list[Document], str | None]:
        """Return the candidates whom an index finds, and the id of the last one (None: of the range)."""
        values = [value for _, value in served.values]
        match served.field.name:
            case FieldName.ID:
                ids = [mailbox_of(users.tenant, str(value)) for value in values]
                match = {"_id": {"$in": ids} | users.match["_id"]}
                return await self._read(match, fields, "_id_", None)  # the position is a user who exists
            case FieldName.TOPICS:
                return await self._read_users(users, await self._subscribers(users, values), fields)
            case FieldName.EMAIL:
                condition, hint = Document(email_lower={"$in": values}), "email_lower"
            case _:
                [name] = served.field.path
                condition, hint = Document(indexed={"$elemMatch": {"k": name, "v": {"$in": values}}}), "indexed"
        return await self._read({"tenant": users.tenant} | condition | users.match, fields, hint, None)

    async def _subscribers(self, users: UserRange, topics: Sequence[Any]) -> list[str]:
        """Return up to SLICE ids of users who are subscribed to one of the topics, ascending."""
        read = [self._topics.list_subscribers(users.tenant, topic, users.after, users.until, SLICE) for topic in topics]
        lists = await asyncio.gather(*read)
        complete_until = min((ids[-1] for ids in lists if len(ids) == SLICE), default=None)
        found = {id for ids in lists for id in ids if complete_until is None or id <= complete_until}
        return sorted(found)[:SLICE]

    async def _read_users(
        self, users: UserRange, ids: Sequence[str], fields: Document
    ) -> tuple[list[Document], str | None]:
        """Return the users of `ids`, which are ascending."""
        until = users.until
        ids = [id for id in ids if users.after < id and (until is None or id <= until)][:SLICE]
        match = {"_id": {"$in": [mailbox_of(users.tenant, id) for id in ids]}}
        docs = await self._users.find(match, fields, hint="_id_").sort("_id", ASCENDING).to_list()
        return docs, ids[-1] if len(ids) == SLICE else None

    async def _read(
        self, match: Document, fields: Document, hint: str, end: str | None
    ) -> tuple[list[Document], str | None]:
        """Return the first users, and the id of the last one. `end` is returned instead if these are all users."""
        docs = await self._users.find(match, fields, hint=hint).sort("_id", ASCENDING).limit(SLICE).to_list()
        return docs, user_of(docs[-1]["_id"]) if len(docs) == SLICE else end


def _evaluate(
    node: Node, tenant: Tenant, users: Sequence[User], topics: Mapping[str, Sequence[str]]
) -> tuple[list[str], str | None]:
    """Return the ids of the users who match, and the id of the last user who was evaluated, if time was short.

    Runs in a thread: a condition is compared with every element of a list."""
    found, deadline = [], time.monotonic() + EVALUATION_MAX_S
    for user in users:
        if matches(node, subject_of(user, tenant, topics.get(user.id, ()))):
            found.append(user.user_id)
        if time.monotonic() > deadline:
            return found, user.user_id
    return found, None
