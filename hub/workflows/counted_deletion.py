"""Deletes notifications and deliveries, and keeps the counts of their sends, in one transaction."""

from collections.abc import Awaitable, Callable, Collection

import pymongo
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.inbox.old_notifications import StoredNotifications
from hub.platform.connections import DURABLE, SNAPSHOT, Database, Document
from hub.status import sends
from hub.status.deleted_counts import DeletedCounts
from hub.status.old_deliveries import OldDeliveries

TIMEOUT_S = 10.0  # of one transaction, including its retries


class CountedDeletion:
    def __init__(self, database: Database) -> None:
        self._client = database.client
        self._notifications = StoredNotifications(database)
        self._deliveries = OldDeliveries(database)
        self._counts = DeletedCounts(database[sends.COLLECTION])

    async def delete_notifications(self, ids: Collection[str]) -> None:
        """Delete hidden notifications and tombstones. One that an inbox shows is kept."""

        async def delete(session: AsyncClientSession) -> None:
            statuses, reactions = await self._notifications.delete(ids, session)
            await self._counts.add(statuses, reactions, session)

        await self._run(delete)

    async def delete_deliveries(self, match: Document) -> None:
        """Delete the deliveries that match. The match contains ids."""

        async def delete(session: AsyncClientSession) -> None:
            await self._counts.add(await self._deliveries.delete(match, session), (), session)

        await self._run(delete)

    async def _run(self, delete: Callable[[AsyncClientSession], Awaitable[None]]) -> None:
        with pymongo.timeout(TIMEOUT_S):
            async with self._client.start_session(causal_consistency=False) as session:
                await session.with_transaction(delete, read_concern=SNAPSHOT, write_concern=DURABLE)
