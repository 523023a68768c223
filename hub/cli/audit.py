"""`hub audit`: show who changed configuration, credentials, and people."""

from datetime import timedelta
from typing import Annotated, Any

import orjson
import typer

from hub import utc_time
from hub.cli.api_client import execute, run_or_exit
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, resolve_hub
from hub.cli.token import parse_duration
from hub.model import Role
from hub.utc_time import rfc3339

PAGE_SIZE = 100
QUERY = """query ($filter: AuditFilter, $first: Int, $after: String) {
  auditLog(filter: $filter, first: $first, after: $after) {
    nodes { at actor action target changes } pageInfo { hasNextPage endCursor }
  }
}"""


def audit(
    actor: Annotated[str | None, typer.Option("--actor", help="Only changes by this user, key, or role.")] = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Only changes by this mutation or command, such as upsertCategory.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Only changes of the object with this key or id.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only changes since this time, or since a duration ago such as P7D.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Only changes before this time, or before a duration ago such as P7D.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The maximum number of changes.")] = PAGE_SIZE,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Show who changed configuration, credentials, and people, newest first.

    Each line has the time, the actor, the action, the target, and the changes as JSON.

    Example: hub audit --action upsertCategory --since P7D
    """
    hub = resolve_hub(url, token, data)
    access_token = hub.token(user=None, role=Role.ADMIN, tenant=tenant)
    filter = {"actor": actor, "action": action, "target": target, "since": since, "until": until}
    filter = {name: value for name, value in filter.items() if value is not None}
    for name in ("since", "until"):
        if str(filter.get(name, "")).startswith("P"):
            age = timedelta(seconds=parse_duration(filter[name] or "", f"--{name}"))
            filter[name] = rfc3339(utc_time.now() - age)
    run_or_exit(_print_entries(hub.url, access_token, filter, limit), hub)


async def _print_entries(url: str, token: str, filter: dict[str, Any], limit: int) -> None:
    after = None
    while limit > 0:
        page = (await execute(url, token, QUERY, filter=filter, first=min(limit, PAGE_SIZE), after=after))["auditLog"]
        for entry in page["nodes"]:
            changes = orjson.dumps(entry["changes"]).decode()
            print(f"{entry['at']}  {entry['actor']}  {entry['action']}  {entry['target'] or '-'}  {changes}")
        if not page["pageInfo"]["hasNextPage"]:
            return
        after, limit = page["pageInfo"]["endCursor"], limit - PAGE_SIZE
