"""The notification queries that this stage requires. `hub/inbox/notification_lookup.py` implements them."""

from collections.abc import AsyncIterable, Collection, Mapping
from typing import Protocol

from hub.model import Notification
from hub.platform.connections import Document


class NotificationReader(Protocol):
    async def list_to_recall(self, send: str, limit: int, after: str = "") -> list[tuple[str, str]]: ...
    async def list_of_send(
        self, send: str, first: int, after: str | None, *, hidden: bool = False
    ) -> list[Notification]: ...
    async def list_users(self, sends: Collection[str]) -> Mapping[str, list[str]]: ...
    async def list_read(self, ids: Collection[str]) -> list[str]: ...
    async def count_statuses(self, sends: Collection[str]) -> AsyncIterable[Document]: ...
