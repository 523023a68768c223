"""`hub send`: send a notification."""

import json
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.send_preview import preview
from hub.cli.target_hub import DEFAULT_DATA, Data, TargetHub, Tenant, Token, Url, fail, resolve_hub
from hub.cli.time_options import LATER, later_time, time_after
from hub.console_url import console_url
from hub.model import Channel, DeliveryStatus, Priority, SendStatus

WHERE_EXAMPLE = '{"attributes.plan": "pro"}'
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

SendAt = Annotated[str | None, typer.Option("--at", help=f"Send later: {LATER}.")]

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
ActorName = Annotated[
    str | None, typer.Option("--actor-name", help="The name of the person or system that caused the notification.")
]
ActorAvatar = Annotated[
    str | None, typer.Option("--actor-avatar", help="The URL of the picture of --actor-name, which is required.")
]
ThreadKey = Annotated[
    str | None, typer.Option("--thread-key", help="The key of the thread. Clients can show a thread together.")
]
Pin = Annotated[bool, typer.Option("--pin", help="Show the notification above the others until a recipient unpins it.")]
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
    thread_key: ThreadKey = None,
    actor_name: ActorName = None,
    actor_avatar: ActorAvatar = None,
    at: SendAt = None,
    expires: Expires = None,
    markdown: Markdown = False,
    template: Template = None,
    template_data: TemplateData = None,
    pin: Pin = False,
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
        **_texts(title, body, link, template, template_data, _actor(actor_name, actor_avatar), markdown=markdown),
        "data": _parse_json(data_json),
        "tags": tag,
        **_overrides(channel, priority),
        **_keys(key, collapse_key, thread_key),
        "requireAck": ack,
        "pinned": pin,
        "guard": not no_guard,
        **_times(at, expires, hub, new_token()),
    }
    id = _send_or_preview(hub, new_token(), send_input, dry_run=dry_run)
    if follow:
        _follow(id, hub, new_token, (url, tenant, data))


def _follow(id: str, hub: TargetHub, new_token: Callable[[], str], options: tuple[str, str, Path]) -> None:
    from hub.cli.send_progress import follow_send, target_options

    follow_send(id, hub, new_token, target_options(*options))


def _keys(idempotency: str | None, collapse: str | None, thread: str | None) -> dict[str, str | None]:
    return {"idempotencyKey": idempotency, "collapseKey": collapse, "threadKey": thread}


def _overrides(channels: list[Channel] | None, priority: Priority | None) -> dict[str, Any]:
    """Return what replaces the values of the category."""
    return {
        "channels": [channel.value for channel in channels] if channels else None,
        "priority": priority.value if priority else None,
    }


def _send_or_preview(hub: TargetHub, token: str, send_input: dict[str, Any], *, dry_run: bool) -> str:
    """Print what would happen and exit, or send. Return the id of the send."""
    if dry_run:
        preview(hub, token, send_input)
    sent = run_or_exit(execute(hub.url, token, SEND_MUTATION, input=send_input), hub)["send"]
    _print_result(sent, _audience_text(send_input["to"]), scheduled="sendAt" in send_input)
    id: str = sent["send"]["id"]
    if sys.stderr.isatty():
        print(f"Console: {console_url(hub.url, 'send', id)}", file=sys.stderr)
    return id


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


def _actor(name: str | None, avatar: str | None) -> dict[str, str | None] | None:
    if name is None and avatar is not None:
        fail("--actor-avatar requires --actor-name.", 2)
    return None if name is None else {"name": name, "avatarUrl": avatar}


def _texts(
    title: str | None,
    body: str,
    link: str | None,
    template: str | None,
    template_data: Path | None,
    actor: dict[str, str | None] | None,
    *,
    markdown: bool,
) -> dict[str, Any]:
    """Return the content, or the template and its data."""
    if template is None:
        if template_data:
            fail("--template-data requires --template.", 2)
        if title is None:
            fail("Pass the title of the notification, or --template.", 2)
        content = {"title": title, "body": body, "actionUrl": link, "markdown": markdown, "actor": actor}
        return {"content": content}
    if actor:
        fail("A send with --template has no actor: leave out --actor-name.", 2)
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
        times["expiresAt"] = time_after(expires, "--expires", hub, token)
    if at:
        times["sendAt"] = later_time(at, "--at", hub, token)
    return times


def _audience_text(to: dict[str, Any]) -> str:
    """Return the recipients of a send whose number is not known yet."""
    if "topic" in to:
        return f"the subscribers of {to['topic']}"
    return "all users that match the filter" if "where" in to else "all users"


def _print_result(sent: dict[str, Any], people: str, *, scheduled: bool) -> None:
    """`people`: the recipients, if their number is not known."""
    id, status, total = sent["send"]["id"], sent["send"]["status"], sent["send"]["total"]
    if count := sent["send"]["recipients"] if status != SendStatus.EXPANDING else total:
        people = "1 person" if count == 1 else f"{count:,} people"
    for row in sent["send"]["counts"]:
        if row["status"] == DeliveryStatus.SKIPPED:
            reasons = ", ".join(f"{reason['reason']} ({reason['count']})" for reason in row["reasons"])
            print(f"{row['channel']} skipped: {reasons}.", file=sys.stderr)
    if status == SendStatus.EXPANDING:
        print(f"{id} is being sent to {people}.")
    elif status == SendStatus.PREPARING:
        print(f"{id} waits for the enrichment of its category, then it is sent to {people}.")
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
        example = f" Example: {option} {shlex.quote(WHERE_EXAMPLE)}" if option == "--where" else ""
        fail(f"{option} is not JSON: {error}.{example}", 2)
