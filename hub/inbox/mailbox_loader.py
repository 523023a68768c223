"""Batches reads of mailboxes, for the many clients that reconnect at once after a restart."""

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
        result = self._pending[mailbox]
        if self._reading is None:  # in a context of its own, without the deadline of the first caller
            self._reading = asyncio.create_task(self._read_pending(), context=Context())
        return await asyncio.shield(result)

    async def _read_pending(self) -> None:
        taken: dict[str, asyncio.Future[Mailbox | None]] = {}
        try:
            while self._pending:
                ids = list(self._pending)[:MAILBOXES_PER_QUERY]
                taken = {name: self._pending.pop(name) for name in ids}
                found = {head.id: head for head in await self._read(ids)}
                for name, result in taken.items():
                    result.set_result(found.get(name))
        except Exception as error:  # noqa: BLE001 - raised to every waiting caller
            for result in (*taken.values(), *self._pending.values()):
                result.set_exception(error)
                result.exception()  # retrieved: the caller may be gone
            self._pending.clear()
        finally:
            self._reading = None
