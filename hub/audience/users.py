"""People: made by `upsertUsers`, or by the first send that names them."""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import UNSET, Struct, UnsetType, convert
from pymongo import UpdateOne

from hub.clock import Clock
from hub.connections import Database, Indexes
from hub.model import User

COLLECTION = "users"


class Profile(Struct, frozen=True, kw_only=True):
    """What is known of a person. Unset leaves as it is, None clears. `attributes` is JSON text."""

    id: str
    email: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET
    locale: str | UnsetType | None = UNSET
    timezone: str | UnsetType | None = UNSET
    attributes: str | UnsetType | None = UNSET


def indexes() -> Indexes:
    return {COLLECTION: []}  # read by `_id` only


def welcome(ids: Collection[str], now: datetime) -> list[UpdateOne]:
    """Makes the users who are not there yet, and leaves the others alone."""
    return [UpdateOne({"_id": id}, {"$setOnInsert": {"created_at": now, "updated_at": now}}, upsert=True) for id in ids]


class Users:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._users = database[COLLECTION]
        self._clock = clock

    async def get(self, id: str) -> User | None:
        doc = await self._users.find_one({"_id": id})
        return convert(doc, User) if doc else None

    async def upsert(self, profiles: Sequence[Profile]) -> list[User]:
        """All of them in one round trip, answered in order. A profile named twice ends as its last."""
        now = self._clock()
        await self._users.bulk_write([_upsert(profile, now) for profile in profiles])
        found = self._users.find({"_id": {"$in": [profile.id for profile in profiles]}})
        users = {doc["_id"]: convert(doc, User) async for doc in found}
        return [users[profile.id] for profile in profiles]


def _upsert(profile: Profile, now: datetime) -> UpdateOne:
    given = {
        name: value
        for name in ("email", "phone", "locale", "timezone", "attributes")
        if (value := getattr(profile, name)) is not UNSET
    }
    update: dict[str, dict[str, object]] = {
        "$set": {"updated_at": now} | {name: value for name, value in given.items() if value is not None},
        "$setOnInsert": {"created_at": now},
    }
    if cleared := {name: "" for name, value in given.items() if value is None}:
        update["$unset"] = dict(cleared)
    return UpdateOne({"_id": profile.id}, update, upsert=True)
