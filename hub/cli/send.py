"""`hub send`: send a notification."""

import json
import re
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, read_time, run_or_exit
from hub.cli.send_preview import preview
from hub.cli.send_progress import follow_send, target_options
from hub.cli.target_hub import DEFAULT_DATA, Data, TargetHub, Tenant, Token, Url, fail, resolve_hub
from hub.cli.token import parse_duration
from hub.model import Channel, DeliveryStatus, Priority, SendStatus

DURATION_START = re.compile("[Pp]|[0-9]+([A-Za-z]|$)")  # a time begins with digits and a hyphen
SEND_MUTATION = """mutation ($input: SendInput!) {
  send(input: $input) {
    duplicate send { id recipients total sendAt status counts { channel status reasons { reason count } } }
  }
}"""


Title = Annotated[
    str | None,
    typer.Argument(help="The title of the notification. Required without --template.", show_default=False),
]
Channels = Annotated[
    list[Channel] | None,
    typer.Option("--channel", case_sensitive=False, help="Overrides the category's channels. Can be repeated."),
]

PriorityOption = Annotated[
    Priority | None,
    typer.Option("--priority", case_sensitive=False, help="Overrides the category's priority."),
]

CollapseKey = Annotated[
    str | None,
    typer.Option(
        "--collapse-key", help="The key of the subject. The notification replaces an older one with the same key."
    ),
]
Expires = Annotated[
    str | None,
    typer.Option("--expires", help="The time until the notification is removed from inboxes, such as PT1H or P7D."),
]

SendAt = Annotated[
    str | None,
    typer.Option(
        "--at", help="Send later: at a time such as 2027-01-15T08:00:00Z, or after a duration such as 1h or PT1H."
    ),
]

Follow = Annotated[
    bool,
    typer.Option(
        "--follow",
        help="Print the delivery counts until all deliveries have ended. The exit code is 1 if a delivery failed.",
    ),
]

Template = Annotated[
    str | None,
    typer.Option("--template", help="The key of the template with the texts. Replaces the title and the body."),
]
TemplateData = Annotated[
    Path | None,
    typer.Option("--template-data", help="A JSON file with the data of the template.", show_default=False),
]

Markdown = Annotated[
    bool, typer.Option("--markdown", help="The body is Markdown: bold, italic, code, links, and lists.")
]

Key = Annotated[
    str | None,
    typer.Option("--key", help="The idempotency key. Calls with the same key send the notification once."),
]
Link = Annotated[
    str | None,
    typer.Option("--link", help="The URL to open on a click: an http or https URL, or a path such as /a/path."),
]
Everyone = Annotated[bool, typer.Option("--everyone", help="Send to all users of the tenant.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Send to the subscribers of a topic.")]
Where = Annotated[
    str | None, typer.Option("--where", help='Send to the users who match a filter, such as \'{"locale": "de"}\'.')
]
Except = Annotated[
    list[str] | None, typer.Option("--except", help="The id of a user who does not get it. Can be repeated.")
]
NoGuard = Annotated[
    bool,
    typer.Option("--no-guard", help="Send to all at once, and not to about 1 % first to see if the deliveries fail."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print how many recipients there are and what would happen to the first ten. Sends nothing."
    ),
]


