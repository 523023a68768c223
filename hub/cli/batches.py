"""`hub batches`: replays and cancellations of many deliveries."""

from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.output import Output, is_table, print_json, print_table
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub

LIST = "{ deliveryBatches { id action startedAt note perMinute total done endedAt stopped } }"
STOP = "mutation ($id: ID!) { stopDeliveryBatch(id: $id) }"
HEADER = ("id", "action", "started", "state", "done", "note")

app = typer.Typer(
    no_args_is_help=True,
    help="""Show and stop replays and cancellations of deliveries that run in the background.

    Example: hub batches list
    """,
)


@app.command("list")
def list_batches(
    output: Output = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """List the newest replays and cancellations that continued in the background, with their progress.

    Example: hub batches list
    """
    batches = _call(LIST, (url, token, tenant, data))["deliveryBatches"]
    if not is_table(output):
        print_json(batches)
        return
    rows = [
        (
            batch["id"],
            batch["action"],
            batch["startedAt"],
            "stopped" if batch["stopped"] else "complete" if batch["endedAt"] else "running",
            f"{batch['done']:,} of {batch['total']:,}",
            batch["note"],
        )
        for batch in batches
    ]
    print_table(HEADER, rows)


@app.command()
def stop(
    id: Annotated[str, typer.Argument(help="The id of the batch, from `hub batches list`.", show_default=False)],
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Stop a replay or cancellation. Its changes remain.

    Example: hub batches stop 01a22de6-bcce-734a-9eb1-db493af9a1f7
    """
    if not _call(STOP, (url, token, tenant, data), id=id)["stopDeliveryBatch"]:
        fail(f"{id} does not run. See `hub batches list`.")
    print("Stopped.")


def _call(query: str, target: tuple[str, str, str, Any], **variables: Any) -> dict[str, Any]:
    """Return the data of a call with the role `service`. Exit with an error if it fails."""
    url, token, tenant, data = target
    hub = resolve_hub(url, token, data)
    return run_or_exit(execute(hub.url, hub.service_token(tenant), query, **variables), hub)
