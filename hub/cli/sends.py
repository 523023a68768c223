"""`hub sends`: list, pause, resume, cancel, and recall sends."""

from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.output import Output, is_table, print_json, print_table
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, resolve_hub
from hub.cli.time_options import AGE, relative_times, times_of
from hub.model import SendStatus

SHOWN = 20
PAGE_SIZE = 100
LIST = """query ($first: Int!, $statuses: [SendStatus!], $category: String, $since: DateTime) {
  sends(first: $first, statuses: $statuses, category: $category, since: $since) {
    nodes { id createdAt status reason pausedReason category recipients total title sendAt }
  }
}"""
EXAMPLE_ID = "0198c6a2-7d1e-7c4b-9f3a-2b8d5e6f7a10"
COMMANDS = {
    "pause": "Stop all deliveries of a send that have not left. The notifications remain in the inboxes.",
    "resume": "Continue a paused send.",
    "cancel": "Cancel all deliveries of a send that have not left. The notifications remain in the inboxes.",
    "recall": "Cancel a send, and remove its notifications from all inboxes.",
}

app = typer.Typer(
    no_args_is_help=True,
    help=f"""List, pause, resume, cancel, and recall sends.

    Example: hub sends pause {EXAMPLE_ID}""",
)
StatusOption = Annotated[
    list[SendStatus] | None,
    typer.Option("--status", case_sensitive=False, help="Only sends with this status. Can be repeated."),
]
Id = Annotated[str, typer.Argument(help="The id of the send.", show_default=False)]


@app.command("list")
def list_sends(
    status: StatusOption = None,
    category: Annotated[str | None, typer.Option("--category", help="Only sends in this category.")] = None,
    since: Annotated[str | None, typer.Option("--since", help=f"Only those created since {AGE}.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE_SIZE, help="The number of sends.")] = SHOWN,
    output: Output = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """List sends, newest first.

    Example: hub sends list --status paused --since 1d
    """
    given = {"statuses": status or None, "category": category, "since": since}
    filter: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    relative = relative_times(filter)
    hub = resolve_hub(url, token, data)
    access_token = hub.service_token(tenant)
    filter |= times_of(relative, hub, access_token)
    rows = run_or_exit(execute(hub.url, access_token, LIST, first=limit, **filter), hub)["sends"]["nodes"]
    if not is_table(output):
        print_json(rows)
        return
    header = ("CREATED", "ID", "STATUS", "CATEGORY", "RECIPIENTS", "TITLE", "REASON")
    print_table(header, [_row(row) for row in rows])


def _row(send: dict[str, Any]) -> list[str | None]:
    recipients = f"{send['recipients']:,}"
    if send["total"] is not None and send["recipients"] < send["total"]:
        recipients += f" of {send['total']:,}"
    texts = [send[name] for name in ("createdAt", "id", "status", "category")]
    return [*texts, recipients, send["title"], send["pausedReason"] or send["reason"]]


def _add(name: str, text: str) -> None:
    @app.command(name, help=f"{text}\n\nExample: hub sends {name} {EXAMPLE_ID}")
    def call(id: Id, url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
        hub = resolve_hub(url, token, data)
        mutation = f"mutation ($id: ID!) {{ changed: {name}Send(id: $id) {{ status remaining }} }}"
        changed = run_or_exit(execute(hub.url, hub.service_token(tenant), mutation, id=id), hub)["changed"]
        rest = f" {changed['remaining']:,} changes follow in the background." if changed["remaining"] else ""
        print(f"{id} is {changed['status']}.{rest}")


for name, text in COMMANDS.items():
    _add(name, text)
