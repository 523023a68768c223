"""`hub sends`: pause, resume, cancel, and recall sends."""

from typing import Annotated

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, resolve_hub

EXAMPLE_ID = "0198c6a2-7d1e-7c4b-9f3a-2b8d5e6f7a10"
COMMANDS = {
    "pause": "Stop all deliveries of a send that have not left. The notifications remain in the inboxes.",
    "resume": "Continue a paused send.",
    "cancel": "Cancel all deliveries of a send that have not left. The notifications remain in the inboxes.",
    "recall": "Cancel a send, and remove its notifications from all inboxes.",
}

app = typer.Typer(
    no_args_is_help=True,
    help=f"""Pause, resume, cancel, and recall sends.

    Example: hub sends pause {EXAMPLE_ID}""",
)
Id = Annotated[str, typer.Argument(help="The id of the send.", show_default=False)]


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
