"""The export of all users of a tenant, in pages, as JSON lines or CSV."""

import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

from hub.cli.api_client import ApiError, execute_with_retries
from hub.cli.user_files import ATTRIBUTES, write_csv

TENANT = "{ tenant { locale timezone } }"
USERS = """query ($after: String) {
  users(first: 100, after: $after) {
    nodes { id name email phone locale timezone attributes } pageInfo { hasNextPage endCursor }
  }
}"""


async def export_json(url: str, token: str, file: IO[str]) -> int:
    """Write all users to a file as JSON lines. Return their number."""
    count = 0
    async for user in _users(url, token):
        file.write(json.dumps(user, ensure_ascii=False) + "\n")
        count += 1
    return count


async def export_csv(url: str, token: str, file: IO[str]) -> int:
    """Write all users to a file as CSV. Return their number.

    The header names all attributes, which are known at the end. Until then, the users are in a temporary file."""
    attributes: dict[str, None] = {}
    count = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as temporary:
        async for user in _users(url, token):
            attributes |= dict.fromkeys(user.get(ATTRIBUTES) or {})
            temporary.write(json.dumps(user) + "\n")
            count += 1
        temporary.seek(0)
        write_csv(map(json.loads, temporary), attributes, file)
    return count


async def write_export(path: Path, url: str, token: str) -> int:
    """Write all users to a new file, in the format of its suffix. The file appears when it is complete."""
    new = path.with_name(f"{path.name}.part")
    export = export_csv if path.suffix.lower() == ".csv" else export_json
    try:
        with new.open("w", encoding="utf-8", newline="") as file:
            count = await export(url, token, file)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return count


async def _tenant_defaults(url: str, token: str) -> dict[str, str]:
    """Return the locale and the time zone of the tenant, or nothing if the token may not read them."""
    try:
        tenant: dict[str, str] = (await execute_with_retries(url, token, TENANT))["tenant"]
    except ApiError as error:
        if error.extensions.get("code") != "FORBIDDEN":
            raise
        print(
            "Users without their own locale and time zone have the tenant's. Use an admin token to leave them out.",
            file=sys.stderr,
        )
        return {}
    return tenant


async def _users(url: str, token: str) -> AsyncIterator[dict[str, Any]]:
    """Yield all users, by id, without empty fields. A locale or time zone that equals the tenant's is omitted, because
    nearly all of these users have none of their own."""
    inherited = await _tenant_defaults(url, token)
    after = None
    while True:
        page = (await execute_with_retries(url, token, USERS, after=after))["users"]
        for node in page["nodes"]:
            yield {name: value for name, value in node.items() if value is not None and value != inherited.get(name)}
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]
