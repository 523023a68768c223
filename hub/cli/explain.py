"""`hub explain`: show what reached a user recently, what did not and why, and what would reach the user now."""

from itertools import groupby
from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.output import Output, is_table, print_json, print_table
from hub.cli.simulate import cells, print_simulations, simulate_categories
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub
from hub.console_url import console_url
from hub.unicode_text import single_line

SHOWN = 10  # notifications
PAGE_SIZE = 100
USER = "query ($id: ID!) { user(id: $id) { id name email phone locale timezone } categories { key } }"
DELIVERIES = """query ($filter: DeliveryFilter!, $first: Int!, $after: String) {
  deliveries(filter: $filter, first: $first, after: $after) {
    nodes {
      id notificationId sendId category channel step status reason explanation lastError createdAt dueAt itemCount
      notification { title readAt }
    }
    pageInfo { hasNextPage endCursor }
  }
}"""

Row = dict[str, Any]


def explain(
    user: Annotated[str, typer.Argument(help="The id of the user: see `hub find`.", show_default=False)],
    category: Annotated[str | None, typer.Option("--category", help="Only notifications in this category.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE_SIZE, help="The number of notifications.")] = SHOWN,
    output: Output = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Show what reached a user recently, what did not and why, and what would reach the user now.

    Each channel of a notification has a line with its status and a sentence. The last part shows what would happen to
    a notification that is sent now, in the categories of the notifications above. Nothing is sent.

    Example: hub explain alice --category orders
    """
    hub = resolve_hub(url, token, data)
    found = run_or_exit(_read(hub.url, hub.service_token(tenant), user, category, limit), hub)
    if found["user"]:
        found["consoleUrl"] = console_url(hub.url, "user", user)
    if not is_table(output):
        print_json(found)
    elif found["user"]:
        _print(found)
    if not found["user"]:
        fail(f"The user {user!r} does not exist. To search, use `hub find`.")


async def _read(url: str, token: str, user: str, category: str | None, limit: int) -> Row:
    """Return the user, the recent notifications with their deliveries, and the decisions by category."""
    known = await execute(url, token, USER, id=user)
    if known["user"] is None:
        return {"user": None, "notifications": [], "now": []}
    filter = {"userId": user, "category": category, "includeDecided": True}
    notifications = await _recent(url, token, filter, limit)
    recent = dict.fromkeys(one["category"] for one in notifications if one["category"])
    chosen = [category] if category else list(recent or [one["key"] for one in known["categories"]])
    now = await simulate_categories(url, token, user, chosen)
    return {"user": known["user"], "notifications": notifications, "now": now}


async def _recent(url: str, token: str, filter: Row, limit: int) -> list[Row]:
    """Return the newest `limit` notifications, each with its deliveries, which follow each other in a page."""
    rows: list[Row] = []
    after = None
    while True:
        page = (await execute(url, token, DELIVERIES, filter=filter, first=PAGE_SIZE, after=after))["deliveries"]
        rows += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        groups = [list(group) for _, group in groupby(rows, key=_group_key)]
        if len(groups) > limit or not page["pageInfo"]["hasNextPage"]:
            return [_notification(group) for group in groups[:limit]]


def _group_key(row: Row) -> str:
    """Return the id of the notification, or that of a digest, which is not shown with one of its notifications."""
    return str(row["id"] if row["itemCount"] else row["notificationId"])


def _notification(deliveries: list[Row]) -> Row:
    first = deliveries[0]
    about = {name: first[name] for name in ("sendId", "category", "createdAt")}
    notification = first["notification"] or {"title": None, "readAt": None}
    if count := first["itemCount"]:
        notification = {"title": f"Digest of {count}: {notification['title']}", "readAt": None}
    of_it = [{name: value for name, value in row.items() if name not in {*about, "notification"}} for row in deliveries]
    return {"id": first["notificationId"], **notification, **about, "deliveries": of_it[::-1]}


def _print(found: Row) -> None:
    user = found["user"]
    about = [f"{name} {user[name]}" for name in ("name", "email", "phone", "locale", "timezone") if user[name]]
    print(single_line(f"{user['id']}: {', '.join(about)}"))
    for one in found["notifications"]:
        read = f", read at {one['readAt']}" if one["readAt"] else ""
        print(
            f"\n{one['createdAt']}  {single_line(one['title'] or '(no title)')}  ({one['category']}{read})  {one['id']}"
        )
        rows = [cells(row, row["status"]) for row in one["deliveries"]]
        print_table(("CHANNEL", "STATUS", "REASON", "EXPLANATION"), rows)
    print_simulations(found["now"])
    print(f"\nConsole: {found['consoleUrl']}")
