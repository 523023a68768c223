"""`hub events`: send, list, and replay."""

import asyncio
from typing import TYPE_CHECKING

from tests.cli_commands import base_url, run_command
from tests.client import Tenant, eventually
from tests.event_calls import list_events
from tests.processes import SECRET, Deployment

if TYPE_CHECKING:
    import subprocess


async def run(deployment: Deployment, tenant: Tenant, *arguments: str) -> "subprocess.CompletedProcess[str]":
    target = ("--url", base_url(deployment), "--tenant", tenant.name)
    return await asyncio.to_thread(run_command, "events", *arguments, *target, jwt_secret=SECRET)


async def test_event_is_sent_listed_and_replayed(deployment: Deployment, tenant: Tenant) -> None:
    call = ("send", "com.example.paid", "--source", "/shop", "--id", "7", "--subject", "order 7", "--json", '{"a": 1}')
    first, second = await run(deployment, tenant, *call), await run(deployment, tenant, *call)
    assert (first.returncode, second.stdout) == (0, first.stdout)
    id = first.stdout.strip()

    async def ended() -> bool:
        return bool(await list_events(tenant, statuses=["UNMATCHED"]))

    await eventually(ended)
    [line] = (await run(deployment, tenant, "list", "--type", "com.example.paid", "--limit", "3")).stdout.splitlines()
    assert line.split()[0] == id
    assert line.endswith(" UNMATCHED com.example.paid /shop order 7")
    assert not (await run(deployment, tenant, "list", "--status", "failed")).stdout
    replayed = await run(deployment, tenant, "replay", id)
    assert replayed.stdout == "The rules of 1 event run again.\n"
    unknown = await run(deployment, tenant, "replay", "no-event", "no-event")
    assert (unknown.returncode, unknown.stdout) == (1, "The rules of 0 events run again.\n")
    assert unknown.stderr.startswith("1 of the ids name no event")
    wrong = await run(deployment, tenant, "send", "a", "--json", "{")
    assert (wrong.returncode, wrong.stderr.startswith("--json is not valid JSON")) == (2, True)
