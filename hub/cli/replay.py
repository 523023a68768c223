"""`hub replay`."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from hub.cli.door import Refused, Unreachable, ask
from hub.cli.environment import DEFAULT_DATA, Data, Tenant, Token, Url, fail, hub_of
from hub.cli.token import seconds
from hub.model import Channel, Role

AT_ONCE = 500  # ids in one call
BY_IDS = "mutation ($ids: [ID!]) { replay(ids: $ids) }"
BY_FILTER = "mutation ($filter: DeliveryFilter) { replay(filter: $filter) }"
OF_SEND = """query ($send: ID!, $filter: DeliveryFilter, $after: String) {
  send(id: $send) {
    deliveries(filter: $filter, first: 100, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } }
  }
}"""


def replay(
    ids: Annotated[list[str] | None, typer.Argument(help="Deliveries, by their ids.", show_default=False)] = None,
    channel: Annotated[
        list[Channel] | None, typer.Option("--channel", case_sensitive=False, help="Repeat it for more.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Of one person.")] = None,
    category: Annotated[str | None, typer.Option("--category", help="Of one category.")] = None,
    send: Annotated[str | None, typer.Option("--send", help="Of one send, by its id.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Made since: PT2H ago, or an instant.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Made before: PT2H ago, or an instant.")] = None,
    retrying: Annotated[bool, typer.Option("--retrying", help="Also what waits for its next try: now.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Whatever failed.")] = False,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Send again what FAILED.

    By ids, or all that fit the options. What waits for its next try has it now, with --retrying or by its id. What was
    sent, skipped or called off stays as it is.

    Example: hub replay --channel email --since PT6H
    """
    filter = {
        "channels": [one.value for one in channel] if channel else None,
        "userId": user,
        "category": category,
        "since": since and _instant(since, "--since"),
        "until": until and _instant(until, "--until"),
    }
    filter = {name: value for name, value in filter.items() if value is not None}
    if bool(ids) + bool(filter or send) + everything != 1:
        fail("Say what: ids of deliveries, options such as --channel email, or --all; one of these.", 2)
    filter["statuses"] = ["FAILED", "RETRYING"] if retrying else ["FAILED"]
    hub = hub_of(url, token, data)
    who = hub.token(user=None, role=Role.SERVICE, tenant=tenant)
    try:
        count = asyncio.run(_replay(hub.url, who, ids or [], send, filter))
    except Unreachable as error:
        fail(str(error))
    except Refused as error:
        fail(hub.told(error))
    print(f"{count} {'delivery goes' if count == 1 else 'deliveries go'} out again.")


async def _replay(url: str, token: str, ids: list[str], send: str | None, filter: dict[str, Any]) -> int:
    """How many go out again."""
    if send:
        ids = await _ids_of(url, token, send, filter)
    elif not ids:
        return int((await ask(url, token, BY_FILTER, filter=filter))["replay"])
    parts = [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
    return sum([(await ask(url, token, BY_IDS, ids=part))["replay"] for part in parts])


async def _ids_of(url: str, token: str, send: str, filter: dict[str, Any]) -> list[str]:
    """The ids of what fits of a send."""
    ids: list[str] = []
    after = None
    while True:
        answer = await ask(url, token, OF_SEND, send=send, filter=filter, after=after)
        if answer["send"] is None:
            fail(f"--send {send}: this tenant made no such send.")
        found = answer["send"]["deliveries"]
        ids += [node["id"] for node in found["nodes"]]
        if not found["pageInfo"]["hasNextPage"]:
            return ids
        after = found["pageInfo"]["endCursor"]


def _instant(text: str, option: str) -> str:
    """As the API takes it. The hub itself judges what is neither."""
    return (datetime.now(UTC) - timedelta(seconds=seconds(text, option))).isoformat() if text.startswith("P") else text
