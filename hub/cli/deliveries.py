"""`hub deliveries`: list deliveries, or count the failed ones by what failed."""

from collections import defaultdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.output import Output, OutputFormat, is_table, print_json, print_table
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub
from hub.cli.time_options import AGE, relative_times, times_of
from hub.model import Channel, DeliveryStatus, Reason

SHOWN = 20
PAGE_SIZE = 100
LIST = """query ($filter: DeliveryFilter!, $first: Int!) {
  deliveries(filter: $filter, first: $first) {
    totalCount
    nodes { id userId sendId category channel status reason explanation provider lastError createdAt updatedAt }
  }
}"""
GROUPS = """query ($filter: DeliveryFilter!) {
  deliveryGroups(filter: $filter) { channel provider reason error count exampleId lastAt }
}"""

GROUP_COLUMNS = {
    "count": "COUNT",
    "channel": "CHANNEL",
    "provider": "PROVIDER",
    "reason": "REASON",
    "lastAt": "LAST",
    "exampleId": "EXAMPLE",
    "error": "ERROR",
}


class Group(StrEnum):
    """What failed deliveries have in common in a group."""

    CHANNEL = "channel"
    PROVIDER = "provider"
    REASON = "reason"
    ERROR = "error"


ChannelOption = Annotated[
    list[Channel] | None,
    typer.Option("--channel", case_sensitive=False, help="Only deliveries on this channel. Can be repeated."),
]
StatusOption = Annotated[
    list[DeliveryStatus] | None,
    typer.Option("--status", case_sensitive=False, help="Only deliveries with this status. Can be repeated."),
]
ReasonOption = Annotated[
    list[Reason] | None,
    typer.Option("--reason", case_sensitive=False, help="Only deliveries with this reason. Can be repeated."),
]


Since = Annotated[str | None, typer.Option("--since", help=f"Only those created since {AGE}.")]
Until = Annotated[str | None, typer.Option("--until", help=f"Only those created before {AGE}.")]
FailedSince = Annotated[str | None, typer.Option("--failed-since", help=f"Only those that failed since {AGE}.")]
FailedUntil = Annotated[str | None, typer.Option("--failed-until", help=f"Only those that failed before {AGE}.")]
Decided = Annotated[
    bool, typer.Option("--decided", help="Include what was decided against, and IN_APP. Requires --user or --send.")
]
Failed = Annotated[
    bool, typer.Option("--failed", help="Only FAILED deliveries. --since and --until are then times of the failure.")
]
GroupOption = Annotated[
    Group | None, typer.Option("--group", case_sensitive=False, help="Count failed deliveries by this.")
]
Groups = Annotated[
    bool, typer.Option("--groups", help="Count failed deliveries by channel, provider, reason, and error together.")
]


def deliveries(
    user: Annotated[str | None, typer.Option("--user", help="Only deliveries to this user.")] = None,
    send: Annotated[str | None, typer.Option("--send", help="Only deliveries of the send with this id.")] = None,
    channel: ChannelOption = None,
    status: StatusOption = None,
    reason: ReasonOption = None,
    category: Annotated[str | None, typer.Option("--category", help="Only deliveries in this category.")] = None,
    since: Since = None,
    until: Until = None,
    failed_since: FailedSince = None,
    failed_until: FailedUntil = None,
    decided: Decided = False,
    failed: Failed = False,
    group: GroupOption = None,
    groups: Groups = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE_SIZE, help="The number of deliveries.")] = SHOWN,
    output: Output = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """List deliveries, newest first, or count the failed ones by what failed.

    Example: hub deliveries --failed --since 1h --group reason
    """
    if decided and not (user or send):
        fail("--decided requires --user or --send.", 2)
    filter: dict[str, Any] = {
        "userId": user,
        "sendId": send,
        "channels": channel or None,
        "statuses": status or None,
        "reasons": reason or None,
        "category": category,
        "since": since,
        "until": until,
        "failedSince": failed_since,
        "failedUntil": failed_until,
        "includeDecided": decided or None,
    }
    if failed:
        filter = _failed_only(filter)
    filter = {name: value for name, value in filter.items() if value is not None}
    relative = relative_times(filter)
    hub = resolve_hub(url, token, data)
    access_token = hub.service_token(tenant)
    filter |= times_of(relative, hub, access_token)
    if group or groups:
        rows = run_or_exit(execute(hub.url, access_token, GROUPS, filter=filter), hub)["deliveryGroups"]
        _print_groups(_summed(rows, group.value) if group else rows, output)
    else:
        _print_page(run_or_exit(execute(hub.url, access_token, LIST, filter=filter, first=limit), hub), output)


def _failed_only(filter: dict[str, Any]) -> dict[str, Any]:
    """Return the filter with `since` and `until` as the time of the failure. Exit if it has other conditions of it."""
    if filter["failedSince"] or filter["failedUntil"]:
        fail("With --failed, use --since and --until, not --failed-since and --failed-until.", 2)
    if filter["statuses"]:
        fail("Use either --failed or --status.", 2)
    times = {"since": None, "until": None, "failedSince": filter["since"], "failedUntil": filter["until"]}
    return filter | times | {"statuses": [DeliveryStatus.FAILED]}


def _summed(rows: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """Return the sums of the groups with the same value of a field, largest first."""
    by_value: defaultdict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_value[row[field]].append(row)
    sums: list[dict[str, Any]] = []
    for value, same in by_value.items():
        newest = max(same, key=lambda row: str(row["lastAt"]))
        count = sum(row["count"] for row in same)
        sums.append({"count": count, field: value, "lastAt": newest["lastAt"], "exampleId": newest["exampleId"]})
    return sorted(sums, key=lambda row: (-row["count"], row[field] or ""))


def _print_groups(rows: list[dict[str, Any]], output: OutputFormat | None) -> None:
    if not is_table(output):
        print_json(rows)
        return
    columns = [name for name in GROUP_COLUMNS if not rows or name in rows[0]]
    table = [[row[name] and str(row[name]) for name in columns] for row in rows]
    print_table([GROUP_COLUMNS[name] for name in columns], table)


def _print_page(found: dict[str, Any], output: OutputFormat | None) -> None:
    page = found["deliveries"]
    if not is_table(output):
        print_json(page["nodes"])
        return
    header = ("CREATED", "ID", "USER", "CHANNEL", "STATUS", "REASON", "EXPLANATION", "ERROR")
    columns = ("createdAt", "id", "userId", "channel", "status", "reason", "explanation", "lastError")
    print_table(header, [[row[name] for name in columns] for row in page["nodes"]])
    if page["totalCount"] is not None:
        print(f"{len(page['nodes'])} of {page['totalCount']:,}")
