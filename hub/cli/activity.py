"""`hub activity`: the deliveries of a tenant over time."""

from typing import Annotated

import typer

from hub.cli.api_client import execute, read_time, run_or_exit
from hub.cli.output import Output, is_table, print_json, print_table
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, resolve_hub
from hub.cli.time_options import FORMATS, to_instant
from hub.cli.token import to_iso

QUERY = """query ($since: DateTime!, $until: DateTime, $by: Duration, $category: String) {
  activity(since: $since, until: $until, by: $by, category: $category) { at channel status count }
}"""
HEADER = ("TIME", "CHANNEL", "STATUS", "COUNT")


def activity(
    since: Annotated[str, typer.Option("--since", help=f"The start: {FORMATS}.")] = "24h",
    until: Annotated[
        str | None, typer.Option("--until", help="The end, in the same formats.", show_default="now")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="The length of each time: 1m, 1h, or 1d.")] = "1h",
    category: Annotated[str | None, typer.Option("--category", help="Count only deliveries of this category.")] = None,
    output: Output = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Print how many deliveries reached each status, by time and channel.

    Times are in UTC.

    Example: hub activity --since 10:00 --by 1m
    """
    hub = resolve_hub(url, token, data)
    access_token = hub.service_token(tenant)
    now = run_or_exit(read_time(hub.url, access_token), hub)
    variables = {
        "since": to_instant(since, "--since", now),
        "until": to_instant(until, "--until", now) if until else None,
        "by": to_iso(by),
        "category": category,
    }
    rows = run_or_exit(execute(hub.url, access_token, QUERY, **variables), hub)["activity"]
    if is_table(output):
        print_table(HEADER, [[row["at"], row["channel"], row["status"], f"{row['count']:,}"] for row in rows])
    else:
        print_json(rows)
