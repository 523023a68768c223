"""`hub replay`: send failed deliveries again."""

import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import typer
from msgspec import Struct

from hub.cli.api_client import execute, run_or_exit
from hub.cli.target_hub import DEFAULT_DATA, Data, TargetHub, Tenant, Token, Url, fail, resolve_hub
from hub.cli.time_options import AGE, relative_times, times_of
from hub.model import Channel, Reason, Role
from hub.outbox.states import REPLAYABLE, WITHOUT_ADDRESS

BATCH_SIZE = 500  # ids per call
LOOKUP_BATCH_SIZE = 10  # root fields per query
CONFIRM_ABOVE = 100  # number of deliveries
REPLAY_MUTATION = "mutation ($ids: [ID!], $note: String) { replay(ids: $ids, note: $note) }"
RELEASE_MUTATION = "mutation { releaseRestored }"
LIMITED_MUTATION = """mutation ($filter: DeliveryFilter, $perMinute: Int, $note: String) {
  replay(filter: $filter, perMinute: $perMinute, note: $note) }"""
SEND_QUERY = "query ($id: ID!) { send(id: $id) { id } }"
PREVIEW_QUERY = """query ($filter: DeliveryFilter!) {
  replayPreview(filter: $filter) { count addressGone suppressed alreadyRead reasons { reason count } }
}"""
DELIVERIES_QUERY = """query ($filter: DeliveryFilter, $after: String) {
  deliveries(filter: $filter, first: 100, after: $after) { nodes { id reason } pageInfo { hasNextPage endCursor } }
}"""


Ids = Annotated[list[str] | None, typer.Argument(help="Ids of the deliveries to replay.", show_default=False)]
ChannelOption = Annotated[
    list[Channel] | None,
    typer.Option("--channel", case_sensitive=False, help="Replay only deliveries on this channel. Can be repeated."),
]
ReasonOption = Annotated[
    list[Reason] | None,
    typer.Option(
        "--reason",
        case_sensitive=False,
        help="Replay only deliveries that failed for this reason. Can be repeated. "
        "RESTORED releases the deliveries that are held since a restore, and, as the only option that selects "
        "deliveries, also webhook calls, events, and sends, which requires the role admin.",
    ),
]
ProviderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        help="Replay only deliveries for which this provider was called, such as smtp or ses. Can be repeated.",
    ),
]
UserOption = Annotated[str | None, typer.Option("--user", help="Replay only deliveries to this user.")]
CategoryOption = Annotated[str | None, typer.Option("--category", help="Replay only deliveries in this category.")]
SendOption = Annotated[str | None, typer.Option("--send", help="Replay only deliveries of the send with this id.")]
Since = Annotated[
    str | None,
    typer.Option("--since", help=f"Replay only deliveries created since {AGE}."),
]
Until = Annotated[
    str | None,
    typer.Option("--until", help=f"Replay only deliveries created before {AGE}."),
]
FailedSince = Annotated[
    str | None,
    typer.Option(
        "--failed-since",
        help=f"Replay only deliveries that last failed since {AGE}.",
    ),
]
FailedUntil = Annotated[
    str | None,
    typer.Option(
        "--failed-until",
        help=f"Replay only deliveries that last failed before {AGE}.",
    ),
]
Retrying = Annotated[bool, typer.Option("--retrying", help="Include deliveries that wait for a retry.")]
Everything = Annotated[bool, typer.Option("--all", help="Replay all failed deliveries.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the number of deliveries by reason without replaying them.")
]
PerMinute = Annotated[
    int | None,
    typer.Option(
        "--per-minute",
        min=1,
        help="Replay at most this many deliveries per minute, in the background. `hub batches` shows the progress.",
    ),
]
Note = Annotated[str | None, typer.Option("--note", help="Why. The audit log and `hub batches` show it.")]
Yes = Annotated[bool, typer.Option("--yes", help=f"Replay more than {CONFIRM_ABOVE} deliveries without confirmation.")]


class Preview(Struct, frozen=True):
    """The deliveries that a replay would send. `reasons` counts all matching deliveries, including excluded ones."""

    count: int
    reasons: dict[str, int]
    left_out: int = 0
    already_read: int = 0


