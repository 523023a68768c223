"""Batches reads of mailboxes, because many clients reconnect at once after a restart."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

from hub.model import Mailbox

MAILBOXES_PER_QUERY = 1000

Read = Callable[[Sequence[str]], Awaitable[list[Mailbox]]]


class MailboxLoader:
    """Runs one query at a time. Requests that arrive during a query share the next one."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._pending: dict[str, asyncio.Future[Mailbox | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, mailbox: str) -> Mailbox | None:
        """Return the mailbox, or None if it does not exist. Raise PyMongoError."""
        if mailbox not in self._pending:
            self._pending[mailbox] = asyncio.get_running_loop().create_future()
        future = self._pending[mailbox]
        if self._reading is None:  # in a context of its own, without the deadline of the first caller
            self._reading = asyncio.create_task(self._read_pending(), context=Context())
        return await asyncio.shield(future)

    async def _read_pending(self) -> None:
        batch: dict[str, asyncio.Future[Mailbox | None]] = {}
        try:
            while self._pending:
                ids = list(self._pending)[:MAILBOXES_PER_QUERY]
                batch = {id: self._pending.pop(id) for id in ids}
                mailboxes = {mailbox.id: mailbox for mailbox in await self._read(ids)}
                for id, future in batch.items():
                    future.set_result(mailboxes.get(id))
        except Exception as error:  # noqa: BLE001 - raised to every waiting caller
            for future in (*batch.values(), *self._pending.values()):
                future.set_exception(error)
                future.exception()  # marks it as retrieved, because the caller may be cancelled
            self._pending.clear()
        finally:
            self._reading = None
