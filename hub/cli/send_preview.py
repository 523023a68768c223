"""`hub send --dry-run`: how many recipients a send has, and what would happen to the first of them."""

import sys
from collections import Counter, defaultdict
from typing import Any, NoReturn

from hub.cli.api_client import execute, run_or_exit
from hub.cli.target_hub import TargetHub
from hub.model import DeliveryStatus, Reason

SHOWN = 10  # recipients
AUDIENCE = "query ($to: RecipientsInput!) { audience(to: $to) { recipients exact scans } }"
SIMULATE = """query ($input: SendInput!, $first: Int!) {
  simulate(input: $input, first: $first) { userId decisions { channel step outcome reason dueAt note } }
}"""


def preview(hub: TargetHub, token: str, send_input: dict[str, Any]) -> NoReturn:
    """Print the number of recipients and the decisions for the first of them, and exit. Nothing is sent."""
    audience = run_or_exit(execute(hub.url, token, AUDIENCE, to=send_input["to"]), hub)["audience"]
    found = run_or_exit(execute(hub.url, token, SIMULATE, input=send_input, first=SHOWN), hub)["simulate"]
    people = "1 user" if audience["recipients"] == 1 else f"{audience['recipients']:,} users"
    excluded = ", including those of --except" if send_input["except"] else ""
    print(f"{'' if audience['exact'] else 'About '}{people}{excluded}.")
    if audience["scans"]:
        print("No index serves the filter: a send reads all users of the tenant.")
    print_decisions(found)
    print("Nothing was sent, because of --dry-run.")
    sys.exit(0)


def print_decisions(found: list[dict[str, Any]]) -> None:
    """Print the decisions of a simulation, recipient by recipient."""
    notes: defaultdict[str, list[str]] = defaultdict(list)
    for one in found:
        texts = Counter(_decision(row) for row in one["decisions"] if row["reason"] != Reason.NOT_REQUESTED)
        described = [text if count == 1 else f"{text} ({count} devices)" for text, count in texts.items()]
        print(f"{one['userId']}: {', '.join(described)}")
        for note in {row["note"] for row in one["decisions"]} - {None}:
            notes[note].append(one["userId"])
    for note, users in notes.items():
        print(note if len(users) == len(found) else f"{', '.join(users)}: {note}")


def _decision(row: dict[str, Any]) -> str:
    step = f" (step {row['step']})" if row["step"] else ""
    match row["outcome"]:
        case DeliveryStatus.ACCEPTED:
            return f"{row['channel']}{step}"
        case DeliveryStatus.HELD:
            at = f"at {row['dueAt']}" if row["dueAt"] else "held"
            return f"{row['channel']}{step} {at} ({row['reason']})"
        case outcome:
            return f"{row['channel']}{step} {outcome.lower()} ({row['reason']})"
