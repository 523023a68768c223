"""The audit log: who changed configuration, credentials, or people.

- A change and its entry are written in one transaction (`try_transaction`). If a change has no transaction, its entry
  is written first. No change is therefore without an entry.
- The entry is the last write of the transaction, and its id contains the time of MongoDB's clock. Two changes of the
  same document therefore have entries in the order of the changes, whichever processes make them.
- Entries are never changed, except that the id of an erased user is replaced by an HMAC.
- When an entry is committed, it is also logged, as `audit`. The log line can be missing if the process crashes.
"""

import asyncio
import getpass
import hmac
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256

import orjson
import structlog
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.ids import IdGenerator, first_id_at, id_time
from hub.iso_duration import DAY_S
from hub.model import CLI_ACTOR_PREFIX, AuditEntry, AuditQuery, is_person
from hub.platform.audit_changes import Changes, encoded
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode_page
from hub.settings import Settings

COLLECTION = "audit_log"
KEYS = "audit_keys"
KEY_BYTES = 32
ERASED_PREFIX = "erased:"
COMMAND_BATCH = 1000  # tenants
LINES_PER_STEP = 50  # log lines written without a pause
ERASED_CHARS = 32  # 128 bits in hexadecimal

log = structlog.get_logger(__name__)

_ids = IdGenerator()  # used for nothing else: other ids contain the hub's time, which may be ahead


def indexes(settings: Settings) -> Indexes:
    def newest(*fields: str) -> list[tuple[str, int]]:
        return [("tenant", ASCENDING), *((field, ASCENDING) for field in fields), ("_id", DESCENDING)]

    return {
        COLLECTION: [
            # the pages of `AuditLog.list_page`, by the filter, and the entries of a user
            IndexModel(newest(), name="entries"),
            IndexModel(newest("actor"), name="actor"),
            IndexModel(newest("action"), name="action"),
            IndexModel(newest("target"), name="target"),
            # deletes old entries
            IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=settings.audit_days * DAY_S),
        ],
        KEYS: [],  # read by `_id` only
    }


class AuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries = database[COLLECTION]
        self._keys = database[KEYS]

    async def now(self) -> datetime:
        """Return the time of MongoDB's clock."""
        at: datetime = (await self._database.command("hello"))["localTime"]
        return at.replace(tzinfo=UTC)

    async def insert(self, entries: list[Document], session: AsyncClientSession | None) -> list[Document]:
        """Insert entries with their ids and times, and return them."""
        now = await self.now()
        ids = [_ids.make_at(now) for _ in entries]
        docs = [{"_id": id, "at": id_time(id), **entry} for id, entry in zip(ids, entries, strict=True)]
        await self._entries.insert_many(docs, session=session)
        return docs

    async def list_page(self, tenant: str, query: AuditQuery, limit: int, after: str | None) -> list[AuditEntry]:
        """Return up to `limit` entries, newest first, below the id `after`."""
        match: Document = {"tenant": tenant}
        for name in ("actor", "action", "target"):
            if (value := getattr(query, name)) is not None:
                match[name] = value
        bounds = [bound for bound in (after, first_id_at(query.until) if query.until else None) if bound]
        if bounds:
            match["_id"] = {"$lt": min(bounds)}
        if query.since:
            match["_id"] = match.get("_id", {}) | {"$gte": first_id_at(query.since)}
        hint = next((name for name in ("target", "actor", "action") if name in match), "entries")
        return await decode_page(self._entries.find(match, hint=hint).sort("_id", DESCENDING), AuditEntry, limit)

    async def export(self, tenant: str, user: str, limit: int) -> list[Document]:
        """Return up to `limit` entries of changes that a user made, and of changes of the user, newest first."""
        found: dict[str, Document] = {}
        for match, hint in _of_user(tenant, user):
            docs = self._entries.find(match, hint=hint).sort("_id", DESCENDING).limit(limit)
            found |= {doc["_id"]: doc for doc in await docs.to_list()}
        return [found[id] for id in sorted(found, reverse=True)[:limit]]

    async def erase_user(self, tenant: str, user: str) -> None:
        """Replace the id of a user, as actor and as target, by its HMAC."""
        erased = await self.pseudonym(tenant, user)
        for (match, hint), field in zip(_of_user(tenant, user), ("actor", "target"), strict=True):
            if field == "actor" and not is_person(user):
                continue
            await self._entries.update_many(match, {"$set": {field: erased}}, hint=hint)

    async def pseudonym(self, tenant: str, user: str) -> str:
        """Return what replaces the id of an erased user.

        It is an HMAC with a key of the tenant that no API or command shows. A plain hash could be found again by
        trying, because ids are often numbers or email addresses."""
        doc = await self._keys.find_one_and_update(
            {"_id": tenant},
            {"$setOnInsert": {"key": secrets.token_bytes(KEY_BYTES)}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert doc
        digest = hmac.digest(doc["key"], user.encode(), sha256)
        return f"{ERASED_PREFIX}{digest.hex()[:ERASED_CHARS]}"


class AuditedAction:
    """An action whose changes are recorded. One object serves one call of a mutation or command.

    `parameters` are added to the changes of each entry. An action with parameters is recorded even if it changes no
    field."""

    def __init__(
        self,
        audit_log: AuditLog,
        tenant: str,
        actor: str,
        action: str,
        target: str | None = None,
        *,
        is_user: bool = False,
        request_id: str | None = None,
        parameters: Changes | None = None,
    ) -> None:
        self._log = audit_log
        self._target = target
        self._entry: Document = {"tenant": tenant, "actor": actor, "action": action}
        if is_user:
            self._entry["is_user"] = True
        if request_id:
            self._entry["request_id"] = request_id
        self._parameters = parameters or {}
        self._uncommitted: list[Document] = []

    async def record(self, changes: Changes, session: AsyncClientSession | None) -> None:
        """Write an entry, unless nothing changed. In a transaction, call this after the last other write."""
        await self.record_each({self._target: changes}, session)

    async def record_each(self, changes: Mapping[str | None, Changes], session: AsyncClientSession | None) -> None:
        """Write an entry for each target that changed. Without a session, call this before the changes are written."""
        entries = [
            self._entry | ({"target": target} if target else {}) | {"changes": encoded(changed | self._parameters)}
            for target, changed in changes.items()
            if changed or self._parameters
        ]
        if not entries:
            return
        self._uncommitted += await self._log.insert(entries, session)
        if session is None:
            await self.write_log_lines()

    def discard(self) -> None:
        """Forget the entries of a transaction that was not committed."""
        self._uncommitted = []

    async def write_log_lines(self) -> None:
        """Log the entries that were committed. Other tasks run in between."""
        docs, self._uncommitted = self._uncommitted, []
        for number, doc in enumerate(docs, 1):
            line = {name: value for name, value in doc.items() if name not in ("_id", "at", "is_user", "changes")}
            log.info("audit", entry=doc["_id"], changes=orjson.loads(doc["changes"]), **line)
            if number % LINES_PER_STEP == 0:
                await asyncio.sleep(0)


async def record_command(database: Database, tenants: Sequence[str], action: str, changes: Changes) -> None:
    """Write an entry for each tenant, before a command changes the database directly. The actor is the account that
    runs it. There are no log lines, because nothing collects the output of commands."""
    entry = {"actor": f"{CLI_ACTOR_PREFIX}{account_name()}", "action": action, "changes": encoded(changes)}
    for start in range(0, len(tenants), COMMAND_BATCH):
        batch = tenants[start : start + COMMAND_BATCH]
        await AuditLog(database).insert([{"tenant": tenant, **entry} for tenant in batch], None)


def account_name() -> str:
    """Return the name of the account that runs this process."""
    with suppress(KeyError, OSError):  # an account without a name
        return getpass.getuser()
    return "unknown"


def _of_user(tenant: str, user: str) -> list[tuple[Document, str]]:
    """Return the queries of the entries that name a user, as actor and as target, with their indexes."""
    return [
        ({"tenant": tenant, "actor": user}, "actor"),
        ({"tenant": tenant, "target": user, "is_user": True}, "target"),
    ]
