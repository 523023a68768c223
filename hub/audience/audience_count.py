"""Counts the users whom a send would reach. The work is bounded: of a large tenant, samples are read."""

from itertools import pairwise
from time import monotonic

from msgspec import Struct
from pymongo import ASCENDING

from hub.audience.filters import Node
from hub.audience.key_counts import KeyRange, count_keys
from hub.audience.search_fields import SearchFields
from hub.audience.topics import Topics
from hub.audience.user_selection import SLICE, UserRange, UserSelection
from hub.audience.users import COLLECTION
from hub.errors import NotFound
from hub.model import Tenant, topic_id, user_of
from hub.platform.connections import Database

SAMPLE_IDS = 10
USERS_MAX = 1_000_000  # that are counted; if there are more, their number is estimated
SLICES_MAX = 50  # of a filter that are read from the beginning
SEGMENTS = 10  # of the tenant's users that are sampled if these are not all
SEGMENT_SLICES_MAX = 4
SEGMENT_USERS_MAX = 100_000  # that are counted around the users of a segment whom an index finds
READING_MAX_S = 1.0  # for the slices from the beginning, and for those of all segments


class AudienceCount(Struct, frozen=True):
    """The number of users. `scans` is True if no index serves the filter. `sample`: the first ids, up to SAMPLE_IDS."""

    recipients: int
    exact: bool
    scans: bool
    sample: list[str]


class _Matches(Struct):
    count: int
    sample: list[str]
    position: str | None


class AudienceCounts:
    def __init__(self, database: Database, topics: Topics, fields: SearchFields) -> None:
        self._users = database[COLLECTION]
        self._topics = topics
        self._selection = UserSelection(database, topics, fields)

    async def everyone(self, tenant: str) -> AudienceCount:
        users = UserRange(tenant, "", None)
        count = await self._count(users, USERS_MAX)
        exact = count < USERS_MAX
        if not exact:
            count = max(count, (await count_keys(self._all(tenant))).total)
        docs = self._users.find(users.match, {"_id": 1}, hint="_id_").sort("_id", ASCENDING).limit(SAMPLE_IDS)
        sample = [user_of(doc["_id"]) async for doc in docs]
        return AudienceCount(count, exact=exact, scans=False, sample=sample)

    async def topic(self, tenant: str, key: str, field: str) -> AudienceCount:
        """Count the subscribers of a topic. Raise NotFound for an unknown topic."""
        id = topic_id(tenant, key)
        if id not in await self._topics.get_many([id]):
            raise NotFound("This topic does not exist.", field=field)
        count = (await self._topics.count_subscribers([id])).get(id, 0)
        sample = await self._topics.list_subscribers(tenant, key, "", None, SAMPLE_IDS)
        return AudienceCount(count, exact=True, scans=False, sample=sample)

    async def matching(self, tenant: Tenant, node: Node, max_s: float = READING_MAX_S) -> AudienceCount:
        """Count the users who match a filter. If they cannot be read completely in `max_s`, estimate the number from
        samples, which are read in the same time."""
        plan = await self._selection.plan(node)
        first = await self._read(tenant, node, "", None, SLICES_MAX, max_s)
        if first.position is None:
            return AudienceCount(first.count, exact=True, scans=plan.scans, sample=first.sample)
        estimate = max(first.count, await self._estimate(tenant, node, max_s))
        return AudienceCount(estimate, exact=False, scans=plan.scans, sample=first.sample)

    async def _estimate(self, tenant: Tenant, node: Node, max_s: float) -> int:
        """Estimate the number of matches in each segment from its first users. The first users of the tenant alone
        would be the oldest accounts if ids are numbers."""
        total, starts = await self._divide(tenant.id)
        size, estimate = total / len(starts), 0.0
        for after, until in pairwise([*starts, None]):
            found = await self._read(tenant, node, after or "", until, SEGMENT_SLICES_MAX, max_s / SEGMENTS)
            read = await self._count(UserRange(tenant.id, after or "", found.position or until), SEGMENT_USERS_MAX)
            estimate += size * found.count / max(read, 1)
        return round(estimate)

    async def _divide(self, tenant: str) -> tuple[int, list[str]]:
        """Return the number of users of a tenant, and the ids behind which up to SEGMENTS segments begin."""
        users = await count_keys(self._all(tenant))
        if users.sample:
            step = len(users.sample) / SEGMENTS
            chosen = {user_of(users.sample[int(step * segment)]) for segment in range(1, SEGMENTS)}
            return users.total, ["", *sorted(chosen)]
        starts = [""]
        while len(starts) < SEGMENTS:
            rest = self._users.find(UserRange(tenant, starts[-1], None).match, {"_id": 1}, hint="_id_")
            end = await rest.sort("_id", ASCENDING).skip(users.total // SEGMENTS).limit(1).to_list()
            if not end:
                break
            starts.append(user_of(end[0]["_id"]))
        return users.total, starts

    def _all(self, tenant: str) -> KeyRange:
        return KeyRange(self._users, UserRange(tenant, "", None).match, "_id", "_id_")

    async def _read(
        self, tenant: Tenant, node: Node, after: str, until: str | None, slices: int, max_s: float
    ) -> _Matches:
        """Read slices until the end of a range, or until the number of slices or the time is used up."""
        matches, deadline = _Matches(0, [], after), monotonic() + max_s
        while matches.position is not None and slices > 0 and monotonic() < deadline:
            found = await self._selection.select(tenant, node, matches.position, until, limit=SLICE)
            matches.count += len(found.users)
            matches.sample += found.users[: SAMPLE_IDS - len(matches.sample)]
            matches.position = found.position
            slices -= 1
        return matches

    async def _count(self, users: UserRange, limit: int) -> int:
        return await self._users.count_documents(users.match, limit=limit, hint="_id_")
