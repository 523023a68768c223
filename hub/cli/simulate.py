"""`hub simulate`: show what would reach a user, now or later. Nothing is stored or sent."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.output import Output, is_table, print_json, print_table
from hub.cli.send import Channels, PriorityOption
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, resolve_hub
from hub.cli.time_options import LATER, later_time
from hub.console_url import console_url
from hub.model import Reason

CATEGORIES_MAX = 10
DEFAULT_CATEGORY = "news"  # as in `hub send`
CATEGORIES = "{ categories { key } }"
SIMULATE = """query ($input: SendInput!) {
  simulate(input: $input) { decisions { channel deviceId step outcome reason explanation dueAt note } }
}"""

Row = dict[str, Any]


def simulate(
    user: Annotated[str, typer.Argument(help="The id of the user: see `hub find`.", show_default=False)],
    category: Annotated[
        list[str] | None,
        typer.Option(
            "--category",
            show_default=f"the first {CATEGORIES_MAX} categories",
            help="The category of the notification. Can be repeated.",
        ),
    ] = None,
    channel: Channels = None,
    priority: PriorityOption = None,
    at: Annotated[
        str | None, typer.Option("--at", show_default="now", help=f"The time at which it would be sent: {LATER}.")
    ] = None,
    output: Output = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Show what would reach a user, now or later. Nothing is stored or sent.

    For each category, each channel of a notification has a line with the outcome and a sentence. Preferences, quiet
    hours, limits, suppressions, and paused channels are applied as they are now.

    Example: hub simulate alice --category orders --at 23:00
    """
    hub = resolve_hub(url, token, data)
    access_token = hub.service_token(tenant)
    send_at = later_time(at, "--at", hub, access_token) if at else None
    overrides = {
        "channels": [one.value for one in channel] if channel else None,
        "priority": priority.value if priority else None,
        "sendAt": send_at,
    }
    simulations = run_or_exit(_read(hub.url, access_token, user, category, overrides), hub)
    page = console_url(hub.url, "user", user)
    if is_table(output):
        print_simulations(simulations, send_at)
        print(f"\nConsole: {page}")
    else:
        print_json({"userId": user, "at": send_at, "simulations": simulations, "consoleUrl": page})


async def _read(url: str, token: str, user: str, categories: Sequence[str] | None, overrides: Row) -> list[Row]:
    if not categories:
        found = (await execute(url, token, CATEGORIES))["categories"]
        categories = [one["key"] for one in found] or [DEFAULT_CATEGORY]
    return await simulate_categories(url, token, user, categories, overrides)


async def simulate_categories(
    url: str, token: str, user: str, categories: Sequence[str], overrides: Row | None = None
) -> list[Row]:
    """Return the decisions for a notification in each of the first CATEGORIES_MAX categories. `overrides`: more fields
    of the send."""
    simulations = []
    for key in categories[:CATEGORIES_MAX]:
        content = {"title": "Example", "body": ""}
        send_input = {"to": {"users": [user]}, "category": key, "content": content, **(overrides or {})}
        [simulation] = (await execute(url, token, SIMULATE, input=send_input))["simulate"]
        simulations.append({"category": key, "decisions": simulation["decisions"]})
    return simulations


def print_simulations(simulations: Sequence[Row], at: str | None = None) -> None:
    """Print the decisions, category by category. Channels that the send does not request are left out."""
    for one in simulations:
        print(f"\nA notification in {one['category']} {f'at {at}' if at else 'now'}:")
        decisions = [row for row in one["decisions"] if row["reason"] != Reason.NOT_REQUESTED]
        counted = Counter(tuple(cells(row, row["outcome"])) for row in decisions)  # a row for each device
        rows = [(f"{row[0]} ({count} devices)" if count > 1 else row[0], *row[1:]) for row, count in counted.items()]
        print_table(("CHANNEL", "OUTCOME", "REASON", "EXPLANATION"), rows)
        for note in sorted({row["note"] for row in decisions} - {None}):
            print(note)


def cells(row: Row, status: str) -> list[str | None]:
    """Return the channel, the status, the reason, and the explanation of a decision or a delivery."""
    step = f" (step {row['step']})" if row["step"] else ""
    due = f" Next: {row['dueAt']}." if row["dueAt"] else ""
    error = f" Error: {row['lastError']}" if row.get("lastError") else ""
    return [f"{row['channel']}{step}", status, row["reason"], f"{row['explanation']}{due}{error}"]
