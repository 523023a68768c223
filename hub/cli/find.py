"""`hub find`: find users, sends, deliveries, and notifications by any text that identifies them."""

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.output import Output, is_table, print_json, print_table
from hub.cli.target_hub import DEFAULT_DATA, Data, TargetHub, Tenant, Token, Url, fail, resolve_hub
from hub.console_url import console_url

QUERY = """query ($text: String!) {
  find(text: $text) {
    kind id title foundBy exact
    user { email phone } send { status category } delivery { userId status reason } notification { userId category }
  }
}"""
HEADER = ("KIND", "ID", "FOUND BY", "TITLE", "DETAILS")


def find(
    text: Annotated[
        str,
        typer.Argument(
            help="An id, email address, phone number, name, Message-ID, provider id, idempotency key, or words of the "
            "title of a send.",
            show_default=False,
        ),
    ],
    output: Output = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Find users, sends, deliveries, and notifications by any text that identifies them.

    Exact matches are first. If nothing is found, the exit code is 1.

    Example: hub find alice@example.org
    """
    print_found(resolve_hub(url, token, data), tenant, text, output)


def print_found(hub: TargetHub, tenant: str, text: str, output: Output, kind: str | None = None) -> None:
    """Print what `find` returns, or only the results of one kind. If there are none, exit with code 1."""
    found = run_or_exit(execute(hub.url, hub.service_token(tenant), QUERY, text=text), hub)["find"]
    found = [result for result in found if kind in (None, result["kind"])]
    if not is_table(output):
        print_json([{**result, "consoleUrl": _console_url(hub.url, result)} for result in found])
    elif found:
        print_table(HEADER, [_cells(result) for result in found])
        print(f"Console: {hub.url}/console/find?{urlencode({'q': text})}")
    if not found:
        fail(f"Nothing was found for {text!r}.")


def _console_url(hub_url: str, result: dict[str, Any]) -> str:
    """Return the address of the page of a result. A notification is on the page of its recipient."""
    if result["notification"]:
        return console_url(hub_url, "user", result["notification"]["userId"])
    return console_url(hub_url, result["kind"].lower(), result["id"])


def _cells(result: dict[str, Any]) -> list[str]:
    details = [
        f"{name}={value}"
        for kind in ("user", "send", "delivery", "notification")
        for name, value in (result[kind] or {}).items()
        if value
    ]
    found_by = result["foundBy"].lower().replace("_", " ")
    return [result["kind"], result["id"], found_by, result["title"], " ".join(details)]
