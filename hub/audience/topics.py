"""Topics, and the users who are subscribed to them.

A subscription is one document, unique per user and topic. It has three states:

| state | a subscription by the tenant | an unsubscription by the tenant | shown to the user |
|---|---|---|---|
| ACTIVE | changes nothing | deletes it | yes |
| LEFT, by the user | changes nothing, unless forced | makes it REMOVED | yes, with the time |
| REMOVED | makes it LEFT, or ACTIVE if forced | changes nothing | no |

Therefore a tenant that unsubscribes and subscribes somebody again never brings back a user who left.

A subscription is created in a transaction that also writes the user, so it conflicts with an erasure: the user is
erased either before, or after and with the subscription.
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial

from cachetools import TTLCache
from msgspec.structs import replace
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.optimistic_update import SerializedUpdates, try_transaction
from hub.audience.users import COLLECTION as USERS
from hub.audience.users import Users
from hub.errors import NotFound, TooLarge
from hub.model import (
    SubscriptionState,
    Topic,
    TopicSubscription,
    User,
    document,
    mailbox_of,
    tenant_of,
    topic_id,
    topic_key_of,
    user_of,
)
from hub.platform.audit import AuditedAction
from hub.platform.audit_changes import document_changes
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode, decode_all, decode_by_id, decode_page
from hub.settings import Settings
from hub.unicode_text import folded
from hub.utc_time import Clock

COLLECTION = "tenant_topics"
SUBSCRIPTIONS = "topic_subscriptions"
DOCUMENTS_PER_USER = 2  # the user and the subscription
SEARCH_BATCH = 500  # users
SEARCHED_MAX = 2500  # users whom one page of a search examines
KEYS_SHOWN_MAX = 100  # in `User.topics`
EXACT_COUNT_MAX = 1000
COUNT_MAX_AGE_S = 60.0
COUNT_CACHE_SIZE = 10_000  # topics
ACTIVE, LEFT, REMOVED = SubscriptionState.ACTIVE, SubscriptionState.LEFT, SubscriptionState.REMOVED
ACTIVATE = {"$set": {"state": ACTIVE}, "$unset": {"left_at": ""}}


def indexes() -> Indexes:
    return {
        COLLECTION: [],  # read by `_id` only
        SUBSCRIPTIONS: [
            # the topics of users, in order. A user has at most one subscription to a topic.
            IndexModel([("mailbox", ASCENDING), ("topic", ASCENDING)], name="user", unique=True),
            # `list_subscribers` and `count_subscribers`, which read nothing but this index
            IndexModel([("topic", ASCENDING), ("state", ASCENDING), ("mailbox", ASCENDING)], name="subscribers"),
        ],
    }


class Topics:
    def __init__(self, database: Database, users: Users, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._topics = database[COLLECTION]
        self._subscriptions = database[SUBSCRIPTIONS]
        self._user_docs = database[USERS]
        self._users = users
        self._clock = clock
        self._tenant_max_topics = settings.tenant_max_topics
        self._user_max_topics = settings.user_max_topics
        self._users_per_transaction = max(1, settings.commit_max_documents // DOCUMENTS_PER_USER)
        self._updates = SerializedUpdates(settings.commit_deadline_s)  # by user: topics do not conflict
        self._counts: TTLCache[str, int] = TTLCache(COUNT_CACHE_SIZE, COUNT_MAX_AGE_S)

    async def get_many(self, ids: Collection[str]) -> dict[str, Topic]:
        """Return the topics of `ids` that exist."""
        return await decode_by_id(self._topics.find({"_id": {"$in": list(ids)}}), Topic)

    async def list_page(self, tenant: str, search: str, first: int, after: str) -> list[Topic]:
        """Return up to `first` topics of a tenant, sorted by key. `search` must be part of the key or the name. `after`
        is the last key of the previous page."""
        match = _after(tenant, after)
        if search:
            match["search_text"] = {"$regex": re.escape(folded(search) or search)}
        return await decode_page(self._topics.find(match, hint="_id_").sort("_id", ASCENDING), Topic, first)

    async def upsert(
        self, id: str, name: str, description: str | None, *, visible: bool, audit: AuditedAction | None
    ) -> Topic:
        """Create or replace a topic. Raise TooLarge if the tenant has too many."""
        topic = _topic(id, name, description, visible=visible, created_at=self._clock())
        values = {"name": name, "description": description, "visible": visible, "search_text": topic.search_text}

        async def apply(session: AsyncClientSession) -> Topic:
            doc = await self._topics.find_one({"_id": id}, session=session)
            if doc is None:
                await self._check_limit(id, session)
                await self._topics.insert_one(document(topic), session=session)
            else:
                await self._topics.update_one({"_id": id}, {"$set": values}, session=session)
            if audit:
                before = {name: doc.get(name) for name in values} if doc else {}
                await audit.record(document_changes(before, values), session)
            return replace(topic, created_at=doc["created_at"]) if doc else topic

        return await self._updates.run(id, partial(try_transaction, self._database, apply, audit))

    async def _exists(self, id: str, session: AsyncClientSession | None) -> bool:
        return await self._topics.find_one({"_id": id}, {"_id": 1}, session=session) is not None

    async def _check_limit(self, id: str, session: AsyncClientSession | None) -> None:
        """Raise TooLarge if the tenant has as many topics as it may have."""
        limit = self._tenant_max_topics
        match = _after(tenant_of(id), "")
        count = await self._topics.count_documents(match, limit=limit, hint="_id_", session=session) if limit else 0
        if count >= limit:
            raise TooLarge(f"A tenant has at most {limit:,} topics (HUB_TENANT_MAX_TOPICS).")

    async def subscribe(self, id: str, mailboxes: Sequence[str], *, force: bool, audit: AuditedAction | None) -> int:
        """Subscribe distinct users to a topic, and create the topic and the users who do not exist. Return how many of
        the users were not subscribed before.

        Users who left stay out, unless `force`. A user who is erased during the call is not created again. Raise
        TooLarge for a user who has too many topics; the transactions before it stay committed."""
        changed = 0
        for start in range(0, len(mailboxes), self._users_per_transaction):
            batch, known = mailboxes[start : start + self._users_per_transaction], set[str]()
            apply = partial(self._subscribe, id, batch, known, force, audit)
            changed += await self._updates.run(min(batch), partial(try_transaction, self._database, apply, audit))
        return changed

    async def _subscribe(
        self,
        id: str,
        mailboxes: Sequence[str],
        known: set[str],
        force: bool,
        audit: AuditedAction | None,
        session: AsyncClientSession,
    ) -> int:
        """Subscribe users in one transaction. `known` collects the users that an attempt has found."""
        now = self._clock()
        if not await self._exists(id, session):
            await self._check_limit(id, session)
            topic = _topic(id, topic_key_of(id), None, visible=False, created_at=now)
            await self._topics.insert_one(document(topic), session=session)
        found = self._subscriptions.find(
            {"mailbox": {"$in": list(mailboxes)}, "topic": id}, {"mailbox": 1, "state": 1}, hint="user", session=session
        )
        states = {doc["mailbox"]: doc["state"] async for doc in found}
        created = [mailbox for mailbox in mailboxes if mailbox not in states]
        if created:
            created = await self._count_subscriptions(created, known, now, session)
        if created:
            rows = [TopicSubscription(mailbox=one, topic=id, state=ACTIVE, created_at=now) for one in created]
            await self._subscriptions.insert_many([document(row) for row in rows], session=session)
        before, update = ([LEFT, REMOVED], ACTIVATE) if force else ([REMOVED], {"$set": {"state": LEFT}})
        changed = [mailbox for mailbox, state in states.items() if state in before]
        if changed:
            match = {"mailbox": {"$in": changed}, "topic": id}
            await self._subscriptions.update_many(match, update, hint="user", session=session)
        subscribed = len(created) + (len(changed) if force else 0)
        if audit and subscribed:
            await audit.record({"users": subscribed}, session)
        return subscribed

    async def _count_subscriptions(
        self, mailboxes: Sequence[str], known: set[str], now: datetime, session: AsyncClientSession
    ) -> list[str]:
        """Increment the number of subscriptions of users, and create the missing ones. Return the users, without those
        of `known` who were erased in the meantime."""
        docs = self._user_docs.find({"_id": {"$in": list(mailboxes)}}, {"subscription_count": 1}, session=session)
        counts = {doc["_id"]: doc.get("subscription_count", 0) async for doc in docs}
        kept = [mailbox for mailbox in mailboxes if mailbox in counts or mailbox not in known]
        known.update(counts)
        for mailbox in kept:
            if counts.get(mailbox, 0) >= self._user_max_topics:
                raise TooLarge(
                    f"A user has at most {self._user_max_topics:,} topics (HUB_USER_MAX_TOPICS), with those that the "
                    f"user left, and `{user_of(mailbox)}` has as many. Leave this user out, or increase the limit.",
                    field="users",
                )
        if missing := [mailbox for mailbox in kept if mailbox not in counts]:
            await self._user_docs.bulk_write(self._users.create_missing(missing, now), session=session)
        if kept:  # a change, so an erasure conflicts with it
            await self._user_docs.update_many(
                {"_id": {"$in": kept}}, {"$inc": {"subscription_count": 1}}, session=session
            )
        return kept

    async def unsubscribe(self, id: str, mailboxes: Sequence[str], audit: AuditedAction | None) -> int:
        """Unsubscribe distinct users from a topic. Return how many were subscribed. Raise NotFound for an unknown
        topic."""
        if not await self._exists(id, None):
            raise NotFound("This topic does not exist.", field="topic")
        removed = 0
        for start in range(0, len(mailboxes), self._users_per_transaction):
            batch = mailboxes[start : start + self._users_per_transaction]
            apply = partial(self._unsubscribe, id, batch, audit)
            removed += await self._updates.run(min(batch), partial(try_transaction, self._database, apply, audit))
        return removed

    async def _unsubscribe(
        self, id: str, mailboxes: Sequence[str], audit: AuditedAction | None, session: AsyncClientSession
    ) -> int:
        of_users = {"mailbox": {"$in": list(mailboxes)}, "topic": id}
        docs = self._subscriptions.find(of_users | {"state": ACTIVE}, {"mailbox": 1}, hint="user", session=session)
        active = [doc async for doc in docs]
        if active:
            await self._subscriptions.delete_many({"_id": {"$in": [doc["_id"] for doc in active]}}, session=session)
            subscribed = {"_id": {"$in": [doc["mailbox"] for doc in active]}}
            await self._user_docs.update_many(subscribed, {"$inc": {"subscription_count": -1}}, session=session)
        remembered = {"$set": {"state": REMOVED}}
        await self._subscriptions.update_many(of_users | {"state": LEFT}, remembered, hint="user", session=session)
        if audit and active:
            await audit.record({"users": len(active)}, session)
        return len(active)

    async def leave(self, id: str, mailbox: str) -> tuple[Topic, TopicSubscription]:
        """End the subscription of a user, who can come back. Raise NotFound if the topic is not visible, or if the user
        is not subscribed. Leaving again changes nothing."""
        leave = {"$set": {"state": LEFT, "left_at": self._clock()}}
        return await self._change_own(id, mailbox, ACTIVE, LEFT, leave)

    async def rejoin(self, id: str, mailbox: str) -> tuple[Topic, TopicSubscription]:
        """Subscribe a user who left a topic. Raise NotFound as `leave` does. Coming back again changes nothing."""
        return await self._change_own(id, mailbox, LEFT, ACTIVE, ACTIVATE)

    async def _change_own(
        self, id: str, mailbox: str, before: SubscriptionState, after: SubscriptionState, update: Document
    ) -> tuple[Topic, TopicSubscription]:
        topic = (await self.get_many([id])).get(id)
        if topic and topic.visible:
            own = {"mailbox": mailbox, "topic": id}
            doc = await self._subscriptions.find_one_and_update(
                own | {"state": before}, update, hint="user", return_document=ReturnDocument.AFTER
            ) or await self._subscriptions.find_one(own | {"state": after}, hint="user")
            if doc and (subscription := decode(doc, TopicSubscription)):
                return topic, subscription
        raise NotFound("You do not follow a topic with this key.", field="topic")

    async def list_subscribers(
        self, tenant: str, topic: str, after_user: str, until_user: str | None, limit: int
    ) -> list[str]:
        """Return up to `limit` ids of subscribed users, ascending: those above `after_user`, up to and including
        `until_user` (default: no limit)."""
        mailboxes = {"$gt": mailbox_of(tenant, after_user)}
        if until_user is not None:
            mailboxes["$lte"] = mailbox_of(tenant, until_user)
        match = {"topic": topic_id(tenant, topic), "state": ACTIVE, "mailbox": mailboxes}
        docs = self._subscriptions.find(match, {"_id": 0, "mailbox": 1}, hint="subscribers")
        return [user_of(doc["mailbox"]) async for doc in docs.sort("mailbox", ASCENDING).limit(limit)]

    async def list_users(self, id: str, search: str, first: int, after: str) -> tuple[list[User], str | None]:
        """Return up to `first` subscribed users whose id is greater than `after`, by id. `search`: see
        `Users.list_page`. Raise NotFound for an unknown topic.

        A search reads the subscribers of a small topic, and the users who match it otherwise. It ends after
        SEARCHED_MAX users. If others may follow, the id of the last user who was examined is also returned."""
        tenant, key = tenant_of(id), topic_key_of(id)
        counts = await self.count_subscribers([id])
        if id not in counts:
            raise NotFound("This topic does not exist.", field="topic")
        found: list[User] = []
        examined = 0
        while len(found) < first and examined < SEARCHED_MAX:
            batch = SEARCH_BATCH if search else first
            if search and counts[id] > EXACT_COUNT_MAX:
                users = await self._users.list_page(tenant, search, batch, after)
                read = [user.user_id for user in users]
                active = {"mailbox": {"$in": [user.id for user in users]}, "topic": id, "state": ACTIVE}
                docs = self._subscriptions.find(active, {"_id": 0, "mailbox": 1}, hint="user")
                subscribed = {doc["mailbox"] async for doc in docs}
                found += [user for user in users if user.id in subscribed]
            else:
                read = await self.list_subscribers(tenant, key, after, None, batch)
                mailboxes = [mailbox_of(tenant, user) for user in read]
                found += await self._users.list_page(tenant, search, batch, after, mailboxes)
            if len(read) < batch:
                return found[:first], None
            after, examined = read[-1], examined + len(read)
        return found[:first], after

    async def count_subscribers(self, ids: Collection[str]) -> dict[str, int]:
        """Return the number of subscribed users of each topic: exact up to EXACT_COUNT_MAX, otherwise up to
        COUNT_MAX_AGE_S old."""
        first_users = [{"$match": {"state": ACTIVE}}, {"$limit": EXACT_COUNT_MAX + 1}, {"$count": "users"}]
        lookup = {"from": SUBSCRIPTIONS, "localField": "_id", "foreignField": "topic", "pipeline": first_users}
        stages: list[Document] = [
            {"$match": {"_id": {"$in": list(ids)}}},
            {"$lookup": lookup | {"as": "found"}},
            {"$project": {"found": 1}},
        ]
        docs = await self._topics.aggregate(stages)
        counts = {doc["_id"]: int(doc["found"][0]["users"]) if doc["found"] else 0 async for doc in docs}
        for id in (id for id, count in counts.items() if count > EXACT_COUNT_MAX):
            count = self._counts.get(id)
            if count is None:
                active = {"topic": id, "state": ACTIVE}
                count = await self._subscriptions.count_documents(active, hint="subscribers")
                self._counts[id] = count
            counts[id] = count
        return counts

    async def topics_of(self, mailboxes: Collection[str]) -> dict[str, list[str]]:
        """Return the keys of the topics that users are subscribed to, sorted. Users without a topic are left out."""
        match = {"mailbox": {"$in": list(mailboxes)}, "state": ACTIVE}
        docs = self._subscriptions.find(match, {"_id": 0, "mailbox": 1, "topic": 1}, hint="user")
        keys: dict[str, list[str]] = {}
        async for doc in docs.sort([("mailbox", ASCENDING), ("topic", ASCENDING)]):
            keys.setdefault(doc["mailbox"], []).append(topic_key_of(doc["topic"]))
        return keys

    async def visible_topics_of(self, mailbox: str) -> list[str]:
        """Return the keys of the visible topics that a user is subscribed to, sorted."""
        keys = (await self.topics_of([mailbox])).get(mailbox, [])
        topics = await self.get_many([topic_id(tenant_of(mailbox), key) for key in keys])
        visible = {topic.key for topic in topics.values() if topic.visible}
        return [key for key in keys if key in visible]

    async def list_subscriptions(
        self, mailbox: str, first: int, after: str, *, visible_only: bool
    ) -> list[tuple[Topic, TopicSubscription]]:
        """Return up to `first` subscriptions of a user, sorted by topic, also of topics that the user left. `after` is
        the last key of the previous page."""
        later = {"$gt": topic_id(tenant_of(mailbox), after)}
        match = {"mailbox": mailbox, "topic": later, "state": {"$in": [ACTIVE, LEFT]}}
        docs = self._subscriptions.find(match, hint="user").sort("topic", ASCENDING)  # at most HUB_USER_MAX_TOPICS
        found = await decode_all(docs, TopicSubscription)
        topics = await self.get_many([one.topic for one in found])
        pairs = [(topics[one.topic], one) for one in found if one.topic in topics]
        return [(topic, one) for topic, one in pairs if topic.visible or not visible_only][:first]

    async def export(self, mailbox: str, limit: int) -> list[Document]:
        """Return up to `limit` subscriptions as stored, with the key of the topic, also those that the tenant removed
        after the user had left."""
        docs = self._subscriptions.find({"mailbox": mailbox}, {"_id": 0, "mailbox": 0, "state": 0}, hint="user")
        return [doc | {"topic": topic_key_of(doc["topic"])} async for doc in docs.limit(limit)]

    async def erase_batch(self, mailbox: str, limit: int, session: AsyncClientSession) -> int:
        """Delete up to `limit` subscriptions of a user. Return how many were deleted."""
        docs = self._subscriptions.find({"mailbox": mailbox}, {"_id": 1}, hint="user", session=session).limit(limit)
        if ids := [doc["_id"] async for doc in docs]:
            await self._subscriptions.delete_many({"_id": {"$in": ids}}, session=session)
            update = {"$inc": {"subscription_count": -len(ids)}}
            await self._user_docs.update_one({"_id": mailbox}, update, session=session)
        return len(ids)


def _topic(id: str, name: str, description: str | None, *, visible: bool, created_at: datetime) -> Topic:
    search_text = f"{folded(topic_key_of(id))}\n{folded(name)}"
    return Topic(
        id=id, name=name, description=description, visible=visible, created_at=created_at, search_text=search_text
    )


def _after(tenant: str, key: str) -> Document:
    """Return the match of the topics of a tenant that follow a key."""
    return {"_id": {"$gt": topic_id(tenant, key), "$lt": f"{tenant}0"}}  # `0` follows the slash
