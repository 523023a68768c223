"""The start and the end of `hub dev`."""

import json
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from redis import Redis as RedisClient

from hub.cli.api_client import execute
from hub.platform import server_process
from hub.platform.embedded_servers import Mongod, Redis
from tests.cli_commands import SERVES, Command, dev, run_command, token_of
from tests.client import eventually
from tests.processes import SECRET

INBOX = "{ inbox(first: 100) { unread nodes { title } } }"
CTRL_C_S = 5.0


def children(data: Path) -> list[int]:
    """Return the ports of MongoDB and Redis."""
    running = json.loads((data / "running.json").read_text())
    return [port for key in ("mongo_url", "redis_url") if (port := urlsplit(running[key]).port)]


async def gone(ports: list[int], within_s: float = 5) -> None:
    async def nobody_listens() -> bool:
        return not any(server_process.is_listening(port) for port in ports)

    await eventually(nobody_listens, within_s)


async def test_dev_ends_within_5_s_of_ctrl_c_with_code_0_and_one_line(folder: Path) -> None:
    async with dev(folder) as hub:
        await hub.wait_for_output(SERVES)
        ports = children(folder)
        async with Command("watch", "--user", "alice", "--data", str(folder)) as watch:
            await watch.wait_for_output("Live")
            output = hub.out
            hub.interrupt()
            assert await hub.wait(CTRL_C_S) == 0
            await watch.wait_for_output("lost")
        assert hub.out.removeprefix(output).split("\n") == ["", f"Stopped. The data stays in {folder}.", ""]
        assert hub.err == ""
        assert not any(server_process.is_listening(port) for port in ports)
        assert not (folder / "running.json").exists()


async def test_dev_interrupted_while_starting_ends_cleanly(folder: Path) -> None:
    async with dev(folder) as hub:
        await hub.wait_for_output("Starting mongod")
        hub.interrupt()
        assert await hub.wait(CTRL_C_S) == 0
        assert hub.err == ""


async def test_dev_killed_leaves_no_child_and_keeps_its_data(folder: Path) -> None:
    async with dev(folder) as hub:
        await hub.wait_for_output(SERVES)
        token = token_of(hub.out, "alice")
        assert run_command("send", "Kept", "--to", "alice", "--data", str(folder)).returncode == 0
        ports = children(folder)
        assert len(ports) == 2
        assert "mode development" in run_command("doctor", "--data", str(folder)).stdout
        foreign = run_command("doctor", "--data", str(folder), mongo_url="mongodb://127.0.0.1:1", jwt_secret=SECRET)
        assert "mode production" in foreign.stdout
        hub.kill()
        await gone(ports)
    left = run_command("doctor", "--data", str(folder))
    assert left.returncode == 1
    assert "stale running.json" in left.stderr
    async with dev(folder) as hub:
        url = (await hub.wait_for_output(SERVES))[1]
        inbox = (await execute(url, token, INBOX))["inbox"]  # the old token is still valid: the key is stored too
        assert inbox["nodes"][0]["title"] == "Kept"
        assert inbox["unread"] == 4  # the demo data was not created twice
        for secret in ("jwt-secret", "running.json"):
            assert stat.S_IMODE((folder / secret).stat().st_mode) == 0o600


async def test_dev_restarts_a_server_and_gives_up_after_three_times(folder: Path) -> None:
    async with dev(folder) as hub:
        await hub.wait_for_output(SERVES)
        url = json.loads((folder / "running.json").read_text())["redis_url"]
        for time in range(4):
            client = RedisClient.from_url(url)
            client.shutdown(nosave=True)
            client.close()
            if time < 3:
                await hub.wait_for_output(rf"(?s)(redis-server is running again.*){{{time + 1}}}")
        assert await hub.wait(10) == 1
        assert hub.err.count("redis-server ended with status 0. From ") == 4
        assert str(folder / "redis" / "redis-server.log") in hub.err
        assert "Traceback" not in hub.err


def test_dev_on_a_used_port_names_the_option(folder: Path) -> None:
    with socket.socket() as accepted:
        accepted.bind(("127.0.0.1", 0))
        accepted.listen()
        port = accepted.getsockname()[1]
        done = run_command("dev", "--port", str(port), "--data", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Port {port} on 127.0.0.1 is taken: choose another with --port (under make: PORT=8001).\n"


def test_dev_with_an_invalid_setting_starts_nothing_and_names_it(folder: Path) -> None:
    weak = run_command("dev", "--data", str(folder), jwt_secret="short")
    assert (weak.returncode, weak.stdout) == (2, "")
    assert "HUB_JWT_SECRET: each secret has 32 bytes or more" in weak.stderr
    missing = run_command("dev", "--port", "0", "--data", str(folder), mongod="/nowhere/mongod")
    assert missing.returncode == 1
    assert "/nowhere/mongod cannot be run as mongod" in missing.stderr


async def test_dev_with_configured_servers_starts_none(folder: Path, servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    settings = {"mongo_url": mongod.url, "redis_url": redis.url, "jwt_secret": SECRET}
    async with dev(folder, **settings, mongo_database="dev_test", redis_prefix="dev:", mode="production") as hub:
        url = (await hub.wait_for_output(SERVES))[1]
        assert "Starting" not in hub.out
        assert not (folder / "jwt-secret").exists()
        async with aiohttp.ClientSession() as session:
            for path in ("graphiql", "dev/outbox", "dev/outbox.json"):
                async with session.get(f"{url}/{path}") as response:
                    assert response.status == 404, path  # the mode of the environment wins
        hub.interrupt()
        assert await hub.wait(CTRL_C_S) == 0
