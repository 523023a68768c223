"""`hub tail`: the receipts it prints, its filters, and what it prints after a lost connection."""

import json
from typing import Any
from uuid import uuid4

from hub.platform.embedded_servers import Mongod, Redis
from tests.cli_commands import Command, base_url, run_command
from tests.client import Tenant, eventually
from tests.processes import SECRET, Deployment
from tests.test_cli_follow import Terminal


def options(tenant: str, deployment: Deployment) -> list[str]:
    return ["--url", base_url(deployment), "--tenant", tenant]


def tail_command(tenant: str, deployment: Deployment, *more: str) -> Command:
    return Command("tail", *options(tenant, deployment), *more, jwt_secret=SECRET)


async def wait_for_receipts(tail: Command, count: int) -> list[dict[str, Any]]:
    async def printed() -> list[dict[str, Any]] | None:
        return rows if len(rows := receipts(tail)) >= count else None

    rows: list[dict[str, Any]] = await eventually(printed)
    return rows


def receipts(tail: Command) -> list[dict[str, Any]]:
    """Return what is printed. The last line may be incomplete."""
    return [json.loads(line) for line in tail.out.split("\n")[:-1]]


async def test_tail_prints_the_receipts_of_a_send_as_json_lines_and_filters_them(
    tenant: Tenant, deployment: Deployment
) -> None:
    sent = await tenant.send("alice", "bob", channels=["IN_APP", "SMS"])
    id = sent["send"]["id"]
    [notification] = (await tenant.inbox("alice"))["nodes"]
    await tenant.mark("alice", "markRead", notification["id"])
    async with tail_command(tenant.name, deployment, "--send", id) as tail:
        rows = await wait_for_receipts(tail, 6)
        assert {(row["userId"], row["kind"], row["channel"], row["status"]) for row in rows} == {
            *(("alice", "DELIVERY", "IN_APP", "DELIVERED"), ("alice", "DELIVERY", "SMS", "SKIPPED")),
            *(("bob", "DELIVERY", "IN_APP", "DELIVERED"), ("bob", "DELIVERY", "SMS", "SKIPPED")),
            *(("alice", "SEEN", "IN_APP", None), ("alice", "READ", "IN_APP", None)),
        }
        assert {row["sendId"] for row in rows} == {id}
        assert rows[0]["consoleUrl"] == f"{base_url(deployment)}/console/users/{rows[0]['userId']}"
        tail.interrupt()
        assert await tail.wait(60) == 0
        assert tail.err == f"Receipts at {base_url(deployment)}. Press Ctrl-C to stop.\n"
    filters = ["--user", "alice", "--channel", "sms", "--channel", "in_app", "--kind", "delivery"]
    async with tail_command(tenant.name, deployment, "--send", id, *filters, "--status", "skipped") as tail:
        [row] = await wait_for_receipts(tail, 1)
        assert (row["userId"], row["channel"], row["reason"]) == ("alice", "SMS", "NOT_CONFIGURED")


async def test_tail_prints_one_line_per_receipt_on_a_terminal(tenant: Tenant, deployment: Deployment) -> None:
    id = (await tenant.send("alice", channels=["IN_APP", "SMS"]))["send"]["id"]
    async with Terminal("tail", "--send", id, *options(tenant.name, deployment)) as terminal:
        sent_to = rf"\(send {id}\)\r\n"
        await terminal.wait_for_output(rf"\d\d:\d\d:\d\d  \x1b\[32mDELIVERED   \x1b\[0m  IN_APP +alice  {sent_to}")
        await terminal.wait_for_output(rf"\x1b\[33mSKIPPED     \x1b\[0m  SMS +alice  NOT_CONFIGURED  {sent_to}")


async def test_tail_resumes_after_the_api_was_killed(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    async with (
        Deployment(mongod.url, redis.url, apis=2, workers=0) as running,
        Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant,
        tail_command(tenant.name, running) as tail,
    ):

        async def is_live() -> bool:
            await tenant.send("ping", url=running.urls[1])
            return bool(receipts(tail))

        async def is_lost() -> bool:
            return "Reconnecting." in tail.err

        async def is_complete() -> bool:
            return last in [row["sendId"] for row in receipts(tail)]

        await eventually(is_live)
        running.apis[0].kill()
        await eventually(is_lost)
        missed = [(await tenant.send("alice", url=running.urls[1]))["send"]["id"] for _ in range(2)]
        await running.apis[0].start()
        last = (await tenant.send("alice", url=running.urls[1]))["send"]["id"]
        await eventually(is_complete)
        found = [row["sendId"] for row in receipts(tail) if row["userId"] == "alice"]
        assert found == [*missed, last]


def test_tail_explains_what_it_cannot_do(deployment: Deployment) -> None:
    target = options("default", deployment)
    refused = run_command("tail", *target, "--status", "held", jwt_secret=SECRET)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("--status HELD: receipts report SENT, DELIVERED, SKIPPED, ")
    unknown = run_command("tail", *target, "--send", "nothing", jwt_secret=SECRET)
    assert (unknown.returncode, "NOT_FOUND: This send does not exist." in unknown.stderr) == (1, True)
    unreachable = run_command("tail", "--url", "http://127.0.0.1:9", jwt_secret=SECRET)
    assert (unreachable.returncode, "Nothing responds at" in unreachable.stderr) == (1, True)
