"""`hub sends`: pause, resume, cancel, and recall sends."""

from typing import Annotated

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, resolve_hub
from hub.model import Role

app = typer.Typer(
    no_args_is_help=True,
    help="""Pause, resume, cancel, and recall sends.

    Example: hub sends pause 0198c6a2-7d1e-7c4b-9f3a-2b8d5e6f7a10""",
)
Id = Annotated[str, typer.Argument(help="The id of the send.", show_default=False)]


@app.command()
def pause(id: Id, url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """Stop all deliveries of a send that have not left. The notifications remain in the inboxes.

    Example: hub sends pause 0198c6a2-7d1e-7c4b-9f3a-2b8d5e6f7a10
    """
    _change("pauseSend", id, url, token, tenant, data)


@app.command()
def resume(id: Id, url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """Continue a paused send.

    Example: hub sends resume 0198c6a2-7d1e-7c4b-9f3a-2b8d5e6f7a10
    """
    _change("resumeSend", id, url, token, tenant, data)


@app.command()
def cancel(id: Id, url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """Cancel all deliveries of a send that have not left. The notifications remain in the inboxes.

    Example: hub sends cancel 0198c6a2-7d1e-7c4b-9f3a-2b8d5e6f7a10
    """
    _change("cancelSend", id, url, token, tenant, data)


@app.command()
def recall(id: Id, url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """Cancel a send, and remove its notifications from all inboxes.

    Example: hub sends recall 0198c6a2-7d1e-7c4b-9f3a-2b8d5e6f7a10
    """
    _change("recallSend", id, url, token, tenant, data)


def _change(mutation: str, id: str, url: str, token: str, tenant: str, data: Data) -> None:
    """Call a mutation of a send, and print the result."""
    hub = resolve_hub(url, token, data)
    access_token = hub.token(user=None, role=Role.SERVICE, tenant=tenant)
    query = f"mutation ($id: ID!) {{ changed: {mutation}(id: $id) {{ status remaining }} }}"
    changed = run_or_exit(execute(hub.url, access_token, query, id=id), hub)["changed"]
    rest = f" {changed['remaining']} changes follow in the background." if changed["remaining"] else ""
    print(f"{id} is {changed['status']}.{rest}")
