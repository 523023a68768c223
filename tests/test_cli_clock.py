"""`hub clock` with `hub dev`."""

import re
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

from hub.cli.api_client import execute
from tests.cli_commands import Command, run_command
from tests.client import eventually

INBOX = "{ inbox(first: 100) { nodes { title } } }"
SERVES = r"(?s)serves at (http://[0-9.:]+) .*\nalice +(\S+)\n.*/graphiql#token=\S+\n"


async def test_clock_command_moves_the_clock_and_resets_it_with_the_data(folder: Path) -> None:
    def clock(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_command("clock", *arguments, "--data", str(folder))

    async with Command("dev", "--port", "0", "--data", str(folder)) as hub:
        url, alice = (await hub.wait_for_output(SERVES)).groups()
        shown = clock()
        assert (shown.returncode, "ahead" in shown.stdout) == (0, False), shown.stderr
        moved = clock("advance", "1d1h")
        assert moved.stdout.endswith("1 day, 1:00:00 ahead of real time\n"), moved.stderr
        morning = clock("tomorrow")
        assert time_of(morning.stdout).strftime("%H:%M") == "08:00"
        assert time_of(morning.stdout).date() == time_of(moved.stdout).date() + timedelta(days=1)
        sent = run_command("send", "Soon gone", "--to", "alice", "--expires", "PT1H", "--data", str(folder))
        assert sent.returncode == 0, "the expiry is computed from the hub's time"
        for arguments, message in (
            (["reset"], "use `hub clock reset --delete-data`"),
            (["advance", "24h", "--delete-data"], "--delete-data is an option of `hub clock reset`"),
            (["advance", "soon"], "advance soon: use a duration"),
            (["advance"], "advance: use a duration"),
            (["advance", "24"], "advance 24: add a unit, such as 24h or 24d."),
            (["tomorrow", "8 o'clock"], "use a local time such as 08:00"),
        ):
            refused = clock(*arguments)
            assert (refused.returncode, message in refused.stderr) == (2, True), refused.stderr
        output_before = len(hub.out)
        assert clock("reset", "--delete-data").returncode == 0
        assert clock().returncode == 0, "the hub responds again"

        async def started_again() -> "re.Match[str] | None":
            return re.search(SERVES, hub.out[output_before:])

        again = await eventually(started_again, 60)
        assert "The data is deleted. Starting again ..." in hub.out
        assert again[1] == url
        titles = [node["title"] for node in (await execute(url, alice, INBOX))["inbox"]["nodes"]]
        assert "Soon gone" not in titles, "the token remains valid, and only the demo data exists"
        assert len(titles) == 3
        assert "ahead" not in clock().stdout
        hub.interrupt()
        assert await hub.wait(20) == 0
    assert "No hub dev runs" in clock("reset", "--delete-data").stderr


def time_of(output: str) -> datetime:
    return datetime.strptime(output[:25].strip().rstrip(","), "%Y-%m-%d %H:%M:%S %z")
