"""`hub send --dry-run`: the first recipients of a send, and what would happen."""

import sys
from typing import Any, NoReturn

from hub.cli.api_client import execute, run_or_exit
from hub.cli.target_hub import TargetHub
from hub.model import DeliveryStatus, Reason

SHOWN = 10  # recipients
AUDIENCE = "query ($to: RecipientsInput!) { audience(to: $to) { recipients exact } }"
SIMULATE = """query ($input: SendInput!, $first: Int!) {
  simulate(input: $input, first: $first) { userId decisions { channel step outcome reason dueAt } }
}"""


def preview(hub: TargetHub, token: str, send_input: dict[str, Any]) -> NoReturn:
    """Print the decisions for the first recipients, and exit. Nothing is sent."""
    audience = run_or_exit(execute(hub.url, token, AUDIENCE, to=send_input["to"]), hub)["audience"]
    found = run_or_exit(execute(hub.url, token, SIMULATE, input=send_input, first=SHOWN), hub)["simulate"]
    people = "1 user" if audience["recipients"] == 1 else f"{audience['recipients']:,} users"
    print(f"{'' if audience['exact'] else 'About '}{people}, without --except.")
    for one in found:
        texts = [_decision(row) for row in one["decisions"] if row["reason"] != Reason.NOT_REQUESTED]
        print(f"{one['userId']}: {', '.join(texts)}")
    print("Nothing was sent, because of --dry-run.")
    sys.exit(0)


def _decision(row: dict[str, Any]) -> str:
    step = f" (step {row['step']})" if row["step"] else ""
    match row["outcome"]:
        case DeliveryStatus.ACCEPTED:
            return f"{row['channel']}{step}"
        case DeliveryStatus.HELD:
            return f"{row['channel']}{step} at {row['dueAt']} ({row['reason']})"
        case outcome:
            return f"{row['channel']}{step} {outcome.lower()} ({row['reason']})"
