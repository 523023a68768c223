"""`hub channels`: pause and resume channels, and list those that are paused."""

from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, resolve_hub
from hub.model import Channel, Role

PAUSE = "mutation ($channel: Channel!, $reason: String) { changed: pauseChannel(channel: $channel, reason: $reason) }"
RESUME = "mutation ($channel: Channel!) { changed: resumeChannel(channel: $channel) }"
LIST = "{ pausedChannels { channel since reason held } }"

app = typer.Typer(
    no_args_is_help=True,
    help="""Pause and resume channels of a tenant, and list those that are paused.

    Example: hub channels pause EMAIL --reason "The relay rejects our sender."
    """,
)
ChannelArgument = Annotated[
    Channel, typer.Argument(case_sensitive=False, help="The channel, such as EMAIL.", show_default=False)
]


@app.command()
def pause(
    channel: ChannelArgument,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why it is paused. The list of paused channels shows it.")
    ] = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Stop all calls on a channel that have not started. Its deliveries wait until it is resumed.

    Example: hub channels pause EMAIL --reason "The relay rejects our sender."
    """
    changed = _call(PAUSE, (url, token, tenant, data), channel=channel, reason=reason)["changed"]
    print(f"{channel} is paused." if changed else f"{channel} was paused before. Its reason is unchanged.")


@app.command()
def resume(
    channel: ChannelArgument,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Continue the calls on a channel. What waits for it is decided again in the background.

    Example: hub channels resume EMAIL
    """
    changed = _call(RESUME, (url, token, tenant, data), channel=channel)["changed"]
    print(f"{channel} is resumed." if changed else f"{channel} was not paused.")


@app.command("list")
def list_paused(url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """List the paused channels with the time, the number of deliveries that wait, and the reason.

    Example: hub channels list
    """
    for paused in _call(LIST, (url, token, tenant, data))["pausedChannels"]:
        print(f"{paused['channel']}  {paused['since']}  {paused['held']:,} held  {paused['reason'] or '-'}")


def _call(query: str, target: tuple[str, str, str, Any], **variables: Any) -> dict[str, Any]:
    """Return the data of a call with the role `admin`. Exit with an error if it fails."""
    url, token, tenant, data = target
    hub = resolve_hub(url, token, data)
    return run_or_exit(execute(hub.url, hub.token(user=None, role=Role.ADMIN, tenant=tenant), query, **variables), hub)
