"""Batches reads of mailboxes, because many clients reconnect at the same time after a restart."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextvars import Context

from hub.inbox.mailbox_decoding import UnreadableMailbox
from hub.model import Mailbox

MAILBOXES_PER_QUERY = 1000

Read = Callable[[Sequence[str]], Awaitable[tuple[Mapping[str, Mailbox], Collection[str]]]]
"""Returns the mailboxes by id, and the ids of the mailboxes that cannot be decoded."""


class MailboxLoader:
    """Runs one query at a time. Requests that arrive during a query share the next one."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._pending: dict[str, asyncio.Future[Mailbox | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, mailbox: str) -> Mailbox | None:
        """Return the mailbox, or None if it does not exist. Raise PyMongoError or UnreadableMailbox."""
        if mailbox not in self._pending:
            self._pending[mailbox] = asyncio.get_running_loop().create_future()
        future = self._pending[mailbox]
        if self._reading is None:  # in a separate context, without the deadline of the first caller
            self._reading = asyncio.create_task(self._read_pending(), context=Context())
        return await asyncio.shield(future)

    async def _read_pending(self) -> None:
        batch: dict[str, asyncio.Future[Mailbox | None]] = {}
        try:
            while self._pending:
                ids = list(self._pending)[:MAILBOXES_PER_QUERY]
                batch = {id: self._pending.pop(id) for id in ids}
                mailboxes, unreadable = await self._read(ids)
                for id, future in batch.items():
                    if id in unreadable:
                        future.set_exception(UnreadableMailbox([id]))
                        future.exception()  # marks it as retrieved, because the caller may be cancelled
                    else:
                        future.set_result(mailboxes.get(id))
        except Exception as error:  # noqa: BLE001 - raised to every waiting caller
            for future in (*batch.values(), *self._pending.values()):
                future.set_exception(error)
                future.exception()
            self._pending.clear()
        finally:
            self._reading = None
