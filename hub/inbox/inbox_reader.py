"""Reads inboxes: pages, the change feed, and due notifications. A comment on each index names its query."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import UNSET, Struct
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.errors import NotFound
from hub.inbox import idempotency_records, search
from hub.inbox.mailbox_decoding import decode_mailbox, decode_mailboxes
from hub.inbox.mailbox_loader import MailboxLoader
from hub.inbox.notification_lookup import FEED_INDEX, SEND_INDEX
from hub.inbox.old_notifications import TOMBSTONE_INDEX
from hub.inbox.state import UNREAD, UNSEEN, VIEWS
from hub.model import (
    Backlog,
    BulkUndo,
    InboxEvent,
    InboxEventKind,
    InboxState,
    InboxView,
    Mailbox,
    Notification,
    Position,
    Priority,
)
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode, decode_all, decode_by_id, decode_page
from hub.settings import Settings
from hub.utc_time import Clock

BACKLOG_MAX_BYTES = 4 << 20  # size of texts. A client that missed more receives RESYNC.


class InboxQuery(Struct, frozen=True, kw_only=True):
    """Selects notifications of an inbox. `pinned`: only those that are pinned, or only the others. The title or body
    must contain each of `words`, ignoring case."""

    view: InboxView = InboxView.ACTIVE
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    priorities: tuple[Priority, ...] = ()
    pinned: bool | None = None
    words: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True if the query has no filters."""
        return self == InboxQuery()


class InboxPage(Struct, frozen=True):
    """A page of notifications, newest first. `position` is the feed position at which the page and counts were read."""

    notifications: list[Notification]
    more: bool
    head: Mailbox
    position: Position


def indexes(settings: Settings) -> Indexes:
    own: Indexes = {
        "mailboxes": [],
        "notifications": [
            # `get_page` for any view, newest first. A view is a set of states.
            _page_index("page"),
            # `get_page` filtered by category or tag, or of the pinned notifications
            _page_index("page_by_category", "category"),
            _page_index("page_by_tag", "tags"),
            _page_index("page_of_pinned", "pinned"),
            # `backlog`: the change feed after a position; `list_bulk_marked`: the changes of a "mark all";
            # `find_recipients`: notifications of a few mailboxes by id; `list_hidden`: those without a modseq, by id;
            # `list_with_status`: the ids of all of them
            IndexModel([("mailbox", ASCENDING), ("modseq", ASCENDING), ("_id", ASCENDING)], name=FEED_INDEX),
            # all notifications of one send, oldest first; `list_with_status`: newest first
            IndexModel([("send", ASCENDING), ("_id", ASCENDING)], name=SEND_INDEX),
            # `list_due`: ended snoozes and expired notifications
            IndexModel(
                [("wake_at", ASCENDING)], name="wake_at", partialFilterExpression={"wake_at": {"$exists": True}}
            ),
            # the live notifications with a collapse key in given mailboxes
            IndexModel(
                [("mailbox", ASCENDING), ("live_key", ASCENDING)],
                name="live_key",
                unique=True,
                partialFilterExpression={"live_key": {"$exists": True}},
            ),
            # the live notifications with a collapse key in all mailboxes of a tenant
            IndexModel(
                [("live_key", ASCENDING), ("mailbox", ASCENDING)],
                name="live_key_of_tenant",
                partialFilterExpression={"live_key": {"$exists": True}},
            ),
            # `StoredNotifications.list_removed`: tombstones that no client needs, those removed first first
            IndexModel(
                [("removed_at", ASCENDING)],
                name=TOMBSTONE_INDEX,
                partialFilterExpression={"removed_at": {"$exists": True}},
            ),
        ],
    }
    return {**own, **idempotency_records.indexes(settings)}


def _page_index(name: str, *within: str) -> IndexModel:
    """Return the index for a view. The last field allows filtering by priority without reading documents."""
    first = [("mailbox", ASCENDING), *((field, ASCENDING) for field in within), ("state", ASCENDING)]
    return IndexModel(
        [*first, ("added_modseq", DESCENDING), ("priority", ASCENDING)],
        name=name,
        partialFilterExpression={field: {"$exists": True} for field in ("state", *within) if field != "category"},
    )


