"""`hub send --follow` and `hub watch --send`: the progress of a send in the terminal."""

import asyncio
import os
import pty
import re
import subprocess

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import deployment_with_channels
from tests.cli_commands import HUB, Command, base_url, environment, run_command
from tests.client import Tenant, eventually
from tests.processes import SECRET, Deployment

CANCEL = "mutation ($id: ID!) { cancelSend(id: $id) { id } }"


def options(tenant: Tenant, deployment: Deployment) -> list[str]:
    return ["--url", base_url(deployment), "--tenant", tenant.name]


async def test_follow_prints_the_counts_of_a_send_until_its_end(tenant: Tenant, deployment: Deployment) -> None:
    fields = ["send", "Hello", "--to", "alice", "--to", "bob", "--channel", "in_app", "--channel", "sms", "--follow"]
    done = run_command(*fields, *options(tenant, deployment), jwt_secret=SECRET)
    assert done.returncode == 0, done.stderr
    sent, state, end = done.stdout.splitlines()
    assert sent.endswith("sent to 2 people.")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  ACCEPTED, 2 recipients · IN_APP: DELIVERED 2 · SMS: SKIPPED 2", state)
    assert end == "All deliveries have ended."


async def test_interrupted_follow_leaves_the_send_and_can_be_resumed(tenant: Tenant, deployment: Deployment) -> None:
    target = options(tenant, deployment)
    follow = Command("send", "Later", "--to", "alice", "--at", "P30D", "--follow", *target, jwt_secret=SECRET)
    async with follow:
        await follow.wait_for_output(r"SCHEDULED for \S+, 1 recipient\n")
        follow.interrupt()
        assert await follow.wait(5) == 130
        [again] = re.findall(r"To follow it again: hub (.+)\n", follow.out)
        assert follow.err == ""
    id = follow_id(again)
    async with Command(*again.split(), jwt_secret=SECRET) as watch:
        await watch.wait_for_output("SCHEDULED")
        await tenant.execute(CANCEL, id=id)
        assert await watch.wait(15) == 1
        assert watch.out.splitlines()[-1] == "The send is CANCELLED."


def follow_id(command: str) -> str:
    [id] = re.findall(r"watch --send (\S+)", command)
    return str(id)


async def test_follow_updates_a_terminal_in_place_and_reports_failures(servers: tuple[Mongod, Redis]) -> None:
    """The API restarts while a terminal and a pipe follow the send."""
    mongod, redis = servers
    async with deployment_with_channels(mongod.url, redis.url, workers=1) as (deployment, tenant, fakes):
        await fakes.add_addresses(tenant, "alice", "bob", channels=["EMAIL"])
        fakes.mail.replies = {"RCPT": "554 5.7.1 this is spam"}
        await deployment.workers[0].stop()
        id = (await tenant.send("alice", "bob", channels=["IN_APP", "EMAIL"]))["send"]["id"]
        fields = ["watch", "--send", id, *options(tenant, deployment)]
        terminal, child = pty.openpty()
        process = subprocess.Popen(  # noqa: ASYNC220 - the test waits for its end in a thread
            [HUB, *fields], env=environment(jwt_secret=SECRET) | {"TERM": "xterm"}, stdout=child, stderr=child
        )
        os.close(child)
        received = bytearray()
        reading = asyncio.create_task(asyncio.to_thread(read_all, terminal, received))

        async def shown() -> bool:
            return b"ACCEPTED 2" in received

        async def shown_again() -> bool:
            return b"ACCEPTED 2" in received.partition(b"Reconnecting.")[2]

        await eventually(shown, 30)
        async with Command(*fields, jwt_secret=SECRET) as piped:
            await piped.wait_for_output("EMAIL: ACCEPTED 2")
            await deployment.apis[0].stop()
            await piped.wait_for_output("is stopping or restarting. Reconnecting.")
            await deployment.apis[0].start()
            await eventually(shown_again, 30)
            await deployment.workers[0].start()
            assert await piped.wait(60) == 1
            assert piped.out.splitlines()[-1].startswith(f"2 deliveries FAILED. To send again: hub replay --send {id}")
        assert await asyncio.to_thread(process.wait, 60) == 1
        await reading
    text = received.decode()
    assert "EMAIL       [--------------------] 0 of 2  ACCEPTED 2" in text
    assert "IN_APP      [####################] 2 of 2  DELIVERED 2" in text
    assert re.search(
        r"\x1b\[3F\x1b\[JACCEPTED, 2 recipients\r\nEMAIL       \[####################\] 2 of 2  FAILED 2", text
    )


def read_all(terminal: int, received: bytearray) -> None:
    """Append the output to `received` until the last process has closed the terminal."""
    try:
        while chunk := os.read(terminal, 4096):
            received += chunk
    except OSError:  # the other end is closed
        pass
    os.close(terminal)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (["--send", "no-such-send"], "NOT_FOUND: This send does not exist."),
        (["--send", "x", "--user", "alice"], "Use either --user or --send."),
        ([], "Name the user: --user alice."),
    ],
)
async def test_watch_rejects_an_unknown_send_and_a_second_subject(
    tenant: Tenant, deployment: Deployment, fields: list[str], error: str
) -> None:
    done = run_command("watch", *fields, *options(tenant, deployment), jwt_secret=SECRET)
    assert done.returncode in {1, 2}
    assert done.stderr == f"{error}\n"
