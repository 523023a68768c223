"""The recipients of sends that name no users, in the order of their keys.

A key is that of the user's mailbox. The number of recipients is counted or estimated (`key_counts`), and the sample of
an estimate divides them into parts. Errors of the estimate make the parts uneven, but no recipient is in two parts or
in none. The number of users who match a filter is counted for ESTIMATE_MAX_S, and otherwise estimated.
"""

from collections.abc import Sequence
from math import ceil

import orjson
from msgspec import Struct
from msgspec.structs import replace
from pymongo import ASCENDING

from hub.audience.audience_count import AudienceCounts
from hub.audience.filters import And, Field, FieldName, In, Node, parse
from hub.audience.key_counts import COUNT_MAX, KeyRange, count_keys
from hub.audience.tenants import Tenants
from hub.audience.topics import COLLECTION as TOPICS
from hub.audience.topics import SUBSCRIPTIONS
from hub.audience.user_selection import UserSelection
from hub.audience.users import COLLECTION as USERS
from hub.decide.failure_guard import Canary
from hub.errors import NotFound
from hub.model import SendAudience, SubscriptionState, mailbox_of, tenant_of, topic_id, user_of
from hub.platform.connections import Database

PART_SIZE = COUNT_MAX // 2  # recipients
PARTS_MAX = 16
ESTIMATE_MAX_S = 0.25  # for reading the users who match a filter from the beginning, and for samples
FIRST_SLICES_MAX = 10
CANARY_SLICE = 2000  # users of whom only the ids are read; hashing them blocks the event loop
CANARY_SLICES_MAX = 10  # per call
AFTER_PREFIX = "\x01"
"""A boundary is the beginning of a key and this character, which no id contains. It names no user."""


class RecipientParts(Struct, frozen=True):
    """The expected number of recipients, and the boundaries of their parts: one more than there are parts. `total_max`:
    the number of users, if `total` is an estimate of those who match a filter. Otherwise the same as `total`."""

    total: int
    boundaries: list[str]
    total_max: int


class RecipientSlice(Struct, frozen=True):
    """Keys of recipients, ascending. `position`: the key up to which they were read, or None if no others follow."""

    keys: list[str]
    position: str | None


