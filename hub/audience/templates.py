"""Templates: the texts of a tenant, with their versions.

A version numbers the changes of one key over all its locales and channels. Each text is one document, which is never
changed again: it is valid from its `version` until the change `until`. A deletion is a change, too, and leaves a
document without texts. The state of a key at any version is therefore one query, and can be cached without expiry.

A change is one transaction that writes the document of the tenant first. Concurrent changes of one tenant conflict
there, so each change gets its own version, and the limits are exact. It also increments the version of the tenant, so
the current versions of keys are cached as long as the tenant has the same version.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from cachetools import LRUCache
from msgspec import UNSET, UnsetType
from msgspec.structs import asdict
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.optimistic_update import SerializedUpdates, try_transaction
from hub.audience.tenants import COLLECTION as TENANTS
from hub.decide.templates.built_in import PREFIX
from hub.decide.templates.lookup import TemplateSet
from hub.decide.templates.parts import StoredTemplate
from hub.errors import NotFound, TooLarge
from hub.ids import new_id
from hub.iso_duration import DAY_S
from hub.model import CURRENT_UNTIL, Channel, Template, TemplateTexts, Tenant, document
from hub.platform.audit import AuditedAction
from hub.platform.audit_changes import set_up_changes
from hub.platform.connections import Database, Document, Indexes
from hub.platform.shared_reads import SharedReads
from hub.platform.tolerant_decoding import decode
from hub.settings import Settings
from hub.unicode_text import similar_names
from hub.utc_time import Clock

COLLECTION = "templates"
TENANT_MAX_TEMPLATES = 1000
SIMILAR_KEYS_MAX = 3  # of which the current ones are suggested
KEY_MAX_BYTES = 8 << 20  # all current texts of a key, which are read and cached together
LIST_MAX_BYTES = 8 << 20
CACHE_MAX_BYTES = 64 << 20
SET_OVERHEAD_BYTES = 1024
CACHED_VERSIONS = 10_000  # keys
TEXT_FIELDS = tuple(TemplateTexts.__struct_fields__)
WITHOUT_HTML = {"html": 0, "compiled_html": 0}
ERASED_AUTHOR = "erased"

T = TypeVar("T")


def indexes(settings: Settings) -> Indexes:
    text = [("tenant", ASCENDING), ("key", ASCENDING), ("locale", ASCENDING), ("channel", ASCENDING)]
    return {
        COLLECTION: [
            # the newest version of a key. No two changes have the same version.
            IndexModel(
                [("tenant", ASCENDING), ("key", ASCENDING), ("version", DESCENDING)], name="version", unique=True
            ),
            # all texts of a key at a version
            IndexModel([("tenant", ASCENDING), ("key", ASCENDING), ("until", ASCENDING)], name="until"),
            # the current texts of a tenant, in order. Each locale and channel of a key has at most one.
            IndexModel(text, name="current", unique=True, partialFilterExpression={"until": CURRENT_UNTIL}),
            # the versions of a text, newest first
            IndexModel([*text, ("version", DESCENDING)], name="history"),
            # the changes of a user who is erased
            IndexModel([("tenant", ASCENDING), ("updated_by", ASCENDING)], name="author"),
            # deletes old versions
            IndexModel([("ended_at", ASCENDING)], name="expiry", expireAfterSeconds=settings.template_days * DAY_S),
        ]
    }


class Templates:
    def __init__(self, database: Database, clock: Clock, deadline_s: float) -> None:
        self._database = database
        self._templates = database[COLLECTION]
        self._clock = clock
        self._updates = SerializedUpdates(deadline_s)
        self._sets: LRUCache[tuple[str, str, int], tuple[TemplateSet, int]] = LRUCache(
            CACHE_MAX_BYTES, getsizeof=lambda entry: entry[1]
        )
        self._versions: LRUCache[tuple[str, str], tuple[int, int | None]] = LRUCache(CACHED_VERSIONS)
        """The version of the tenant, and the current version, by tenant and key."""
        self._version_reads = SharedReads(self._read_version)
        self._set_reads = SharedReads(self._read_set)

    async def current_version(self, tenant: str, key: str) -> int | None:
        """Return the number of the last change of a key, or None if it never had a text."""
        return await self._version_reads.get((tenant, key))

    async def version_in(self, tenant: Tenant, key: str) -> int | None:
        """Return the current version of a key of a tenant that was read for this call. See `current_version`."""
        read_for, version = self._versions.get((tenant.id, key), (None, None))
        if read_for != tenant.version:
            version = await self.current_version(tenant.id, key)
            self._versions[tenant.id, key] = tenant.version, version
        return version

    async def _read_version(self, id: tuple[str, str]) -> int | None:
        return await self._newest_version(*id, None)

    async def _newest_version(self, tenant: str, key: str, session: AsyncClientSession | None) -> int | None:
        doc = await self._templates.find_one(
            {"tenant": tenant, "key": key},
            {"_id": 0, "version": 1},
            sort=[("version", DESCENDING)],
            hint="version",
            session=session,
        )
        return int(doc["version"]) if doc else None

    async def at_version(self, tenant: str, key: str, version: int) -> TemplateSet:
        """Return the texts of a key as they were after the change `version`. Parsed texts are cached."""
        id = (tenant, key, version)
        cached = self._sets.get(id)
        return cached[0] if cached else await self._set_reads.get(id)

    async def _read_set(self, id: tuple[str, str, int]) -> TemplateSet:
        if cached := self._sets.get(id):  # read while this call waited
            return cached[0]
        tenant, key, version = id
        match = {"tenant": tenant, "key": key, "version": {"$lte": version}, "until": {"$gt": version}}
        docs = self._templates.find(match, hint="until")
        templates = [template async for doc in docs if (template := _decoded(doc))]
        found = TemplateSet(version, [StoredTemplate(one, one.version) for one in templates])
        if version:
            self._sets[id] = found, SET_OVERHEAD_BYTES + sum(one.size for one in templates)
        return found

    async def current_sets(self, tenants: Collection[str], keys: Collection[str]) -> dict[tuple[str, str], TemplateSet]:
        """Return the current texts of these keys, by tenant and key, for the tenants that have a text."""
        stages: list[Document] = [
            {"$match": {"tenant": {"$in": list(tenants)}, "key": {"$in": list(keys)}}},
            {"$group": {"_id": {"tenant": "$tenant", "key": "$key"}, "version": {"$max": "$version"}}},
        ]
        docs = await (await self._templates.aggregate(stages, hint="version")).to_list()
        ids = [(doc["_id"]["tenant"], doc["_id"]["key"], int(doc["version"])) for doc in docs]
        sets = await asyncio.gather(*(self.at_version(*id) for id in ids))
        return {id[:2]: found for id, found in zip(ids, sets, strict=True) if found}

    async def similar_key(self, tenant: str, key: str) -> str | None:
        """Return the key of a current template that is most similar to a misspelled key, or None."""
        stages: list[Document] = [{"$match": {"tenant": tenant}}, {"$group": {"_id": "$key"}}]
        docs = await self._templates.aggregate([*stages, {"$limit": TENANT_MAX_TEMPLATES}], hint="version")
        keys = [doc["_id"] async for doc in docs if not doc["_id"].startswith(PREFIX)]
        similar = similar_names(key, keys, SIMILAR_KEYS_MAX)
        current = await self.current_sets([tenant], similar)
        return next((one for one in similar if (tenant, one) in current), None)

    async def get(
        self, tenant: str, key: str, locale: str, channel: Channel | None, version: int | None = None
    ) -> Template | None:
        """Return the text of exactly this locale and channel, as it was after the change `version` (default: now)."""
        return await self._get(_text(tenant, key, locale, channel), version, None)

    async def _get(self, text: Document, version: int | None, session: AsyncClientSession | None) -> Template | None:
        if version is None:
            doc = await self._templates.find_one(text | {"until": CURRENT_UNTIL}, hint="current", session=session)
            return _decoded(doc) if doc else None
        newest = [("version", DESCENDING)]
        match = text | {"version": {"$lte": version}}
        doc = await self._templates.find_one(match, hint="history", sort=newest, session=session)
        template = _decoded(doc) if doc else None
        return template if template and template.until > version else None

    async def list_current(self, tenant: str, key: str | None, *, with_html: bool) -> list[Template]:
        """Return the current texts of a tenant or of one key, in order. Raise TooLarge if they are too large for one
        response."""
        match: Document = {"tenant": tenant, "until": CURRENT_UNTIL} | ({} if key is None else {"key": key})
        order = [(name, ASCENDING) for name in ("tenant", "key", "locale", "channel")]
        docs = self._templates.find(match, {"compiled_html": 0} if with_html else WITHOUT_HTML, hint="current")
        found: list[Template] = []
        size = 0
        async for doc in docs.sort(order):
            if template := _decoded(doc):
                found.append(template)
                size += _size(template)
            if size > LIST_MAX_BYTES:
                raise TooLarge(
                    f"The templates have more than {LIST_MAX_BYTES >> 20} MiB. Pass `key`, leave out `html`, or read "
                    "them one by one with `template`."
                )
        return found

    async def list_versions(self, template: Template, first: int, before: int) -> list[Template]:
        """Return earlier versions of a text, newest first, without their HTML."""
        text = _text(template.tenant, template.key, template.locale, template.channel)
        docs = self._templates.find(text | {"version": {"$lt": before}}, WITHOUT_HTML, hint="history")
        return [version async for doc in docs.sort("version", DESCENDING).limit(first) if (version := _decoded(doc))]

    async def upsert(
        self, tenant: str, texts: TemplateTexts, note: str | None, by: str, audit: AuditedAction | None
    ) -> Template:
        """Create or replace a text. Return the current version if nothing changes. Raise TooLarge at a limit."""

        async def apply(session: AsyncClientSession) -> Template:
            return await self._replace(tenant, texts, note, by, session, "input", audit)

        return await self._change(tenant, apply, audit)

    async def revert(
        self,
        tenant: str,
        key: str,
        locale: str,
        channel: Channel | None,
        version: int,
        by: str,
        audit: AuditedAction | None,
    ) -> Template:
        """Create a version with the text of an earlier one. Raise NotFound if there was none, or if it is deleted."""

        async def apply(session: AsyncClientSession) -> Template:
            earlier = await self._get(_text(tenant, key, locale, channel), version, session)
            if earlier is None:
                raise NotFound(
                    "This locale and channel had no text at this version, or it is no longer stored.", field="version"
                )
            texts = TemplateTexts(**{name: getattr(earlier, name) for name in TEXT_FIELDS})
            note = f"Reverted to version {version}."
            return await self._replace(tenant, texts, note, by, session, "version", audit)

        return await self._change(tenant, apply, audit)

    async def delete(
        self,
        tenant: str,
        key: str,
        locale: str | UnsetType,
        channel: Channel | UnsetType | None,
        by: str,
        audit: AuditedAction | None,
    ) -> int:
        """Delete the texts of a key for a locale and channel. UNSET selects all. Return the number of texts."""
        match: Document = {"tenant": tenant, "key": key, "until": CURRENT_UNTIL}
        if locale is not UNSET:
            match["locale"] = locale
        if channel is not UNSET:
            match["channel"] = channel

        async def apply(session: AsyncClientSession) -> int:
            version = 1 + (await self._newest_version(tenant, key, session) or 0)
            now = self._clock()
            deleted = (await self._end(match, version, now, session)).modified_count
            if deleted:
                change = {"version": version, "until": version, "updated_at": now, "updated_by": by, "ended_at": now}
                await self._templates.insert_one(
                    {"_id": new_id(now), "tenant": tenant, "key": key, **change}, session=session
                )
                selected = {"locale": locale, "channel": channel}
                if audit:
                    chosen = {name: value for name, value in selected.items() if value is not UNSET}
                    await audit.record({**chosen, "texts": int(deleted), "version": version}, session)
            return int(deleted)

        return await self._change(tenant, apply, audit)

    async def erase_author(self, tenant: str, user: str) -> None:
        """Remove the name of a user who changed templates."""
        match = {"tenant": tenant, "updated_by": user}
        await self._templates.update_many(match, {"$set": {"updated_by": ERASED_AUTHOR}}, hint="author")

    async def export_of_author(self, tenant: str, user: str, limit: int) -> list[Document]:
        """Return up to `limit` changes of templates by a user, without the texts."""
        named = dict.fromkeys(("locale", "channel", "version", "updated_at", "updated_by", "note"), 1)
        fields = {"_id": 0, "template": "$key", **named}
        docs = self._templates.find({"tenant": tenant, "updated_by": user}, fields, hint="author")
        return await docs.limit(limit).to_list()

    async def _replace(
        self,
        tenant: str,
        texts: TemplateTexts,
        note: str | None,
        by: str,
        session: AsyncClientSession,
        field: str,
        audit: AuditedAction | None,
    ) -> Template:
        text = _text(tenant, texts.key, texts.locale, texts.channel)
        before = await self._get(text, None, session)
        if before and all(getattr(before, name) == getattr(texts, name) for name in TEXT_FIELDS):
            return before
        await self._check_limits(tenant, texts, before, session, field)
        now = self._clock()
        template = Template(
            **asdict(texts),
            id=new_id(now),
            tenant=tenant,
            version=1 + (await self._newest_version(tenant, texts.key, session) or 0),
            until=CURRENT_UNTIL,
            updated_at=now,
            updated_by=by,
            size=_size(texts),
            note=note,
        )
        await self._end(text | {"until": CURRENT_UNTIL}, template.version, now, session)
        await self._templates.insert_one(document(template), session=session)
        if audit:
            earlier = TemplateTexts(**{name: getattr(before, name) for name in TEXT_FIELDS}) if before else None
            text_of = {"locale": texts.locale, "channel": texts.channel, "version": template.version}
            await audit.record(set_up_changes(earlier, texts) | text_of, session)
        return template

    async def _end(self, match: Document, version: int, now: datetime, session: AsyncClientSession) -> Any:
        return await self._templates.update_many(match, {"$set": {"until": version, "ended_at": now}}, session=session)

    async def _check_limits(
        self, tenant: str, texts: TemplateTexts, before: Template | None, session: AsyncClientSession, field: str
    ) -> None:
        current: Document = {"tenant": tenant, "until": CURRENT_UNTIL}
        if before is None:
            count = await self._templates.count_documents(current, hint="current", session=session)
            if count >= TENANT_MAX_TEMPLATES:
                raise TooLarge(
                    f"A tenant has at most {TENANT_MAX_TEMPLATES:,} templates, over all keys, locales and channels.",
                    field=field,
                )
        sizes = self._templates.find(current | {"key": texts.key}, {"size": 1}, hint="until", session=session)
        total = sum([doc["size"] async for doc in sizes]) + _size(texts) - (before.size if before else 0)
        if total > KEY_MAX_BYTES:
            raise TooLarge(
                f"The texts of one key have at most {KEY_MAX_BYTES >> 20} MiB over all locales and channels.",
                field=field,
            )

    async def _change(
        self, tenant: str, apply: Callable[[AsyncClientSession], Awaitable[T]], audit: AuditedAction | None
    ) -> T:
        async def apply_locked(session: AsyncClientSession) -> T:
            lock = {"$inc": {"version": 1}}
            await self._database[TENANTS].update_one({"_id": tenant}, lock, upsert=True, session=session)
            return await apply(session)

        return await self._updates.run(tenant, lambda: try_transaction(self._database, apply_locked, audit))


def _text(tenant: str, key: str, locale: str, channel: Channel | None) -> Document:
    """Return a query for one locale and channel. Documents without a channel have no such field."""
    return {"tenant": tenant, "key": key, "locale": locale, "channel": channel}


def _decoded(doc: Document) -> Template | None:
    """Return the stored text, or None for a text that only a newer version of the hub can use."""
    template = decode(doc, Template)
    return template if template and template.channel == doc.get("channel") else None


def _size(texts: TemplateTexts) -> int:
    return len(msgspec.json.encode(texts))
