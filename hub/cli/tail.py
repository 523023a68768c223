"""`hub tail`: the receipts of a tenant as they happen, one line each.

If the connection is lost, the command reconnects with exponential backoff and full jitter, and resumes after the last
receipt that it received, without gaps or duplicates. If it had received none, receipts of the meantime are left out.
"""

import os
import sys
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Annotated, Any

import orjson
import typer
from msgspec import Struct

from hub.cli.hub_socket import Backoff, ConnectionLost, PermanentError, open_connection, run_until_interrupted
from hub.cli.output import Output, is_table
from hub.cli.target_hub import DEFAULT_DATA, Data, TargetHub, Tenant, Token, Url, fail, resolve_hub
from hub.console_url import console_url
from hub.model import REPORTED_STATUSES, Channel, DeliveryStatus, ReceiptKind
from hub.unicode_text import single_line

SUBSCRIPTION = """subscription ($sendId: ID, $after: Cursor) {
  receipts(sendId: $sendId, after: $after) {
    id cursor kind at sendId notificationId userId channel status reason actionKey
  }
}"""
EVENT_CHARS = max(map(len, [*ReceiptKind, *REPORTED_STATUSES]))
CHANNEL_CHARS = max(map(len, Channel))
COLORS = {
    DeliveryStatus.FAILED: "31",
    DeliveryStatus.EXPIRED: "33",
    DeliveryStatus.SKIPPED: "33",
    DeliveryStatus.CANCELLED: "33",
    DeliveryStatus.SENT: "32",
    DeliveryStatus.DELIVERED: "32",
}

Receipt = dict[str, Any]


class Filter(Struct, frozen=True):
    """The receipts to print. An empty field selects all."""

    users: Collection[str]
    channels: Collection[Channel]
    statuses: Collection[DeliveryStatus]
    kinds: Collection[ReceiptKind]

    def selects(self, receipt: Receipt) -> bool:
        return (
            (not self.users or receipt["userId"] in self.users)
            and (not self.channels or receipt["channel"] in self.channels)
            and (not self.statuses or receipt["status"] in self.statuses)
            and (not self.kinds or receipt["kind"] in self.kinds)
        )


def tail(
    send: Annotated[
        str | None, typer.Option("--send", help="Only receipts of the send with this id, from its start.")
    ] = None,
    user: Annotated[
        list[str] | None, typer.Option("--user", help="Only receipts of the user with this id. Can be repeated.")
    ] = None,
    channel: Annotated[
        list[Channel] | None,
        typer.Option("--channel", case_sensitive=False, help="Only receipts on this channel. Can be repeated."),
    ] = None,
    status: Annotated[
        list[DeliveryStatus] | None,
        typer.Option("--status", case_sensitive=False, help="Only deliveries with this new status. Can be repeated."),
    ] = None,
    kind: Annotated[
        list[ReceiptKind] | None,
        typer.Option("--kind", case_sensitive=False, help="Only receipts of this kind. Can be repeated."),
    ] = None,
    output: Output = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Print the receipts of a tenant as they happen, one line each.

    A receipt reports the new status of a delivery, or what a user did with a notification. In the format json, each
    line is an object. Press Ctrl-C to stop.

    Example: hub tail --status failed --channel email
    """
    if unreported := [one for one in status or () if one not in REPORTED_STATUSES]:
        fail(f"--status {unreported[0]}: receipts report {', '.join(REPORTED_STATUSES)}.", 2)
    hub = resolve_hub(url, token, data)
    filter = Filter(user or (), channel or (), status or (), kind or ())
    print_receipt = _print_line if is_table(output) else _json_printer(hub.url)

    def receive(receipt: Receipt) -> None:
        if filter.selects(receipt):
            print_receipt(receipt)

    def fresh_token() -> str:
        return hub.service_token(tenant)

    fresh_token()  # exit on an invalid option before connecting
    run_until_interrupted(_follow(hub, fresh_token, send, receive), hub, lambda: None)


async def _follow(
    hub: TargetHub, fresh_token: Callable[[], str], send: str | None, receive: Callable[[Receipt], None]
) -> None:
    """Run until interrupted. Raise PermanentError or ApiError if a retry would not succeed."""
    backoff = Backoff(_print_lost)
    is_connected = False
    cursor = None
    while True:
        try:
            async with open_connection(hub, fresh_token()) as connection:
                if not is_connected:
                    print(f"Receipts at {hub.url}. Press Ctrl-C to stop.", file=sys.stderr, flush=True)
                    is_connected = True
                await connection.subscribe(SUBSCRIPTION, sendId=send, after=cursor)
                while (payload := await connection.next()) is not None:
                    receipt = payload["receipts"]
                    receive(receipt)
                    cursor = receipt["cursor"]
                    backoff.reset()
                raise ConnectionLost(f"The hub at {hub.url} ended the subscription.")
        except ConnectionLost as lost:
            if not is_connected:
                raise PermanentError(str(lost)) from None
            await backoff.wait(str(lost))


def _print_lost(cause: str) -> None:
    print(f"{cause} Reconnecting.", file=sys.stderr, flush=True)


def _json_printer(hub_url: str) -> Callable[[Receipt], None]:
    def print_receipt(receipt: Receipt) -> None:
        row = {**receipt, "consoleUrl": console_url(hub_url, "user", receipt["userId"])}
        print(orjson.dumps(row).decode(), flush=True)

    return print_receipt


def _print_line(receipt: Receipt) -> None:
    event = receipt["status"] or receipt["kind"]
    padded = event.ljust(EVENT_CHARS)
    if (color := COLORS.get(event)) and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        padded = f"\x1b[{color}m{padded}\x1b[0m"
    at = datetime.fromisoformat(receipt["at"]).astimezone()
    more = f"  {detail}" if (detail := receipt["reason"] or receipt["actionKey"]) else ""
    channel = (receipt["channel"] or "-").ljust(CHANNEL_CHARS)
    user = single_line(receipt["userId"])
    print(f"{at:%H:%M:%S}  {padded}  {channel}  {user}{more}  (send {receipt['sendId']})", flush=True)