class Recipients:
    def __init__(self, database: Database, tenants: Tenants, selection: UserSelection, counts: AudienceCounts) -> None:
        self._tenants = tenants
        self._selection = selection
        self._counts = counts
        self._users = database[USERS]
        self._topics = database[TOPICS]
        self._subscriptions = database[SUBSCRIPTIONS]

    async def check(self, tenant: str, audience: SendAudience, field: str) -> None:
        """Raise NotFound if the topic does not exist. `field` is the path of the send's input."""
        topic = audience.topic
        if topic is not None and not await self._topics.find_one({"_id": topic_id(tenant, topic)}, {"_id": 1}):
            raise NotFound(f"The topic {topic!r} does not exist.", field=f"{field}.to.topic")

    async def list_slice(self, audience: SendAudience, after: str, end: str, limit: int) -> RecipientSlice:
        """Return the first keys of recipients that are greater than `after` and less than `end`, up to `limit`. If the
        recipients match a filter, there may be fewer although others follow."""
        if audience.where is not None:
            return await self._list_matching(to_node(audience.where), after, end, limit)
        source = self._source(audience, after, end)
        docs = source.collection.find(source.match, {"_id": 0, source.key: 1}, hint=source.index)
        keys = [doc[source.key] async for doc in docs.sort(source.key, ASCENDING).limit(limit)]
        return RecipientSlice(keys, keys[-1] if len(keys) == limit else None)

    async def list_canary(
        self, audience: SendAudience, canary: Canary, after: str, end: str, limit: int
    ) -> RecipientSlice:
        """Return the first keys of recipients in a canary, like `list_slice`. Of the other users, only ids are read,
        unless an index finds those who match a filter."""
        node = None if audience.where is None else to_node(audience.where)
        scans = node is not None and (await self._selection.plan(node)).scans
        source = SendAudience(everyone=True) if scans else audience
        keys: list[str] = []
        position: str | None = after
        for _ in range(CANARY_SLICES_MAX):
            found = await self.list_slice(source, position or after, end, CANARY_SLICE)
            keys += filter(canary.includes, found.keys)
            position = found.position
            if position is None or len(keys) >= limit:
                break
        if len(keys) > limit:
            keys, position = keys[:limit], keys[limit - 1]
        if node is None or not scans or not keys:
            return RecipientSlice(keys, position)
        ids = In(Field(FieldName.ID), frozenset((str, user_of(key)) for key in keys))
        matching = await self._list_matching(And((ids, node)), after, end, limit)
        return matching if matching.position is not None else replace(matching, position=position)

    async def _list_matching(self, node: Node, after: str, end: str, limit: int) -> RecipientSlice:
        tenant = await self._tenants.get(tenant_of(after))
        until = None if end == bounds(tenant.id)[1] else user_of(end)
        found = await self._selection.select(tenant, node, user_of(after), until, limit)
        keys = [mailbox_of(tenant.id, user) for user in found.users]
        return RecipientSlice(keys, None if found.position is None else mailbox_of(tenant.id, found.position))

    async def list_first(self, tenant: str, audience: SendAudience, limit: int) -> list[str]:
        """Return the first keys of recipients of a tenant. Of a filter, FIRST_SLICES_MAX slices are read."""
        keys: list[str] = []
        after, end = bounds(tenant)
        for _ in range(FIRST_SLICES_MAX):
            found = await self.list_slice(audience, after, end, limit - len(keys))
            keys += found.keys
            if found.position is None or len(keys) >= limit:
                break
            after = found.position
        return keys

    async def divide(self, tenant_id: str, audience: SendAudience) -> RecipientParts:
        """Return the expected number of recipients of a tenant, and their parts. Those who match a filter are divided
        as all users of the tenant."""
        if audience.where is None:
            return await self._divide(tenant_id, audience)
        tenant = await self._tenants.get(tenant_id)
        parts = await self._divide(tenant_id, SendAudience(everyone=True))
        matching = await self._counts.matching(tenant, to_node(audience.where), ESTIMATE_MAX_S)
        total = matching.recipients
        return replace(parts, total=total, total_max=total if matching.exact else max(total, parts.total))

    async def _divide(self, tenant: str, audience: SendAudience) -> RecipientParts:
        first, last = bounds(tenant)
        source = self._source(audience, first, last)
        collection, match, key = source.collection, source.match, source.key
        counted = await count_keys(source)
        total, sample = counted.total, counted.sample
        if sample is None:
            at = collection.find(match, {key: 1}, hint=source.index).sort(key, ASCENDING).skip(PART_SIZE - 1).limit(2)
            pair = [doc[key] async for doc in at]
            return RecipientParts(total, [first, *_between(pair), last], total)
        parts = min(PARTS_MAX, ceil(total / PART_SIZE), len(sample) // 2)
        chosen = [sample[len(sample) * part // parts - 1 :][:2] for part in range(1, parts)]
        boundaries = [first, *(boundary for pair in chosen for boundary in _between(pair)), last]
        return RecipientParts(total, boundaries, total)

    def _source(self, audience: SendAudience, after: str, end: str) -> KeyRange:
        """Return where the keys between `after` and `end` are read."""
        between = {"$gt": after, "$lt": end}
        if audience.topic is None:
            return KeyRange(self._users, {"_id": between}, "_id", "_id_")
        topic = topic_id(tenant_of(after), audience.topic)
        match = {"topic": topic, "state": SubscriptionState.ACTIVE, "mailbox": between}
        return KeyRange(self._subscriptions, match, "mailbox", "subscribers")


def to_node(where: str) -> Node:
    """Return the filter of a send that was validated before."""
    return parse(orjson.loads(where), "where")


def bounds(tenant: str) -> tuple[str, str]:
    """Return the bounds of the keys of a tenant, which are between them."""
    return f"{tenant}/", f"{tenant}0"  # `0` follows the slash


def _between(pair: Sequence[str]) -> list[str]:
    """Return a boundary between two successive keys, or nothing if it would contain the second key."""
    if len(pair) < 2:
        return []
    low, high = pair
    length = next((n for n in range(1, len(high)) if high[:n] > low), len(high))
    return [high[:length] + AFTER_PREFIX] if length < len(high) else []