def send(
    title: Title = None,
    body: Annotated[str, typer.Argument(help="The body of the notification.")] = "",
    to: Annotated[list[str] | None, typer.Option("--to", help="The id of a recipient. Can be repeated.")] = None,
    topic: Topic = None,
    where: Where = None,
    everyone: Everyone = False,
    excluded: Except = None,
    category: Annotated[str, typer.Option("--category", help="The category of the notification.")] = "news",
    channel: Channels = None,
    priority: PriorityOption = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag to filter by. Can be repeated.")] = None,
    data_json: Annotated[str | None, typer.Option("--json", help="Data for your app as JSON.")] = None,
    link: Link = None,
    key: Key = None,
    collapse_key: CollapseKey = None,
    at: SendAt = None,
    expires: Expires = None,
    markdown: Markdown = False,
    template: Template = None,
    template_data: TemplateData = None,
    ack: Annotated[bool, typer.Option("--ack", help="Ask recipients to acknowledge the notification.")] = False,
    no_guard: NoGuard = False,
    dry_run: DryRun = False,
    follow: Follow = False,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Send a notification.

    Returns after the notification is stored. With --topic, --where, or --everyone, workers then send it.
    With --follow, Ctrl-C stops the output and not the send.

    Example: hub send "Build failed" "Two tests are red." --to alice --priority high --key build-1041
    """
    hub = resolve_hub(url, token, data)
    new_token = partial(hub.service_token, tenant)
    send_input: dict[str, Any] = {
        "to": _recipients(to or [], topic, where, everyone=everyone),
        "except": excluded,
        "category": category,
        **_texts(title, body, link, template, template_data, markdown=markdown),
        "data": _parse_json(data_json),
        "tags": tag,
        "channels": [member.value for member in channel] if channel else None,
        "priority": priority.value if priority else None,
        "idempotencyKey": key,
        "collapseKey": collapse_key,
        "requireAck": ack,
        "guard": not no_guard,
        **_times(at, expires, hub, new_token()),
    }
    if dry_run:
        preview(hub, new_token(), send_input)
    sent = run_or_exit(execute(hub.url, new_token(), SEND_MUTATION, input=send_input), hub)["send"]
    _print_result(sent, scheduled=at is not None)
    if follow:
        follow_send(sent["send"]["id"], hub, new_token, target_options(url, tenant, data))


def _recipients(users: list[str], topic: str | None, where: str | None, *, everyone: bool) -> dict[str, Any]:
    if bool(users) + (topic is not None) + (where is not None) + everyone > 1:
        fail("Pass only one of --to, --topic, --where, and --everyone.", 2)
    if everyone:
        return {"everyone": True}
    if topic is not None:
        return {"topic": topic}
    if where is not None:
        return {"where": _parse_json(where, "--where")}
    if not users:
        fail("Name the recipient: --to alice. For many users, pass --topic, --where, or --everyone.", 2)
    if comma_separated := [user for user in users if "," in user]:
        fail(f"--to {comma_separated[0]}: repeat --to for each user.", 2)
    return {"users": users}


def _texts(
    title: str | None, body: str, link: str | None, template: str | None, template_data: Path | None, *, markdown: bool
) -> dict[str, Any]:
    """Return the content, or the template and its data."""
    if template is None:
        if template_data:
            fail("--template-data requires --template.", 2)
        if title is None:
            fail("Pass the title of the notification, or --template.", 2)
        return {"content": {"title": title, "body": body, "actionUrl": link, "markdown": markdown}}
    if title is not None or link or markdown:
        fail("With --template, the title, the body, --link, and --markdown come from the template: leave them out.", 2)
    if template_data is None:
        return {"template": {"key": template}}
    from hub.cli.setup_files import SetupFileError
    from hub.cli.template_files import read_data

    try:
        return {"template": {"key": template, "data": read_data(template_data)}}
    except SetupFileError as error:
        fail(str(error))


def _times(at: str | None, expires: str | None, hub: TargetHub, token: str) -> dict[str, str]:
    times: dict[str, str] = {}
    if expires:
        times["expiresAt"] = _time_after(expires, "--expires", hub, token)
    if at:
        times["sendAt"] = _time_after(at, "--at", hub, token) if DURATION_START.match(at) else at
    return times


def _time_after(duration: str, option: str, hub: TargetHub, token: str) -> str:
    """Return the time of the hub plus a duration."""
    seconds = parse_duration(duration, option)
    return (run_or_exit(read_time(hub.url, token), hub) + timedelta(seconds=seconds)).isoformat()


def _print_result(sent: dict[str, Any], *, scheduled: bool) -> None:
    id, status, total = sent["send"]["id"], sent["send"]["status"], sent["send"]["total"]
    people = "all users"
    if count := sent["send"]["recipients"] if status != SendStatus.EXPANDING else total:
        people = "1 person" if count == 1 else f"{count} people"
    for row in sent["send"]["counts"]:
        if row["status"] == DeliveryStatus.SKIPPED:
            reasons = ", ".join(f"{reason['reason']} ({reason['count']})" for reason in row["reasons"])
            print(f"{row['channel']} skipped: {reasons}.", file=sys.stderr)
    if status == SendStatus.EXPANDING:
        print(f"{id} is being sent to {people}.")
    elif status == SendStatus.SCHEDULED:
        print(f"{id} is scheduled for {sent['send']['sendAt']} to {people}.")
    elif sent["duplicate"]:
        print(f"{id} was already sent to {people} with this key.")
    else:
        print(f"{id} sent to {people}{'. The time of --at has passed: sent now' if scheduled else ''}.")


def _parse_json(text: str | None, option: str = "--json") -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        fail(f"{option} is not JSON: {error}.", 2)
