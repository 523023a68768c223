"""Users. A user is created by `upsertUsers` or by the first send to the user.

A user is one document, which contains the user's devices, preferences, and suppressed addresses.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson
from msgspec import UNSET, Struct, UnsetType, convert
from msgspec.structs import replace
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError

from hub.audience import search_fields
from hub.audience.optimistic_update import SerializedUpdates, try_transaction
from hub.audience.search_fields import SearchFields
from hub.errors import NotFound, Unavailable
from hub.model import Delivery, User, document, mailbox_of, tenant_of, user_of
from hub.platform.audit import AuditedAction
from hub.platform.audit_changes import person_changes
from hub.platform.connections import DUPLICATE_KEY, Database, Document, Indexes
from hub.platform.encryption import StoredCredentials
from hub.platform.tolerant_decoding import decode, decode_by_id, decode_page, merged
from hub.utc_time import Clock

COLLECTION = "users"
REPLACED_FIELDS = ("devices", "preferences", "suppressed")
SUPPRESSED = "suppressed"
PROFILE_FIELDS = ("name", "email", "phone", "locale", "timezone", "attributes")
IS_NEW: Document = {"$eq": [{"$type": "$created_at"}, "missing"]}
DEVICE_CREDENTIALS = StoredCredentials("devices", COLLECTION, "devices", ("url", "p256dh", "auth", "token", "secret"))
HAS_SUPPRESSED = {SUPPRESSED: {"$exists": True}}


class ProfileUpdate(Struct, frozen=True, kw_only=True):
    """The profile of a user. UNSET keeps a value, and None clears it."""

    id: str
    name: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET
    locale: str | UnsetType | None = UNSET
    timezone: str | UnsetType | None = UNSET
    attributes: dict[str, Any] | UnsetType | None = UNSET


def indexes() -> Indexes:
    return {
        COLLECTION: [
            # guarantees that a device belongs to only one user
            IndexModel(
                [("devices.key", ASCENDING)],
                name="device",
                unique=True,
                partialFilterExpression={"devices.key": {"$exists": True}},
            ),
            # `list_suppressions`: the users of a tenant who have suppressed addresses, in order
            IndexModel(
                [("_id", ASCENDING), ("created_at", ASCENDING)], name=SUPPRESSED, partialFilterExpression=HAS_SUPPRESSED
            ),
            # `list_revised`: the users whose preferences changed, longest ago first
            IndexModel(
                [("redecide_at", ASCENDING)],
                name="redecide_at",
                partialFilterExpression={"redecide_at": {"$exists": True}},
            ),
            # `CredentialEncryption`: the devices that a key encrypts, and those that are not encrypted
            DEVICE_CREDENTIALS.index(),
            *search_fields.indexes(),
        ]
    }


def lock_existing(ids: Collection[str]) -> list[UpdateOne]:
    """Return updates that change each user, so a transaction that erases the user conflicts. None creates a user."""
    return [UpdateOne({"_id": id}, {"$inc": {"locks": 1}}) for id in ids]


def unknown_user(id: str, now: datetime) -> User:
    """Return a user without a profile."""
    return User(id=id, created_at=now, updated_at=now)


class Users:
    def __init__(self, database: Database, clock: Clock, deadline_s: float, search_fields: SearchFields) -> None:
        self._database = database
        self._users = database[COLLECTION]
        self._fields = search_fields
        self._clock = clock
        self._updates = SerializedUpdates(deadline_s)

    def create_missing(self, ids: Collection[str], now: datetime) -> list[UpdateOne]:
        """Return updates that create the users who do not exist yet. Existing users are not changed."""
        new = {"created_at": now, "updated_at": now, "search_version": self._fields.version}
        return [UpdateOne({"_id": id}, {"$setOnInsert": new | {"tenant": tenant_of(id)}}, upsert=True) for id in ids]

    async def get(self, id: str) -> User | None:
        doc = await self._users.find_one({"_id": id})
        return decode(doc, User) if doc else None

    async def locales(self, ids: Collection[str]) -> dict[str, str]:
        """Return the locales of the users who have a locale."""
        docs = self._users.find({"_id": {"$in": list(ids)}, "locale": {"$exists": True}}, {"locale": 1})
        return {doc["_id"]: str(doc["locale"]) async for doc in docs}

    async def get_many(self, ids: Collection[str]) -> dict[str, User]:
        """Return the users of `ids` who exist."""
        docs = self._users.find({"_id": {"$in": list(ids)}})
        return await decode_by_id(docs, User)

    async def list_page(
        self, tenant: str, search: str, first: int, after: str, within: Collection[str] | None = None
    ) -> list[User]:
        """Return up to `first` users of a tenant whose id is greater than `after`, by id. `within`: only these users.

        With `search`, their id, email, phone number, or name begins with it. MongoDB compares two plans: the indexes
        of the four fields with a sort, for a rare text, or the ids in order, for a frequent one."""
        match: Document = {"_id": {"$gt": mailbox_of(tenant, after), "$lt": f"{tenant}0"}}  # `0` follows the slash
        if within is not None:
            match["_id"]["$in"] = list(within)
        if search:
            match["$or"] = search_fields.match_prefix(tenant, search)
        return await decode_page(self._users.find(match).sort("_id", ASCENDING), User, first)

    async def find_stored(self, ids: Collection[str]) -> set[str]:
        """Return the ids in `ids` for which a document is stored, even if it cannot be decoded."""
        return {doc["_id"] async for doc in self._users.find({"_id": {"$in": list(ids)}}, {"_id": 1})}

    async def change(self, id: str, step: Callable[[User], User]) -> User:
        """Replace a user's devices, preferences, and suppressed addresses with those that `step` returns.

        If the user changes in the meantime, `step` is called again, so no change is lost. Raise NotFound if the user
        does not exist."""
        return await self._updates.run(id, lambda: self._try_change(id, step))

    async def _try_change(
        self, id: str, step: Callable[[User], User], session: AsyncClientSession | None = None
    ) -> User | None:
        doc = await self._users.find_one({"_id": id}, session=session)
        if doc is None:
            raise NotFound("This user does not exist.")
        before = decode(doc, User)
        if before is None:
            raise Unavailable("A newer version of the hub has written this user. Upgrade this hub.")
        now = self._clock()
        after = replace(step(before), updated_at=now)
        revised = after.preferences.times != before.preferences.times
        if revised:
            after = replace(after, revision=before.revision + 1, revised_at=now, redecide_at=now)
        old, new = document(replace(before, attributes=None)), document(replace(after, attributes=None))
        for name in REPLACED_FIELDS:
            empty: Any = [] if name == "devices" else {}
            value = merged(doc.get(name, empty), old.get(name, empty), new.get(name, empty))
            new = new | {name: value} if value else {key: kept for key, kept in new.items() if key != name}
        update: Document = {"$set": {name: new[name] for name in (*REPLACED_FIELDS, "updated_at") if name in new}}
        if unset := [name for name in REPLACED_FIELDS if name not in new]:
            update["$unset"] = dict.fromkeys(unset, "")
        if revised:
            update["$set"] |= {"revised_at": now, "redecide_at": now}
            update["$inc"] = {"revision": 1}
        # $eq: a suppressed address may begin with a dollar sign, and MongoDB would parse it as an operator.
        unchanged = {name: {"$eq": doc.get(name)} for name in REPLACED_FIELDS}  # None: the field is not set
        result = await self._users.update_one({"_id": id, **unchanged}, update, session=session)
        return after if result.matched_count else None

    async def suppress(self, id: str, address: str, reason: str) -> None:
        """Stop sending to an address, because it is gone, or because the recipient reported an email as spam."""
        await self.change(id, lambda user: replace(user, suppressed=user.suppressed | {address.lower(): reason}))

    async def unsuppress(self, id: str, address: str, audit: AuditedAction) -> bool:
        """Allow messages to an address again. Return True if it was suppressed."""
        was_suppressed = False

        def step(user: User) -> User:
            nonlocal was_suppressed
            was_suppressed = address.lower() in user.suppressed
            remaining = {other: why for other, why in user.suppressed.items() if other != address.lower()}
            return replace(user, suppressed=remaining)

        async def apply(session: AsyncClientSession) -> User | None:
            after = await self._try_change(id, step, session)
            if after and was_suppressed:
                await audit.record(person_changes([SUPPRESSED]), session)
            return after

        await self._updates.run(id, lambda: try_transaction(self._database, apply, audit))
        return was_suppressed

    async def list_suppressions(
        self, tenant: str, first: int, after: tuple[str, str] | None
    ) -> list[tuple[str, str, str]]:
        """Return up to `first` suppressions of a tenant in order, as user id, address, and reason.

        `after` is the user id and address of the last suppression of the previous page."""
        begin = mailbox_of(tenant, after[0] if after else "")
        match = {
            "$and": [HAS_SUPPRESSED, {SUPPRESSED: {"$type": "object"}}],  # another version may store another type
            "_id": {"$gte": begin, "$lt": f"{tenant}0"},  # `0` follows the slash
        }
        docs = self._users.find(match, hint=SUPPRESSED).sort("_id", ASCENDING).limit(first + 1)
        rows = [
            (user_of(doc["_id"]), address, str(why))
            async for doc in docs
            for address, why in sorted(doc[SUPPRESSED].items())
        ]
        return [row for row in rows if not after or row[0] != after[0] or row[1] > after[1]][:first]

    async def deactivate_address(self, delivery: Delivery, address: str | None) -> None:
        """Remove the device of a delivery, or suppress `address`, because the provider reported that it is gone."""
        if delivery.device:
            await self._users.update_one({"_id": delivery.mailbox}, {"$pull": {"devices": {"id": delivery.device}}})
        elif address:
            with suppress(NotFound):  # the user was erased in the meantime
                await self.suppress(delivery.mailbox, address, "gone")

    async def list_revised(self, now: datetime, limit: int) -> list[User]:
        """Return users whose held deliveries must be decided again, longest ago first."""
        docs = self._users.find({"redecide_at": {"$lte": now}}, hint="redecide_at").sort("redecide_at", ASCENDING)
        return await decode_page(docs, User, limit)

    async def set_redecide_at(self, user: User, at: datetime | None) -> None:
        """Set the time at which the held deliveries of a user are decided again, unless the user changed meanwhile."""
        change: Document = {"$set": {"redecide_at": at}} if at else {"$unset": {"redecide_at": ""}}
        unchanged = {"_id": user.id, "revision": user.revision, "redecide_at": user.redecide_at}
        await self._users.update_one(unchanged, change)

    async def upsert(self, profiles: Sequence[ProfileUpdate], audit: AuditedAction | None) -> list[User]:
        """Create or update users and return them in order. For a repeated user, the last profile is used.

        Only changed fields are written. `audit` records their names before they are written, because the writes of
        many users are no transaction."""
        now = self._clock()
        counts = Counter(profile.id for profile in profiles)
        stored = await self._stored_profiles(counts, {name for profile in profiles for name in _set_fields(profile)})
        changed = [p if counts[p.id] > 1 else _without_unchanged(p, stored.get(p.id)) for p in profiles]
        if audit:
            fields: dict[str, set[str]] = {id: set() if id in stored else {"id"} for id in counts}
            for profile in changed:
                fields[profile.id].update(_set_fields(profile))
            await audit.record_each({user_of(id): person_changes(list(names)) for id, names in fields.items()}, None)
        users = await self._insert_new([p for p in changed if counts[p.id] == 1 and p.id not in stored], now)
        others = [p for p in changed if p.id not in users and (p.id not in stored or _set_fields(p))]
        if others:
            partial = {p.id: stored[p.id].get("created_at") for p in others if counts[p.id] == 1 and p.id in stored}
            await self._users.bulk_write([self._upsert_operation(p, now, partial.get(p.id)) for p in others])
        if unread := counts.keys() - users.keys():
            users |= await self.get_many(unread)
        if erased := await self._erased_since(stored, users):
            users |= await self._write_again([p for p in profiles if p.id in erased], audit)
        return [users.get(profile.id) or unknown_user(profile.id, now) for profile in profiles]

    async def _stored_profiles(self, ids: Collection[str], fields: Collection[str]) -> dict[str, Document]:
        """Return those fields of the users who exist. The attributes of many users can have many megabytes."""
        docs = self._users.find({"_id": {"$in": list(ids)}}, dict.fromkeys(["created_at", *fields], 1))
        return {doc["_id"]: doc async for doc in docs}

    async def _erased_since(self, stored: Mapping[str, Document], users: Mapping[str, User]) -> set[str]:
        """Return those of the `stored` users who were erased since they were read. `users`: the users as they are now.
        An erased user may have been created again."""
        suspects = {
            id for id, doc in stored.items() if id not in users or users[id].created_at != doc.get("created_at")
        }
        if not suspects:
            return suspects
        docs = self._users.find({"_id": {"$in": list(suspects)}}, {"created_at": 1})
        created_at = {doc["_id"]: doc.get("created_at") async for doc in docs}  # also of users who cannot be decoded
        return {id for id in suspects if created_at.get(id) != stored[id].get("created_at")}

    async def _write_again(self, profiles: Sequence[ProfileUpdate], audit: AuditedAction | None) -> dict[str, User]:
        """Write all fields of profiles whose users were erased meanwhile, and return the users."""
        fields: defaultdict[str, set[str]] = defaultdict(lambda: {"id"})
        for profile in profiles:
            fields[profile.id].update(_set_fields(profile))
        if audit:
            await audit.record_each({user_of(id): person_changes(list(names)) for id, names in fields.items()}, None)
        now = self._clock()
        await self._users.bulk_write([self._upsert_operation(profile, now) for profile in profiles])
        return await self.get_many(fields)

    async def _insert_new(self, profiles: Sequence[ProfileUpdate], now: datetime) -> dict[str, User]:
        """Insert users, and return them. An insert takes a fraction of the time of an update.

        Users who are created by another call at the same time are left out."""
        docs = [self._new_document(profile, now) for profile in profiles]
        try:
            if docs:
                await self._users.insert_many(docs, ordered=False)
        except BulkWriteError as error:
            errors = error.details["writeErrors"]
            if error.details["writeConcernErrors"] or any(one["code"] != DUPLICATE_KEY for one in errors):
                raise
            created_elsewhere = {one["index"] for one in errors}
            docs = [doc for index, doc in enumerate(docs) if index not in created_elsewhere]
        return {doc["_id"]: convert(doc, User) for doc in docs}

    def _new_document(self, profile: ProfileUpdate, now: datetime) -> Document:
        stored = {name: value for name, value in self._stored_values(profile).items() if value is not None}
        new = {"tenant": tenant_of(profile.id), "created_at": now, "updated_at": now}
        return {"_id": profile.id, **stored, **new, "search_version": self._fields.version}

    def _stored_values(self, profile: ProfileUpdate) -> dict[str, Any]:
        """Return the profile with its search fields. A field that is None is not stored."""
        values = {name: value for name in PROFILE_FIELDS if (value := getattr(profile, name)) is not UNSET}
        return values | self._fields.of_profile(values)

    def _upsert_operation(self, profile: ProfileUpdate, now: datetime, created_at: datetime | None = None) -> UpdateOne:
        """Return the update of a profile. `created_at`: update only the user who was created at this time. Otherwise, a
        user who does not exist is created.

        - An existing user keeps its `search_version` if it is this process's. Otherwise it is removed, because it may
          be that of a process with other indexed attributes, and the user is converted again.
        - Another time zone of an existing user is a new revision."""
        values = self._stored_values(profile)
        stored: Document = {
            name: "$$REMOVE" if value is None else {"$literal": value} for name, value in values.items()
        }
        stored |= {
            "tenant": tenant_of(profile.id),
            "updated_at": now,
            "created_at": {"$ifNull": ["$created_at", now]},
            "search_version": {
                "$cond": [
                    {"$or": [IS_NEW, {"$eq": ["$search_version", self._fields.version]}]},
                    self._fields.version,
                    "$$REMOVE",
                ]
            },
        }
        if "timezone" in values:
            differs: Document = {"$ne": [{"$ifNull": ["$timezone", None]}, {"$literal": values["timezone"]}]}
            is_revised: Document = {"$and": [{"$not": IS_NEW}, differs]}
            stored |= {
                "revision": {"$cond": [is_revised, {"$add": [{"$ifNull": ["$revision", 0]}, 1]}, "$revision"]},
                "revised_at": {"$cond": [is_revised, now, "$revised_at"]},
                "redecide_at": {"$cond": [is_revised, now, "$redecide_at"]},
            }
        match: Document = {"_id": profile.id} | ({"created_at": created_at} if created_at else {})
        return UpdateOne(match, [{"$set": stored}], upsert=created_at is None)


def _set_fields(profile: ProfileUpdate) -> list[str]:
    """Return the names of the fields that an update sets or clears."""
    return [name for name in PROFILE_FIELDS if getattr(profile, name) is not UNSET]


def _without_unchanged(profile: ProfileUpdate, stored: Document | None) -> ProfileUpdate:
    """Return the update without the fields that have the stored value already."""
    if stored is None:
        empty = [name for name in _set_fields(profile) if getattr(profile, name) is None]
        return replace(profile, **dict.fromkeys(empty, UNSET))
    equal = [name for name in _set_fields(profile) if _is_same(getattr(profile, name), stored.get(name))]
    return replace(profile, **dict.fromkeys(equal, UNSET))


def _is_same(one: Any, other: Any) -> bool:
    """Compare as JSON: in Python, 1 and True are equal."""
    return orjson.dumps(one, default=str) == orjson.dumps(other, default=str)