def replay(
    ids: Ids = None,
    channel: ChannelOption = None,
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    user: UserOption = None,
    category: CategoryOption = None,
    send: SendOption = None,
    since: Since = None,
    until: Until = None,
    failed_since: FailedSince = None,
    failed_until: FailedUntil = None,
    retrying: Retrying = False,
    everything: Everything = False,
    per_minute: PerMinute = None,
    note: Note = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Send failed deliveries again.

    Select deliveries by id or with options. The ids of the replayed deliveries are printed. Deliveries that wait for a
    retry are included if you specify their ids or --retrying. Sent, skipped, and canceled deliveries are not replayed.
    Deliveries whose address is gone or suppressed are excluded unless you specify their ids or --reason. To replay more
    than 100 deliveries, you must confirm.

    Example: hub replay --channel email --failed-since PT6H --dry-run
    """
    filter = {
        "channels": [member.value for member in channel] if channel else None,
        "reasons": [member.value for member in reason] if reason else None,
        "providers": provider or None,
        "userId": user,
        "sendId": send,
        "category": category,
        "since": since,
        "until": until,
        "failedSince": failed_since,
        "failedUntil": failed_until,
    }
    filter = {name: value for name, value in filter.items() if value is not None}  # the hub rejects empty values
    if bool(ids) + bool(filter) + everything != 1:
        fail("Choose what to replay: ids, options such as --channel email, or --all; one of these.", 2)
    releases_all = filter == {"reasons": [Reason.RESTORED]} and not dry_run
    filter["statuses"] = _statuses(filter, retrying=retrying)
    relative = relative_times(filter)
    hub = resolve_hub(url, token, data)
    access_token = hub.service_token(tenant)
    filter |= times_of(relative, hub, access_token)
    replays = _Replays(hub.url, access_token, ids or [], filter, note)
    if per_minute and not dry_run:
        _run_limited(replays, hub, per_minute, confirmed=yes)
    else:
        _run(replays, hub, dry_run=dry_run, confirmed=yes)
    if releases_all:
        _release_others(hub, tenant)


def _statuses(filter: dict[str, Any], *, retrying: bool) -> list[str]:
    if filter.get("reasons") == [Reason.RESTORED]:
        return ["HELD"]
    return ["FAILED", "RETRYING"] if retrying else ["FAILED"]


def _release_others(hub: TargetHub, tenant: str) -> None:
    """Release what a restore holds besides deliveries."""
    token = hub.token(user=None, role=Role.ADMIN, tenant=tenant)

    async def release() -> int:
        released = 0
        while count := (await execute(hub.url, token, RELEASE_MUTATION))["releaseRestored"]:
            released += count
        return released

    print(f"{run_or_exit(release(), hub):,} webhook calls, events, and sends continue.")


def _run(replays: "_Replays", hub: TargetHub, *, dry_run: bool, confirmed: bool) -> None:
    preview = run_or_exit(replays.preview(), hub)
    if dry_run:
        _print_preview(preview)
        return
    if preview.count > CONFIRM_ABOVE and not confirmed:
        _confirm(preview)
    count = run_or_exit(replays.run(), hub)
    left_out = f" {preview.left_out} left out: address gone or suppressed." if preview.left_out else ""
    print(f"{count} {'delivery' if count == 1 else 'deliveries'} will be sent again.{left_out}")


def _run_limited(replays: "_Replays", hub: TargetHub, per_minute: int, *, confirmed: bool) -> None:
    if replays.by_id:
        fail("--per-minute: choose the deliveries with options such as --channel email, or with --all.", 2)
    preview = run_or_exit(replays.preview(), hub)
    if preview.count > CONFIRM_ABOVE and not confirmed:
        _confirm(preview)
    count = run_or_exit(replays.start(per_minute), hub)
    print(f"{count} {'delivery' if count == 1 else 'deliveries'} will be sent again, at most {per_minute} per minute.")
    print("The progress: hub batches list")


class _Replays:
    """The API calls of one command. `ids` takes precedence over `filter`."""

    def __init__(self, url: str, token: str, ids: Sequence[str], filter: dict[str, Any], note: str | None) -> None:
        self._note = note
        self._url = url
        self._token = token
        self._ids = ids
        self._replayable: list[str] = []  # the subset of `ids` that can be replayed
        self._filter = filter

    @property
    def by_id(self) -> bool:
        return bool(self._ids)

    async def preview(self) -> Preview:
        if self._ids:
            return await self._preview_ids()
        send = self._filter.get("sendId")
        if send and (await execute(self._url, self._token, SEND_QUERY, id=send))["send"] is None:
            fail(f"--send {send}: this tenant has no send with this id.")
        preview = (await execute(self._url, self._token, PREVIEW_QUERY, filter=self._filter))["replayPreview"]
        reasons = {row["reason"]: row["count"] for row in preview["reasons"]}
        return Preview(preview["count"], reasons, sum(reasons.values()) - preview["count"], preview["alreadyRead"])

    async def start(self, per_minute: int) -> int:
        """Start a replay with a rate. Return the number of matching deliveries."""
        variables = {"filter": self._filter, "perMinute": per_minute, "note": self._note}
        count: int = (await execute(self._url, self._token, LIMITED_MUTATION, **variables))["replay"]
        return count

    async def run(self) -> int:
        """Replay the deliveries in pages and print their ids. Return the number of replayed deliveries."""
        count = 0
        async for ids in self._pages():
            count += (await execute(self._url, self._token, REPLAY_MUTATION, ids=ids, note=self._note))["replay"]
            print("\n".join(ids), flush=True)
        return count

    async def _pages(self) -> AsyncIterator[list[str]]:
        if self._ids:
            for start in range(0, len(self._replayable), BATCH_SIZE):
                yield self._replayable[start : start + BATCH_SIZE]
            return
        left_out = () if "reasons" in self._filter else WITHOUT_ADDRESS
        after = None
        while True:
            data = await execute(self._url, self._token, DELIVERIES_QUERY, filter=self._filter, after=after)
            page = data["deliveries"]
            if ids := [node["id"] for node in page["nodes"] if node["reason"] not in left_out]:
                yield ids
            if not page["pageInfo"]["hasNextPage"]:
                return
            after = page["pageInfo"]["endCursor"]

    async def _preview_ids(self) -> Preview:
        """Select the ids that can be replayed, and count their reasons."""
        reasons: Counter[str] = Counter()
        replayable: list[str] = []
        for start in range(0, len(self._ids), LOOKUP_BATCH_SIZE):
            ids = self._ids[start : start + LOOKUP_BATCH_SIZE]
            variables = {f"i{n}": id for n, id in enumerate(ids)}
            names = ", ".join(f"${name}: ID!" for name in variables)
            fields = " ".join(f"{name}: delivery(id: ${name}) {{ status reason }}" for name in variables)
            statuses = await execute(self._url, self._token, f"query ({names}) {{ {fields} }}", **variables)
            for id, delivery in zip(ids, statuses.values(), strict=True):
                if delivery and (delivery["status"] in REPLAYABLE or delivery["reason"] == Reason.RESTORED):
                    replayable.append(id)
                    reasons[delivery["reason"] or "NONE"] += 1
        self._replayable = replayable
        return Preview(reasons.total(), dict(reasons))


def _print_preview(preview: Preview) -> None:
    print(f"{preview.count} {'delivery' if preview.count == 1 else 'deliveries'} would be sent again.")
    for reason, count in sorted(preview.reasons.items(), key=lambda row: (-row[1], row[0])):
        note = f" (left out without --reason {reason})" if preview.left_out and reason in WITHOUT_ADDRESS else ""
        print(f"{count:>8}  {reason}{note}")
    if preview.already_read:
        print(f"{preview.already_read} of them have been read since and would be SKIPPED.")


def _confirm(preview: Preview) -> None:
    summary = f"{preview.count} deliveries would be sent again"
    if not sys.stdin.isatty():
        fail(f"{summary}: check with --dry-run, then repeat the command with --yes.")
    _print_preview(preview)
    typer.confirm("Replay them?", abort=True)
