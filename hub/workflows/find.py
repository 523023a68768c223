"""Finds the users, sends, deliveries, and notifications that a text identifies.

Each kind of id, address, or text is one lookup in an index. All lookups run at the same time, and each returns at most
RESULTS_MAX records.
"""

import asyncio
import re
from collections.abc import Iterable

from hub.audience.user_search import UserSearch
from hub.ids import ID_CHARS
from hub.inbox import idempotency_records
from hub.inbox.inbox_reader import Inboxes
from hub.model import Delivery, FoundBy, Notification, RecordKind, SearchResult
from hub.platform.connections import Database
from hub.status.deliveries import Deliveries
from hub.status.send_search import SendSearch
from hub.status.sends import Sends
from hub.status.virtual_deliveries import virtual_deliveries
from hub.unicode_text import folded
from hub.workflows.idempotency import record_id

RESULTS_MAX = 10  # of each lookup
FOUND_MAX = 50  # in all
HUB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-[\w-]+)?", re.IGNORECASE)
"""The id of a send, a notification, or a delivery, whose id begins with that of its notification."""
MESSAGE_ID = re.compile(r"(?:message-id:)?\s*<?([^\s<>@]+)(@[^\s<>@]+)?>?", re.IGNORECASE)
"""The value of a Message-ID header, with its local part, which is the id of the delivery, or that of the provider."""


class RecordSearch:
    def __init__(self, database: Database, inboxes: Inboxes, sends: Sends, deliveries: Deliveries) -> None:
        self._users = UserSearch(database)
        self._titles = SendSearch(database)
        self._keys = database[idempotency_records.COLLECTION]
        self._inboxes = inboxes
        self._sends = sends
        self._deliveries = deliveries

    async def find(self, tenant: str, text: str, *, ids_only: bool = False) -> list[SearchResult]:
        """Return the records of a tenant that `text` identifies, each once: exact matches first, then by kind. `text`
        is not empty and has no spaces at its ends.

        Matching: the id of a user, send, delivery, or notification; the email address, phone number, or name of a user,
        or its beginning; the Message-ID of an email; the id that a provider gave to an email, SMS, or WhatsApp message;
        the idempotency key of a send; and words of the title of a send.

        `ids_only`: only whole ids and keys match, for callers that may not guess addresses, names, and titles."""
        find_users = self._users.find_by_id(tenant, text) if ids_only else self._users.find(tenant, text, RESULTS_MAX)
        lookups = [find_users, self._find_by_key(tenant, text)]
        message_id = MESSAGE_ID.fullmatch(text)
        local, domain = (message_id[1], message_id[2]) if message_id else ("", None)
        is_hub_id = HUB_ID.fullmatch(local) is not None
        if is_hub_id:
            lookups.append(self._find_by_id(tenant, local.lower(), FoundBy.MESSAGE_ID if domain else FoundBy.ID))
        elif local:
            lookups.append(self._find_by_provider_id(tenant, local, FoundBy.MESSAGE_ID if domain else None))
        if not is_hub_id and not ids_only:
            lookups.append(self._find_by_title(tenant, text))
        found = [result for results in await asyncio.gather(*lookups) for result in results]
        found.sort(key=lambda result: (not result.exact, _ORDER[result.kind]))
        return _without_duplicates(found)[:FOUND_MAX]

    async def _find_by_id(self, tenant: str, id: str, found_by: FoundBy) -> list[SearchResult]:
        send, delivery, notifications = await asyncio.gather(
            self._sends.get(tenant, id),
            self._deliveries.get(tenant, id),
            self._inboxes.get_notifications([id[:ID_CHARS]]),
        )
        found = [SearchResult(record, found_by) for record in (send, delivery) if record]
        for notification in notifications.values():
            if notification.tenant == tenant:
                about: list[Notification | Delivery] = [notification, *virtual_deliveries(notification)]
                found += [SearchResult(record, found_by) for record in about if record.id == id]
        return found

    async def _find_by_provider_id(self, tenant: str, id: str, found_by: FoundBy | None) -> list[SearchResult]:
        found = await self._deliveries.list_by_provider_id(tenant, id, RESULTS_MAX)
        return [SearchResult(delivery, found_by or FoundBy.PROVIDER_ID) for delivery in found]

    async def _find_by_key(self, tenant: str, key: str) -> list[SearchResult]:
        record = await self._keys.find_one({"_id": record_id(tenant, key)}, {"send": 1})
        send = await self._sends.get(tenant, record["send"]) if record and "send" in record else None
        return [SearchResult(send, FoundBy.IDEMPOTENCY_KEY)] if send else []

    async def _find_by_title(self, tenant: str, text: str) -> list[SearchResult]:
        sends = await self._titles.find_by_title(tenant, text, RESULTS_MAX)
        return [SearchResult(send, FoundBy.TITLE, exact=folded(send.title or "") == folded(text)) for send in sends]


_ORDER = {kind: index for index, kind in enumerate(RecordKind)}


def _without_duplicates(results: Iterable[SearchResult]) -> list[SearchResult]:
    """Return the first result of each record."""
    first: dict[tuple[RecordKind, str], SearchResult] = {}
    for result in results:
        first.setdefault((result.kind, result.id), result)
    return list(first.values())
