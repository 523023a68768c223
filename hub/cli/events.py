"""`hub events`: send, list, and replay events."""

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from hub.cli.api_client import execute, execute_with_retries, run_or_exit
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub
from hub.model import EventStatus

BATCH_SIZE = 500  # ids per call
PAGE_SIZE = 50
STDIN = Path("-")
PUBLISH = """mutation ($input: EventInput!) { publishEvent(input: $input) { id eventId status } }"""
LIST = """query ($filter: EventFilter, $first: Int, $after: String) {
  events(filter: $filter, first: $first, after: $after) {
    nodes { id receivedAt status type source subject reason results { rule matched reason send { id } } }
    pageInfo { hasNextPage endCursor }
  }
}"""
REPLAY = "mutation ($ids: [ID!]!) { replayEvents(ids: $ids) }"

app = typer.Typer(
    no_args_is_help=True,
    help="""Send, list, and replay events.

    Example: hub events send com.example.order.shipped --json '{"order": 7, "user": "alice"}'""",
)
TypeOption = Annotated[list[str] | None, typer.Option("--type", help="Only events of this type. Can be repeated.")]
StatusOption = Annotated[
    list[EventStatus] | None,
    typer.Option("--status", case_sensitive=False, help="Only events with this status. Can be repeated."),
]
SourceOption = Annotated[str | None, typer.Option("--source", help="Only events of this source.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="The maximum number of events.")]


@app.command()
def send(
    type: Annotated[str, typer.Argument(help="The type of the event.", show_default=False)],
    source: Annotated[str, typer.Option("--source", help="The system in which the event happened.")] = "hub-cli",
    data_text: Annotated[str | None, typer.Option("--json", help="The data as JSON; - reads standard input.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="The subject of the event.")] = None,
    id: Annotated[
        str | None,
        typer.Option("--id", help="The id of the event. An event with the same id and source is not stored again."),
    ] = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Send an event.

    Example: hub events send com.example.order.shipped --json '{"order": 7, "user": "alice"}'
    """
    given: dict[str, Any] = {"type": type, "source": source, "id": id, "subject": subject}
    if data_text is not None:
        try:
            given["data"] = orjson.loads(sys.stdin.read() if data_text == "-" else data_text)
        except orjson.JSONDecodeError as error:
            fail(f"--json is not valid JSON: {error}.", 2)
    hub = resolve_hub(url, token, data)
    fields = {name: value for name, value in given.items() if value is not None}
    event = run_or_exit(execute(hub.url, hub.service_token(tenant), PUBLISH, input=fields), hub)["publishEvent"]
    print(event["id"])


@app.command("list")
def list_events(
    type: TypeOption = None,
    status: StatusOption = None,
    source: SourceOption = None,
    limit: Limit = PAGE_SIZE,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """List events, newest first, with the results of their rules.

    Example: hub events list --status failed
    """
    hub = resolve_hub(url, token, data)
    access_token = hub.service_token(tenant)

    async def print_all() -> None:
        after, left = None, limit
        while left:
            variables = {"filter": _filter(type, status, source), "first": min(left, PAGE_SIZE), "after": after}
            page = (await execute(hub.url, access_token, LIST, **variables))["events"]
            for event in page["nodes"]:
                _print_event(event)
            left -= len(page["nodes"])
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return

    run_or_exit(print_all(), hub)


@app.command()
def replay(
    ids: Annotated[list[str], typer.Argument(help="The ids of the events; - reads them from standard input.")],
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Run the rules again for events. A rule that made a send for an event makes no other.

    Example: hub events list --status failed | cut -d ' ' -f 1 | hub events replay -
    """
    chosen = list(dict.fromkeys(sys.stdin.read().split() if ids == ["-"] else ids))
    hub = resolve_hub(url, token, data)
    access_token = hub.service_token(tenant)

    async def replay_all() -> int:
        count = 0
        for start in range(0, len(chosen), BATCH_SIZE):
            batch = chosen[start : start + BATCH_SIZE]
            count += (await execute_with_retries(hub.url, access_token, REPLAY, ids=batch))["replayEvents"]
        return count

    count = run_or_exit(replay_all(), hub)
    print(f"The rules of {count:,} {'event' if count == 1 else 'events'} run again.")
    if rest := len(chosen) - count:
        fail(f"{rest:,} of the ids name no event, or an event whose rules have not run yet.")


def _filter(types: list[str] | None, statuses: list[EventStatus] | None, source: str | None) -> dict[str, Any]:
    return {"types": types or None, "statuses": [one.value for one in statuses or ()] or None, "source": source}


def _print_event(event: dict[str, Any]) -> None:
    """Print an event on one line, and the results of its rules on the lines below."""
    subject = f" {event['subject']}" if event["subject"] else ""
    reason = f" ({event['reason']})" if event["reason"] else ""
    print(f"{event['id']} {event['receivedAt']} {event['status']} {event['type']} {event['source']}{subject}{reason}")
    for result in event["results"]:
        outcome = f"sent {result['send']['id']}" if result["send"] else result["reason"] or "matched"
        print(f"    {result['rule']}: {outcome}")
