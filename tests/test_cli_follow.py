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
    """The API restarts while a terminal and a pipe follow the send. Another terminal follows a broadcast."""
    mongod, redis = servers
    async with deployment_with_channels(mongod.url, redis.url, workers=1) as (deployment, tenant, fakes):
        await fakes.add_addresses(tenant, "alice", "bob", channels=["EMAIL"])
        fakes.mail.replies = {"RCPT": "554 5.7.1 this is spam"}
        await deployment.workers[0].stop()
        id = (await tenant.send("alice", "bob", channels=["IN_APP", "EMAIL"]))["send"]["id"]
        fields = ["watch", "--send", id, *options(tenant, deployment)]
        everyone = ["send", "Hi", "--everyone", "--channel", "in_app", "--follow", *options(tenant, deployment)]
        async with (
            Terminal(*fields) as terminal,
            Terminal(*everyone) as broadcast,
            Command(*fields, jwt_secret=SECRET) as piped,
        ):
            await terminal.wait_for_output("ACCEPTED 2")
            await piped.wait_for_output("EMAIL: ACCEPTED 2")
            await check_bar_of_an_expansion(tenant, broadcast)
            await deployment.apis[0].stop()
            await piped.wait_for_output("is stopping or restarting. Reconnecting.")
            await deployment.apis[0].start()
            await terminal.wait_for_output("(?s)Reconnecting.*ACCEPTED 2")
            await deployment.workers[0].start()
            assert await piped.wait(60) == 1
            assert piped.out.splitlines()[-1].startswith(f"2 deliveries FAILED. To send again: hub replay --send {id}")
            assert await terminal.wait() == 1
            assert await broadcast.wait() == 0
    assert "EMAIL       [--------------------] 0 of 2  ACCEPTED 2" in terminal.output
    assert "IN_APP      [####################] 2 of 2  DELIVERED 2" in terminal.output
    assert re.search(
        r"\x1b\[3F\x1b\[JACCEPTED, 2 recipients\r\nEMAIL       \[####################\] 2 of 2  FAILED 2",
        terminal.output,
    )
    assert "ACCEPTED, 2 recipients\r\nIN_APP      [####################] 2 of 2  DELIVERED 2" in broadcast.output


async def check_bar_of_an_expansion(tenant: Tenant, broadcast: "Terminal") -> None:
    """The broadcast to two users has not begun. It is paused and resumed."""
    bar = r", 0 of 2 recipients\r\nRecipients  \[-{20}\] 0 of 2\r\n"
    await broadcast.wait_for_output(f"EXPANDING{bar}")
    [id] = re.findall(r"(\S+) is being sent to 2 people\.", broadcast.output)
    await tenant.execute("mutation ($id: ID!) { pauseSend(id: $id) { id } }", id=id)
    await broadcast.wait_for_output(rf"PAUSED \(Paused by service\.\){bar}")
    await broadcast.wait_for_output(f"To continue: hub sends resume {id}")
    await tenant.execute("mutation ($id: ID!) { resumeSend(id: $id) { id } }", id=id)


class Terminal:
    """A command that runs in a terminal. `output` is what it has written."""

    def __init__(self, *fields: str) -> None:
        terminal, child = pty.openpty()
        variables = environment(jwt_secret=SECRET) | {"TERM": "xterm"}
        self._process = subprocess.Popen([HUB, *fields], env=variables, stdout=child, stderr=child)
        os.close(child)
        self._received = bytearray()
        self._reading = asyncio.create_task(asyncio.to_thread(self._read_all, terminal))

    async def __aenter__(self) -> "Terminal":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await self.wait()

    @property
    def output(self) -> str:
        return self._received.decode(errors="replace")

    async def wait_for_output(self, pattern: str) -> None:
        async def written() -> bool:
            return bool(re.search(pattern, self.output))

        await eventually(written)

    async def wait(self) -> int:
        """Return the exit code."""
        status = await asyncio.to_thread(self._process.wait, 60)
        await self._reading
        return status

    def _read_all(self, terminal: int) -> None:
        """Read until the last process has closed the terminal."""
        try:
            while chunk := os.read(terminal, 4096):
                self._received += chunk
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
