"""The parts of expansions: ranges of recipients, each with a checkpoint.

- A part is claimed for one chunk at a time, with a new fencing token and a lease by real time. The chunk's transaction
  matches the token and removes it, so a claim commits at most one chunk. After a worker was killed, another one claims
  the part when the lease has expired.
- `stop` takes the tokens by writing every part. A chunk under way then conflicts or finds no token, and no other chunk
  begins until `resume`.
- The index `turns` contains the parts that may be claimed. A part that is complete or stopped, or waits for the failure
  guard, has no `turn_at`.
- Boundaries between parts begin like ids and end in a character that no id contains. Only `after` and `set_aside` name
  users. They are deleted when the part is complete. `erase_user` removes an erased user from them.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from msgspec.structs import replace
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.users import COLLECTION as USERS
from hub.ids import new_id
from hub.model import Priority, Record, SendStatus, document, tenant_of
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode
from hub.status.sends import COLLECTION as SENDS
from hub.utc_time import RealClock

COLLECTION = "expansion_parts"
FAILED_PAUSE = timedelta(seconds=10)  # after the second failure; doubled with each further one
DOUBLINGS_MAX = 6
KEPT = timedelta(hours=1)  # after the end of the expansion, for readers that have read the send before
PRIORITIES = tuple(Priority)
CLAIM_FIELDS = ("token", "turn_at", "leased_until")
COMPLETED = dict.fromkeys(("begin", "end", "after", "set_aside", "exhausted", "failures", *CLAIM_FIELDS), "")
"""Deletes the fields of a part that is complete."""
TURNS = [("rank", ASCENDING), ("tenant", ASCENDING), ("turn_at", ASCENDING)]


def indexes() -> Indexes:
    return {
        COLLECTION: [
            # the parts of a send
            IndexModel([("send", ASCENDING)], name="send"),
            # `claim`: the next part by priority, tenant, and last turn
            IndexModel(
                [*TURNS, ("leased_until", ASCENDING)],
                name="turns",
                partialFilterExpression={"turn_at": {"$exists": True}},
            ),
            # `erase_user`: the parts of a tenant that may name a user
            IndexModel(
                [("tenant", ASCENDING), ("begin", ASCENDING)],
                name="incomplete",
                partialFilterExpression={"begin": {"$exists": True}},
            ),
            # parts of complete expansions are deleted
            IndexModel([("ended_at", ASCENDING)], name="ended_at", expireAfterSeconds=int(KEPT.total_seconds())),
        ]
    }


class ExpansionPart(Record, frozen=True, rename={"id": "_id"}):
    """A part of an expansion. Keys of recipients are those of their mailboxes.

    - `begin`, `end`: the part contains the keys that are greater than `begin` and less than `end`.
    - `canary`: the part contains those of all keys whose users are in the canary of the failure guard.
    - `after`: the checkpoint, which is the last key that was read, or `begin`.
    - `exhausted`: all keys were read. `set_aside`: those whose transactions conflicted, which are tried again.
    - `recipients`: the number of recipients so far.
    - `rank`: the position of the priority, first the most urgent one. `turn_at`: the real time of the last turn.
    - `leased_until`: the part is not claimed before this time. `failures`: the number of attempts that failed since a
      recipient was reached.
    """

    id: str
    send: str
    tenant: str
    rank: int
    begin: str
    end: str
    after: str
    canary: bool = False
    recipients: int = 0
    set_aside: tuple[str, ...] = ()
    exhausted: bool = False
    failures: int = 0
    token: str | None = None
    turn_at: datetime | None = None
    leased_until: datetime | None = None


def part_id(send: str, number: int) -> str:
    return f"{send}/{number}"


def new_parts(
    send: str, tenant: str, priority: Priority, boundaries: Sequence[str], now: datetime, *, guarded: bool
) -> list[ExpansionPart]:
    """Return the parts between successive `boundaries`. If the send is guarded, they wait, and the canary is another
    part."""
    parts = [
        ExpansionPart(
            id=part_id(send, number),
            send=send,
            tenant=tenant,
            rank=PRIORITIES.index(priority),
            begin=begin,
            end=end,
            after=begin,
            turn_at=None if guarded else now,
            leased_until=None if guarded else now,
        )
        for number, (begin, end) in enumerate(pairwise(boundaries))
    ]
    if not guarded:
        return parts
    whole = replace(parts[0], id=part_id(send, len(parts)), end=boundaries[-1])
    return [*parts, replace(whole, canary=True, turn_at=now, leased_until=now)]


class ExpansionParts:
    def __init__(self, database: Database, real_clock: RealClock, lease: timedelta) -> None:
        self._parts = database[COLLECTION]
        self._users = database[USERS]
        self._sends = database[SENDS]
        self._real_clock = real_clock
        self._lease = lease

    async def claim(self, after_tenant: str) -> ExpansionPart | None:
        """Claim the part whose turn it is: of the most urgent priority, of the next tenant after `after_tenant`, and
        whose last turn is the longest ago. Return None if no part waits."""
        now = self._real_clock()
        waiting: Document = {"turn_at": {"$exists": True}, "leased_until": {"$lte": now}}
        first = await self._parts.find_one(waiting, {"rank": 1}, sort=[("rank", ASCENDING)], hint="turns")
        if first is None:
            return None
        values = {"token": new_id(), "turn_at": now, "leased_until": now + self._lease}
        for tenants in ({"$gt": after_tenant}, {"$gt": ""}):
            doc = await self._parts.find_one_and_update(
                {"rank": first["rank"], "tenant": tenants, **waiting},
                {"$set": values},
                sort=TURNS,
                hint="turns",
                return_document=ReturnDocument.AFTER,
            )
            if doc:
                return decode(doc, ExpansionPart)
        return None

    async def is_claimed(self, part: ExpansionPart, session: AsyncClientSession) -> bool:
        """Return True if the part still has the token of this claim, read in the transaction of its chunk."""
        match = {"_id": part.id, "token": part.token}
        return await self._parts.find_one(match, {"_id": 1}, session=session) is not None

    async def postpone(self, part: ExpansionPart, pause: timedelta) -> None:
        """Release a claimed part, which is claimed again after a pause."""
        values = {
            "leased_until": self._real_clock() + pause,
            "set_aside": list(part.set_aside),
            "failures": part.failures,
        }
        await self._parts.update_one({"_id": part.id, "token": part.token}, {"$set": values})

    async def are_failing(self, send: str, failures: int) -> bool:
        """Return True if a part of a send has failed at least `failures` times since it reached a recipient."""
        match = {"send": send, "failures": {"$gte": failures}}
        return await self._parts.find_one(match, {"_id": 1}, hint="send") is not None

    async def stop(self, send: str) -> None:
        """Take the parts of a send from their workers. After this, no chunk is committed that was not committed before,
        until `resume` is called."""
        await self._parts.update_many({"send": send}, {"$unset": dict.fromkeys(CLAIM_FIELDS, "")}, hint="send")

    async def refresh(self, send: str) -> None:
        """Take the parts of a send from their workers. The chunks under way are repeated with the send as it is now."""
        now = self._real_clock()
        match = {"send": send, "turn_at": {"$exists": True}}
        await self._parts.update_many(match, {"$set": {"token": new_id(), "leased_until": now}}, hint="send")

    async def resume(self, send: str, *, guarded: bool) -> None:
        """Begin or continue the parts of a send that wait or were stopped. If it is `guarded`, only its canary
        continues. If the send is paused in the meantime, its parts are stopped."""
        now = self._real_clock()
        match: Document = {"send": send, "begin": {"$exists": True}, "turn_at": {"$exists": False}}
        match |= {"canary": True} if guarded else {}
        await self._parts.update_many(match, {"$set": {"turn_at": now, "leased_until": now}}, hint="send")
        if await self._sends.find_one({"_id": send, "status": SendStatus.PAUSED}, {"_id": 1}):
            await self.stop(send)

    async def count_recipients(self, sends: Collection[str]) -> dict[str, int]:
        """Return the number of recipients of each send so far."""
        docs = self._parts.find({"send": {"$in": list(sends)}}, {"send": 1, "recipients": 1}, hint="send")
        counts = dict.fromkeys(sends, 0)
        async for doc in docs:
            counts[doc["send"]] += doc.get("recipients", 0)
        return counts

    async def count_by_part(self, send: str, session: AsyncClientSession) -> dict[str, int]:
        """Return the number of recipients so far by the id of the part, read in a transaction."""
        docs = self._parts.find({"send": send}, {"recipients": 1}, hint="send", session=session)
        return {doc["_id"]: doc.get("recipients", 0) async for doc in docs}

    async def end(self, send: str) -> None:
        """Record that an expansion is over, so its parts are deleted later."""
        values = {"$set": {"ended_at": self._real_clock()}, "$unset": dict(COMPLETED)}
        await self._parts.update_many({"send": send, "ended_at": {"$exists": False}}, values, hint="send")

    async def erase_user(self, mailbox: str) -> None:
        """Remove a user, whose document is deleted, from the checkpoints. A checkpoint becomes the key of the user
        before, or the begin of its part."""
        match = {"tenant": tenant_of(mailbox), "begin": {"$exists": True}}
        named = {"$or": [{"after": mailbox}, {"set_aside": mailbox}]}
        async for doc in self._parts.find(match | named, {"begin": 1}, hint="incomplete"):
            below = {"_id": {"$gt": doc["begin"], "$lt": mailbox}}
            before = await self._users.find_one(below, {"_id": 1}, sort=[("_id", DESCENDING)], hint="_id_")
            after = before["_id"] if before else doc["begin"]
            # a chunk under way would write the key again, so it loses its claim
            lost = {"token": new_id(), "leased_until": self._real_clock()}
            updates = [
                UpdateOne({"_id": doc["_id"], "set_aside": mailbox}, {"$pull": {"set_aside": mailbox}, "$set": lost}),
                UpdateOne({"_id": doc["_id"], "after": mailbox}, {"$set": {"after": after, **lost}}),
            ]
            await self._parts.bulk_write(updates)
            if before:  # this user may have been erased meanwhile
                await self.erase_missing(after)

    async def has_user(self, mailbox: str, session: AsyncClientSession) -> bool:
        """Return True if the user exists, read in a transaction."""
        return await self._users.find_one({"_id": mailbox}, {"_id": 1}, session=session) is not None

    async def erase_missing(self, mailbox: str) -> None:
        """Remove a user from the checkpoints, if the user was erased before the checkpoint was stored."""
        if await self._users.find_one({"_id": mailbox}, {"_id": 1}) is None:
            await self.erase_user(mailbox)


def pause_after(failures: int) -> timedelta:
    """Return the time until the next attempt after consecutive failures."""
    return FAILED_PAUSE * 2 ** min(failures - 2, DOUBLINGS_MAX) if failures > 1 else timedelta()


def checkpoint_update(part: ExpansionPart, leased_until: datetime) -> UpdateOne:
    """Return the update that stores the checkpoint of a claimed part, which is claimed again from `leased_until`."""
    values = document(part)
    names = ("after", "recipients", "exhausted", "set_aside", "failures")
    update = {"after": part.after, "leased_until": leased_until}
    update |= {name: values[name] for name in names if name in values}
    unset = {"token": ""} | {name: "" for name in ("set_aside", "failures") if name not in values}
    return UpdateOne({"_id": part.id, "token": part.token}, {"$set": update, "$unset": unset})


def complete_update(part: ExpansionPart, ended_at: datetime | None) -> UpdateOne:
    """Return the update of a claimed part that is complete. `ended_at`: the time, if it is the last one."""
    values: Document = {"recipients": part.recipients} | ({"ended_at": ended_at} if ended_at else {})
    return UpdateOne({"_id": part.id, "token": part.token}, {"$set": values, "$unset": dict(COMPLETED)})


def ended_update(id: str, now: datetime) -> UpdateOne:
    """Return the update of a part whose expansion is over."""
    return UpdateOne({"_id": id}, {"$set": {"ended_at": now}})
