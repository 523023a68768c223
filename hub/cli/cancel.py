"""`hub cancel`: cancel deliveries that wait."""

import sys
from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.replay import CONFIRM_ABOVE
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub
from hub.cli.time_options import AGE, relative_times, times_of
from hub.model import Channel
from hub.outbox.states import WAITING

COUNT = "query ($filter: DeliveryFilter) { deliveries(filter: $filter, first: 1) { totalCount } }"
CANCEL = """mutation ($filter: DeliveryFilter!, $note: String) {
  cancelDeliveries(filter: $filter, note: $note) }"""


def cancel(
    channel: Annotated[
        list[Channel] | None,
        typer.Option("--channel", case_sensitive=False, help="Only deliveries on this channel. Can be repeated."),
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only deliveries to this user.")] = None,
    category: Annotated[str | None, typer.Option("--category", help="Only deliveries in this category.")] = None,
    send: Annotated[str | None, typer.Option("--send", help="Only deliveries of the send with this id.")] = None,
    since: Annotated[str | None, typer.Option("--since", help=f"Only deliveries created since {AGE}.")] = None,
    until: Annotated[str | None, typer.Option("--until", help=f"Only deliveries created before {AGE}.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="Why. The audit log and `hub batches` show it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the number of deliveries only.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help=f"Cancel more than {CONFIRM_ABOVE} deliveries without confirmation.")
    ] = False,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Cancel deliveries that wait: for their time, for a limit, for a retry, or for a worker.

    Messages that were sent remain sent, and notifications remain in the inboxes. To end a whole send, use `hub sends
    cancel` or `hub sends recall`.

    Example: hub cancel --channel sms --category offers --note "The offer is over."
    """
    filter: dict[str, Any] = {
        "channels": [member.value for member in channel] if channel else None,
        "userId": user,
        "category": category,
        "sendId": send,
        "since": since,
        "until": until,
    }
    filter = {name: value for name, value in filter.items() if value is not None}
    if not filter:
        fail("Choose what to cancel with options such as --channel sms.", 2)
    relative = relative_times(filter)
    hub = resolve_hub(url, token, data)
    access_token = hub.service_token(tenant)
    filter |= times_of(relative, hub, access_token)
    waiting = filter | {"statuses": [status.value for status in WAITING]}
    count = run_or_exit(execute(hub.url, access_token, COUNT, filter=waiting), hub)["deliveries"]["totalCount"]
    summary = f"{'more than 10,000' if count is None else f'{count:,}'} {'delivery' if count == 1 else 'deliveries'}"
    if dry_run:
        print(f"{summary} would be canceled.")
        return
    if (count is None or count > CONFIRM_ABOVE) and not yes:
        if not sys.stdin.isatty():
            fail(f"{summary} would be canceled: check with --dry-run, then repeat the command with --yes.")
        typer.confirm(f"Cancel {summary}?", abort=True)
    canceled = run_or_exit(execute(hub.url, access_token, CANCEL, filter=filter, note=note), hub)["cancelDeliveries"]
    print(f"{canceled:,} {'delivery is' if canceled == 1 else 'deliveries are'} canceled.")
