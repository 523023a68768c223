"""`hub watch`: an inbox in the terminal, or the progress of a send.

For an inbox, the command loads the newest page and then follows the change feed. If the connection is lost, the command
reconnects with exponential backoff and full jitter. The feed resumes at the last cursor without gaps or duplicates.
After a RESYNC event, the command loads the page again.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated

import typer

from hub.cli.hub_socket import (
    Backoff,
    Connection,
    ConnectionLost,
    PermanentError,
    open_connection,
    run_until_interrupted,
)
from hub.cli.send_progress import follow_send, target_options
from hub.cli.target_hub import DEFAULT_DATA, Data, TargetHub, Tenant, Token, Url, fail, resolve_hub
from hub.cli.watch_output import InboxPrinter
from hub.model import Role

CATCH_UP_IDLE_S = 0.3  # the catch-up is complete after this time without a change

FIELDS = (
    "id title body markdown category priority createdAt seenAt readAt archivedAt snoozedUntil acknowledgedAt actedAt "
    "pinned"
)
INBOX_QUERY = f"query ($first: Int) {{ inbox(first: $first) {{ unread unseen position nodes {{ {FIELDS} }} }} }}"
INBOX_SUBSCRIPTION = (
    f"subscription ($after: Cursor) {{ inbox(after: $after) "
    f"{{ kind cursor unread unseen notification {{ {FIELDS} }} }} }}"
)


def watch(
    user: Annotated[
        str | None, typer.Option("--user", help="The user whose inbox is printed; not required with --token.")
    ] = None,
    send: Annotated[
        str | None,
        typer.Option("--send", help="The id of a send. Its progress is printed instead of an inbox."),
    ] = None,
    first: Annotated[
        int, typer.Option("--first", help="Number of notifications to print at the start.", min=1, max=100)
    ] = 10,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Print an inbox and its changes as they happen, or follow a send.

    Prints new, changed, and removed notifications with the counts. With --send, prints the delivery counts of a send
    until all its deliveries have ended. Press Ctrl-C to stop.

    Example: hub watch --user alice
    """
    if send is not None and user is not None:
        fail("Use either --user or --send.", 2)
    if user is None and send is None and not token:
        fail("Name the user: --user alice.", 2)

    hub = resolve_hub(url, token, data)

    def fresh_token() -> str:
        return hub.token(user=user, role=Role.USER if send is None else Role.SERVICE, tenant=tenant)

    fresh_token()  # exit on an invalid option before connecting
    if send is not None:
        follow_send(send, hub, fresh_token, target_options(url, tenant, data))
    printer = InboxPrinter(f"Inbox of {user}" if user else "Inbox", hub.url)
    run_until_interrupted(_Watcher(hub, fresh_token, first, printer).run(), hub, printer.end)


class _Watcher:
    def __init__(self, hub: TargetHub, fresh_token: Callable[[], str], first: int, printer: InboxPrinter) -> None:
        self._hub = hub
        self._fresh_token = fresh_token
        self._first = first
        self._printer = printer
        self._cursor: str | None = None
        self._backoff = Backoff(printer.lost)

    async def run(self) -> None:
        """Run until interrupted. Raise PermanentError or ApiError if a retry would not succeed."""
        while True:
            try:
                async with open_connection(self._hub, self._fresh_token()) as connection:
                    await self._stream(connection)
            except ConnectionLost as lost:
                if self._cursor is None:
                    raise PermanentError(str(lost)) from None
                await self._backoff.wait(str(lost))

    async def _stream(self, connection: Connection) -> None:
        """Follow the inbox over one connection until it is lost."""
        missed = None if self._cursor is None else 0
        while True:
            if self._cursor is None:
                page = (await connection.query(INBOX_QUERY, first=self._first))["inbox"]
                self._cursor = page["position"]
                self._printer.page(page)
            self._backoff.reset()
            await connection.subscribe(INBOX_SUBSCRIPTION, after=self._cursor)
            while self._cursor is not None:
                try:
                    async with asyncio.timeout(None if missed is None else CATCH_UP_IDLE_S):
                        payload = await connection.next()
                except TimeoutError:
                    self._printer.resumed(missed or 0)
                    missed = None
                    continue
                if payload is None:  # the feed completes only after RESYNC
                    self._cursor = missed = None
                    self._printer.resync()
                    continue
                event = payload["inbox"]
                self._cursor = event["cursor"]
                self._printer.event(event)
                if missed is not None:
                    missed += 1