class Inboxes:
    """Reads inboxes from the primary. Each page or backlog is read from one snapshot."""

    def __init__(self, database: Database, settings: Settings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._mailbox_loader = MailboxLoader(self._read_mailboxes)

    def position(self, head: Mailbox) -> Position:
        return Position(head.epoch, head.modseq, int(self._clock().timestamp()))

    async def get_mailbox(self, mailbox: str) -> Mailbox | None:
        doc = await self._database.mailboxes.find_one({"_id": mailbox})
        return decode_mailbox(doc) if doc else None

    async def get_mailboxes(self, ids: Collection[str]) -> dict[str, Mailbox]:
        """Return, by id, the mailboxes of `ids` that exist and can be decoded. Callers pass at most 1,000."""
        mailboxes, _ = await self._read_mailboxes(ids)
        return mailboxes

    async def _read_mailboxes(self, ids: Collection[str]) -> tuple[dict[str, Mailbox], frozenset[str]]:
        """Return the mailboxes by id, and the ids of the mailboxes that cannot be decoded."""
        return await decode_mailboxes(self._database.mailboxes.find({"_id": {"$in": list(ids)}}))

    async def get_notifications(self, ids: Collection[str]) -> dict[str, Notification]:
        """Return the notifications of `ids` that exist, including hidden and removed ones."""
        docs = self._database.notifications.find({"_id": {"$in": list(ids)}})
        return await decode_by_id(docs, Notification)

    async def list_hidden(self, mailbox: str, first: int, before: str | None) -> list[Notification]:
        """Return up to `first` notifications that no inbox has shown, with an id below `before`, newest first."""
        condition: Document = {"mailbox": mailbox, "modseq": None, "hidden": True}
        if before:
            condition["_id"] = {"$lt": before}
        docs = self._database.notifications.find(condition, hint="feed").sort("_id", DESCENDING)
        return await decode_page(docs, Notification, first)

    async def find_stored(self, ids: Collection[str]) -> set[str]:
        """Return the ids in `ids` for which a notification or mailbox is stored, even if it cannot be decoded."""
        match = {"_id": {"$in": list(ids)}}
        found = [self._database.notifications.find(match, {"_id": 1}), self._database.mailboxes.find(match, {"_id": 1})]
        return {doc["_id"] for docs in found for doc in await docs.to_list()}

    async def get_page(self, mailbox: str, query: InboxQuery, first: int, after: int | None) -> InboxPage | None:
        """Return the newest `first` notifications with an added modseq below `after`.

        Return None if the mailbox does not exist."""
        async with self._database.client.start_session(snapshot=True) as session:
            doc = await self._database.mailboxes.find_one({"_id": mailbox}, session=session)
            if doc is None:
                return None
            head = decode_mailbox(doc)
            notifications = await self._find(mailbox, query, first + 1, session, after=after)
        return InboxPage(notifications[:first], len(notifications) > first, head, self.position(head))

    async def list_ids(
        self, mailbox: str, query: InboxQuery, states: Sequence[InboxState], limit: int, *, upto: int
    ) -> list[tuple[str, int]]:
        """Return the id and added modseq of matching notifications in `states`, newest first, starting at `upto`."""
        stages = self._pipeline(mailbox, query, states, limit, after=upto + 1)
        cursor = await self._database.notifications.aggregate(
            [*stages, {"$project": {"added_modseq": 1}}], hint=_index_for(query)
        )
        return [(doc["_id"], doc["added_modseq"]) async for doc in cursor]

    async def list_in_states(
        self, mailbox: str, states: Sequence[InboxState], limit: int, session: AsyncClientSession
    ) -> list[Notification]:
        """Return up to `limit` notifications in `states`, in any order, read in the transaction of `session`."""
        condition = {"mailbox": mailbox, "state": {"$in": [state.value for state in states]}}
        docs = self._database.notifications.find(condition, session=session, hint="page").limit(limit)
        return await decode_all(docs, Notification)

    async def list_bulk_marked(self, mailbox: str, undo: BulkUndo, limit: int) -> list[tuple[str, int]]:
        """Return the id and modseq of the notifications that a "mark all" changed and nothing has changed since, in the
        order of the changes."""
        marked: Document = {"modseq": {"$gte": undo.first, "$lte": undo.last}, "bulk_mark.id": undo.id}
        docs = self._database.notifications.find({"mailbox": mailbox, **marked}, {"modseq": 1}, hint="feed")
        return [(doc["_id"], doc["modseq"]) async for doc in docs.sort("modseq", ASCENDING).limit(limit)]

    async def get_notification(self, id: str, mailbox: str) -> Notification | None:
        doc = await self._database.notifications.find_one({"_id": id, "mailbox": mailbox, "state": {"$exists": True}})
        return decode(doc, Notification) if doc else None

    async def peek_backlog(self, mailbox: str, after: Position | None) -> Backlog | None:
        """Return the backlog if the mailbox shows that it is empty or requires RESYNC. Otherwise return None.

        Concurrent calls share queries. Raise NotFound if the mailbox does not exist."""
        head = await self._mailbox_loader.get(mailbox)
        if head is None:
            raise NotFound("This inbox does not exist.")
        return self._backlog_without_read(head, after)

    async def backlog(self, mailbox: str, after: Position | None) -> Backlog | None:
        """Return every notification that changed since `after`, once, in its current state.

        Without `after`, the backlog is empty. Return None if the mailbox does not exist."""
        async with self._database.client.start_session(snapshot=True) as session:
            doc = await self._database.mailboxes.find_one({"_id": mailbox}, session=session)
            if doc is None:
                return None
            head = decode_mailbox(doc)
            backlog = self._backlog_without_read(head, after)
            if backlog or after is None:
                return backlog
            docs = await self._changed_since(mailbox, after, session)
        text_bytes = sum(len(str(doc.get("body", ""))) + len(str(doc.get("data", ""))) for doc in docs)
        if len(docs) > self._settings.backlog_max_changes or text_bytes > BACKLOG_MAX_BYTES:
            return Backlog(head, UNSET)
        return Backlog(
            head, _backlog_events([n for doc in docs if (n := decode(doc, Notification))], after.modseq, head)
        )

    def _backlog_without_read(self, head: Mailbox, after: Position | None) -> Backlog | None:
        """Return the backlog if it is empty or requires RESYNC (its events are UNSET). Otherwise return None."""
        if after is None:
            return Backlog(head, [])
        oldest = self._clock() - timedelta(days=self._settings.tombstone_days)
        if after.epoch != head.epoch or after.modseq > head.modseq or after.time < oldest.timestamp():
            return Backlog(head, UNSET)
        return Backlog(head, []) if after.modseq == head.modseq and not after.up_to_id else None

    async def list_due(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """Return the mailbox and id of notifications whose snooze or lifetime has ended, oldest first."""
        docs = (
            self._database.notifications.find({"wake_at": {"$lte": now}}, {"mailbox": 1})
            .sort("wake_at", ASCENDING)
            .limit(limit)
        )
        return [(doc["mailbox"], doc["_id"]) async for doc in docs]

    async def postpone(self, ids: Collection[str], until: datetime) -> None:
        """Postpone due notifications that cannot be processed to `until`, so they do not delay other notifications."""
        due: Document = {"_id": {"$in": list(ids)}, "wake_at": {"$lt": until}}
        await self._database.notifications.update_many(due, {"$set": {"wake_at": until}})

    async def sample_mailboxes(self, size: int) -> list[str]:
        """Return the ids of up to `size` random mailboxes."""
        cursor = await self._database.mailboxes.aggregate([{"$sample": {"size": size}}, {"$project": {"_id": 1}}])
        return [doc["_id"] for doc in await cursor.to_list()]

    async def recount(self, mailbox: str) -> tuple[Mailbox, int, int] | None:
        """Return the mailbox, and its unread and unseen counts as computed from the index in the same snapshot."""
        async with self._database.client.start_session(snapshot=True) as session:
            doc = await self._database.mailboxes.find_one({"_id": mailbox}, session=session)
            if doc is None:
                return None
            head = decode_mailbox(doc)
            unread = {"mailbox": mailbox, "state": {"$in": [state.value for state in UNREAD]}}
            cursor = await self._database.notifications.aggregate(
                [{"$match": unread}, {"$group": {"_id": "$state", "count": {"$sum": 1}}}], session=session, hint="page"
            )
            by_state = {doc["_id"]: doc["count"] async for doc in cursor}
        return head, sum(by_state.values()), sum(by_state.get(state.value, 0) for state in UNSEEN)

    async def _changed_since(self, mailbox: str, after: Position, session: AsyncClientSession) -> list[Document]:
        limit = self._settings.backlog_max_changes + 1
        docs: list[Document] = []
        order = [("modseq", ASCENDING), ("_id", ASCENDING)]
        if after.up_to_id:
            rest = {"mailbox": mailbox, "modseq": after.modseq, "_id": {"$gt": after.up_to_id}}
            docs = await self._database.notifications.find(rest, session=session).sort(order).limit(limit).to_list()
        newer = {"mailbox": mailbox, "modseq": {"$gt": after.modseq}}
        cursor = self._database.notifications.find(newer, session=session).sort(order).limit(limit)
        return docs + await cursor.to_list()

    async def _find(
        self, mailbox: str, query: InboxQuery, limit: int, session: AsyncClientSession, *, after: int | None
    ) -> list[Notification]:
        notifications: list[Notification] = []
        while len(notifications) < limit:
            missing = limit - len(notifications)
            cursor = await self._database.notifications.aggregate(
                self._pipeline(mailbox, query, VIEWS[query.view], missing, after=after),
                session=session,
                hint=_index_for(query),
            )
            docs = await cursor.to_list()
            notifications += [n for doc in docs if (n := decode(doc, Notification))]
            if len(docs) < missing:
                break
            after = docs[-1].get("added_modseq", 0)  # skips documents that this version cannot read
        return notifications

    def _pipeline(
        self, mailbox: str, query: InboxQuery, states: Sequence[InboxState], limit: int, *, after: int | None
    ) -> list[dict[str, Any]]:
        """Return the aggregation of a query. A word search reads only the newest notifications of the view."""
        newest_first = {"$sort": {"added_modseq": DESCENDING}}
        match: Document = {"mailbox": mailbox, "state": {"$in": [state.value for state in states]}}
        if query.categories:
            match["category"] = {"$in": list(query.categories)}
        if query.pinned:
            match["pinned"] = True
        filters: Document = {"pinned": {"$ne": True}} if query.pinned is False else {}
        if after is not None:
            filters["added_modseq"] = {"$lt": after}
        if query.tags:
            filters["tags"] = {"$in": list(query.tags)}
        if query.priorities:
            filters["priority"] = {"$in": [priority.value for priority in query.priorities]}
        if not query.words:
            return [{"$match": match | filters}, newest_first, {"$limit": limit}]
        conditions = [search.contains_word(word) for word in query.words]
        window: list[dict[str, Any]] = [
            {"$match": match},
            newest_first,
            {"$limit": self._settings.search_max_notifications},
        ]
        return [*window, {"$match": filters | {"$and": conditions}}, {"$limit": limit}]


def _index_for(query: InboxQuery) -> str:
    if query.pinned:
        return "page_of_pinned"
    if query.tags and not query.words:
        return "page_by_tag"
    return "page_by_category" if query.categories else "page"


def _backlog_events(notifications: Sequence[Notification], after: int, head: Mailbox) -> list[InboxEvent]:
    """Return the current states of notifications as events, in order.

    If several events have the same modseq, all except the last contain the id of their notification. A client that
    disconnects between two such events resumes at that position."""
    events = []
    for index, n in enumerate(notifications):
        if n.state is None:
            kind = InboxEventKind.REMOVED
        elif n.added_modseq > after:
            kind = InboxEventKind.ADDED
        else:
            kind = InboxEventKind.UPDATED
        is_followed = index + 1 < len(notifications) and notifications[index + 1].modseq == n.modseq
        events.append(
            InboxEvent(
                kind=kind,
                modseq=n.modseq,
                unread=head.unread,
                unseen=head.unseen,
                notification=n,
                up_to_id=n.id if is_followed else None,
            )
        )
    return events
